"""Fetches whose session is changed, or ended, by another request while they wait or read."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from fastlog.errors import ErrorCode
from fastlog.server.fetch import rows
from fastlog.server.fetch.fetch_context import FetchContext
from fastlog.server.fetch.operation import FetchOperation
from fastlog.server.fetch.rows import FetchTerms
from tests.unit.replication.fakes import FakeLog
from tests.unit.server.fetch.test_fetch import DIVERGING, ERROR, FORCE, UPPER, FakeExchange, World, asked

FORGET = [("t", None, 0)]


class Sessions(World):
    """A session of one partition with three records."""

    def __init__(self) -> None:
        super().__init__(FakeLog(end=3))
        self.version = 12
        first = self.sessions.open(0, 0, [asked()], [], uses_ids=False)
        first.prepare_answer()
        self.id = first.session_id

    def begin(
        self, context: FetchContext, *, isolation: int = 0, min_bytes: int = 1, wait: int = 500
    ) -> FakeExchange:
        """Starts a fetch."""
        exchange = FakeExchange()
        FetchOperation(
            self.broker,
            cast("Any", exchange),
            context,
            terms=FetchTerms(self.version, isolation),
            max_wait_ms=wait,
            min_bytes=min_bytes,
            max_bytes=1 << 20,
        ).start()
        return exchange

    def append(self, end: int) -> None:
        """Records up to `end` come."""
        self.log.log_end_offset = end
        self.replica.on_appended(end)

    async def tell(self, *read: Any) -> None:
        """Lets the last read end: with an answer, or with None as too little, and its (row, error, bytes)."""
        answer = None if read[0] is None else b"answer"
        rows = read[-1]
        self.io.futures[-1].set_result((sum(size for _, _, size in rows), answer, rows))
        await asyncio.sleep(0)

    def ask(self, epoch: int, offset: int = 0, session_id: int | None = None) -> FetchContext:
        """A request of the session."""
        rows = [asked(offset=offset)]
        return self.sessions.open(
            self.id if session_id is None else session_id, epoch, rows, [], uses_ids=False
        )


@pytest.mark.parametrize("epoch", [2, -1, 0])
async def test_a_session_that_ends_or_is_emptied_under_a_read_does_not_fail_it(epoch: int) -> None:
    world = Sessions()
    exchange = world.begin(world.ask(1))
    rows = [] if epoch == 2 else [asked()]
    world.sessions.open(world.id, epoch, rows, FORGET if epoch == 2 else [], uses_ids=False)
    assert len(world.sessions) == 0
    await world.read(500, bytes(600))
    assert (exchange.answers, exchange.closed) == ([bytes(600)], [])
    assert exchange.on_sent is not None
    exchange.on_sent()
    assert world.memory.used == 0


async def test_what_fails_after_a_read_closes_the_connection_and_gives_the_memory_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Sessions()
    exchange = world.begin(world.ask(1))

    def broken(*_: Any) -> None:
        raise IndexError("broken")

    monkeypatch.setattr(FetchOperation, "_note_sent", broken)
    await world.read(500, bytes(600))
    assert (exchange.answers, exchange.closed, world.memory.used) == ([], ["failed request"], 0)


@pytest.mark.parametrize(
    ("epoch", "code"),
    [
        (2, ErrorCode.INVALID_FETCH_SESSION_EPOCH),
        (-1, ErrorCode.FETCH_SESSION_ID_NOT_FOUND),
        (0, ErrorCode.FETCH_SESSION_ID_NOT_FOUND),
    ],
)
async def test_a_fetch_that_waits_for_a_session_that_went_on_or_ended_is_answered(
    epoch: int, code: ErrorCode
) -> None:
    world = Sessions()
    exchange = world.begin(world.ask(1, offset=3))
    assert (len(world.purgatory), world.io.reads) == (1, [])
    world.ask(epoch)
    assert len(world.purgatory) == 0
    ((rows, how),) = world.io.reads
    assert (rows, how["error_code"]) == ([], code)
    assert how["session_id"] == (world.id if epoch == 2 else 0)
    await world.read(0, bytes(30))
    assert exchange.answers == [bytes(30)]


def poll(world: Sessions, epoch: int, rows: list[Any] | None = None, **how: Any) -> FakeExchange:
    """A request of the session that waits for long."""
    context = world.sessions.open(world.id, epoch, rows or [], [], uses_ids=False)
    return world.begin(context, **how)


async def idle(world: Sessions) -> None:
    """A session that knows all that there is, and has looked at it."""
    poll(world, 1, [asked(offset=3)])
    world.loop.advance(0.6)
    await world.tell([(0, 0, 0)])
    poll(world, 2)
    world.loop.advance(0.6)
    assert world.io.reads[-1][0] == []
    await world.tell([])


async def test_a_poll_without_news_looks_at_no_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Sessions()
    await idle(world)

    def looked(*_: Any) -> Any:
        raise AssertionError("nothing has changed")

    with monkeypatch.context() as patched:
        patched.setattr(rows, "problem", looked)
        exchange = poll(world, 3)
        assert len(world.purgatory) == 1
        world.loop.advance(0.6)
        await world.tell([])
    assert exchange.answers == [b"answer"]


async def test_a_session_whose_client_is_away_is_told_once() -> None:
    world = Sessions()
    await idle(world)
    assert len(world.news) == 1
    for end in range(4, 9):
        world.append(end)
        assert len(world.news) == 0
    exchange = poll(world, 3)
    assert [row[UPPER] for row in world.io.reads[-1][0]] == [8]
    await world.tell([(0, 0, 500)])
    assert exchange.answers == [b"answer"]


async def test_records_that_were_not_taken_come_again_although_nothing_moved() -> None:
    world = Sessions()
    await idle(world)
    world.append(9)
    for epoch in (3, 4):
        poll(world, epoch)
        assert [row[UPPER] for row in world.io.reads[-1][0]] == [9]
        await world.tell([(0, 0, 100)])


async def test_an_error_of_a_partition_is_looked_at_each_time_until_it_is_over() -> None:
    world = Sessions()
    world.version = 10
    await idle(world)
    world.replica.resign(2, 6)
    for epoch in (3, 4):
        poll(world, epoch)
        assert [row[ERROR] for row in world.io.reads[-1][0]] == [ErrorCode.NOT_LEADER_OR_FOLLOWER]
        await world.tell([(0, int(ErrorCode.NOT_LEADER_OR_FOLLOWER), 0)])
    world.replica.lead(7, frozenset({1}))
    poll(world, 5)
    world.loop.advance(0.6)
    assert [row[FORCE] for row in world.io.reads[-1][0]] == [True], (
        "the client is told that all is well again"
    )


async def test_another_isolation_has_all_partitions_looked_at() -> None:
    world = Sessions()
    world.log.unstable = 3
    world.append(6)
    poll(world, 1, [asked(offset=3)], isolation=1)
    world.loop.advance(0.6)
    await world.tell([(0, 0, 0)])
    poll(world, 2, isolation=1)
    assert len(world.purgatory) == 1
    poll(world, 3, isolation=0)
    assert [row[UPPER] for row in world.io.reads[-1][0]] == [6]


async def test_a_wait_ends_when_the_log_leaves_that_of_the_client() -> None:
    world = Sessions()
    world.log.epochs = [(4, 0)]
    poll(world, 1, [asked(offset=3, last_epoch=4)])
    world.loop.advance(0.6)
    await world.tell([(0, 0, 0)])
    poll(world, 2)
    assert len(world.purgatory) == 1
    world.log.epochs = [(3, 0), (6, 2)]
    world.replica.lead(6, frozenset({1}))
    assert [row[DIVERGING] for row in world.io.reads[-1][0]] == [(3, 2)]


async def test_deleted_records_end_the_wait_of_who_would_read_them() -> None:
    world = Sessions()
    world.append(6)
    poll(world, 1, [asked(offset=3)], min_bytes=5000)
    await world.tell(None, [(0, 0, 300)])
    assert len(world.purgatory) == 1
    world.log.log_start_offset = 5
    world.replica.on_log_cut()
    assert [row[ERROR] for row in world.io.reads[-1][0]] == [ErrorCode.OFFSET_OUT_OF_RANGE]


async def test_a_fetch_whose_new_session_is_evicted_while_it_reads_is_answered_with_what_there_is() -> None:
    world = Sessions()
    exchange = world.begin(world.sessions.open(0, 0, [asked()], [], uses_ids=False), min_bytes=5000)
    session_id = world.io.reads[-1][1]["session_id"]
    assert session_id not in (0, world.id)
    world.append(4)
    world.sessions.open(session_id, -1, [], [], uses_ids=False)
    await world.tell(None, [(0, 0, 300)])
    assert len(world.io.reads) == 2
    assert (world.io.reads[-1][1]["min_bytes"], world.io.reads[-1][1]["session_id"]) == (0, 0)
    await world.tell([(0, 0, 400)])
    assert (exchange.answers, exchange.closed) == ([b"answer"], [])


@pytest.mark.parametrize("end", ["session", "connection"])
async def test_nothing_is_watched_for_who_is_gone(end: str) -> None:
    world = Sessions()
    if end == "session":
        await idle(world)
        assert len(world.news) == 1
        world.sessions.open(world.id, -1, [], [], uses_ids=False)
    else:
        exchange = world.fetch(3)
        assert (len(world.news), len(world.purgatory)) == (1, 1)
        exchange.is_lost = True
        world.purgatory.cancel(exchange.operation)
        assert exchange.on_sent is not None
        exchange.on_sent()
    assert (len(world.news), len(world.purgatory)) == (0, 0)
