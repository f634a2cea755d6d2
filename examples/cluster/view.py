"""What is shown: a frame for a terminal, or a line for each change. Pure functions of two snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fastlog.cli.tool.output import Column, aligned, cell_text

__all__ = ["BrokerState", "PartitionState", "Snapshot", "changes", "frame", "rates"]

_BROKERS: Final = tuple(
    Column(key, key, kind)
    for key, kind in (
        ("broker", "text"),
        ("id", "number"),
        ("address", "text"),
        ("pid", "number"),
        ("state", "text"),
        ("leads", "number"),
    )
)
_PARTITIONS: Final = tuple(
    Column(key, title, kind)
    for key, title, kind in (
        ("partition", "partition", "text"),
        ("leader", "leader", "number"),
        ("epoch", "epoch", "number"),
        ("isr", "in sync", "text"),
        ("replicas", "replicas", "text"),
    )
)


@dataclass(frozen=True, slots=True)
class BrokerState:
    """`pid` is None and `dead_for` counts seconds when the process is gone; `joined`: the cluster has it."""

    name: str
    node: int
    address: str
    pid: int | None
    dead_for: float
    joined: bool


@dataclass(frozen=True, slots=True)
class PartitionState:
    """As the metadata tells it; `leader` is -1 when there is none."""

    name: str
    leader: int
    epoch: int
    isr: tuple[int, ...]
    replicas: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at the cluster. Rates are records a second, times seconds."""

    up_for: float
    service: str
    """The coordination service, in words."""
    brokers: tuple[BrokerState, ...]
    controller: int
    """Node id, -1 when there is none."""
    partitions: tuple[PartitionState, ...]
    in_rate: float
    out_rate: float
    acked: int
    read: int
    failed: int
    silent_for: float
    """Since the last acknowledgement."""
    gap: tuple[float, float] | None
    """Length of the last pause in the acknowledgements, and how long ago it ended."""
    trouble: str | None = None


def frame(shot: Snapshot, *, keys: bool) -> list[str]:
    """The whole picture. `keys`: there is a keyboard."""
    brokers = [
        {
            "broker": item.name,
            "id": item.node,
            "address": item.address,
            "pid": item.pid,
            "state": _state(item, shot.controller),
            "leads": sum(row.leader == item.node for row in shot.partitions),
        }
        for item in shot.brokers
    ]
    partitions = [
        {
            "partition": row.name,
            "leader": "none" if row.leader < 0 else row.leader,
            "epoch": row.epoch,
            "isr": row.isr,
            "replicas": row.replicas,
        }
        for row in shot.partitions
    ]
    victim = next((item for item in shot.brokers if item.pid is not None), None)
    hints = (
        [] if victim is None else [f"kill one from another terminal: kill -9 {victim.pid}   ({victim.name})"]
    )
    hints.append("r starts dead brokers again, q ends all" if keys else "Ctrl-C ends all")
    return [
        f"{len(shot.brokers)} brokers on {shot.service}, up {shot.up_for:.0f} s",
        "",
        *aligned(_BROKERS, [[column.cell(row) for column in _BROKERS] for row in brokers]),
        "",
        *aligned(_PARTITIONS, [[column.cell(row) for column in _PARTITIONS] for row in partitions]),
        "",
        rates(shot),
        _gap(shot),
        *([f"last trouble: {shot.trouble}"] if shot.trouble else []),
        "",
        *hints,
    ]


def rates(shot: Snapshot) -> str:
    """Records in and out, in a line."""
    lost = f", given up {shot.failed}" if shot.failed else ""
    return (
        f"records/s in {shot.in_rate:.0f}, out {shot.out_rate:.0f}; "
        f"acknowledged {shot.acked}, read {shot.read}{lost}"
    )


def changes(before: Snapshot | None, now: Snapshot) -> Iterator[str]:
    """What is different, a line each. Without a snapshot before: everything."""
    yield from _broker_changes(before, now)
    if before is None or before.controller != now.controller:
        yield (
            "there is no controller" if now.controller < 0 else f"{_name(now, now.controller)} is controller"
        )
    old = {} if before is None else {row.name: row for row in before.partitions}
    for row in now.partitions:
        was = old.get(row.name)
        if was is None or (was.leader, was.epoch, was.isr, was.replicas) != (
            row.leader,
            row.epoch,
            row.isr,
            row.replicas,
        ):
            leader = "no leader" if row.leader < 0 else f"leader {row.leader}"
            yield (
                f"{row.name}: {leader}, epoch {row.epoch}, in sync {cell_text(row.isr)} "
                f"of {cell_text(row.replicas)}"
            )
    if before is not None and now.gap is not None and _end(before) != _end(now):
        yield f"acknowledgements again, after {now.gap[0]:.1f} s without"
    if now.trouble is not None and (before is None or before.trouble != now.trouble):
        yield f"trouble: {now.trouble}"


def _broker_changes(before: Snapshot | None, now: Snapshot) -> Iterator[str]:
    old: Sequence[BrokerState | None] = [None] * len(now.brokers) if before is None else before.brokers
    for was, item in zip(old, now.brokers, strict=True):
        if item.pid is None:
            if was is None or was.pid is not None:
                yield f"{item.name} is dead"
        elif was is None or was.pid != item.pid:
            yield f"{item.name} runs at {item.address}, pid {item.pid}"
        if was is not None and was.joined != item.joined:
            yield f"{item.name} has {'joined' if item.joined else 'left'} the cluster"


def _state(broker: BrokerState, controller: int) -> str:
    if broker.pid is None:
        return f"dead for {broker.dead_for:.0f} s"
    if not broker.joined:
        return "starting"
    return "controller" if broker.node == controller else "up"


def _gap(shot: Snapshot) -> str:
    if shot.silent_for >= 1:
        return f"NO ACKNOWLEDGEMENTS for {shot.silent_for:.1f} s"
    if shot.gap is None:
        return "no gap in the acknowledgements so far"
    length, ago = shot.gap
    return f"last gap without acknowledgements: {length:.1f} s, {ago:.0f} s ago"


def _end(shot: Snapshot) -> int | None:
    """When the last gap ended, to tell one from another."""
    return None if shot.gap is None else round(shot.up_for - shot.gap[1])


def _name(shot: Snapshot, node: int) -> str:
    return next((item.name for item in shot.brokers if item.node == node), f"broker {node}")
