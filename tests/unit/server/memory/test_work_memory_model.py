"""Whoever asks and goes: the budget of work is the sum of what is in work, and nobody is forgotten."""

from __future__ import annotations

import random

import pytest

from fastlog.server.memory.work_memory import GROWTH, SMALL_REQUEST, WorkMemory

LIMIT = 8 * 1024 * 1024


class Worker:
    """A connection with one request that may wait, and requests in work."""

    def __init__(self, memory: WorkMemory) -> None:
        self.memory = memory
        self.size = 0
        """Bytes of the next request, or 0."""
        self.is_stuck = False
        """Whether it can start nothing: its peer takes no answers."""
        self.weights: list[int] = []

    def on_room(self) -> None:
        """Starts what it can."""
        if self.size and not self.is_stuck:
            weight = self.memory.begin(self, self.size)
            if weight:
                self.size = 0
                self.weights.append(weight)

    def lose(self) -> None:
        """The connection is gone."""
        self.size = 0
        self.memory.forget(self)
        while self.weights:
            self.memory.done(self.weights.pop())


def something_happens(chance: random.Random, memory: WorkMemory, workers: list[Worker]) -> None:
    """One event."""
    worker = chance.choice(workers)
    match chance.randrange(6):
        case 0 | 1 if not worker.size:
            worker.size = chance.choice((SMALL_REQUEST + 1, 50_000, 200_000, 3_000_000))
            worker.on_room()
        case 2 | 3 if worker.weights:
            memory.done(worker.weights.pop(chance.randrange(len(worker.weights))))
        case 4:
            worker.is_stuck = not worker.is_stuck
            worker.on_room()
        case 5 if chance.random() < 0.2:
            workers.remove(worker)
            worker.lose()
            workers.append(Worker(memory))


@pytest.mark.parametrize("seed", range(6))
def test_the_budget_is_the_sum_of_what_is_in_work(seed: int) -> None:
    chance = random.Random(seed)
    memory = WorkMemory(LIMIT)
    workers = [Worker(memory) for _ in range(12)]
    for _ in range(3000):
        something_happens(chance, memory, workers)
        weights = [weight for worker in workers for weight in worker.weights]
        assert memory.used == sum(weights)
        assert memory.used <= LIMIT or len(weights) == 1
        ready = [worker.size for worker in workers if worker.size and not worker.is_stuck]
        assert memory.used or not ready, "somebody waits although nothing is in work"
        assert not ready or memory.waiting
    for worker in workers:
        worker.is_stuck = False
        worker.on_room()
    while any(worker.weights for worker in workers):
        for worker in workers:
            while worker.weights:
                memory.done(worker.weights.pop())
    assert not any(worker.size for worker in workers)
    assert (memory.used, memory.waiting) == (0, 0)
    assert GROWTH * SMALL_REQUEST < LIMIT
