"""A plan for partitions of a cluster, and how it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastlog.base.wording import counted
from fastlog.cli.tool.chosen_partitions import choose_partitions
from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.invocation import Session
from fastlog.cli.tool.output import Column
from fastlog.cli.tool.reassign.plan_file import plan_document
from fastlog.cli.tool.reassign.planning import Placement, plan_replicas
from fastlog.cli.tool.values import parse_nodes
from fastlog.client import BrokerNode, Cluster
from fastlog.verbs.health import moves_under_way

__all__ = ["Proposal", "propose", "show_plan"]

_COLUMNS: Final = (
    Column("topic", "topic"),
    Column("partition", "partition", "number"),
    Column("current", "current"),
    Column("proposed", "proposed"),
    Column("new", "new"),
)
_BROKERS: Final = (
    Column("broker", "broker", "number"),
    Column("rack", "rack"),
    Column("replicas_now", "replicas", "number"),
    Column("replicas_then", "then", "number"),
    Column("leaders_now", "preferred", "number"),
    Column("leaders_then", "then", "number"),
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Replicas of the same partitions. What is being moved counts as being at its target already."""

    current: Placement
    planned: Placement
    stable: Placement
    """As `current`, but what is being moved is where it comes from."""
    brokers: Mapping[int, BrokerNode]

    @property
    def changes(self) -> Placement:
        """Those of the planned that are not so yet."""
        return {name: nodes for name, nodes in self.planned.items() if nodes != self.current[name]}


async def propose(
    session: Session,
    cluster: Cluster,
    choice: Mapping[str, tuple[int, ...]] | None,
    *,
    to: str | None,
    replication: int | None,
    ignore_racks: bool,
) -> Proposal:
    """Plans for these partitions (None: all). What does not exist is told. Raises UsageProblem."""
    metadata = await cluster.metadata(None if choice is None else list(choice))
    nodes = sorted(metadata.brokers) if to is None else parse_nodes(to, "--to")
    for node in nodes:
        if node not in metadata.brokers:
            live = ", ".join(map(str, sorted(metadata.brokers)))
            raise UsageProblem(f"--to {to}: broker {node} does not live; those that do are {live}")
    if replication is not None and replication < 1:
        raise UsageProblem(f"-r {replication}: must be 1 or more")
    racks = {node: None if ignore_racks else metadata.brokers[node].rack for node in nodes}
    without = [node for node, rack in racks.items() if rack is None]
    if 0 < len(without) < len(racks):
        raise UsageProblem(f"broker {without[0]} has no rack, others have one: give --ignore-racks")
    chosen = choose_partitions(metadata, choice)
    for item, error in chosen.errors.items():
        session.item_failed(item, error)
    moves = await moves_under_way(cluster, [item.name for item in chosen.found]) or {}
    current = {item.name: item.replicas for item in chosen.found}
    stable = current | {name: move.origin for name, move in moves.items()}
    current |= {name: move.target for name, move in moves.items()}
    try:
        planned = plan_replicas(current, racks, replication=replication)
    except ValueError as error:
        raise UsageProblem(str(error)) from None
    return Proposal(current, planned, stable, metadata.brokers)


def show_plan(session: Session, found: Proposal, *, current: bool) -> None:
    """What changes, and what each broker has before and after; as JSON the file."""
    out = session.out
    if current:
        out.document(plan_document(found.stable))
        out.table(
            _COLUMNS[:3],
            [
                {"topic": name.topic, "partition": name.partition, "current": nodes}
                for name, nodes in sorted(found.stable.items())
            ],
        )
        return
    changes = found.changes
    out.document(plan_document(changes))
    if not changes:
        out.note("nothing needs to move")
        return
    out.table(
        _COLUMNS,
        [
            {
                "topic": name.topic,
                "partition": name.partition,
                "current": found.current[name],
                "proposed": nodes,
                "new": [node for node in nodes if node not in found.current[name]],
            }
            for name, nodes in sorted(changes.items())
        ],
    )
    before, after = _replicas(found.current), _replicas(found.planned)
    led, to_lead = _first(found.current), _first(found.planned)
    out.table(
        _BROKERS,
        [
            {
                "broker": node,
                "rack": found.brokers[node].rack if node in found.brokers else None,
                "replicas_now": before[node],
                "replicas_then": after[node],
                "leaders_now": led[node],
                "leaders_then": to_lead[node],
            }
            for node in sorted({*before, *after, *found.brokers})
        ],
    )
    moved = sum(len(set(nodes) - set(found.current[name])) for name, nodes in changes.items())
    out.note(
        f"{len(changes)} of {counted(len(found.current), 'partition')} would change, "
        f"{counted(moved, 'replica')} would be copied; nothing was changed"
    )


def _replicas(placement: Placement) -> Counter[int]:
    return Counter(node for nodes in placement.values() for node in nodes)


def _first(placement: Placement) -> Counter[int]:
    return Counter(nodes[0] for nodes in placement.values() if nodes)
