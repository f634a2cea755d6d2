"""What the log directories have of partitions that the controller speaks of."""

from __future__ import annotations

from fastlog.coordination.member.assigned import OnDisk
from fastlog.storage.log_manager import LogManager


def on_disk(logs: LogManager, topic: str, partition: int) -> OnDisk:
    """What is here of a partition."""
    entry = logs.table.get(topic, partition)
    if entry is not None:
        return OnDisk(entry.topic_id)
    closed = logs.table.closed.get((topic, partition))
    if closed is not None and closed.path is not None:
        # What only waits for room on the disk is tried again.
        return OnDisk(closed.topic_id, offline=closed.opening is None)
    is_missed = not logs.settings.allow_data_loss and was_here(logs, topic, partition)
    return OnDisk(
        is_lost=closed is not None or is_missed,
        may_be_offline=not logs.complete,
        may_be_lost=logs.may_have_lost_directories,
    )


def directory_id(logs: LogManager, topic: str, partition: int) -> bytes | None:
    """The topic id of a partition that is here, in whatever condition."""
    entry = logs.table.get(topic, partition)
    if entry is not None:
        return entry.topic_id
    closed = logs.table.closed.get((topic, partition))
    return None if closed is None else closed.topic_id


def give_up_lost(logs: LogManager, topic: str, partition: int) -> None:
    """What is lost here comes from the leader again: nothing of it is waited for."""
    closed = logs.table.closed.get((topic, partition))
    if closed is not None and closed.path is None:
        logs.table.forget((topic, partition))
    if logs.table.get(topic, partition) is None:
        for directory in logs.directories:
            directory.forget_former((topic, partition))


def was_here(logs: LogManager, topic: str, partition: int) -> bool:
    """Whether the checkpoints of the run before know the partition, other than as one that it has deleted.

    A run that was killed has not taken it out of them; the topic may have been made anew since.
    """
    key = (topic, partition)
    return any(
        key in directory.former_recovery_points or key in directory.former_log_starts
        for directory in logs.directories
    ) and not logs.retired.holds(topic, partition)
