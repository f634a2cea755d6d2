"""Members that leave, and members that are fenced because something was due."""

from __future__ import annotations

from dataclasses import replace

from fastlog.coordination.groups.modern.heartbeat import check_instance
from fastlog.coordination.groups.modern.results import (
    LEAVE_STATIC_EPOCH,
    HeartbeatRequest,
    HeartbeatResult,
)
from fastlog.coordination.groups.modern.state import ConsumerGroup, Deadline
from fastlog.coordination.groups.modern.topics import Topics, metadata_hash
from fastlog.coordination.groups.results import Now
from fastlog.errors import ErrorCode, KafkaError


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
    """Fences the members whose time is over; returns them with what they did not do in time."""
    due = {member_id: what for (member_id, what), at in group.deadlines.items() if at <= now.monotonic}
    if due:
        expel(group, list(due), topics)
    group.wake_at = min(group.deadlines.values(), default=None)
    return due
