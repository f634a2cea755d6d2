"""How a connection is held up whose client has used more than its quota (KIP-219).

The answer that says so goes out at once. Until the time is over nothing more is read from the connection, and
nothing that has come already is started: a client that does not wait by itself waits for its socket.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastlog.server.network.connection_host import ConnectionHost

__all__ = ["NONE", "Muting"]

NONE: Final = -1
"""No API: what `_lets` is when no request may start beside the current one."""


class Muting:
    """The part of a connection that may be held up. Used on the event loop."""

    host: ConnectionHost
    muted_since: float | None = None
    """Monotonic seconds since when it is held up; None while it is not."""
    frame_since: float | None
    last_active: float
    is_finishing: bool
    _busy: int
    _lets: int
    _muted_until: asyncio.TimerHandle | None = None

    def throttle(self, seconds: float) -> None:
        """Holds it up for so long; one that is held up already, until the later end.

        One that is about to close answers what has come, and is not held up.
        """
        if self.is_finishing:
            return
        loop, now = asyncio.get_running_loop(), self.host.monotonic()
        until = loop.time() + seconds
        if self._muted_until is None:
            self.muted_since = now
            # As if a request were in work that holds up the next one.
            self._busy += 1
            self._lets = NONE
            self.host.metrics.connections_muted += 1
            self._set_reading()
        elif until <= self._muted_until.when():
            return
        else:
            self._muted_until.cancel()
        self._muted_until = loop.call_at(until, self.unmute)

    def unmute(self) -> None:
        """The time is over: it goes on with what has come."""
        self._end_mute()
        # What could not be read could not come.
        self.last_active = self.host.monotonic()
        if self.frame_since is not None:
            self.frame_since = self.last_active
        self._set_reading()
        self._pump()

    def _end_mute(self) -> None:
        if self._muted_until is not None:
            self._muted_until.cancel()
            self._muted_until = self.muted_since = None
            self._busy -= 1
            self.host.metrics.connections_muted -= 1

    def _set_reading(self) -> None:
        raise NotImplementedError

    def _pump(self) -> None:
        raise NotImplementedError
