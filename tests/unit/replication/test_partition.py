"""The replica: high watermark, acknowledgements, leader checks, and the group committer behind fsync mode."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any, cast

import pytest

from fastlog.errors import ErrorCode
from fastlog.native import Log, StorageError
from fastlog.replication import committer as committer_module
from fastlog.replication.committer import GroupCommitter
from fastlog.replication.partition import Partition, PartitionKey, ReplicaSettings
from fastlog.replication.replica_manager import ReplicaManager
from tests.unit.replication.fakes import FakeLog

NODE = 1
FSYNC = ReplicaSettings(fsync=True)


def lead(
    log: FakeLog, settings: ReplicaSettings | None = None, moved: list[PartitionKey] | None = None
) -> Partition:
    heard: list[PartitionKey] = [] if moved is None else moved
    manager = ReplicaManager(NODE, heard.append)
    return manager.become_leader(
        "t",
        bytes(16),
        0,
        cast("Log", log),
        leader_epoch=3,
        in_sync=frozenset({NODE}),
        settings=settings or ReplicaSettings(),
    )


def test_a_new_leader_serves_everything_that_is_in_its_log() -> None:
    assert lead(FakeLog(end=42, start=7)).high_watermark == 42


def test_appends_move_the_watermark_and_wake_waiters_once() -> None:
    moved: list[PartitionKey] = []
    replica = lead(FakeLog(), moved=moved)
    moved.clear()
    replica.on_appended(5)
    replica.on_appended(5)
    replica.on_appended(3)  # completions of two threads may come in the other order
    assert replica.high_watermark == 5
    assert moved == [("t", 0)]


def test_in_fsync_mode_only_what_is_on_the_disk_counts() -> None:
    moved: list[PartitionKey] = []
    replica = lead(FakeLog(end=10, written=10), FSYNC, moved)
    assert replica.high_watermark == 10
    moved.clear()
    replica.on_appended(15)
    assert (replica.high_watermark, replica.waits_for_disk, moved) == (10, True, [])
    assert replica.ack_error(1, 15, 3) is None
    assert replica.ack_error(-1, 15, 3) is None
    replica.on_flushed(12)
    assert (replica.high_watermark, replica.ack_error(1, 15, 3)) == (12, None)
    replica.on_flushed(20)
    assert (replica.high_watermark, replica.waits_for_disk) == (15, False)
    assert replica.ack_error(1, 15, 3) == 0


def test_the_watermark_does_not_go_back_when_fsync_mode_is_turned_on() -> None:
    replica = lead(FakeLog(end=10, written=4))
    replica.configure(FSYNC)
    replica.on_flushed(6)
    assert replica.high_watermark == 10


def test_the_watermark_waits_for_other_members_of_the_in_sync_set() -> None:
    replica = lead(FakeLog(end=5))
    replica.lead(4, frozenset({NODE, 2}))
    replica.on_appended(9)
    assert replica.high_watermark == 5


@pytest.mark.parametrize(
    ("known", "code"),
    [(-1, 0), (3, 0), (2, ErrorCode.FENCED_LEADER_EPOCH), (4, ErrorCode.UNKNOWN_LEADER_EPOCH)],
)
def test_leader_epochs_are_compared(known: int, code: int) -> None:
    assert lead(FakeLog()).leader_error(known) == code


def test_too_small_an_in_sync_set_refuses_only_acks_all() -> None:
    replica = lead(FakeLog(), ReplicaSettings(min_insync_replicas=2))
    replica.on_appended(5)
    replica.lead(3, frozenset({NODE}), replicas=(NODE, 2), partition_epoch=1)
    assert replica.write_error(-1) == ErrorCode.NOT_ENOUGH_REPLICAS
    assert replica.write_error(1) == 0
    assert replica.ack_error(-1, 5, 3) == ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND


def test_one_replica_cannot_be_asked_for_more_than_itself() -> None:
    """Kafka since 3.7: `Partition.effectiveMinIsr`."""
    replica = lead(FakeLog(), ReplicaSettings(min_insync_replicas=2))
    replica.on_appended(5)
    assert (replica.write_error(-1), replica.ack_error(-1, 5, 3)) == (0, 0)


def test_a_leader_that_resigned_acknowledges_nothing_old_and_one_that_was_reelected_does() -> None:
    replica = lead(FakeLog())
    replica.on_appended(5)
    replica.lead(4, frozenset({NODE}))
    assert replica.ack_error(-1, 5, 3) == 0
    replica.resign(2, 5)
    assert replica.leader_error() == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert replica.ack_error(1, 5, 4) == ErrorCode.NOT_LEADER_OR_FOLLOWER
    replica.lead(6, frozenset({NODE}))
    assert replica.ack_error(-1, 5, 4) == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert replica.ack_error(-1, 5, 6) == 0


def test_an_offline_replica_answers_with_a_storage_error() -> None:
    replica = lead(FakeLog())
    replica.take_offline()
    assert replica.leader_error() == ErrorCode.KAFKA_STORAGE_ERROR
    assert replica.ack_error(1, 0, 3) == ErrorCode.KAFKA_STORAGE_ERROR


def test_an_epoch_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="older"):
        lead(FakeLog()).lead(2, frozenset({NODE}))


def test_readers_are_told_of_all_that_changes_for_them_and_of_nothing_else() -> None:
    moved: list[PartitionKey] = []
    replica = lead(FakeLog(), moved=moved)
    assert moved == [("t", 0)], "it is there"
    for change, times in (
        (lambda: replica.lead(3, frozenset({NODE})), 0),
        (lambda: replica.lead(4, frozenset({NODE})), 1),
        (lambda: replica.lead(4, frozenset({NODE, 2})), 0),
        (lambda: replica.configure(ReplicaSettings()), 0),
        (lambda: replica.configure(ReplicaSettings(zstd=True)), 1),
        (replica.on_log_cut, 1),
        (lambda: replica.resign(2, 5), 1),
        (lambda: replica.lead(6, frozenset({NODE})), 1),
        (replica.take_offline, 1),
    ):
        moved.clear()
        change()
        assert moved == [("t", 0)] * times


def test_removing_a_replica_wakes_whoever_waits_for_it() -> None:
    moved: list[PartitionKey] = []
    manager = ReplicaManager(NODE, moved.append)
    log = cast("Log", FakeLog())
    manager.become_leader(
        "t", bytes(16), 0, log, leader_epoch=0, in_sync=frozenset({NODE}), settings=ReplicaSettings()
    )
    moved.clear()
    manager.remove("t", 0)
    assert moved == [("t", 0)]
    assert manager.get("t", 0) is None


class Commits:
    """`IoLoop.commit` by hand."""

    def __init__(self) -> None:
        self.running: list[asyncio.Future[int]] = []

    def __call__(self, log: Any) -> asyncio.Future[int]:
        self.running.append(asyncio.get_running_loop().create_future())
        return self.running[-1]


async def test_appends_during_a_commit_share_the_next_one() -> None:
    commits = Commits()
    committer = GroupCommitter(commits)
    replica = lead(FakeLog(), FSYNC)
    replica.on_appended(1)
    committer.request(replica)
    for end in (2, 3, 4):
        replica.on_appended(end)
        committer.request(replica)
    assert len(commits.running) == 1
    commits.running[0].set_result(1)
    await asyncio.sleep(0)
    assert (replica.high_watermark, len(commits.running)) == (1, 2)
    commits.running[1].set_result(4)
    await asyncio.sleep(0)
    assert (replica.high_watermark, len(commits.running)) == (4, 2)


async def test_a_failed_commit_takes_the_replica_offline_for_good() -> None:
    commits = Commits()
    committer = GroupCommitter(commits)
    replica = lead(FakeLog(), FSYNC)
    replica.on_appended(1)
    committer.request(replica)
    commits.running[0].set_exception(OSError("Input/output error"))
    await asyncio.sleep(0)
    assert replica.offline
    assert replica.high_watermark == 0
    committer.request(replica)
    assert len(commits.running) == 1


async def test_a_replica_that_lacked_something_is_let_go_when_it_waits_for_the_disk_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(committer_module, "_AGAIN_SECONDS", 0)
    commits = Commits()
    committer = GroupCommitter(commits)
    log = FakeLog()
    kept = weakref.ref(log)
    replica = lead(log, FSYNC)
    replica.on_appended(1)
    committer.request(replica)
    lacking = StorageError("no descriptors")
    lacking.cause = "shortage"
    commits.running.pop().set_exception(lacking)
    await asyncio.sleep(0)
    replica.configure(ReplicaSettings())
    del log, replica, lacking
    for _ in range(5):
        await asyncio.sleep(0)
    assert (kept(), commits.running) == (None, [])
