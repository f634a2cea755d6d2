"""The clock of a broker under test: the system's, and ahead of it as far as a test has moved it.

    clock = MovingClock()
    clock.advance(8 * 24 * 3600 * 1000)

What a broker does by the time of its data asks this clock: retention, compaction lags, members and offsets of
groups, transactions, sessions of SASL, and in native code the time stamps and the age of segments. What keeps
the machine going asks the system's: timers of the event loop, waits of fetches, connections, replication, and
the sessions at the keeper. A move of eight days must not look as if a disk or another broker had hung.

Whoever moves it tells those who sleep until a moment (`fastlog.testing.moved`).
"""

from __future__ import annotations

import time
from typing import Final

from fastlog.native import ClockAhead

__all__ = ["MovingClock"]


class MovingClock:
    """A `fastlog.base.clock.Clock`. May be used from any thread."""

    __slots__ = ("ahead",)

    def __init__(self, ahead_ms: int = 0) -> None:
        self.ahead: Final = ClockAhead(ahead_ms)
        """What native code looks at."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000 + self.ahead.milliseconds

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment."""
        return time.monotonic() + self.ahead.milliseconds / 1000

    def advance(self, milliseconds: int) -> None:
        """Moves both times on. Raises ValueError for a negative step."""
        if milliseconds < 0:
            raise ValueError("time does not go back")
        self.ahead.advance(milliseconds)
