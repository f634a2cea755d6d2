"""Followers whose fetches are noted only when they say something new, beside the same noted each time."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastlog.errors import ErrorCode
from fastlog.native import Log
from fastlog.replication.isr import InSyncSet
from fastlog.replication.partition import Partition, ReplicaSettings, Surroundings
from fastlog.replication.progress import NEVER
from tests.unit.replication.fakes import FakeLog

LAG = 4
FOLLOWERS = (2, 3)
MEMBERS = frozenset({1, 2, 3})


class Asked:
    """A follower's session: when it last asked."""

    def __init__(self) -> None:
        self.asked_ms = NEVER


class Twin:
    """One leader, and a controller that grants all at once."""

    def __init__(self, world: World, *, each_time: bool) -> None:
        self.world = world
        self.each_time = each_time
        self.log = FakeLog()
        self.partition = Partition(
            "t",
            bytes(16),
            0,
            cast("Log", self.log),
            node_id=1,
            settings=ReplicaSettings(min_insync_replicas=world.least, fsync=world.fsync, max_lag_ms=LAG),
            on_advance=lambda _: None,
            surroundings=Surroundings(lambda: world.now),
        )
        self.partition.lead(1, MEMBERS, replicas=MEMBERS)
        self.noted = 0

    def fetch(self, replica: int, offset: int) -> None:
        """As `server/fetch` does it: what is due is noted."""
        partition, follower = self.partition, self.partition.followers[replica]
        asked = self.world.asked[replica]
        is_due = (
            follower.end_offset != offset or offset < partition.end_offset or replica not in partition.in_sync
        )
        if self.each_time:
            self.grant(partition.on_fetched(replica, offset, 0))
        elif is_due:
            self.noted += 1
            self.grant(partition.on_fetched(replica, offset, 0, asked))

    def grant(self, wanted: InSyncSet | None) -> None:
        if wanted is not None:
            self.partition.on_isr_confirmed(wanted, wanted.proposed, wanted.partition_epoch + 1)

    @property
    def state(self) -> tuple[object, ...]:
        partition = self.partition
        end = partition.local_offset()
        return (
            partition.high_watermark,
            partition.in_sync,
            [f.is_caught_up(end, self.world.now, LAG) for f in partition.followers.values()],
        )


class World:
    """Both, with the same followers."""

    def __init__(self, least: int, fsync: bool) -> None:
        self.least, self.fsync, self.now = least, fsync, 1000
        self.asked = {replica: Asked() for replica in FOLLOWERS}
        self.ends = dict.fromkeys(FOLLOWERS, 0)
        self.end = 0
        self.twins = [Twin(self, each_time=True), Twin(self, each_time=False)]

    def do(self, step: tuple[str, int]) -> None:
        what, number = step
        if what == "append":
            self.end += number
            for twin in self.twins:
                twin.log.log_end_offset = self.end
                twin.partition.on_appended(self.end)
        elif what == "flush":
            for twin in self.twins:
                twin.partition.on_flushed(self.end)
        elif what == "time":
            self.now += number
        elif what == "shrink":
            for twin in self.twins:
                twin.grant(twin.partition.shrink())
        else:
            replica = FOLLOWERS[number % 2]
            self.asked[replica].asked_ms = self.now
            for twin in self.twins:
                twin.fetch(replica, self.ends[replica])
            got = self.end - self.ends[replica]
            self.ends[replica] += got if what == "fetch" else min(got, 1)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "flush", "time", "time", "shrink", "fetch", "fetch", "fetch a little"]),
        st.integers(1, 5),
    ),
    min_size=10,
    max_size=80,
)
# It waits at the end of an idle log for longer than the lag, until records come.
IDLE = [("append", 1), ("fetch", 2), ("fetch", 2), ("time", 3), ("time", 3), ("fetch", 2), ("append", 1)]


@given(STEPS, st.sampled_from([1, 2, 3]), st.booleans())
@example(IDLE, 1, False)
def test_what_is_not_noted_makes_no_difference(steps: list[tuple[str, int]], least: int, fsync: bool) -> None:
    world = World(least, fsync)
    acknowledged = 0
    for step in steps:
        world.do(step)
        each_time, lazy = world.twins
        assert lazy.state == each_time.state
        partition = lazy.partition
        if partition.ack_error(-1, world.end, 1) == ErrorCode.NONE:
            acknowledged = world.end
        # The leader's own copy, and those of all who may be elected, have what was acknowledged.
        members = partition.in_sync - {1}
        assert all(world.ends[replica] >= acknowledged for replica in members)
        assert partition.high_watermark >= acknowledged or acknowledged == 0


def test_an_idle_follower_is_noted_once_and_stays_in_sync_for_as_long_as_it_asks() -> None:
    world = World(1, False)
    for step in [("append", 1), ("fetch", 0), ("fetch", 1)] + [("time", 3), ("fetch", 0), ("fetch", 1)] * 50:
        world.do(step)
    lazy = world.twins[1]
    assert lazy.noted == 4
    world.do(("append", 1))
    world.do(("time", 3))
    world.do(("shrink", 0))
    assert lazy.partition.in_sync == MEMBERS
    # From the append on it would have to ask again.
    world.do(("time", 2))
    world.do(("shrink", 0))
    assert lazy.partition.in_sync == {1}


@pytest.mark.parametrize("asks", [True, False])
def test_one_whose_session_is_over_counts_from_its_last_noted_fetch(asks: bool) -> None:
    world = World(1, False)
    for step in [("append", 1), ("fetch", 0), ("fetch", 0), ("time", 50), ("fetch", 0)]:
        world.do(step)
    if not asks:
        world.asked[2].asked_ms = NEVER
    world.do(("append", 1))
    lazy = world.twins[1].partition
    follower = lazy.followers[2]
    assert follower.is_caught_up(lazy.local_offset(), world.now, LAG) is asks
