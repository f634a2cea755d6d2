"""How far moves of replicas have come, by the sizes of the logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastlog.cli.tool.output import Column, size_text
from fastlog.client import ClientError, Cluster, PartitionInfo, TopicPartition
from fastlog.client.admin.log_dirs import describe_log_dirs
from fastlog.client.admin.reassignments import Reassignment, list_partition_reassignments

__all__ = ["COLUMNS", "Progress", "look", "measure", "row_of", "summary"]

COLUMNS: Final = (
    Column("topic", "topic"),
    Column("partition", "partition", "number"),
    Column("target", "target"),
    Column("adding", "adding"),
    Column("removing", "removing"),
    Column("percent", "percent", "number"),
    Column("remaining_bytes", "to go", "size"),
)

Sizes = Mapping[tuple[TopicPartition, int], int]
"""Bytes of replicas, by partition and node id."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One move. `percent` is that of the new replica that lacks most, `remaining_bytes` are those that all of
    them lack; None where the sizes are not known. A leader that gets records is a goal that moves.
    """

    name: TopicPartition
    move: Reassignment
    percent: int | None
    remaining_bytes: int | None


async def look(
    cluster: Cluster, partitions: Iterable[TopicPartition] | None = None
) -> dict[TopicPartition, Progress]:
    """All moves that are under way, or those of these partitions. Raises ClientError."""
    moves = await list_partition_reassignments(cluster, partitions)
    if not moves:
        return {}
    topics = sorted({name.topic for name in moves})
    metadata = await cluster.metadata(topics)
    leaders = {
        item.name: item
        for topic in metadata.topics.values()
        for item in topic.partitions
        if item.name in moves
    }
    nodes = {node for move in moves.values() for node in move.adding}
    nodes |= {item.leader for item in leaders.values() if item.leader >= 0}
    wanted: dict[str, list[int]] = {}
    for name in moves:
        wanted.setdefault(name.topic, []).append(name.partition)
    found = await describe_log_dirs(cluster, sorted(nodes & cluster.brokers.keys()), partitions=wanted)
    sizes = {
        (replica.name, node): replica.size_bytes
        for node, directories in found.items()
        if not isinstance(directories, ClientError)
        for directory in directories
        for replica in directory.replicas
        if not replica.is_future
    }
    return {name: measure(name, move, leaders.get(name), sizes) for name, move in moves.items()}


def measure(name: TopicPartition, move: Reassignment, info: PartitionInfo | None, sizes: Sizes) -> Progress:
    """How far one move has come. A new replica that is in sync lacks nothing, whatever its size."""
    if not move.adding:
        return Progress(name, move, 100, 0)
    whole = None if info is None else sizes.get((name, info.leader))
    if info is None or whole is None:
        return Progress(name, move, None, None)
    lacking = [0 if node in info.isr else max(0, whole - sizes.get((name, node), 0)) for node in move.adding]
    # Not all of it before it is in sync.
    percent = 100 if not any(node not in info.isr for node in move.adding) else 99
    if whole:
        percent = min(percent, (whole - max(lacking)) * 100 // whole)
    return Progress(name, move, percent, sum(lacking))


def row_of(progress: Progress) -> dict[str, Any]:
    """One move as a row."""
    return {
        "topic": progress.name.topic,
        "partition": progress.name.partition,
        "replicas": list(progress.move.replicas),
        "target": list(progress.move.target),
        "adding": list(progress.move.adding),
        "removing": list(progress.move.removing),
        "percent": progress.percent,
        "remaining_bytes": progress.remaining_bytes,
    }


def summary(moves: Mapping[TopicPartition, Progress]) -> str:
    """All of them in a line."""
    known = [item.remaining_bytes for item in moves.values() if item.remaining_bytes is not None]
    size = f", {size_text(sum(known))} to go" if known else ""
    return f"{len(moves)} {'partition moves' if len(moves) == 1 else 'partitions move'}{size}"
