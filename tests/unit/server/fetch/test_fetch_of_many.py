"""A fetch of many partitions begins its wait in turns, and misses nothing meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from fastlog.server.fetch.operation import FetchOperation
from fastlog.server.fetch.rows import PARTITIONS_PER_STEP, FetchTerms
from fastlog.server.requests import turns
from fastlog.server.requests.turns import Turns
from tests.unit.replication.fakes import FakeLog
from tests.unit.server.fetch.test_fetch import FakeExchange, World, asked
from tests.unit.server.fetch_world import FakeOutcomes


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

    def asked_of_all(self) -> list[Any]:
        """Rows for the other topics."""
        return [asked(topic=f"t{number}", offset=0) for number in range(self.MANY)]

    def fetch_all(self, *, min_bytes: int = 1, offset: int = 3) -> FakeExchange:
        """A fetch that finds nothing, or with an earlier offset the records of the last topic alone."""
        return self.fetch(offset, *self.asked_of_all(), min_bytes=min_bytes)

    async def rounds_until(self, done: Callable[[], bool]) -> int:
        """Rounds of the event loop."""
        for count in range(1000):
            if done():
                return count
            await asyncio.sleep(0)
            self.watched.append(0)
        raise AssertionError("it is never done")

    def watch_unwatching(self) -> list[int]:
        """How many partitions cease to be watched in each round, from now on."""
        counts, unwatch = [0], self.news.unwatch

        def noted(key: Any, watcher: Any) -> None:
            counts[-1] += 1
            unwatch(key, watcher)

        self.news.unwatch = noted  # type: ignore[method-assign]
        return counts

    async def tell(self, answer: bytes | None, sizes: dict[int, int], error: int = 0) -> FakeOutcomes:
        """Lets the last read end, of which so many bytes were found of some rows."""
        rows, _ = self.io.reads[-1]
        outcomes = FakeOutcomes([(row, error, sizes.get(row, 0)) for row in range(len(rows))])
        self.io.futures[-1].set_result((sum(sizes.values()), answer, outcomes))
        await asyncio.sleep(0)
        return outcomes

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


@pytest.mark.usefixtures("short_turns")
async def test_rows_are_handed_over_in_lots_and_outcomes_taken_in_lots() -> None:
    world = WithMany()
    exchange = world.fetch_all(min_bytes=0, offset=0)
    await world.rounds_until(lambda: bool(world.io.reads))
    ((rows, how),) = world.io.reads
    assert [row[0] for row in rows] == [*(f"t{number}" for number in range(world.MANY)), "t"]
    assert max(rows.lots) <= PARTITIONS_PER_STEP
    assert [row[11] for row in rows if row[11] is not None] == how["logs"] == [world.log]
    left = world.watch_unwatching()
    outcomes = await world.tell(b"answer", {world.MANY: 7})
    rounds = 0
    while not exchange.answers:
        await asyncio.sleep(0)
        rounds += 1
        left.append(0)
        assert rounds < 1000
    assert max(outcomes.lots) <= PARTITIONS_PER_STEP and sum(outcomes.lots) == world.MANY + 1
    assert max(left) <= 2 * PARTITIONS_PER_STEP and rounds >= 2 * world.MANY / PARTITIONS_PER_STEP / 2
    assert (exchange.answers, exchange.closed, len(world.news)) == ([b"answer"], [], 0)
    assert world.broker.metrics.fetch_bytes == 7


@pytest.mark.usefixtures("short_turns")
async def test_errors_of_many_are_counted() -> None:
    world = WithMany()
    exchange = world.fetch_all(min_bytes=0, offset=0)
    await world.rounds_until(lambda: bool(world.io.reads))
    await world.tell(b"answer", {}, error=56)
    await world.rounds_until(lambda: bool(exchange.answers))
    assert world.broker.metrics.errors[1, 56] == world.MANY + 1


@pytest.mark.usefixtures("short_turns")
async def test_a_session_of_many_is_told() -> None:
    """What had records goes last, and nothing of it is news the next time."""
    world = WithMany()
    exchange = FakeExchange()
    context = world.sessions.open(0, 0, [*world.asked_of_all(), asked()], [], uses_ids=False)
    terms = FetchTerms(12, 0)
    FetchOperation(
        world.broker, cast("Any", exchange), context, terms=terms, max_wait_ms=9, min_bytes=0, max_bytes=1000
    ).start()
    await world.rounds_until(lambda: bool(world.io.reads))
    await world.tell(b"answer", {3: 7})
    await world.rounds_until(lambda: bool(exchange.answers))
    (session,) = world.sessions._sessions.values()
    entries = session.partitions.all()
    assert (entries[-1].topic, len(entries)) == ("t3", world.MANY + 1)
    assert all(entry.told_log_start == 0 for entry in entries)
    assert len(world.news) > 0


@pytest.mark.usefixtures("short_turns")
async def test_too_little_of_many_is_waited_for() -> None:
    """With the bytes that are there counted already."""
    world = WithMany()
    exchange = world.fetch_all(min_bytes=50, offset=0)
    await world.rounds_until(lambda: bool(world.io.reads))
    await world.tell(None, {world.MANY: 45})
    await world.rounds_until(lambda: len(world.purgatory) == 1)
    assert world.memory.used == 0
    cast("Any", world.others[0].log).bytes_per_record = 10
    world.append(0)
    await world.rounds_until(lambda: len(world.io.reads) == 2)
    await world.tell(b"answer", {world.MANY: 45, 0: 10})
    await world.rounds_until(lambda: bool(exchange.answers))
    assert len(world.news) == 0


@pytest.mark.usefixtures("short_turns")
@pytest.mark.parametrize("says_so", [True, False], ids=["told", "found"])
async def test_a_client_that_goes_while_outcomes_are_taken_leaves_nothing(says_so: bool) -> None:
    world = WithMany()
    exchange = world.fetch_all(min_bytes=0, offset=0)
    await world.rounds_until(lambda: bool(world.io.reads))
    outcomes = await world.tell(b"answer", {world.MANY: 7})
    await world.rounds_until(lambda: len(outcomes.lots) > 1)
    assert sum(outcomes.lots) < world.MANY and world.memory.used > 0
    exchange.is_lost = True
    if says_so and exchange.on_sent is not None:
        exchange.on_sent()
        # The answer is still held.
        assert world.memory.used > 0
    await world.rounds_until(lambda: len(world.news) == world.memory.used == 0)
    assert (exchange.answers, exchange.closed) == ([], [])
    assert sum(outcomes.lots) < world.MANY


@pytest.mark.usefixtures("short_turns")
async def test_a_broker_that_stops_ends_it() -> None:
    world = WithMany()
    exchange = world.fetch_all(min_bytes=0, offset=0)
    await world.rounds_until(lambda: bool(world.io.reads))
    await world.tell(b"answer", {})
    world.broker.turns.close()
    await world.rounds_until(lambda: bool(exchange.closed))
    assert (exchange.closed, world.memory.used, len(world.news)) == (["shutdown"], 0, 0)
