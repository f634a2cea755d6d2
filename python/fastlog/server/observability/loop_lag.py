"""How late the event loop runs what is due: a timer that measures itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fastlog.base.histogram import Histogram

if TYPE_CHECKING:
    from fastlog.base.tasks import Loop, Supervisor

__all__ = ["LAG_BOUNDS", "LoopLag"]

INTERVAL_SECONDS: Final = 0.1
LAG_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class LoopLag:
    """Sleeps `INTERVAL_SECONDS` again and again and notes by how much it was woken late.

    Ten looks a second: a pause of the loop that is longer than the interval is always met, and counts once.
    """

    def __init__(self, time: Callable[[], float], interval: float = INTERVAL_SECONDS) -> None:
        self.histogram: Final = Histogram(LAG_BOUNDS)
        self._time = time
        self._interval = interval
        self._running: Loop | None = None

    def start(self, tasks: Supervisor) -> None:
        """Starts to look."""
        self._running = tasks.run("loop-lag", self._run)

    async def stop(self) -> None:
        """Stops."""
        if self._running is not None:
            await self._running.stop()

    async def _run(self) -> None:
        while True:
            due = self._time() + self._interval
            await asyncio.sleep(self._interval)
            self.histogram.observe(max(0.0, self._time() - due))
