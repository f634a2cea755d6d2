"""A fetch of many partitions begins its wait in turns, and misses nothing meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from fastlog.server.fetch.rows import PARTITIONS_PER_STEP
from fastlog.server.requests import turns
from fastlog.server.requests.turns import Turns
from tests.unit.replication.fakes import FakeLog
from tests.unit.server.fetch.test_fetch import FakeExchange, World, asked


class WithMany(World):
    """Hundreds of other topics, of one partition each, with nothing to read."""

    MANY = 5 * PARTITIONS_PER_STEP

    def __init__(self) -> None:
        super().__init__(FakeLog(end=3))
        self.broker.turns = Turns(asyncio.get_running_loop())
        self.others = [self.lead(f"t{number}", FakeLog(end=0)) for number in range(self.MANY)]
        self.watched = [0]
        """How many partitions began to be watched in each round."""
        watch = self.news.watch

        def noted(key: Any, watcher: Any, **how: Any) -> None:
            self.watched[-1] += 1
            watch(key, watcher, **how)

        self.news.watch = noted  # type: ignore[method-assign]

    def fetch_all(self, *, min_bytes: int = 1) -> FakeExchange:
        """A fetch that finds nothing."""
        rows = [asked(topic=f"t{number}", offset=0) for number in range(self.MANY)]
        return self.fetch(3, *rows, min_bytes=min_bytes)

    async def rounds_until(self, done: Callable[[], bool]) -> int:
        """Rounds of the event loop."""
        for count in range(1000):
            if done():
                return count
            await asyncio.sleep(0)
            self.watched.append(0)
        raise AssertionError("it is never done")

    def append(self, number: int) -> None:
        """A record."""
        cast("Any", self.others[number].log).log_end_offset += 1
        self.others[number].on_appended(1)


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is a turn."""
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(turns, "AT_ONCE_SECONDS", 0.0)


@pytest.mark.usefixtures("short_turns")
async def test_a_fetch_of_many_partitions_begins_its_wait_in_turns() -> None:
    world = WithMany()
    exchange = world.fetch_all()
    await world.rounds_until(lambda: len(world.purgatory) == 1)
    assert (sum(world.watched), len(world.news)) == (world.MANY + 1, world.MANY + 1)
    # The first look at the clock begins the turn.
    assert max(world.watched) <= 2 * PARTITIONS_PER_STEP
    world.append(-1)
    assert len(world.purgatory) == 0
    await world.rounds_until(lambda: bool(world.io.reads))
    await world.read(100, b"records")
    assert exchange.answers == [b"records"]
    assert len(world.news) == 0


@pytest.mark.usefixtures("short_turns")
@pytest.mark.parametrize("number", [0, -1], ids=["watched", "not yet"])
@pytest.mark.parametrize("min_bytes", [1, 50])
async def test_what_comes_while_its_wait_begins_is_not_missed(number: int, min_bytes: int) -> None:
    world = WithMany()
    exchange = world.fetch_all(min_bytes=min_bytes)
    await world.rounds_until(lambda: sum(world.watched) > PARTITIONS_PER_STEP)
    assert sum(world.watched) < world.MANY
    world.append(number)
    await world.rounds_until(lambda: bool(world.io.reads))
    await world.read(100, b"records")
    assert exchange.answers == [b"records"]
    assert len(world.purgatory) == 0


@pytest.mark.usefixtures("short_turns")
async def test_a_client_that_goes_while_the_wait_begins_leaves_no_watches() -> None:
    world = WithMany()
    exchange = world.fetch_all()
    await world.rounds_until(lambda: sum(world.watched) > PARTITIONS_PER_STEP)
    begun = sum(world.watched)
    assert begun < world.MANY
    exchange.is_lost = True
    await world.rounds_until(lambda: len(world.news) == 0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert (sum(world.watched), world.io.reads, len(world.purgatory)) == (begun, [], 0)
