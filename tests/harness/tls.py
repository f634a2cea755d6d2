"""Clients of plain sockets over TLS."""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path


def client_context(authority: Path, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """One that trusts an authority and may show a certificate."""
    context = ssl.create_default_context(cafile=str(authority))
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


class TlsClient:
    """One connection: sends ApiVersions requests in version 0, and reads what comes."""

    def __init__(self, port: int, context: ssl.SSLContext, timeout: float = 10) -> None:
        raw = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket = context.wrap_socket(raw, server_hostname="localhost")
        except BaseException:
            raw.close()
            raise

    def ask(self, correlation_id: int = 1) -> int:
        """The error code of an answer to ApiVersions."""
        body = struct.pack(">hhih", 18, 0, correlation_id, -1)
        self.socket.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", self._exactly(4))
        answer = self._exactly(size)
        found, code = struct.unpack_from(">ih", answer)
        assert found == correlation_id
        return int(code)

    def common_name(self) -> str:
        """That of the broker's certificate."""
        certificate = self.socket.getpeercert()
        assert certificate
        return str(dict(part[0] for part in certificate["subject"])["commonName"])

    def serial(self) -> str:
        """The number of the broker's certificate."""
        certificate = self.socket.getpeercert()
        assert certificate
        return str(certificate["serialNumber"])

    def close(self) -> None:
        """Closes the socket."""
        self.socket.close()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise ConnectionError("the broker closed the connection")
            data += part
        return data
