"""Accepts the connections of one listening socket, as fast as quotas let them in (KIP-402, KIP-612).

asyncio's own servers accept whatever comes. Here one connection at a time may be held: it was accepted, and
is neither read nor answered until it is its turn. Behind it the system keeps a queue.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from fastlog.server.network.connection_host import ConnectionHost
from fastlog.server.quotas.connection_quotas import ConnectionQuotas

__all__ = ["ACCEPTED_AT_ONCE", "Acceptor"]

_LOG: Final = logging.getLogger(__name__)
ACCEPTED_AT_ONCE: Final = 32
_NO_RESOURCES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_MOMENT: Final = 0.002
_PAUSE_SECONDS: Final = 1.0
"""Until the system may have what it lacked, and others may have been let in."""
_IP_RATE: Final = "connection_creation_rate"
_MOST_DOOMED: Final = 64
"""Connections that are kept for a while before they are closed; for one more the oldest goes at once."""


class Acceptor:
    """Of one socket, which it owns, from `start` to `close`. Used on the event loop."""

    def __init__(
        self,
        bound: socket.socket,
        host: ConnectionHost,
        quotas: ConnectionQuotas,
        protocol: Callable[[], asyncio.BaseProtocol],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._bound = bound
        self._host = host
        self._quotas = quotas
        self._protocol = protocol
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._held: tuple[socket.socket, str] | None = None
        self._due = 0.0
        """When the one that is held may be let in, as far as rates go."""
        self._timer: asyncio.TimerHandle | None = None
        self._doomed: deque[tuple[socket.socket, asyncio.TimerHandle]] = deque()
        self._arriving: set[asyncio.Task[Any]] = set()
        self._reads = False
        self._closed = False

    def start(self) -> None:
        """Accepts from now on."""
        self._bound.setblocking(False)
        self._read(True)

    def close(self) -> None:
        """Accepts no more. Connections that are open go on."""
        if self._closed:
            return
        self._read(False)
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._held is not None:
            self._held[0].close()
            self._held = None
        while self._doomed:
            sock, timer = self._doomed.popleft()
            timer.cancel()
            sock.close()
        self._bound.close()

    def go_on(self) -> None:
        """There may be room."""
        if self._closed or self._held is None:
            return
        # A timer may come a moment early.
        if self._due - self._loop.time() > _MOMENT or not self._quotas.has_room(self._host.listener.name):
            return
        (sock, peer), self._held = self._held, None
        self._quotas.held[self._host.listener.name] -= 1
        self._let_in(sock, peer)
        self._read(True)

    def _read(self, reads: bool) -> None:
        if reads == self._reads or self._closed:
            return
        self._reads = reads
        if reads:
            self._loop.add_reader(self._bound.fileno(), self._accept)
        else:
            self._loop.remove_reader(self._bound.fileno())

    def _accept(self) -> None:
        try:
            for _ in range(ACCEPTED_AT_ONCE):
                if self._held is not None or not self._accept_one():
                    return
        except OSError as error:
            if error.errno not in _NO_RESOURCES:
                self._on_failure(error)
            else:
                _LOG.warning("no connection can be accepted for a while: %s", error)
            self._pause(_PAUSE_SECONDS)
        except Exception as error:  # noqa: BLE001 - the next one is accepted all the same
            self._on_failure(error)

    def _accept_one(self) -> bool:
        try:
            sock, address = self._bound.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        sock.setblocking(False)
        peer = str(address[0]) if isinstance(address, tuple) else "local"
        name = self._host.listener.name
        delay = self._quotas.delay_ms(name) / 1000
        if delay > 0 or not self._quotas.has_room(name):
            self._held, self._due = (sock, peer), self._loop.time() + delay
            self._quotas.held[name] = self._quotas.held.get(name, 0) + 1
            self._read(False)
            if delay > 0:
                self._timer = self._later(delay, self.go_on)
        else:
            self._let_in(sock, peer)
        return True

    def _pause(self, seconds: float) -> None:
        self._read(False)

        def go_on() -> None:
            self._read(self._held is None)

        self._timer = self._later(seconds, go_on)

    def _later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, action)

    def _let_in(self, sock: socket.socket, peer: str) -> None:
        delay_ms = self._quotas.address_delay_ms(peer)
        if delay_ms > 0:
            self._host.metrics.refused[_IP_RATE] += 1
            self._doom(sock, delay_ms / 1000)
            return
        name, arriving = self._host.listener.name, self._quotas.arriving
        arriving[name] = arriving.get(name, 0) + 1
        task = self._loop.create_task(self._connect(sock, name), name="fastlog-accept")
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _connect(self, sock: socket.socket, name: str) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, sock)
        except Exception as error:  # noqa: BLE001 - this one connection; others are accepted all the same
            sock.close()
            if not isinstance(error, OSError):
                self._on_failure(error)
        finally:
            self._quotas.arriving[name] -= 1
            if self._quotas.has_too_many():
                self._host.table.make_room(self._quotas.limits.protected)
            self._quotas.on_change()

    def _doom(self, sock: socket.socket, seconds: float) -> None:
        """Closes a connection after a while: who came too fast is not to come again at once."""
        if len(self._doomed) >= _MOST_DOOMED:
            oldest, timer = self._doomed.popleft()
            timer.cancel()
            oldest.close()

        def end() -> None:
            # Rates of one listener are all waited for alike, but for those that were changed meanwhile.
            for entry in list(self._doomed):
                if entry[0] is sock:
                    self._doomed.remove(entry)
            sock.close()

        self._doomed.append((sock, self._later(seconds, end)))
