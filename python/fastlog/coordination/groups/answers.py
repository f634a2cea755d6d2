"""Answers to requests of groups, given one after the other in turns of the event loop.

One record that is stored, or one generation that begins, may answer thousands of requests: each is encoded
and sent, and lets the next request of its connection start.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastlog.base.tasks import Guard

# So many are given before other work of the event loop gets a turn.
_PER_TURN: Final = 64


class Answers:
    """Answers that are to be given, in their order. What one of them sets off meets no half-done change."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._waiting: deque[tuple[Callable[[Any], None], Any]] = deque()

    def give(self, answer: Callable[[Any], None], result: object) -> None:
        """Calls `answer` with the result, not before the next turn of the event loop."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._give)
        self._waiting.append((answer, result))

    def _give(self) -> None:
        waiting = self._waiting
        try:
            for _ in range(min(len(waiting), _PER_TURN)):
                answer, result = waiting.popleft()
                self._guard(answer, result)
        finally:
            if waiting:
                asyncio.get_running_loop().call_soon(self._give)
