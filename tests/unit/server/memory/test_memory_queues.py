"""Queues for memory: whoever waits is served, however many of those before it are gone or done at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fastlog.server.memory import response_memory
from fastlog.server.memory.response_memory import SMALLEST, ResponseMemory
from fastlog.server.memory.work_memory import GROWTH, WorkMemory
from tests.unit.replication.fakes import FakeLog
from tests.unit.server.fakes import Harness, receive, request
from tests.unit.server.fetch.test_fetch import World

MANY = 3000
LARGE = 32 * 1024


def test_any_number_that_give_back_at_once_are_served() -> None:
    memory = ResponseMemory(64 * SMALLEST)
    held: list[int] = []
    memory.take(64 * SMALLEST, held.append)
    for _ in range(MANY):
        memory.take(SMALLEST, memory.give_back)
    last: list[int] = []
    memory.take(SMALLEST, last.append)
    assert (memory.waiting, last) == (MANY + 1, [])
    memory.give_back(held[0])
    assert (memory.waiting, memory.used, last) == (0, SMALLEST, [SMALLEST])


def test_who_fails_when_it_is_served_keeps_nobody_waiting() -> None:
    memory = ResponseMemory(SMALLEST)
    memory.take(SMALLEST, lambda _: None)

    def broken(size: int) -> None:
        memory.used -= size
        raise RuntimeError("broken")

    memory.take(SMALLEST, broken)
    memory.take(SMALLEST, memory.give_back)
    with pytest.raises(RuntimeError):
        memory.give_back(SMALLEST)
    last: list[int] = []
    memory.take(SMALLEST, last.append)
    assert (memory.waiting, last) == (0, [SMALLEST])


def test_who_forgets_does_not_wait_and_the_next_one_has_its_turn() -> None:
    memory = ResponseMemory(4 * SMALLEST)
    granted: list[int] = []
    memory.take(4 * SMALLEST, granted.append)
    memory.give_back(SMALLEST // 2)
    first = memory.take(SMALLEST, granted.append)
    memory.take(10, granted.append)
    memory.forget(first)
    memory.forget(first)
    assert (granted, memory.waiting) == ([4 * SMALLEST, 10], 0)


def test_many_are_served_in_several_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[Callable[[], object]] = []
    ticks = iter(range(1000))
    monkeypatch.setattr(response_memory, "monotonic", lambda: next(ticks) / 500)
    memory = ResponseMemory(10 * SMALLEST, rounds.append)
    held: list[int] = []
    granted: list[int] = []
    memory.take(10 * SMALLEST, held.append)
    for _ in range(9):
        memory.take(SMALLEST, granted.append)
    memory.give_back(held[0])
    assert 0 < len(granted) < 9
    before = len(granted)
    memory.take(SMALLEST, granted.append)
    assert (len(granted), len(rounds)) == (before, 1), "the rest come first"
    while rounds:
        rounds.pop()()
    assert (len(granted), memory.waiting) == (10, 0)


async def test_a_fetch_that_waits_for_memory_leaves_with_its_connection() -> None:
    world = World(FakeLog(end=3))
    first = world.fetch(0)
    held: list[int] = []
    world.memory.take(SMALLEST, held.append)
    world.memory.give_back(0)
    gone, left = world.fetch(0), world.fetch(0)
    waiting = world.memory.waiting
    gone.is_lost = True
    assert gone.on_sent is not None
    gone.on_sent()
    assert (waiting, world.memory.waiting, len(world.io.reads)) == (3, 2, 1)
    first.is_lost = True
    await world.read(500, bytes(600))
    world.memory.give_back(held[0])
    await world.read(500, bytes(600))
    assert (len(world.io.reads), left.answers) == (2, [bytes(600)])
    assert left.on_sent is not None
    left.on_sent()
    assert (world.memory.used, world.memory.waiting) == (0, 0)


async def test_memory_of_a_read_under_way_goes_back_when_the_read_is_over() -> None:
    world = World(FakeLog(end=3))
    exchange = world.fetch(0)
    exchange.is_lost = True
    assert exchange.on_sent is not None
    exchange.on_sent()
    assert world.memory.used > 0
    await world.read(500, bytes(600))
    assert world.memory.used == 0


class Worker:
    """A connection that begins its request, if it may, and is done with it at once."""

    def __init__(self, memory: WorkMemory, *, declines: bool = False) -> None:
        self.memory = memory
        self.declines = declines
        self.served = 0

    def on_room(self) -> None:
        """As `Connection.on_room`."""
        if not self.declines and (weight := self.memory.begin(self, LARGE)):
            self.served += 1
            self.memory.done(weight)


def test_any_number_of_large_requests_that_are_done_at_once_have_their_turn() -> None:
    memory = WorkMemory(LARGE * GROWTH)
    weight = memory.begin(Worker(memory), LARGE)
    workers = [Worker(memory) for _ in range(MANY)]
    assert not any(memory.begin(worker, LARGE) for worker in workers)
    memory.done(weight)
    assert ({worker.served for worker in workers}, memory.used, memory.waiting) == ({1}, 0, 0)


def test_who_cannot_use_its_turn_keeps_nobody_waiting() -> None:
    memory = WorkMemory(LARGE * GROWTH)
    weight = memory.begin(Worker(memory), LARGE)
    busy, free = Worker(memory, declines=True), Worker(memory)
    assert not memory.begin(busy, LARGE)
    assert not memory.begin(free, LARGE)
    memory.done(weight)
    assert (busy.served, free.served) == (0, 1)
    assert memory.begin(busy, LARGE), "it has its turn as soon as it can"


def test_large_requests_of_many_connections_that_are_refused_at_once_are_all_answered() -> None:
    harness = Harness()
    pending: list[Any] = []

    def answer(_frame: Any, exchange: Any) -> None:
        pending.append(exchange)
        if len(pending) > 1:
            exchange.reply(b"\0" * 8)

    object.__setattr__(harness.host, "dispatch", answer)
    object.__setattr__(harness.host, "work", WorkMemory(LARGE * GROWTH))
    connections = [harness.connect(f"10.0.{n % 250}.1") for n in range(500)]
    for n, (connection, _) in enumerate(connections):
        receive(connection, request(n, LARGE))
    assert len(pending) == 1
    pending[0].reply(b"\0" * 8)
    assert len(pending) == 500
    assert harness.host.work.used == 0
    assert {len(transport.written) for _, transport in connections} == {8}
