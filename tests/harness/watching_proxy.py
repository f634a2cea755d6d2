"""Between clients and a broker: passes frames, notes which requests there are, holds some up when told to.

What is held up is the whole connection, from that frame on: nothing overtakes it. When nothing is held up any
more these connections break, and what they held never arrives. So a client that is killed meanwhile leaves
its broker either without the request, or having answered one whose answer nobody got.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from fastlog.wire import ApiKey

_AT_ONCE: Final = struct.pack("ii", 1, 0)
_HEADER: Final = struct.Struct(">hhi")
"""API, version and correlation id of a request."""
_WAIT_SECONDS: Final = 60
"""A held connection breaks after that, whatever becomes of the test."""


class WatchingProxy:
    """Listens on `port` of 127.0.0.1 while it is entered; threads do the work."""

    def __init__(self, target: int) -> None:
        self.requests: set[tuple[int, int]] = set()
        """API and version of every request so far."""
        self.held = 0
        """How many frames are held up since the last call of `hold_requests` or `hold_answers`."""
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._holding: tuple[str, int] | None = None
        self._release = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        # A thread that waits in accept() keeps the port open: shutdown wakes it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            self._break(end)

    def versions(self, api: ApiKey) -> set[int]:
        """In which versions this was asked so far."""
        return {version for key, version in tuple(self.requests) if key == api}

    def hold_requests(self, api: ApiKey) -> None:
        """Requests of this kind do not reach the broker from now on."""
        self._hold("request", api)

    def hold_answers(self, api: ApiKey) -> None:
        """Requests of this kind reach the broker from now on, their answers nobody."""
        self._hold("answer", api)

    def release(self) -> None:
        """Nothing is held up from now on; what was is lost."""
        self._holding = None
        self._release.set()

    def _hold(self, kind: str, api: ApiKey) -> None:
        self.release()
        self.held = 0
        self._release = threading.Event()
        self._holding = kind, int(api)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                self._break(client)
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asked: dict[int, int] = {}
            with self._lock:
                self._ends |= {client, server}
            for end, other, kind in ((client, server, "request"), (server, client, "answer")):
                threading.Thread(target=self._pass, args=(end, other, kind, asked), daemon=True).start()

    def _pass(self, end: socket.socket, other: socket.socket, kind: str, asked: dict[int, int]) -> None:
        """All frames from one end to the other; `asked` has the API of each correlation id without answer."""
        with contextlib.suppress(OSError):
            while frame := _frame(end):
                if kind == "request":
                    api, version, correlation_id = _HEADER.unpack_from(frame, 4)
                    self.requests.add((api, version))
                    asked[correlation_id] = api
                else:
                    api = asked.pop(int.from_bytes(frame[4:8], signed=True), -1)
                if self._holding == (kind, api):
                    release = self._release
                    self.held += 1
                    release.wait(_WAIT_SECONDS)
                    break
                other.sendall(frame)
        for each in (end, other):
            self._break(each)

    def _break(self, end: socket.socket) -> None:
        with self._lock:
            self._ends.discard(end)
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            # Wakes the thread that reads, which close alone does not.
            end.shutdown(socket.SHUT_RDWR)
        end.close()


class WatchingProxies:
    """One before each broker of a cluster, told and asked as if they were one."""

    def __init__(self, targets: Sequence[int]) -> None:
        self.each = [WatchingProxy(target) for target in targets]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for proxy in self.each:
            proxy.__exit__(kind, error, trace)

    @property
    def held(self) -> int:
        """See `WatchingProxy.held`."""
        return sum(proxy.held for proxy in self.each)

    def versions(self, api: ApiKey) -> set[int]:
        """In which versions this was asked of any broker so far."""
        return {version for proxy in self.each for version in proxy.versions(api)}

    def hold_requests(self, api: ApiKey) -> None:
        """Requests of this kind do not reach any broker from now on."""
        for proxy in self.each:
            proxy.hold_requests(api)

    def hold_answers(self, api: ApiKey) -> None:
        """Requests of this kind reach the brokers from now on, their answers nobody."""
        for proxy in self.each:
            proxy.hold_answers(api)

    def release(self) -> None:
        """Nothing is held up from now on; what was is lost."""
        for proxy in self.each:
            proxy.release()


def _frame(end: socket.socket) -> bytes:
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
