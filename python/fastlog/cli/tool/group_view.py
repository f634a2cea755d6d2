"""What `fastlog group describe` gathers and shows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fastlog.base.wording import counted
from fastlog.cli.tool.output import Column, Printer
from fastlog.client import BrokerError, ClientError, Cluster, TopicPartition
from fastlog.client.admin.groups import GroupDescription, GroupMember, describe_groups
from fastlog.client.admin.offsets import list_group_offsets
from fastlog.client.leaders import LATEST, OffsetAt, list_offsets
from fastlog.client.offset_values import OffsetAndMetadata
from fastlog.errors import ErrorCode

__all__ = ["DescribedGroups", "describe_all", "show_groups"]

_OFFSETS: Final = (
    Column("topic", "topic"),
    Column("partition", "partition", "number"),
    Column("committed_offset", "committed", "number"),
    Column("log_end_offset", "log end", "number"),
    Column("lag", "lag", "number"),
    Column("member_id", "member"),
    Column("host", "host"),
    Column("client_id", "client"),
)
_MEMBERS: Final = (
    Column("member_id", "member"),
    Column("instance_id", "instance"),
    Column("host", "host"),
    Column("client_id", "client"),
    Column("partition_count", "partitions", "number"),
    Column("assigned", "assignment"),
)
_STATES: Final = (
    Column("group", "group"),
    Column("type", "type"),
    Column("state", "state"),
    Column("protocol_type", "protocol"),
    Column("assignor", "assignor"),
    Column("member_count", "members", "number"),
    Column("coordinator_address", "coordinator"),
    Column("total_lag", "total lag", "number"),
)


@dataclass(slots=True)
class DescribedGroups:
    """Rows for the groups that exist, errors of the others."""

    groups: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, ClientError] = field(default_factory=dict)


async def describe_all(cluster: Cluster, names: Sequence[str]) -> DescribedGroups:
    """State, members and offsets of each group."""
    found = await describe_groups(cluster, names)
    result = DescribedGroups()
    existing: list[GroupDescription] = []
    for name, group in found.items():
        if isinstance(group, ClientError):
            result.errors[name] = group
        elif not group.exists:
            result.errors[name] = BrokerError(ErrorCode.GROUP_ID_NOT_FOUND)
        else:
            existing.append(group)
    result.groups.extend(await asyncio.gather(*(_describe(cluster, group) for group in existing)))
    return result


async def _describe(cluster: Cluster, group: GroupDescription) -> dict[str, Any]:
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
    rows = [_row(name, committed.get(name), ends.get(name), owners.get(name)) for name in names]
    lags = [row["lag"] for row in rows if row["lag"] is not None]
    broker = cluster.brokers.get(node)
    return {
        "group": group.group_id,
        "type": group.type,
        "protocol_type": group.protocol_type,
        "state": group.state,
        "assignor": group.assignor or None,
        "coordinator": {
            "id": node,
            "host": None if broker is None else broker.host,
            "port": None if broker is None else broker.port,
        },
        "total_lag": sum(lags) if lags else None,
        "members": [
            {
                "member_id": member.member_id,
                "instance_id": member.instance_id,
                "client_id": member.client_id,
                "host": member.host,
                "topics": None if member.topics is None else list(member.topics),
                "assignment": _assignment(member.assignment),
                "target": _assignment(member.target),
                "epoch": member.epoch,
            }
            for member in group.members
        ],
        "offsets": rows,
    }


def _row(
    name: TopicPartition,
    found: OffsetAndMetadata | ClientError | None,
    end: OffsetAt | ClientError | None,
    owner: GroupMember | None,
) -> dict[str, Any]:
    committed = None if isinstance(found, ClientError) else found
    offset = None if committed is None else committed.offset
    log_end = end.offset if isinstance(end, OffsetAt) else None
    return {
        "topic": name.topic,
        "partition": name.partition,
        "committed_offset": offset,
        "log_end_offset": log_end,
        "lag": None if offset is None or log_end is None else log_end - offset,
        "leader_epoch": None if committed is None or committed.leader_epoch < 0 else committed.leader_epoch,
        "metadata": None if committed is None else committed.metadata,
        "member_id": None if owner is None else owner.member_id,
        "host": None if owner is None else owner.host,
        "client_id": None if owner is None else owner.client_id,
    }


def _assignment(assignment: dict[str, tuple[int, ...]] | None) -> list[dict[str, Any]] | None:
    if assignment is None:
        return None
    return [
        {"topic": topic, "partitions": list(partitions)} for topic, partitions in sorted(assignment.items())
    ]


def show_groups(out: Printer, groups: Sequence[dict[str, Any]], what: str) -> None:
    """The JSON document; or tables of `offsets`, `members` or `state`."""
    out.document(list(groups))
    if out.as_json:
        return
    if what == "state":
        out.table(_STATES, [_state(group) for group in groups])
        return
    for group in groups:
        active = f", {counted(len(group['members']), 'member')}" if group["members"] else ""
        head = f"group {group['group']} ({group['type']}, {group['state']}{active})"
        if what == "members":
            out.table(_MEMBERS, [_member(row) for row in group["members"]], title=head)
        else:
            lag = "" if group["total_lag"] is None else f", lag {group['total_lag']}"
            out.table(_OFFSETS, group["offsets"], title=head + lag)


def _state(group: dict[str, Any]) -> dict[str, Any]:
    place = group["coordinator"]
    return group | {
        "member_count": len(group["members"]),
        "coordinator_address": f"{place['host']}:{place['port']} ({place['id']})",
    }


def _member(row: dict[str, Any]) -> dict[str, Any]:
    assigned = row["assignment"] or []
    return row | {
        "partition_count": sum(len(item["partitions"]) for item in assigned),
        "assigned": " ".join(f"{item['topic']}:{','.join(map(str, item['partitions']))}" for item in assigned)
        or None,
    }
