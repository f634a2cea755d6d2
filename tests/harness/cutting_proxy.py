"""Between clients and a server of ZooKeeper's protocol: passes packets, and cuts connections when told to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Self

_AT_ONCE = struct.pack("ii", 1, 0)


class CuttingProxy:
    """Listens on `port` of 127.0.0.1 while it is entered; threads do the work."""

    def __init__(self, target: int) -> None:
        self.largest_request = 0
        """Bytes of the largest packet of a client."""
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._losing = ""
        self._refusing = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A thread that waits in accept() keeps the port open: shutdown wakes it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Breaks all connections."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _break(end)

    def refuse(self, refusing: bool) -> None:
        """Whether nobody gets through; connections that there are break."""
        self._refusing = refusing
        if refusing:
            self.cut()

    def lose(self, what: str) -> None:
        """The next "request" or "answer" does not arrive: all connections break in its place."""
        self._losing = what

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._refusing:
                    raise ConnectionRefusedError
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                _break(client)
                continue
            with self._lock:
                self._pairs.append((client, server))
            for end, other, kind in ((client, server, "request"), (server, client, "answer")):
                threading.Thread(target=self._pass, args=(end, other, kind), daemon=True).start()

    def _pass(self, end: socket.socket, other: socket.socket, kind: str) -> None:
        with contextlib.suppress(OSError):
            while packet := _packet(end):
                if kind == "request":
                    self.largest_request = max(self.largest_request, len(packet) - 4)
                if self._losing == kind:
                    self._losing = ""
                    self.cut()
                    return
                other.sendall(packet)
        _break(other)


def _packet(end: socket.socket) -> bytes:
    """With its length; nothing when the connection has ended."""
    head = _take(end, 4)
    return head and head + _take(end, int.from_bytes(head))


def _take(end: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = end.recv(count - len(data))
        if not piece:
            return b""
        data += piece
    return bytes(data)


def _break(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        # Wakes the thread that reads, which close alone does not.
        end.shutdown(socket.SHUT_RDWR)
    end.close()
