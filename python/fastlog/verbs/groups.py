"""Consumer groups: list and describe them, with their lag in records and in seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from fastlog.client.admin import groups as admin
from fastlog.client.admin.group_batches import count_members, offsets_of_groups
from fastlog.client.admin.groups import GroupDescription as Described
from fastlog.client.admin.groups import GroupMember, describe_groups
from fastlog.client.admin.offsets import list_group_offsets
from fastlog.client.cluster import Cluster
from fastlog.client.errors import BrokerError, ClientError
from fastlog.client.leaders import LATEST, OffsetAt, list_offsets
from fastlog.client.metadata import TopicPartition
from fastlog.client.offset_values import OffsetAndMetadata
from fastlog.errors import ErrorCode
from fastlog.verbs.desk import Desk, History
from fastlog.verbs.pages import page_of
from fastlog.verbs.problems import BadArgument, Problem, problem_of
from fastlog.verbs.registry import verb
from fastlog.verbs.topics import Cursor, Limit, Pattern, TopicName, matcher

__all__ = [
    "GroupBrief",
    "GroupDescription",
    "GroupName",
    "GroupPage",
    "GroupRow",
    "MemberRow",
    "OffsetRow",
    "describe_group",
    "describe_some",
    "list_groups",
    "list_topic_groups",
]

GroupName = Annotated[str, "Id of the group."]
SortKey = Literal["group", "total_lag"]

_OFFSETS_TIMEOUT_MS = 5000


@dataclass(frozen=True, slots=True)
class GroupBrief:
    """A group in brief; `type` and `state` are None where the broker does not tell (before 3.8, 2.6)."""

    group: str
    type: str | None
    protocol_type: str
    state: str | None
    coordinator: int

    @classmethod
    def of(cls, row: admin.GroupListing, **more: Any) -> Self:
        """What a listing tells."""
        return cls(row.group_id, row.type, row.protocol_type, row.state, row.coordinator, **more)


@dataclass(frozen=True, slots=True)
class GroupRow(GroupBrief):
    """A group in a list; what is None was not asked for."""

    members: int | None = None
    topics: list[str] | None = None
    total_lag: int | None = None


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Some groups; `errors` are those of brokers that could not be asked for theirs, by node id."""

    groups: list[GroupRow]
    next_cursor: str | None
    total: int
    errors: dict[str, Problem]


@dataclass(frozen=True, slots=True)
class Place:
    """A broker's id and address."""

    id: int
    host: str | None
    port: int | None


@dataclass(frozen=True, slots=True)
class Assigned:
    """Partitions of a topic."""

    topic: str
    partitions: list[int]


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member; `target` is what the coordinator wants it to own (KIP-848 only)."""

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    topics: list[str] | None
    assignment: list[Assigned] | None
    target: list[Assigned] | None
    epoch: int | None


@dataclass(frozen=True, slots=True)
class OffsetRow:
    """A partition that the group has committed, or that a member owns.

    `lag_seconds`: how long ago the log's end was where the group is now; None where nobody has measured.
    """

    topic: str
    partition: int
    committed_offset: int | None
    log_end_offset: int | None
    lag: int | None
    lag_seconds: float | None
    leader_epoch: int | None
    metadata: str | None
    member_id: str | None
    host: str | None
    client_id: str | None


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """A group with members and offsets; `max_lag_seconds` is that of the partition furthest behind."""

    group: str
    type: str
    protocol_type: str
    state: str
    assignor: str | None
    coordinator: Place
    total_lag: int | None
    max_lag_seconds: float | None
    members: list[MemberRow]
    offsets: list[OffsetRow]


@verb("read")
async def list_groups(
    desk: Desk,
    *,
    pattern: Pattern = None,
    states: Annotated[list[str] | None, "Only groups in these states, such as Stable, Empty."] = None,
    types: Annotated[list[str] | None, "Only groups of these types: classic, consumer."] = None,
    details: Annotated[bool, "Members and lag, too."] = True,
    sort: Annotated[SortKey, "By what; total_lag needs a console that has measured for a while."] = "group",
    descending: Annotated[bool, "The greatest lag first."] = False,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> GroupPage:
    """Lists groups of all brokers, a page at a time, with state, members and lag in records."""
    if descending and sort == "group":
        raise BadArgument("descending: names come in their order")
    history = desk.history
    if sort != "group" and history is None:
        raise BadArgument(f"sort: {sort} is measured by a console only")
    wanted = matcher(pattern)
    found = await admin.list_groups(desk.cluster, states=states or (), types=types or ())
    chosen = [row for row in found.rows if wanted(row.group_id)]

    def key(row: admin.GroupListing) -> tuple[str | int, str]:
        if history is None or sort == "group":
            return row.group_id, row.group_id
        lag = history.group_lag(row.group_id)
        return -1 if lag is None else lag, row.group_id

    shown, after = page_of(
        chosen, key, kind=f"groups by {sort}", cursor=cursor, limit=limit, descending=descending
    )
    rows = await _rows(desk, shown) if details else [GroupRow.of(row) for row in shown]
    errors = {str(node): problem_of(error) for node, error in found.errors.items()}
    return GroupPage(rows, after, len(chosen), errors)


async def _rows(desk: Desk, listed: Sequence[admin.GroupListing]) -> list[GroupRow]:
    members, offsets = await asyncio.gather(
        count_members(desk.cluster, listed), offsets_of_groups(desk.cluster, listed)
    )
    committed = {
        group: {name: row.offset for name, row in found.items() if isinstance(row, OffsetAndMetadata)}
        for group, found in offsets.items()
        if not isinstance(found, ClientError)
    }
    names = {name for found in committed.values() for name in found}
    ends = await _ends(desk, names)
    rows = []
    for row in listed:
        count, own = members.get(row.group_id), committed.get(row.group_id)
        lags = [] if own is None else [max(0, ends[n] - offset) for n, offset in own.items() if n in ends]
        rows.append(
            GroupRow.of(
                row,
                members=count if isinstance(count, int) else None,
                topics=None if own is None else sorted({name.topic for name in own}),
                total_lag=sum(lags) if lags else None,
            )
        )
    return rows


async def _ends(desk: Desk, names: set[TopicPartition]) -> dict[TopicPartition, int]:
    if not names:
        return {}
    timeout_ms = min(_OFFSETS_TIMEOUT_MS, desk.cluster.timeout_ms)
    found = await list_offsets(desk.cluster, dict.fromkeys(names, LATEST), timeout_ms=timeout_ms)
    return {name: row.offset for name, row in found.items() if isinstance(row, OffsetAt)}


@verb("read")
async def describe_group(desk: Desk, *, group: GroupName) -> GroupDescription:
    """Shows a group's members with what they own, and its committed offsets with their lag."""
    found, errors = await describe_some(desk.cluster, [group], desk.history)
    if group in errors:
        raise errors[group]
    return found[0]


@verb("read")
async def list_topic_groups(
    desk: Desk, *, topic: TopicName, cursor: Cursor = None, limit: Limit = 100
) -> GroupPage:
    """Lists the groups that have committed offsets of a topic, with their lag there."""
    found = await admin.list_groups(desk.cluster)
    if desk.history is not None and (known := desk.history.topic_groups(topic)):
        names = set(known)
        asked = [row for row in found.rows if row.group_id in names]
    else:
        asked = list(found.rows)
    offsets = await offsets_of_groups(desk.cluster, asked)
    own: dict[str, dict[TopicPartition, int]] = {}
    for group, rows in offsets.items():
        if isinstance(rows, ClientError):
            continue
        here = {
            name: row.offset
            for name, row in rows.items()
            if name.topic == topic and isinstance(row, OffsetAndMetadata)
        }
        if here:
            own[group] = here
    chosen = [row for row in asked if row.group_id in own]
    shown, after = page_of(
        chosen, lambda row: (row.group_id, row.group_id), kind="topic groups", cursor=cursor, limit=limit
    )
    ends = await _ends(desk, {name for row in shown for name in own[row.group_id]})
    members = await count_members(desk.cluster, shown)
    rows_shown = []
    for row in shown:
        lags = [max(0, ends[name] - at) for name, at in own[row.group_id].items() if name in ends]
        count = members.get(row.group_id)
        rows_shown.append(
            GroupRow.of(
                row,
                members=count if isinstance(count, int) else None,
                topics=[topic],
                total_lag=sum(lags) if lags else None,
            )
        )
    errors = {str(node): problem_of(error) for node, error in found.errors.items()}
    return GroupPage(rows_shown, after, len(chosen), errors)


async def describe_some(
    cluster: Cluster, names: Sequence[str], history: History | None = None
) -> tuple[list[GroupDescription], dict[str, ClientError]]:
    """State, members and offsets of each group, and errors of those that do not exist."""
    found = await describe_groups(cluster, names)
    errors: dict[str, ClientError] = {}
    existing: list[Described] = []
    for name, group in found.items():
        if isinstance(group, ClientError):
            errors[name] = group
        elif not group.exists:
            errors[name] = BrokerError(ErrorCode.GROUP_ID_NOT_FOUND)
        else:
            existing.append(group)
    return list(await asyncio.gather(*(_describe(cluster, group, history) for group in existing))), errors


async def _describe(cluster: Cluster, group: Described, history: History | None) -> GroupDescription:
    node, committed = await asyncio.gather(
        cluster.coordinator(group.group_id), list_group_offsets(cluster, group.group_id)
    )
    owners = {
        TopicPartition(topic, partition): member
        for member in group.members
        for topic, partitions in (member.assignment or {}).items()
        for partition in partitions
    }
    names = sorted({*committed, *owners})
    ends = await list_offsets(cluster, dict.fromkeys(names, LATEST)) if names else {}
    rows = [_row(name, committed.get(name), ends.get(name), owners.get(name), history) for name in names]
    lags = [row.lag for row in rows if row.lag is not None]
    seconds = [row.lag_seconds for row in rows if row.lag_seconds is not None]
    broker = cluster.brokers.get(node)
    return GroupDescription(
        group=group.group_id,
        type=group.type,
        protocol_type=group.protocol_type,
        state=group.state,
        assignor=group.assignor or None,
        coordinator=Place(
            node, None if broker is None else broker.host, None if broker is None else broker.port
        ),
        total_lag=sum(lags) if lags else None,
        max_lag_seconds=max(seconds, default=None),
        members=[
            MemberRow(
                member_id=member.member_id,
                instance_id=member.instance_id,
                client_id=member.client_id,
                host=member.host,
                topics=None if member.topics is None else list(member.topics),
                assignment=_assignment(member.assignment),
                target=_assignment(member.target),
                epoch=member.epoch,
            )
            for member in group.members
        ],
        offsets=rows,
    )


def _row(
    name: TopicPartition,
    found: OffsetAndMetadata | ClientError | None,
    end: OffsetAt | ClientError | None,
    owner: GroupMember | None,
    history: History | None,
) -> OffsetRow:
    committed = None if isinstance(found, ClientError) else found
    offset = None if committed is None else committed.offset
    log_end = end.offset if isinstance(end, OffsetAt) else None
    lag = None if offset is None or log_end is None else log_end - offset
    seconds: float | None = None
    if lag is not None and lag <= 0:
        seconds = 0.0
    elif lag is not None and offset is not None and history is not None:
        seconds = history.lag_seconds(name.topic, name.partition, offset)
    return OffsetRow(
        topic=name.topic,
        partition=name.partition,
        committed_offset=offset,
        log_end_offset=log_end,
        lag=lag,
        lag_seconds=seconds,
        leader_epoch=None if committed is None or committed.leader_epoch < 0 else committed.leader_epoch,
        metadata=None if committed is None else committed.metadata,
        member_id=None if owner is None else owner.member_id,
        host=None if owner is None else owner.host,
        client_id=None if owner is None else owner.client_id,
    )


def _assignment(assignment: dict[str, tuple[int, ...]] | None) -> list[Assigned] | None:
    if assignment is None:
        return None
    return [Assigned(topic, list(partitions)) for topic, partitions in sorted(assignment.items())]
