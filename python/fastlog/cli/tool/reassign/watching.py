"""Waiting until moves of replicas are done, and taking their throttles away then."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastlog.cli.tool.failure_reports import describe_error
from fastlog.cli.tool.invocation import Session
from fastlog.cli.tool.output import aligned, cell_text
from fastlog.cli.tool.reassign.planning import Placement
from fastlog.cli.tool.reassign.progress import COLUMNS, Progress, look, row_of, summary
from fastlog.cli.tool.reassign.throttles import Throttled, clear_throttles
from fastlog.client import BrokerError, ClientError, Cluster, TopicPartition
from fastlog.client.admin.reassignments import list_partition_reassignments
from fastlog.errors import ErrorCode

__all__ = ["end_throttles", "show_throttled", "watch_moves"]

_SETTLES_WITHIN: Final = 20
"""Looks at the metadata, a quarter of a second apart, before a partition counts as not where it should be."""


async def watch_moves(
    session: Session, cluster: Cluster, targets: Placement, *, interval: float, keep_throttles: bool
) -> list[dict[str, Any]]:
    """Shows the moves of these partitions until none is under way; a row for each partition.

    A partition that has other replicas than its target then has failed, which the session is told.
    """
    live = session.out.live()
    before: dict[TopicPartition, Progress] = {}
    said = ""
    try:
        while moving := await look(cluster, targets):
            if live is not None:
                live.show(_table(moving))
            else:
                for name in before.keys() - moving.keys():
                    session.out.line(_ended(name, targets))
                if (text := summary(moving)) != said:
                    session.out.line(text)
                    said = text
            before = moving
            await asyncio.sleep(interval)
    except asyncio.CancelledError:
        session.out.note("the moves go on; `fastlog topic reassign watch` waits for them again")
        raise
    if live is not None:
        live.show([])
    replicas = await _settled(cluster, targets)
    rows = [_row(session, name, nodes, replicas.get(name)) for name, nodes in sorted(targets.items())]
    if not keep_throttles:
        await end_throttles(session, cluster, sorted({name.topic for name in targets}))
    return rows


async def end_throttles(session: Session, cluster: Cluster, topics: Sequence[str] | None) -> Throttled:
    """Removes throttles of topics (None: all) without a move, and the rates when nothing moves at all."""
    moving = await list_partition_reassignments(cluster)
    still = {name.topic for name in moving}
    named = (await cluster.metadata()).topics if topics is None else topics
    cleared = await clear_throttles(
        cluster, [topic for topic in named if topic not in still], rates=not moving
    )
    show_throttled(session, cleared, "removed the throttle of")
    return cleared


def show_throttled(session: Session, throttled: Throttled, what: str) -> None:
    """What was changed, in a line, and what failed."""
    for item, error in throttled.errors.items():
        session.item_failed(item, error)
    parts = [
        f"{word}{'' if len(names) == 1 else 's'} {cell_text(names)}"
        for word, names in (("topic", sorted(throttled.topics)), ("broker", sorted(throttled.brokers)))
        if names
    ]
    if parts:
        session.out.line(f"{what} {' and '.join(parts)}")


def _ended(name: TopicPartition, targets: Placement) -> str:
    return f"partition {name}: no longer moves, target {cell_text(targets[name])}"


def _table(moving: Mapping[TopicPartition, Progress]) -> list[str]:
    rows = [row_of(item) for item in moving.values()]
    cells = [[column.cell(row) for column in COLUMNS] for row in rows]
    return [summary(moving), "", *aligned(COLUMNS, cells)]


async def _settled(cluster: Cluster, targets: Placement) -> dict[TopicPartition, tuple[int, ...]]:
    """The replicas of each, once they are the targets or have had time: brokers hear of it one by one."""
    topics = sorted({name.topic for name in targets})
    for _ in range(_SETTLES_WITHIN):
        metadata = await cluster.metadata(topics)
        replicas = {
            item.name: item.replicas for topic in metadata.topics.values() for item in topic.partitions
        }
        if all(replicas.get(name) == nodes for name, nodes in targets.items()):
            break
        await asyncio.sleep(0.25)
    return replicas


def _row(
    session: Session, name: TopicPartition, target: tuple[int, ...], replicas: tuple[int, ...] | None
) -> dict[str, Any]:
    error: ClientError | None = None
    if replicas is None:
        error = BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    elif replicas != target:
        have, want = cell_text(replicas), cell_text(target)
        text = f"its replicas are {have}, not {want}: the move was cancelled or replaced"
        error = ClientError(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, text)
    if error is not None:
        session.item_failed(f"partition {name}", error)
    else:
        session.out.line(f"partition {name}: replicas {cell_text(target)}")
    return {
        "topic": name.topic,
        "partition": name.partition,
        "replicas": None if replicas is None else list(replicas),
        "target": list(target),
        "status": "done" if error is None else "failed",
        "error": None if error is None else describe_error(error),
    }
