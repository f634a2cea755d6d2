"""What partitions mean to the parts around them: callbacks that the broker's wiring list hands out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC

if TYPE_CHECKING:
    from fastlog.coordination.groups.service import GroupService
    from fastlog.replication.news import PartitionNews
    from fastlog.replication.partition import PartitionKey
    from fastlog.replication.purgatory import Purgatory
    from fastlog.replication.replica_manager import ReplicaManager
    from fastlog.storage.log_manager import LogManager

OnDirectoryFailed = Callable[[Path, str, "Sequence[PartitionKey]"], None]


def advanced(logs: LogManager, purgatory: Purgatory, news: PartitionNews) -> Callable[[PartitionKey], object]:
    """What a partition that has got further means: something to flush, and perhaps answers that wait."""

    def callback(key: PartitionKey) -> None:
        logs.housekeeping.note_write(key)
        purgatory.check(key)
        news.tell(key)

    return callback


def cut(replicas: ReplicaManager) -> Callable[[PartitionKey], object]:
    """What another log start offset means: those who read the partition are told."""

    def callback(key: PartitionKey) -> None:
        replica = replicas.find(key)
        if replica is not None:
            replica.on_log_cut()

    return callback


def high_watermark_of(replicas: ReplicaManager) -> Callable[[str, int], int | None]:
    """What retention may delete up to: records that are not committed yet are never deleted."""

    def limit(topic: str, partition: int) -> int | None:
        replica = replicas.get(topic, partition)
        return None if replica is None else replica.high_watermark

    return limit


def last_stable_offset_of(replicas: ReplicaManager) -> Callable[[str, int], int | None]:
    """What may be compacted: committed records below every open transaction."""

    def limit(topic: str, partition: int) -> int | None:
        replica = replicas.get(topic, partition)
        return None if replica is None else replica.last_stable_offset()

    return limit


def take_offline(replicas: ReplicaManager) -> OnDirectoryFailed:
    """What a failed directory means for its partitions."""

    def callback(path: Path, reason: str, partitions: Sequence[PartitionKey]) -> None:
        for key in partitions:
            replica = replicas.find(key)
            if replica is not None:
                replica.take_offline()

    return callback


def resign_groups(groups: GroupService) -> OnDirectoryFailed:
    """What it means for groups: those in it are not served."""

    def callback(path: Path, reason: str, partitions: Sequence[PartitionKey]) -> None:
        for topic, partition in partitions:
            if topic == GROUP_METADATA_TOPIC:
                groups.resigned(partition)

    return callback
