"""Two brokers that lead in turns: whatever the order of appends, fetches and elections, the follower's log
becomes the leader's, byte for byte, and nothing that was committed is ever cut.

Elections are clean: both stay in sync, since what is committed is what both are known to have.
"""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlog.replication.partition import Partition
from tests.unit.replication.followers import KEY, TOPIC_ID, FollowerWorld, batch
from tests.unit.replication.leader import Led, bytes_of

Step = tuple[Literal["append", "fetch", "elect", "restart"], int]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 3)),
        st.tuples(st.just("fetch"), st.integers(1, 2)),
        st.tuples(st.just("elect"), st.just(0)),
        # An election that the same broker wins.
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=20,
)


class Pair:
    """One partition on two brokers; `leads` is the number of the one that leads."""

    def __init__(self, worlds: list[FollowerWorld]) -> None:
        self.worlds = worlds
        self.parts: list[Partition] = [world.partition(log=world.log("t-0")) for world in worlds]
        self.epoch = -1
        self.leads = 1
        self.count = 0
        self.committed = 0
        """The highest high watermark that any leader has had."""
        self.kept = b""
        """All batches below it, as they were when it was reached."""

    @property
    def leader(self) -> Partition:
        """The leader's part."""
        return self.parts[self.leads]

    @property
    def follower(self) -> FollowerWorld:
        """The other broker."""
        return self.worlds[1 - self.leads]

    async def elect(self, leads: int) -> None:
        """Begins an epoch."""
        self.epoch += 1
        self.leads = leads
        for world in self.worlds:
            await world.fetcher.stop([KEY])
        self.leader.log.lead(self.epoch)
        self.leader.lead(self.epoch, frozenset([1, 2]))
        led = Led(self.leader.log, self.epoch, TOPIC_ID, self.leader.high_watermark)
        self.follower.leader.partitions = {KEY: led}
        self.follower.leader.on_fetched = lambda _, offset: self._fetched(led, offset)
        self.follower.follow(self.parts[1 - leads], self.epoch)

    def _fetched(self, led: Led, offset: int) -> None:
        """The leader learns where the follower is."""
        led.high_watermark = max(led.high_watermark, min(offset, led.log.log_end_offset))
        self.leader.high_watermark = led.high_watermark
        if led.high_watermark > self.committed:
            self.committed = led.high_watermark
            self.kept = self.below(led.log)

    def below(self, log: object) -> bytes:
        """The committed batches of a log."""
        if self.committed == 0:
            return b""
        return bytes(log.read(0, 1 << 20, max_offset=self.committed))  # type: ignore[attr-defined]

    async def run(self, step: Step) -> None:
        """One step of history."""
        kind, count = step
        if kind == "append":
            for _ in range(count):
                self.count += 1
                data = batch(*[b"%d" % self.count] * (self.count % 3 + 1))
                self.leader.log.append(data, leader_epoch=self.epoch)
        elif kind == "fetch":
            await self.follower.steps(count)
        else:
            await self.elect(1 - self.leads if kind == "elect" else self.leads)

    def check(self) -> None:
        """What must hold at any time."""
        for world, part in zip(self.worlds, self.parts, strict=True):
            assert not world.context.stats.failed
            assert part.high_watermark <= self.committed
        assert self.below(self.leader.log) == self.kept, "what was committed is not at the leader"


async def converge(steps: list[Step]) -> None:
    async with FollowerWorld() as first, FollowerWorld() as second:
        pair = Pair([first, second])
        await pair.elect(0)
        for step in steps:
            known = [part.high_watermark for part in pair.parts]
            cuts = [len(world.truncations.cuts) for world in pair.worlds]
            await pair.run(step)
            for index, world in enumerate(pair.worlds):
                for cut in world.truncations.cuts[cuts[index] :]:
                    assert cut.offset >= known[index], "cut below what it knew to be committed"
            pair.check()
        # However far they are apart, an answer for each epoch brings them together, and one that it is so.
        await pair.follower.steps(2 * len(steps) + 4)
        pair.check()
        assert bytes_of(pair.parts[0].log) == bytes_of(pair.parts[1].log)
        end = pair.leader.log.log_end_offset
        assert [part.high_watermark for part in pair.parts] == [end, end]
        assert [part.log.log_end_offset for part in pair.parts] == [end, end]
        # The leader's last epoch may have no records yet.
        shared = range(min(part.log.latest_epoch for part in pair.parts) + 1)
        ends = [[part.log.end_offset_for_epoch(epoch) for epoch in shared] for part in pair.parts]
        assert ends[0] == ends[1]


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_the_follower_becomes_the_leader_byte_for_byte(steps: list[Step]) -> None:
    asyncio.run(converge(steps))


HISTORIES: dict[str, list[Step]] = {
    "records of one epoch on each side": [("append", 3), ("elect", 0), ("append", 1), ("elect", 0)],
    "an epoch that the leader has not": [
        *(("append", 1), ("fetch", 2), ("append", 3), ("elect", 0), ("append", 2), ("elect", 0)),
        *(("append", 1), ("elect", 0), ("append", 2), ("elect", 0), ("fetch", 1), ("elect", 0)),
    ],
    "epochs without records": [
        *(("append", 2), ("fetch", 3), ("append", 2), ("elect", 0), ("append", 1), ("elect", 0)),
        *(("elect", 0), ("append", 3), ("elect", 0), ("fetch", 1), ("elect", 0)),
    ],
}


@pytest.mark.parametrize("name", HISTORIES)
def test_epochs_that_follow_each_other_quickly(name: str) -> None:
    asyncio.run(converge(HISTORIES[name]))
