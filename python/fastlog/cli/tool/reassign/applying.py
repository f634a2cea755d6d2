"""Beginning, cancelling and throttling moves of replicas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastlog.cli.tool.failure_reports import describe_error
from fastlog.cli.tool.invocation import Session
from fastlog.cli.tool.output import cell_text, size_text
from fastlog.cli.tool.reassign.planning import Placement
from fastlog.cli.tool.reassign.throttles import Move, clear_throttles, set_throttles
from fastlog.cli.tool.reassign.watching import end_throttles, show_throttled, watch_moves
from fastlog.client import ClientError, Cluster, TopicPartition
from fastlog.client.admin.reassignments import (
    Reassignment,
    alter_partition_reassignments,
    list_partition_reassignments,
)
from fastlog.errors import ErrorCode

__all__ = ["apply_plan", "cancel_moves", "throttle_moves"]


async def apply_plan(
    session: Session,
    cluster: Cluster,
    targets: Placement,
    *,
    rate: int | None,
    replace: bool,
    interval: float | None,
    keep_throttles: bool,
) -> None:
    """Has the controller move what is not at its target, limited to `rate` bytes a second if there is one.

    Looks every `interval` seconds until it is done, None: does not wait. When the limit cannot be set nothing
    is moved.
    """
    metadata = await cluster.metadata(sorted({name.topic for name in targets}))
    replicas = {item.name: item.replicas for topic in metadata.topics.values() for item in topic.partitions}
    moving = await list_partition_reassignments(cluster, targets)
    rows: dict[TopicPartition, dict[str, Any]] = {}
    wanted: Placement = {}
    for name, nodes in sorted(targets.items()):
        row = _row_without_a_move(session, name, nodes, replicas.get(name), moving.get(name), replace=replace)
        if row is None:
            wanted[name] = nodes
        else:
            rows[name] = row
    if rate is not None and wanted:
        # What does not exist is for the controller to refuse.
        moves = {
            name: _move(nodes, replicas[name], moving.get(name))
            for name, nodes in wanted.items()
            if name in replicas
        }
        if not await _limit(session, cluster, moves, rate):
            session.out.note("the throttle could not be set, and so nothing was moved")
            wanted = {}
    rows |= await _begin(session, cluster, wanted)
    if not wanted and not session.failed:
        session.out.note("all replicas are where they should be, or on their way")
    under_way = {name: targets[name] for name, row in rows.items() if row["status"] == "moving"}
    if under_way and interval is None:
        ends = "" if rate is None else " and removes the throttle"
        session.out.note(f"`fastlog topic reassign watch` waits for the moves{ends}")
    elif under_way and interval is not None:
        for row in await watch_moves(
            session, cluster, under_way, interval=interval, keep_throttles=keep_throttles
        ):
            rows[TopicPartition(row["topic"], row["partition"])] = row
    session.out.document([rows[name] for name in sorted(rows)])


def _row_without_a_move(
    session: Session,
    name: TopicPartition,
    target: tuple[int, ...],
    replicas: tuple[int, ...] | None,
    under_way: Reassignment | None,
    *,
    replace: bool,
) -> dict[str, Any] | None:
    """The row of a partition that need not, or may not, be moved; None for one that shall."""
    if under_way is None:
        return _row(name, target, "unchanged") if replicas == target else None
    if under_way.target == target:
        return _row(name, target, "moving")
    if replace:
        return None
    text = f"it moves to {cell_text(under_way.target)} already; --replace gives it the new target"
    return _failed(session, name, target, ClientError(ErrorCode.REASSIGNMENT_IN_PROGRESS, text))


async def _limit(session: Session, cluster: Cluster, moves: Mapping[TopicPartition, Move], rate: int) -> bool:
    """Sets the throttles; whether all are set. If not, those that are set are removed again."""
    throttled = await set_throttles(cluster, moves, rate)
    show_throttled(session, throttled, f"limited to {size_text(rate)}/s:")
    if throttled.errors:
        await end_throttles(session, cluster, sorted({name.topic for name in moves}))
    return not throttled.errors


async def _begin(
    session: Session, cluster: Cluster, wanted: Placement
) -> dict[TopicPartition, dict[str, Any]]:
    rows: dict[TopicPartition, dict[str, Any]] = {}
    for name, error in (await alter_partition_reassignments(cluster, wanted)).items():
        if error is None:
            rows[name] = _row(name, wanted[name], "moving")
            session.out.line(f"partition {name}: moves to {cell_text(wanted[name])}")
        else:
            rows[name] = _failed(session, name, wanted[name], error)
    return rows


async def cancel_moves(
    session: Session, cluster: Cluster, moves: Mapping[TopicPartition, Reassignment]
) -> None:
    """Cancels them, and removes the throttles of their topics."""
    rows: list[dict[str, Any]] = []
    for name, error in (await alter_partition_reassignments(cluster, dict.fromkeys(moves))).items():
        nodes = moves[name].origin
        if error is None:
            session.out.line(f"partition {name}: stays on {cell_text(nodes)}")
            rows.append(_row(name, nodes, "cancelled"))
        else:
            rows.append(_failed(session, name, nodes, error))
    if not moves:
        session.out.note("nothing is being moved")
    else:
        await end_throttles(session, cluster, sorted({name.topic for name in moves}))
    session.out.document(rows)


async def throttle_moves(session: Session, cluster: Cluster, rate: int | None) -> None:
    """Limits all moves under way to `rate` bytes a second; None removes every limit."""
    if rate is None:
        throttled = await clear_throttles(cluster)
        show_throttled(session, throttled, "removed the throttle of")
        if not (throttled.topics or throttled.brokers or throttled.errors):
            session.out.note("nothing is throttled")
    else:
        moves = await list_partition_reassignments(cluster)
        throttled = await set_throttles(
            cluster, {name: Move(item.origin, item.adding) for name, item in moves.items()}, rate
        )
        show_throttled(session, throttled, f"limited to {size_text(rate)}/s:")
        if not moves:
            session.out.note("nothing is being moved")
    session.out.document({"rate": rate, "topics": throttled.topics, "brokers": throttled.brokers})


def _move(target: tuple[int, ...], replicas: tuple[int, ...] | None, under_way: Reassignment | None) -> Move:
    origin = (replicas or ()) if under_way is None else under_way.origin
    return Move(origin, tuple(node for node in target if node not in origin))


def _row(name: TopicPartition, nodes: tuple[int, ...], status: str) -> dict[str, Any]:
    return {
        "topic": name.topic,
        "partition": name.partition,
        "target": list(nodes),
        "status": status,
        "error": None,
    }


def _failed(
    session: Session, name: TopicPartition, nodes: tuple[int, ...], error: ClientError
) -> dict[str, Any]:
    session.item_failed(f"partition {name}", error)
    return _row(name, nodes, "failed") | {"error": describe_error(error)}
