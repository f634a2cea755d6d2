"""Plain sockets that speak the protocol through our own codecs: requests exactly as a test wants them."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self

from fastlog.wire import Request, Response, decode_response, encode_request


class Connection:
    """One client connection; blocking, with a timeout in seconds for every step."""

    client_id = "link"

    def __init__(self, port: int, *, timeout: float = 20) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._correlation_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, request: Request, version: int) -> int:
        """Sends one request without waiting; returns its correlation id."""
        self._correlation_id += 1
        self.socket.sendall(encode_request(request, version, self._correlation_id, self.client_id))
        return self._correlation_id

    def receive_frame(self) -> bytes:
        """The next frame without its length; raises `ConnectionError` when the broker closes."""
        (length,) = struct.unpack(">i", self.receive_start(4))
        return self.receive_start(length)

    def receive_start(self, count: int) -> bytes:
        """The first bytes of whatever comes; raises `ConnectionError` when the broker closes before."""
        parts = bytearray()
        while len(parts) < count:
            part = self.socket.recv(count - len(parts))
            if not part:
                raise ConnectionError("the broker closed the connection")
            parts += part
        return bytes(parts)


class Link(Connection):
    """A connection for requests and their responses."""

    def call(self, request: Request, version: int) -> Response:
        """Sends one request and returns its response."""
        self.send(request, version)
        return self.receive(request, version)

    def receive(self, request: Request, version: int) -> Response:
        """The next response, which must be one to `request`'s API in `version`."""
        _, response = decode_response(request.API, version, self.receive_frame())
        return response
