"""How long to wait before the next try."""

from __future__ import annotations

import random
from typing import Final

FIRST: Final = 0.05
"""Seconds before the second try; doubles up to `LAST`."""
LAST: Final = 1.0
_SPREAD: Final = 0.2


class Backoff:
    """Pauses between tries of one thing, in seconds: each twice the one before, from `first` to `last`."""

    def __init__(self, first: float = FIRST, last: float = LAST) -> None:
        self._first = first
        self._last = last
        self._next = min(first, last)

    def next(self) -> float:
        """The pause before the next try.

        It is spread by a fifth both ways, so that many that failed together do not come back in step.
        """
        pause = self._next * random.uniform(1 - _SPREAD, 1 + _SPREAD)  # noqa: S311 - no secret
        self._next = min(self._next * 2, self._last)
        return pause

    def reset(self) -> None:
        """It went well: the next failure is a first one."""
        self._next = min(self._first, self._last)
