"""How long something may still take, and how long to wait before the next try."""

from __future__ import annotations

import asyncio
import random
from typing import Final, Self

FIRST_BACKOFF: Final = 0.05
"""Seconds before the second try; doubles up to `LAST_BACKOFF`."""
LAST_BACKOFF: Final = 1.0


class Deadline:
    """A moment on the event loop's clock, and the backoff of the tries that lead to it."""

    def __init__(self, at: float) -> None:
        self._at = at
        self._backoff = FIRST_BACKOFF
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
        # Spread by a fifth, so that many clients do not come back in step.
        wait = self._backoff * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        self._backoff = min(self._backoff * 2, LAST_BACKOFF)
        if wait >= self.remaining:
            return False
        await asyncio.sleep(wait)
        return True
