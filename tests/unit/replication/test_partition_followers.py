"""A partition with followers, a controller that answers late or not at all, and what must never be lost."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastlog.errors import ErrorCode
from fastlog.native import Log
from fastlog.replication.isr import InSyncSet
from fastlog.replication.partition import Partition, PartitionKey, ReplicaSettings, Surroundings
from fastlog.replication.replica_manager import ReplicaManager
from tests.unit.replication.fakes import FakeLog

REPLICAS = (1, 2, 3)
MEMBERS = frozenset(REPLICAS)
LAG = 10


class World:
    """A leader, two followers and the controller, with the time in the test's hand."""

    def __init__(self, least: int = 1, in_sync: frozenset[int] = MEMBERS) -> None:
        self.now = 0
        self.eligible = {2, 3}
        self.moved: list[PartitionKey] = []
        around = Surroundings(lambda: self.now, self.eligible.__contains__)
        self.manager = ReplicaManager(1, self.moved.append, around)
        self.log = FakeLog()
        self.partition = self.lead(1, in_sync, least=least)
        self.ends = {2: 0, 3: 0}
        self.stored = in_sync
        self.stored_epoch = 0
        self.asked: list[InSyncSet] = []
        self.answers: list[tuple[InSyncSet, frozenset[int], int]] = []

    def lead(
        self, epoch: int, in_sync: frozenset[int], *, least: int = 1, partition_epoch: int = 0
    ) -> Partition:
        return self.manager.become_leader(
            "t",
            bytes(16),
            0,
            cast("Log", self.log),
            leader_epoch=epoch,
            in_sync=in_sync,
            settings=ReplicaSettings(min_insync_replicas=least, max_lag_ms=LAG),
            replicas=REPLICAS,
            partition_epoch=partition_epoch,
        )

    def append(self, count: int) -> None:
        self.log.log_end_offset += count
        self.partition.on_appended(self.log.log_end_offset)

    def fetch(self, replica: int) -> None:
        """It tells what it has, and gets what there is."""
        self.ask(self.partition.on_fetched(replica, self.ends[replica], 0))
        self.ends[replica] = self.log.log_end_offset

    def ask(self, wanted: InSyncSet | None) -> None:
        if wanted is not None:
            self.asked.append(wanted)

    def controller(self, *, answers: bool = True) -> None:
        """Stores the oldest request, or refuses one that is out of date."""
        if not self.asked:
            return
        wanted = self.asked.pop(0)
        if wanted.partition_epoch == self.stored_epoch:
            self.stored, self.stored_epoch = wanted.proposed, self.stored_epoch + 1
        if answers:
            self.answers.append((wanted, self.stored, self.stored_epoch))
        elif self.partition.isr is wanted:
            # The reply is lost: it is sent again, as it is.
            self.asked.append(wanted)

    def do(self, step: str) -> None:
        steps = {
            "append": lambda: self.append(2),
            "fetch 2": lambda: self.fetch(2),
            "fetch 3": lambda: self.fetch(3),
            "time": lambda: self.pass_time(LAG // 2),
            "long time": lambda: self.pass_time(2 * LAG),
            "shrink": lambda: self.ask(self.partition.shrink()),
            "store": self.controller,
            "store, lose": lambda: self.controller(answers=False),
            "answer": self.answer,
        }
        steps[step]()

    def pass_time(self, milliseconds: int) -> None:
        self.now += milliseconds

    def answer(self) -> None:
        if self.answers:
            self.partition.on_isr_confirmed(*self.answers.pop(0))


STEPS = st.lists(
    st.sampled_from(
        ["append", "fetch 2", "fetch 3", "time", "long time", "shrink", "store", "store, lose", "answer"]
    ),
    max_size=60,
)


# One that is about to join hangs, and the controller takes it in all the same.
LATE = ["append", "fetch 2", "long time", "fetch 2", "shrink", "store", "answer"]
LATE += ["fetch 3", "fetch 3", "long time", "append", "fetch 2", "fetch 2", "store"]

ALONE = ["append", "long time", "shrink", "store", "answer", "append"]


@given(STEPS, st.sampled_from([1, 2]))
@example(ALONE, 2)
@example(LATE, 1)
def test_what_is_below_the_watermark_is_on_all_who_may_be_elected(steps: list[str], least: int) -> None:
    world = World(least)
    partition = world.partition
    for step in steps:
        before, members = partition.high_watermark, len(partition.isr.committed)
        world.do(step)
        assert partition.high_watermark >= before
        if max(members, len(partition.isr.committed)) < least:
            assert partition.high_watermark == before
        elected = world.stored - {1}
        assert all(world.ends[replica] >= partition.high_watermark for replica in elected)
    # With time, and a controller that answers, all are in again.
    for _ in range(6):
        for replica in (2, 3):
            world.fetch(replica)
        while world.asked or world.answers:
            world.controller()
            world.answer()
    assert partition.in_sync == world.stored == MEMBERS
    assert partition.high_watermark == world.log.log_end_offset


def test_a_follower_joins_when_it_has_all_of_this_epoch() -> None:
    world = World(in_sync=frozenset({1}))
    world.append(4)
    world.lead(2, frozenset({1}))
    world.append(2)
    partition = world.partition
    assert (partition.epoch_start, partition.high_watermark) == (4, 6)
    assert partition.on_fetched(2, 5, 0) is None
    world.eligible.clear()
    assert partition.on_fetched(2, 6, 0) is None
    world.eligible.add(2)
    asked = partition.on_fetched(2, 6, 0)
    assert asked is not None
    assert asked.proposed == {1, 2}
    assert partition.on_fetched(3, 6, 0) is None  # one at a time
    world.append(1)
    assert partition.high_watermark == 6  # it waits for the one that may be in
    partition.on_isr_confirmed(asked, {1, 2}, 1)
    assert (partition.in_sync, partition.high_watermark) == ({1, 2}, 6)


def test_what_is_of_an_earlier_epoch_does_not_count_for_joining() -> None:
    world = World(in_sync=frozenset({1, 3}))
    world.append(4)
    world.lead(2, frozenset({1, 3}))
    assert (world.partition.epoch_start, world.partition.high_watermark) == (4, 0)
    assert world.partition.on_fetched(2, 3, 0) is None
    assert world.partition.on_fetched(2, 4, 0) is not None


def test_a_refused_change_is_taken_back_or_asked_for_again() -> None:
    world = World(in_sync=frozenset({1}))
    partition = world.partition
    asked = partition.on_fetched(2, 0, 0)
    assert asked is not None
    assert partition.on_isr_refused(asked, ErrorCode.REQUEST_TIMED_OUT)
    assert partition.isr is asked
    assert not partition.on_isr_refused(asked, ErrorCode.INELIGIBLE_REPLICA)
    assert not partition.isr.is_changing
    # The state is another one by now: neither answer means anything.
    again = partition.on_fetched(2, 0, 0)
    assert again is not None
    world.lead(1, frozenset({1, 3}), partition_epoch=7)
    assert not partition.on_isr_refused(again, ErrorCode.REQUEST_TIMED_OUT)
    partition.on_isr_confirmed(again, {1, 2}, 8)
    assert partition.in_sync == {1, 3}
    # What is older than that neither.
    world.lead(1, frozenset({1}), partition_epoch=6)
    assert partition.in_sync == {1, 3}


def test_followers_are_known_again_when_the_same_broker_is_elected_again() -> None:
    world = World()
    world.append(3)
    for replica in (2, 3):
        world.fetch(replica)
        world.fetch(replica)
    assert world.partition.high_watermark == 3
    world.lead(2, MEMBERS)
    assert [follower.end_offset for follower in world.partition.followers.values()] == [3, 3]
    world.partition.follow(2, 3)
    assert world.partition.followers == {}
    world.lead(4, MEMBERS)
    assert [follower.end_offset for follower in world.partition.followers.values()] == [-1, -1]


def test_a_follower_takes_no_writes_and_wakes_who_waits() -> None:
    moved: list[PartitionKey] = []
    manager = ReplicaManager(1, moved.append)
    log = cast("Log", FakeLog(end=3))
    settings = ReplicaSettings()
    partition = manager.become_follower(
        "t", bytes(16), 0, log, leader_id=2, leader_epoch=5, settings=settings
    )
    assert partition.write_error(1) == partition.write_error(-1) == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert partition.leader_error(4) == ErrorCode.FENCED_LEADER_EPOCH
    assert (partition.leader_id, partition.high_watermark, moved) == (2, 0, [("t", 0)])
    partition.on_appended(4)
    assert partition.high_watermark == 0
    with pytest.raises(ValueError, match="older"):
        partition.follow(3, 4)


def test_a_leader_whose_disk_failed_asks_for_nothing() -> None:
    world = World()
    world.append(1)
    world.now = 5 * LAG
    world.partition.take_offline()
    assert world.partition.shrink() is None
    world.partition.offline = False
    assert world.partition.shrink() is not None


class Asked:
    """A follower's session, and when it last asked."""

    asked_ms = 0


def test_one_that_is_put_out_of_the_set_holds_nothing_back() -> None:
    """Its broker is dead, as the controller knows: that it asked a moment ago does not count any more."""
    world = World()
    partition = world.partition
    world.append(2)
    for replica in (2, 3):
        partition.on_fetched(replica, 2, 0, Asked())
    assert partition.high_watermark == 2
    partition = world.lead(2, frozenset({1, 2}), partition_epoch=1)
    world.append(2)
    partition.on_fetched(2, 4, 0, Asked())
    assert partition.high_watermark == 4


def test_one_that_was_about_to_join_holds_back_for_a_while() -> None:
    """It is silent then, and nothing more is written: the timer sees it, or who waits would wait for good."""
    world = World(in_sync=frozenset({1, 2}))
    partition = world.partition
    wanted = partition.on_fetched(3, 0, 0)
    assert wanted is not None
    partition.on_isr_refused(wanted, ErrorCode.INELIGIBLE_REPLICA)
    world.append(2)
    partition.on_fetched(2, 2, 0)
    partition.shrink()
    assert partition.high_watermark == 0
    world.now += LAG + 1
    assert partition.shrink() is None
    assert partition.high_watermark == 2
