"""Consumer groups: move their offsets, delete them or some of their offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastlog.base.wording import counted
from fastlog.client.admin import groups as admin
from fastlog.client.admin.offsets import delete_group_offsets as forget_offsets
from fastlog.client.admin.offsets import list_group_offsets
from fastlog.client.errors import BrokerError, ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.client.offset_values import OffsetAndMetadata
from fastlog.errors import ErrorCode
from fastlog.verbs.desk import Desk
from fastlog.verbs.groups import GroupName
from fastlog.verbs.places import parse_moment
from fastlog.verbs.problems import BadArgument, Problem, TooMuch, problem_of
from fastlog.verbs.registry import DryRun, verb
from fastlog.verbs.resets import PlannedReset, Target, reset
from fastlog.verbs.topics import TopicName

__all__ = ["ResetPlan", "ResetRow", "delete_group_offsets", "delete_groups", "reset_offsets", "reset_rows"]

_MOST_GROUPS: Final = 500

To = Literal["earliest", "latest", "current", "offset", "shift", "time", "offsets"]


@dataclass(frozen=True, slots=True)
class ResetRow:
    """A partition: where the group is, and where it goes. `clamped`: what was asked for is not in the log."""

    topic: str
    partition: int
    current_offset: int | None
    new_offset: int | None
    difference: int | None
    clamped: bool
    error: Problem | None


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """All partitions of it."""

    executed: bool
    summary: str
    group: str
    partitions: list[ResetRow]


@dataclass(frozen=True, slots=True)
class GroupDeletion:
    """A group that goes."""

    group: str
    state: str | None
    status: str
    error: Problem | None


@dataclass(frozen=True, slots=True)
class GroupDeletions:
    """All of them."""

    executed: bool
    summary: str
    groups: list[GroupDeletion]


@dataclass(frozen=True, slots=True)
class OffsetDeletion:
    """A committed offset that goes."""

    topic: str
    partition: int
    current_offset: int | None
    status: str
    error: Problem | None


@dataclass(frozen=True, slots=True)
class OffsetDeletions:
    """All of them."""

    executed: bool
    summary: str
    group: str
    partitions: list[OffsetDeletion]


@verb("write")
async def reset_offsets(
    desk: Desk,
    *,
    group: GroupName,
    to: Annotated[To, "Where to; offset, shift, time and offsets go with the argument of that name."],
    topics: Annotated[
        list[str] | None, "Such as orders, or orders:0,2; without it every partition that the group has."
    ] = None,
    offset: Annotated[int | None, "The offset."] = None,
    shift: Annotated[int | None, "Offsets forward, or back when negative."] = None,
    time: Annotated[str | None, "To the first record at or after it: ISO 8601, or ms since 1970."] = None,
    offsets: Annotated[dict[str, int] | None, "Offsets by partition, such as orders:0."] = None,
    dry_run: DryRun = True,
) -> ResetPlan:
    """Moves the committed offsets of a group that has no members; those of each partition are shown first."""
    target = _target(to, {"offset": offset, "shift": shift, "time": time, "offsets": offsets})
    choice = None if topics is None else _choice(topics)
    if target.kind == "file" and choice is not None:
        raise BadArgument("topics: offsets name their partitions themselves")
    plan = await reset(desk.cluster, group, target, choice, execute=not dry_run)
    rows = reset_rows(plan)
    moved = sum(row.error is None and row.difference != 0 for row in rows)
    where = {
        "file": "to the given offsets",
        "time": f"to the time {time}",
        "shift": f"by {shift:+} offsets" if shift is not None else "",
        "offset": f"to offset {offset}",
    }.get(target.kind, f"to the {to} offset")
    text = f"move {counted(moved, 'partition')} of group {group} {where}"
    return ResetPlan(not dry_run, text, group, rows)


def reset_rows(plan: Sequence[PlannedReset]) -> list[ResetRow]:
    """A plan as rows."""
    return [
        ResetRow(
            row.name.topic,
            row.name.partition,
            row.current,
            row.new,
            None if row.new is None or row.current is None else row.new - row.current,
            row.clamped,
            None if row.error is None else problem_of(row.error),
        )
        for row in plan
    ]


def _target(to: To, given: Mapping[str, object]) -> Target:
    for name, value in given.items():
        if (name == to) != (value is not None):
            raise BadArgument(f"{name}: {'is missing' if name == to else f'does not go with to={to}'}")
    value = given.get(to)
    if to == "offset" and isinstance(value, int) and value < 0:
        raise BadArgument(f"offset: {value} is negative")
    if isinstance(value, int):
        return Target(to, value)
    if to == "time":
        return Target("time", parse_moment(str(value), "time"))
    if isinstance(value, Mapping):
        return Target("file", offsets={_partition(name): int(at) for name, at in value.items()})
    return Target(to)


def _partition(text: str) -> TopicPartition:
    topic, colon, number = text.rpartition(":")
    if not colon or not topic or not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise BadArgument(f"offsets: {text[:300]!r} is no partition; expected such as orders:0")
    return TopicPartition(topic, int(number))


def _choice(topics: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`orders` or `orders:0,2`. Names of topics have no colons."""
    found: dict[str, tuple[int, ...]] = {}
    for text in topics:
        topic, colon, rest = text.partition(":")
        numbers = rest.split(",") if colon else []
        if not topic or not all(n.isascii() and n.isdecimal() and len(n) < 10 for n in numbers):
            raise BadArgument(f"topics: {text[:300]!r} is none; expected such as orders, or orders:0,2")
        found[topic] = (*found.get(topic, ()), *(int(number) for number in numbers)) if colon else ()
    if not found:
        raise BadArgument("topics: names none")
    return found


@verb("write")
async def delete_groups(
    desk: Desk, *, groups: Annotated[list[str], "Ids of the groups."], dry_run: DryRun = True
) -> GroupDeletions:
    """Deletes groups with all their offsets. Groups with members stay."""
    wanted = list(dict.fromkeys(groups))
    if not 1 <= len(wanted) <= _MOST_GROUPS:
        raise TooMuch(f"groups: 1 to {_MOST_GROUPS} of them")
    described = await admin.describe_groups(desk.cluster, wanted)
    outcomes: Mapping[str, ClientError | None] = {}
    if not dry_run:
        outcomes = await admin.delete_groups(desk.cluster, wanted)
    rows = []
    for name in wanted:
        found = described[name]
        state = None if isinstance(found, ClientError) else found.state
        error = _stays(found) if dry_run else outcomes[name]
        status = "failed" if error is not None else "planned" if dry_run else "deleted"
        rows.append(GroupDeletion(name, state, status, None if error is None else problem_of(error)))
    text = f"delete {counted(len(wanted), 'group')} with their offsets: {', '.join(wanted[:20])}"
    return GroupDeletions(not dry_run, text, rows)


def _stays(found: admin.GroupDescription | ClientError) -> ClientError | None:
    if isinstance(found, ClientError):
        return found
    if not found.exists:
        return BrokerError(ErrorCode.GROUP_ID_NOT_FOUND)
    return BrokerError(ErrorCode.NON_EMPTY_GROUP) if found.members else None


@verb("write")
async def delete_group_offsets(
    desk: Desk,
    *,
    group: GroupName,
    topic: TopicName,
    partitions: Annotated[list[int] | None, "Only these partitions."] = None,
    dry_run: DryRun = True,
) -> OffsetDeletions:
    """Has a group forget its offsets of a topic that no member is subscribed to."""
    committed = await list_group_offsets(desk.cluster, group)
    names = [
        name
        for name in committed
        if name.topic == topic and (partitions is None or name.partition in partitions)
    ]
    if not names:
        raise BrokerError(
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"group {group} has no such offsets of topic {topic}"
        )
    outcomes: Mapping[TopicPartition, ClientError | None] = {}
    if not dry_run:
        outcomes = await forget_offsets(desk.cluster, group, names)
    rows = []
    for name in names:
        before, error = committed[name], outcomes.get(name)
        rows.append(
            OffsetDeletion(
                name.topic,
                name.partition,
                before.offset if isinstance(before, OffsetAndMetadata) else None,
                "failed" if error is not None else "planned" if dry_run else "deleted",
                None if error is None else problem_of(error),
            )
        )
    text = f"delete {counted(len(rows), 'offset')} of topic {topic} from group {group}"
    return OffsetDeletions(not dry_run, text, group, rows)
