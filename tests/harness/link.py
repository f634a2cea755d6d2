"""A plain socket that speaks the protocol through our own codecs: requests exactly as a test wants them."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self

from fastlog.wire import Request, Response, decode_response, encode_request


class Link:
    """One client connection; blocking, with a timeout in seconds for every step."""

    def __init__(self, port: int, *, timeout: float = 20) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._correlation_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def call(self, request: Request, version: int) -> Response:
        """Sends one request and returns its response."""
        self.send(request, version)
        return self.receive(request, version)

    def send(self, request: Request, version: int) -> None:
        """Sends one request without waiting."""
        self._correlation_id += 1
        self.socket.sendall(encode_request(request, version, self._correlation_id, "link"))

    def receive(self, request: Request, version: int) -> Response:
        """The next response, which must be one to `request`'s API in `version`."""
        _, response = decode_response(request.API, version, self.receive_frame())
        return response

    def receive_frame(self) -> bytes:
        """The next frame without its length; raises `ConnectionError` when the broker closes."""
        (length,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self.socket.recv(count - len(parts))
            if not part:
                raise ConnectionError("the broker closed the connection")
            parts += part
        return bytes(parts)
