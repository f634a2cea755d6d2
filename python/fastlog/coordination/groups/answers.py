"""Answers to requests of groups, given one after the other in turns of the event loop.

One record that is stored, or one generation that begins, may answer thousands of requests: each is encoded
and sent, and lets the next request of its connection start.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from fastlog.base.tasks import Guard

Pair: TypeAlias = tuple[Callable[[Any], None], Any]
"""Whom to call, and with what."""

# So many are given before other work of the event loop gets a turn.
_PER_TURN: Final = 64


class Answers:
    """Answers that are to be given, in their order. What one of them sets off meets no half-done change."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._waiting: deque[Pair | Iterator[Pair]] = deque()

    def give(self, answer: Callable[[Any], None], result: object) -> None:
        """Calls `answer` with the result, not before the next turn of the event loop."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._give)
        self._waiting.append((answer, result))

    def give_each(self, answers: Iterator[Pair]) -> None:
        """The same for many, each of which is made when it is its turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._give)
        self._waiting.append(answers)

    def _give(self) -> None:
        waiting = self._waiting
        given = 0
        try:
            while waiting and given < _PER_TURN:
                answers = waiting[0]
                if isinstance(answers, tuple):
                    waiting.popleft()
                    answer, result = answers
                    given += 1
                    try:
                        answer(result)
                    except BaseException as error:  # noqa: BLE001 - the others are answered all the same
                        self._guard.failed(error)
                    continue
                for answer, result in answers:
                    self._guard(answer, result)
                    given += 1
                    if given == _PER_TURN:
                        break
                else:
                    waiting.popleft()
        finally:
            if waiting:
                asyncio.get_running_loop().call_soon(self._give)
