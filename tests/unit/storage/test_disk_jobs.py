"""Jobs for thousands of partitions leave turns of the event loop to others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from fastlog.storage.disk_jobs import PER_TURN, handed_over, in_turns

MANY = PER_TURN * 5 + 3


class Turns:
    """Counts the turns of the event loop from when it is made."""

    def __init__(self) -> None:
        self.count = 0
        self.done = False
        self._next()

    def _next(self) -> None:
        self.count += 1
        if not self.done:
            asyncio.get_running_loop().call_soon(self._next)


class AtOnce(Executor):
    """Carries work out at once, and notes in which turn it came."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.per_turn: Counter[int] = Counter()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.per_turn[self.turns.count] += 1
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


async def test_few_jobs_are_handed_over_and_taken_in_one_turn() -> None:
    turns = Turns()
    pool = AtOnce(turns)
    jobs = await handed_over(pool, range(MANY), lambda number: number * 2)
    assert max(pool.per_turn.values()) <= PER_TURN
    await asyncio.wait(jobs)
    taken: Counter[int] = Counter()
    outcomes = []
    async for job in in_turns(jobs):
        # What is there already gives nobody else a turn.
        outcomes.append(await job)
        taken[turns.count] += 1
    assert max(taken.values()) <= PER_TURN
    assert outcomes == [number * 2 for number in range(MANY)]
    turns.done = True
