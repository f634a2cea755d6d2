"""Members that leave, and members that are fenced because something was due."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fastlog.coordination.groups.consumer.member_heartbeat import check_instance
from fastlog.coordination.groups.consumer.results import (
    LEAVE_STATIC_EPOCH,
    HeartbeatRequest,
    HeartbeatResult,
)
from fastlog.coordination.groups.consumer.state import ConsumerGroup, Deadline
from fastlog.coordination.groups.consumer.topics_seen import Topics, metadata_hash
from fastlog.coordination.groups.results import Now
from fastlog.errors import ErrorCode, KafkaError

# Of members that are fenced at the same time: their keys, with what a record has around them.
_TOMBSTONE_BYTES: Final = 64 * 1024
_TOMBSTONES_PER_MEMBER: Final = 3
_RECORD_OVERHEAD: Final = 20
_NEXT_LOT_SECONDS: Final = 1.0
"""How long the next of them wait at most for the tombstones of these to be written."""


def leave(group: ConsumerGroup, request: HeartbeatRequest, topics: Topics) -> HeartbeatResult:
    """Takes a heartbeat with epoch -1 or -2.

    A static member that leaves with -2 keeps its place, and what it owned, until its session ends.
    Raises KafkaError: UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID.
    """
    if request.instance_id is None:
        member = group.member(request.member_id)
    else:
        found = group.static_member(request.instance_id)
        if found is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"instance id {request.instance_id!r} is not known")
        check_instance(found, request.member_id)
        member = found
    if request.epoch == LEAVE_STATIC_EPOCH:
        position = replace(member.position, epoch=LEAVE_STATIC_EPOCH, revoking={})
        group.put(replace(member, position=position))
        group.clear_deadlines(member.member_id, [Deadline.REVOCATION])
    else:
        expel(group, [member.member_id], topics)
    return HeartbeatResult(member_id=member.member_id, epoch=request.epoch)


def expel(group: ConsumerGroup, member_ids: list[str], topics: Topics) -> None:
    """Takes members out. The next heartbeat of anybody else makes the new target."""
    for member_id in member_ids:
        group.remove(member_id)
    group.set_epoch(group.epoch + 1, metadata_hash(group.subscribed_topics(), topics))


def on_time(group: ConsumerGroup, now: Now, topics: Topics) -> dict[str, Deadline]:
    """Fences members whose time is over; returns them with what they did not do in time.

    No more at a time than leave tombstones for a batch that any topic takes: a group whose batch is refused
    would keep all of them. When some are left `wake_at` is a little later than now; what is fenced should be
    in the log before the next call.
    """
    due: dict[str, Deadline] = {}
    room = _TOMBSTONE_BYTES
    for (member_id, what), at in group.deadlines.items():
        if at > now.monotonic or member_id in due:
            continue
        size = _TOMBSTONES_PER_MEMBER * (
            len(group.group_id.encode()) + len(member_id.encode()) + _RECORD_OVERHEAD
        )
        if due and size > room:
            break
        due[member_id] = what
        room -= size
    if due:
        expel(group, list(due), topics)
    group.wake_at = min(group.deadlines.values(), default=None)
    if due and group.wake_at is not None and group.wake_at <= now.monotonic:
        group.wake_at = now.monotonic + _NEXT_LOT_SECONDS
    return due


def is_more_due(group: ConsumerGroup, now: Now) -> bool:
    """Whether `on_time` has left some for the next call."""
    return any(at <= now.monotonic for at in group.deadlines.values())
