"""A log and an event loop that tests move by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class FakeLog:
    """What replicas and handlers read of a native log."""

    def __init__(self, end: int = 0, start: int = 0, written: int = 0) -> None:
        self.log_end_offset = end
        self.log_start_offset = start
        self.recovery_point = written
        self.unstable: int | None = None
        self.epochs: list[tuple[int, int]] = []
        self.bytes_per_record = 100
        self.at_hand = True
        self.active_base = 0
        """First offset of the newest segment."""

    @property
    def latest_epoch(self) -> int:
        """The last epoch, or -1."""
        return self.epochs[-1][0] if self.epochs else -1

    def last_stable_offset(self, high_watermark: int) -> int:
        """The high watermark, or an open transaction's start."""
        return high_watermark if self.unstable is None else min(self.unstable, high_watermark)

    def available_bytes(self, offset: int, max_offset: int) -> int | None:
        """Every record has the same size; None while the index is not `at_hand`."""
        if not self.at_hand:
            return None
        return max(0, max_offset - offset) * self.bytes_per_record

    def spans_segments(self, offset: int, max_offset: int) -> bool:
        """There are two segments at most."""
        return offset < self.active_base < max_offset

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """From `epochs`, a list of (epoch, start offset)."""
        best = (-1, -1)
        for index, (known, _) in enumerate(self.epochs):
            if known <= epoch:
                following = self.epochs[index + 1 :]
                best = (known, following[0][1] if following else self.log_end_offset)
        return best if epoch <= self.latest_epoch else (-1, -1)


class FakeHandle:
    """A timer of `FakeLoop`."""

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self._when = when
        self.callback = callback
        self.cancelled = False

    def when(self) -> float:
        """Its time."""
        return self._when

    def cancel(self) -> None:
        """It will not be called."""
        self.cancelled = True


class FakeLoop:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[FakeHandle] = []
        self.soon: list[Callable[[], object]] = []

    def time(self) -> float:
        """Seconds."""
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> Any:
        """Notes a timer."""
        handle = FakeHandle(when, callback)
        self.timers.append(handle)
        return handle

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Notes what is to come in the next round."""
        self.soon.append(callback)

    def next_round(self) -> None:
        """Calls what was noted by now."""
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    @property
    def pending(self) -> list[FakeHandle]:
        """Timers that are still to be called."""
        return [timer for timer in self.timers if not timer.cancelled]

    def advance(self, seconds: float) -> None:
        """Lets time pass and calls what is due, timer by timer."""
        while self.soon:
            self.next_round()
        self.now += seconds
        while due := [timer for timer in self.pending if timer.when() <= self.now]:
            first = min(due, key=FakeHandle.when)
            self.timers.remove(first)
            first.callback()
            while self.soon:
                self.next_round()
