"""Time as a parameter: logic never asks the operating system by itself."""

from __future__ import annotations

import time
from typing import Protocol, runtime_checkable

__all__ = ["Clock", "ManualClock", "SystemClock"]


@runtime_checkable
class Clock(Protocol):
    """Two clocks: wall time for record timestamps and retention, monotonic time for timeouts."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since the Unix epoch. May jump in either direction."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment. Never goes back."""
        ...


class SystemClock:
    """The operating system's clocks."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Wall time in milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    monotonic = staticmethod(time.monotonic)
    """`time.monotonic()`: the clock that asyncio's timers use too. Every request asks it several times."""


class ManualClock:
    """A clock that stands still until a test moves it."""

    __slots__ = ("_monotonic_us", "_now_ms")

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        # Microseconds as an int: sums of float seconds drift, and tests compare for equality.
        self._monotonic_us = 0

    def now_ms(self) -> int:
        """Wall time as set."""
        return self._now_ms

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._monotonic_us / 1_000_000

    def advance(self, milliseconds: int) -> None:
        """Moves both clocks forward. Raises ValueError for a negative step: use `jump_wall` for that."""
        if milliseconds < 0:
            raise ValueError("time does not go back; jump_wall moves the wall clock alone")
        self._now_ms += milliseconds
        self._monotonic_us += milliseconds * 1_000

    def jump_wall(self, milliseconds: int) -> None:
        """Moves only the wall clock, in either direction, as an operator or NTP does."""
        self._now_ms += milliseconds
