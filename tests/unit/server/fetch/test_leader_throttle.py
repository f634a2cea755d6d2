"""What a leader sends to replicas out of sync under a limit: counted bytes, a clock that stands still."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from fastlog.base.clock import ManualClock
from fastlog.replication.leader_throttle import LeaderThrottle, SampledRate, ThrottleLimits
from fastlog.server.fetch.operation import FetchOperation
from fastlog.server.fetch.rows import FetchTerms
from tests.unit.replication.fakes import FakeLog
from tests.unit.server.fetch.test_fetch import LOG, TOPIC_ID, FakeExchange, World, asked

RATE = 1000


class Led(World):
    """Broker 1 leads for 2, which is in sync, and 3, which is not."""

    def __init__(self, setting: str = "*", rate: int | None = RATE) -> None:
        super().__init__(FakeLog(end=1000))
        self.clock = ManualClock()
        self.limits = ThrottleLimits(rate)
        self.setting = setting
        self.throttle = self.replicas.leader_throttle = LeaderThrottle(
            1, lambda _: self.setting, lambda: self.limits, self.clock.monotonic
        )
        self.broker.in_sync_sets = type("Nobody", (), {"propose": staticmethod(lambda *_: None)})
        self.replica = self.replicas.become_leader(
            "t",
            TOPIC_ID,
            0,
            cast("Any", self.log),
            leader_epoch=5,
            in_sync=frozenset({1, 2}),
            replicas=(1, 2, 3),
            settings=self.replica.settings,
        )

    async def take(self, follower: int, size: int) -> int:
        """A follower fetches; what it gets when there are so many bytes for it."""
        exchange = FakeExchange()
        context = self.sessions.open(0, -1, [asked(epoch=5)], [], uses_ids=False)
        before = len(self.io.reads)
        FetchOperation(
            self.broker,
            cast("Any", exchange),
            context,
            terms=FetchTerms(12, 0, follower),
            max_wait_ms=500,
            min_bytes=1,
            max_bytes=1 << 20,
        ).start()
        if len(self.io.reads) == before:
            # It waits, and is answered when its time is up.
            assert len(self.purgatory) == 1
            self.loop.advance(0.6)
        (row,) = self.io.reads[-1][0]
        size = size if row[LOG] is not None else 0
        self.io.futures[-1].set_result((size, b"answer", [(0, 0, size)]))
        await asyncio.sleep(0)
        assert exchange.answers == [b"answer"]
        return size


async def test_a_replica_out_of_sync_gets_no_more_than_the_rate() -> None:
    world = Led()
    got = 0
    for _ in range(200):
        got += await world.take(3, 300)
        world.clock.advance(100)
    # Twenty seconds; what is over the limit is what one answer may be more.
    assert 20 * RATE * 0.9 <= got <= 20 * RATE + 300
    assert world.throttle.bytes == got
    assert world.throttle.held > 0


async def test_replicas_in_sync_are_not_limited_and_count() -> None:
    world = Led()
    for _ in range(5):
        assert await world.take(2, 1000) == 1000
    assert world.throttle.bytes == 5000
    assert await world.take(3, 300) == 0
    # 5,000 bytes in five seconds are no more than the rate.
    world.clock.advance(4_999)
    assert await world.take(3, 300) == 0
    world.clock.advance(1)
    assert await world.take(3, 300) == 300


@pytest.mark.parametrize(
    ("setting", "rate"),
    [("*", None), ("", RATE), ("0:2,1:1", RATE)],
    ids=["no rate", "no replicas", "others"],
)
async def test_what_is_not_named_or_has_no_rate_is_not_limited(setting: str, rate: int | None) -> None:
    world = Led(setting, rate)
    for _ in range(3):
        assert await world.take(3, 5000) == 5000
    assert (world.throttle.bytes, world.throttle.held) == (0, 0)


async def test_the_limit_ends_with_its_settings() -> None:
    world = Led("0:1")
    assert await world.take(3, 5000) == 5000
    assert await world.take(3, 5000) == 0
    world.limits = ThrottleLimits(10_000)
    assert await world.take(3, 5000) == 5000
    world.limits = ThrottleLimits(RATE)
    assert await world.take(3, 5000) == 0
    world.setting = ""
    assert await world.take(3, 5000) == 5000


async def test_records_that_come_do_not_end_the_wait_of_a_replica_that_gets_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Led()
    tries: list[object] = []
    monkeypatch.setattr(FetchOperation, "complete", tries.append)
    assert await world.take(3, 5000) == 5000
    exchange = FakeExchange()
    context = world.sessions.open(0, -1, [asked(offset=1000, epoch=5)], [], uses_ids=False)
    terms = FetchTerms(12, 0, 3)
    FetchOperation(
        world.broker,
        cast("Any", exchange),
        context,
        terms=terms,
        max_wait_ms=500,
        min_bytes=1,
        max_bytes=1 << 20,
    ).start()
    world.log.log_end_offset = 1001
    world.replica.on_appended(1001)
    world.news.tell_append(("t", 0))
    assert tries == []
    assert len(world.purgatory) == 1
    world.clock.advance(60_000)
    world.loop.advance(0.6)
    assert world.io.reads[-1][0][0][LOG] is not None


def test_a_rate_is_taken_over_the_samples() -> None:
    rate, limits = SampledRate(), ThrottleLimits(1, windows=3, window_seconds=2.0)
    assert rate.measured(5.0, limits) == 0.0
    rate.record(100, 10.0, limits)
    # A burst counts as if it were one window long.
    assert rate.measured(10.0, limits) == 50.0
    rate.record(100, 11.9, limits)
    rate.record(100, 12.0, limits)
    assert rate.measured(14.0, limits) == 75.0
    # The first sample is three windows old.
    assert rate.measured(16.0, limits) == 25.0
    assert rate.measured(18.0, limits) == 0.0
