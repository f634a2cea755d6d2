"""What `fastlog group describe` shows (`fastlog.verbs.groups` gathers it)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastlog.base.wording import counted
from fastlog.cli.tool.output import Column, Printer

__all__ = ["show_groups"]

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
