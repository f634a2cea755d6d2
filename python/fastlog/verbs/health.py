"""Which partitions are not as they should be, for the commands that count or choose them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fastlog.client import ClientError, Cluster, PartitionInfo, TopicPartition, VersionMismatch
from fastlog.client.admin.configs import ConfigResource, describe_configs
from fastlog.client.admin.reassignments import Reassignment, list_partition_reassignments

__all__ = ["Moves", "count_under_min_isr", "is_under_replicated", "moves_under_way"]

_MIN_ISR: Final = "min.insync.replicas"
_MOVES_TIMEOUT_MS: Final = 5000
"""How long a description waits for a controller."""

Moves = Mapping[TopicPartition, Reassignment]


async def moves_under_way(
    cluster: Cluster, partitions: Iterable[TopicPartition] | None = None
) -> Moves | None:
    """Moves of these partitions, or all; None when the controller does not tell, as while there is none."""
    try:
        return await list_partition_reassignments(
            cluster, partitions, timeout_ms=min(_MOVES_TIMEOUT_MS, cluster.timeout_ms)
        )
    except VersionMismatch:
        # A broker that does not know of moves makes none.
        return {}
    except ClientError:
        return None


def is_under_replicated(info: PartitionInfo, moves: Moves | None) -> bool:
    """Whether it has fewer replicas in sync than it should have; those that a move adds come on top."""
    move = (moves or {}).get(info.name)
    return len(info.isr) < len(info.replicas) - (0 if move is None else len(move.adding))


async def count_under_min_isr(cluster: Cluster, partitions: Iterable[PartitionInfo]) -> int | None:
    """Partitions with too few replicas in sync for acks=all, of those that do not have all of them.

    `min.insync.replicas` counts up to the number of replicas (Kafka 3.7 and later). None: it was not told.
    """
    lacking = [item for item in partitions if len(item.isr) < len(item.replicas)]
    topics = sorted({item.topic for item in lacking})
    if not topics:
        return 0
    try:
        found = await describe_configs(
            cluster, [ConfigResource.topic(topic) for topic in topics], keys=[_MIN_ISR]
        )
    except ClientError:
        return None
    least: dict[str, int] = {}
    for resource, entries in found.items():
        for entry in () if isinstance(entries, ClientError) else entries:
            if entry.name == _MIN_ISR and entry.value is not None and entry.value.isdecimal():
                least[resource.name] = int(entry.value)
    if any(topic not in least for topic in topics):
        return None
    return sum(len(item.isr) < min(least[item.topic], len(item.replicas)) for item in lacking)
