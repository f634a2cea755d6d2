"""Where partitions are: who leads them, which brokers hold them, and moves from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastlog.base.wording import counted
from fastlog.client.admin import elections, reassignments
from fastlog.client.admin.elections import Election
from fastlog.client.errors import ClientError
from fastlog.client.metadata import PartitionInfo, TopicPartition
from fastlog.verbs.desk import Desk
from fastlog.verbs.pages import page_of
from fastlog.verbs.problems import BadArgument, Problem, TooMuch, problem_of
from fastlog.verbs.registry import DryRun, verb
from fastlog.verbs.topics import Cursor, Limit, TopicName, topic_info

__all__ = ["elect_leaders", "list_reassignments", "reassign"]

_MOST_PARTITIONS: Final = 20_000


@dataclass(frozen=True, slots=True)
class MoveRow:
    """A move that is under way; `replicas` are all that hold the partition now."""

    topic: str
    partition: int
    replicas: list[int]
    adding_replicas: list[int]
    removing_replicas: list[int]


@dataclass(frozen=True, slots=True)
class MovePage:
    """Some of them."""

    reassignments: list[MoveRow]
    next_cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class ElectionRow:
    """A partition: who leads it before, and who should."""

    topic: str
    partition: int
    leader: int | None
    preferred_leader: int | None
    status: str
    error: Problem | None


@dataclass(frozen=True, slots=True)
class ElectionPlan:
    """All of them."""

    executed: bool
    summary: str
    partitions: list[ElectionRow]


@dataclass(frozen=True, slots=True)
class MovePlanRow:
    """A partition with its replicas before and after; `replicas` None: its move is cancelled."""

    topic: str
    partition: int
    replicas_before: list[int]
    replicas: list[int] | None
    status: str
    error: Problem | None


@dataclass(frozen=True, slots=True)
class MovePlan:
    """All of them."""

    executed: bool
    summary: str
    partitions: list[MovePlanRow]


@verb("read")
async def list_reassignments(desk: Desk, *, cursor: Cursor = None, limit: Limit = 100) -> MovePage:
    """Lists moves of partitions that are under way."""
    found = await reassignments.list_partition_reassignments(desk.cluster)
    rows = [
        MoveRow(name.topic, name.partition, list(row.replicas), list(row.adding), list(row.removing))
        for name, row in found.items()
    ]
    shown, after = page_of(
        rows,
        lambda row: (row.topic, f"{row.topic} {row.partition:010}"),
        kind="moves",
        cursor=cursor,
        limit=limit,
    )
    return MovePage(shown, after, len(rows))


@verb("write")
async def elect_leaders(
    desk: Desk,
    *,
    topic: Annotated[str | None, "Name of the topic; all topics without it."] = None,
    partitions: Annotated[list[int] | None, "Only these partitions."] = None,
    unclean: Annotated[
        bool, "Any replica that lives, where none in sync does: records are lost. Else the preferred one."
    ] = False,
    dry_run: DryRun = True,
) -> ElectionPlan:
    """Has leaders elected: the preferred replicas, or any that live."""
    if topic is None and partitions is not None:
        raise BadArgument("partitions: of which topic?")
    if topic is None:
        infos = [item for row in (await desk.metadata(fresh=True)).topics.values() for item in row.partitions]
    else:
        infos = list((await topic_info(desk, topic)).partitions)
    chosen = [item for item in infos if _needs(item, unclean) and _is_meant(item, partitions)]
    if len(chosen) > _MOST_PARTITIONS:
        raise TooMuch(f"{len(chosen)} partitions are more than {_MOST_PARTITIONS}: name a topic")
    outcomes: Mapping[TopicPartition, bool | ClientError] = {}
    if not dry_run and chosen:
        kind = Election.UNCLEAN if unclean else Election.PREFERRED
        outcomes = await elections.elect_leaders(desk.cluster, kind, [item.name for item in chosen])
    rows = []
    for item in sorted(chosen, key=lambda item: item.name):
        outcome = outcomes.get(item.name)
        error = outcome if isinstance(outcome, ClientError) else None
        done = "elected" if outcome is True else "not_needed"
        rows.append(
            ElectionRow(
                item.topic,
                item.index,
                None if item.leader < 0 else item.leader,
                item.replicas[0] if item.replicas else None,
                "failed" if error is not None else "planned" if dry_run else done,
                None if error is None else problem_of(error),
            )
        )
    what = "any replica that lives, records may be lost" if unclean else "the preferred replica"
    return ElectionPlan(not dry_run, f"elect leaders of {counted(len(rows), 'partition')}: {what}", rows)


def _needs(item: PartitionInfo, unclean: bool) -> bool:
    return item.leader < 0 if unclean else bool(item.replicas) and item.leader != item.replicas[0]


def _is_meant(item: PartitionInfo, partitions: list[int] | None) -> bool:
    return partitions is None or item.index in partitions


@verb("write")
async def reassign(
    desk: Desk,
    *,
    topic: TopicName,
    replicas: Annotated[
        dict[str, list[int] | None],
        "Ids of brokers by partition, the preferred leader first; null cancels a move that is under way.",
    ],
    dry_run: DryRun = True,
) -> MovePlan:
    """Begins to move partitions to other brokers; list_reassignments tells what is under way."""
    info = await topic_info(desk, topic)
    there = {str(item.index): item for item in info.partitions}
    brokers = set((await desk.metadata(fresh=True)).brokers)
    targets: dict[TopicPartition, list[int] | None] = {}
    for text, nodes in replicas.items():
        if text not in there:
            raise BadArgument(f"replicas: topic {topic} has no partition {text[:20]!r}")
        if nodes is not None and (not nodes or len(set(nodes)) < len(nodes)):
            raise BadArgument(f"replicas.{text}: are to be brokers, each once")
        unknown = sorted(set(nodes or ()) - brokers)
        if unknown:
            raise BadArgument(f"replicas.{text}: broker {unknown[0]} is not there")
        targets[there[text].name] = nodes
    if not targets:
        raise BadArgument("replicas: names no partition")
    outcomes: Mapping[TopicPartition, ClientError | None] = {}
    if not dry_run:
        outcomes = await reassignments.alter_partition_reassignments(desk.cluster, targets)
    rows = []
    for name, nodes in sorted(targets.items()):
        error = outcomes.get(name)
        rows.append(
            MovePlanRow(
                name.topic,
                name.partition,
                list(there[str(name.partition)].replicas),
                nodes,
                "failed" if error is not None else "planned" if dry_run else "begun",
                None if error is None else problem_of(error),
            )
        )
    return MovePlan(not dry_run, f"move {counted(len(rows), 'partition')} of topic {topic}", rows)
