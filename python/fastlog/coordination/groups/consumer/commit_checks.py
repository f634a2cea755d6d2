"""Whether a member may commit and fetch offsets: its epoch has to be right (KIP-848, KIP-1251)."""

from __future__ import annotations

from collections.abc import Iterable

from fastlog.coordination.groups.consumer.assignors.spec import TopicPartition
from fastlog.coordination.groups.consumer.members import ConsumerMember
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.errors import ErrorCode


def commit_error(
    group: ConsumerGroup,
    member_id: str,
    epoch: int,
    partitions: Iterable[TopicPartition],
    *,
    knows_epochs: bool,
) -> ErrorCode:
    """Why a commit is refused, or NONE.

    A member may commit with an epoch before its current one for partitions that it had then already. A commit
    from outside of the group (epoch below 0) is only for a group without members. `knows_epochs` tells that
    the request can carry a member epoch.
    """
    if epoch < 0 and not group.members:
        return ErrorCode.NONE
    member = group.members.get(member_id)
    if member is None:
        return ErrorCode.UNKNOWN_MEMBER_ID
    if not member.is_classic and not knows_epochs:
        return ErrorCode.UNSUPPORTED_VERSION
    current = member.position.epoch
    if epoch == current:
        return ErrorCode.NONE
    if member.is_classic or not 0 <= epoch < current:
        return _stale(member)
    held = {**member.position.revoking, **member.position.assigned}
    fits = all(key in held and held[key] <= epoch for key in partitions)
    return ErrorCode.NONE if fits else ErrorCode.STALE_MEMBER_EPOCH


def fetch_error(group: ConsumerGroup, member_id: str | None, epoch: int) -> ErrorCode:
    """Why a member may not fetch offsets, or NONE. Whoever names no member may (administrators)."""
    if not member_id and epoch < 0:
        return ErrorCode.NONE
    member = group.members.get(member_id or "")
    if member is None:
        return ErrorCode.UNKNOWN_MEMBER_ID
    return ErrorCode.NONE if epoch == member.position.epoch else _stale(member)


def _stale(member: ConsumerMember) -> ErrorCode:
    return ErrorCode.ILLEGAL_GENERATION if member.is_classic else ErrorCode.STALE_MEMBER_EPOCH
