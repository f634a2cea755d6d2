"""How long something may still take, and how long to wait before the next try."""

from __future__ import annotations

import asyncio
from typing import Self

from fastlog.net.backoff import Backoff


class Deadline:
    """A moment on the event loop's clock, and the backoff of the tries that lead to it."""

    def __init__(self, at: float) -> None:
        self._at = at
        self._backoff = Backoff()
        self.tries = 0

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The moment in `seconds` from now."""
        return cls(asyncio.get_running_loop().time() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(self._at - asyncio.get_running_loop().time(), 0.0)

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self.remaining <= 0

    async def pause(self) -> bool:
        """Waits before the next try; False, without a wait, when the time would be up by then."""
        self.tries += 1
        wait = self._backoff.next()
        if wait >= self.remaining:
            return False
        await asyncio.sleep(wait)
        return True
