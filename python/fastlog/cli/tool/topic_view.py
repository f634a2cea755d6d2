"""What `fastlog topic describe` gathers and shows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

from fastlog.cli.tool.output import Column, Printer, size_text
from fastlog.client import BrokerError, ClientError, Cluster, PartitionInfo, TopicInfo, TopicPartition
from fastlog.client.admin.configs import ConfigResource, ConfigSource, describe_configs
from fastlog.client.admin.log_dirs import describe_log_dirs
from fastlog.client.leaders import EARLIEST, LATEST, OffsetAt, list_offsets
from fastlog.errors import ErrorCode
from fastlog.verbs.health import Moves, is_under_replicated, moves_under_way

__all__ = ["DescribedTopics", "describe_topics", "show_topics"]

_COLUMNS: Final = (
    Column("partition", "partition", "number"),
    Column("leader", "leader", "number"),
    Column("leader_epoch", "epoch", "number"),
    Column("replicas", "replicas"),
    Column("isr", "isr"),
    Column("earliest_offset", "earliest", "number"),
    Column("latest_offset", "latest", "number"),
    Column("size_bytes", "size", "size"),
)
_SOMETIMES: Final = (
    Column("offline_replicas", "offline"),
    Column("adding_replicas", "adding"),
    Column("removing_replicas", "removing"),
)
_OFFSETS_TIMEOUT_MS: Final = 5000
"""How long a description waits for partitions without a leader."""


@dataclass(slots=True)
class DescribedTopics:
    """Rows for the topics that exist, errors of the others."""

    topics: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, ClientError] = field(default_factory=dict)


async def describe_topics(
    cluster: Cluster, names: Sequence[str] | None, *, internal: bool = True
) -> DescribedTopics:
    """Describes topics, or all of them, then with `internal` ones or without. Sizes are the leaders'."""
    metadata = await cluster.metadata(None if names is None else list(dict.fromkeys(names)))
    result = DescribedTopics()
    found: list[TopicInfo] = []
    for name in metadata.topics if names is None else dict.fromkeys(names):
        topic = metadata.topics.get(name)
        code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if topic is None else topic.error
        if topic is None or code is not ErrorCode.NONE:
            result.errors[name] = BrokerError(code)
        elif names is not None or internal or not topic.is_internal:
            found.append(topic)
    found.sort(key=lambda topic: topic.name)
    places = [partition for topic in found for partition in topic.partitions if partition.leader >= 0]
    starts, ends, sizes, configs, moves = await asyncio.gather(
        _offsets(cluster, places, EARLIEST),
        _offsets(cluster, places, LATEST),
        _sizes(cluster, places),
        _configs(cluster, found),
        moves_under_way(cluster, [item.name for topic in found for item in topic.partitions]),
    )
    for topic in found:
        rows: list[dict[str, Any]] = [
            {
                "partition": item.index,
                "leader": None if item.leader < 0 else item.leader,
                "leader_epoch": None if item.leader_epoch < 0 else item.leader_epoch,
                "replicas": list(item.replicas),
                "isr": sorted(item.isr),
                "offline_replicas": sorted(item.offline_replicas),
                "earliest_offset": starts.get(item.name),
                "latest_offset": ends.get(item.name),
                "size_bytes": sizes.get((item.name, item.leader)),
                "adding_replicas": None if moves is None else _moving(moves, item.name, "adding"),
                "removing_replicas": None if moves is None else _moving(moves, item.name, "removing"),
                "under_replicated": is_under_replicated(item, moves),
            }
            for item in topic.partitions
        ]
        result.topics.append(
            {
                "topic": topic.name,
                "topic_id": str(UUID(bytes=topic.topic_id)) if any(topic.topic_id) else None,
                "internal": topic.is_internal,
                "partition_count": len(rows),
                "replication_factor": max(
                    # As kafka-topics counts: not those that a move adds.
                    (len(row["replicas"]) - len(row["adding_replicas"] or ()) for row in rows),
                    default=0,
                ),
                "configs": configs.get(topic.name),
                "partitions": rows,
            }
        )
    return result


def show_topics(out: Printer, topics: Sequence[dict[str, Any]]) -> None:
    """A header and a table for each topic, or the JSON document."""
    out.document(list(topics))
    for topic in topics:
        sizes = [row["size_bytes"] for row in topic["partitions"] if row["size_bytes"] is not None]
        out.fields(
            [
                ("topic", topic["topic"]),
                ("id", topic["topic_id"]),
                ("partitions", topic["partition_count"]),
                ("replication factor", topic["replication_factor"]),
                ("configs", topic["configs"]),
                ("size", size_text(sum(sizes)) if sizes else None),
            ]
        )
        rows = topic["partitions"]
        # In the words of kafka-topics; some columns are there when there is something to be seen in them.
        shown = [column for column in _SOMETIMES if any(row[column.key] for row in rows)]
        columns = (*_COLUMNS, *shown)
        out.table(
            columns, [row | {"leader": "none" if row["leader"] is None else row["leader"]} for row in rows]
        )


def _moving(moves: Moves, name: TopicPartition, which: Literal["adding", "removing"]) -> list[int]:
    move = moves.get(name)
    return [] if move is None else list(move.adding if which == "adding" else move.removing)


async def _offsets(
    cluster: Cluster, partitions: Sequence[PartitionInfo], at: int
) -> dict[TopicPartition, int]:
    timeout_ms = min(_OFFSETS_TIMEOUT_MS, cluster.timeout_ms)
    found = await list_offsets(cluster, {item.name: at for item in partitions}, timeout_ms=timeout_ms)
    return {name: item.offset for name, item in found.items() if isinstance(item, OffsetAt)}


async def _sizes(
    cluster: Cluster, partitions: Sequence[PartitionInfo]
) -> dict[tuple[TopicPartition, int], int]:
    wanted: dict[str, list[int]] = {}
    for item in partitions:
        wanted.setdefault(item.topic, []).append(item.index)
    if not wanted:
        return {}
    nodes = sorted({item.leader for item in partitions})
    found = await describe_log_dirs(cluster, nodes, partitions=wanted)
    return {
        (replica.name, node): replica.size_bytes
        for node, directories in found.items()
        if not isinstance(directories, ClientError)
        for directory in directories
        for replica in directory.replicas
        if not replica.is_future
    }


async def _configs(cluster: Cluster, topics: Sequence[TopicInfo]) -> dict[str, dict[str, str | None]]:
    found = await describe_configs(cluster, [ConfigResource.topic(topic.name) for topic in topics])
    return {
        resource.name: {entry.name: entry.value for entry in entries if entry.source is ConfigSource.TOPIC}
        for resource, entries in found.items()
        if not isinstance(entries, ClientError)
    }
