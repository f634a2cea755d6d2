"""Requests of groups with the usual values filled in; what a test names takes their place."""

from __future__ import annotations

from typing import Any

from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from fastlog.wire.messages.groups import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
)


def join_request(
    group_id: str,
    member_id: str = "",
    *,
    protocol: tuple[str, bytes],
    protocol_type: str = "consumer",
    timeout_ms: int = 10_000,
    **how: Any,
) -> JoinGroupRequest:
    """JoinGroup with one protocol: (name, metadata)."""
    name, metadata = protocol
    values: dict[str, Any] = {
        "group_id": group_id,
        "session_timeout_ms": timeout_ms,
        "rebalance_timeout_ms": timeout_ms,
        "member_id": member_id,
        "protocol_type": protocol_type,
        "protocols": [JoinGroupRequestProtocol(name, metadata)],
    }
    return JoinGroupRequest(**{**values, **how})


def sync_request(
    group_id: str, generation: int, member_id: str, own: bytes | None = None, **how: Any
) -> SyncGroupRequest:
    """SyncGroup; of a leader that gives itself an assignment when `own` is one."""
    values: dict[str, Any] = {
        "group_id": group_id,
        "generation_id": generation,
        "member_id": member_id,
        "assignments": [] if own is None else [SyncGroupRequestAssignment(member_id, own)],
    }
    return SyncGroupRequest(**{**values, **how})


def commit_request(
    group_id: str,
    offset: int,
    *,
    topic: str = "t",
    partition: int = 0,
    leader_epoch: int = 3,
    metadata: str | None = "m",
    **how: Any,
) -> OffsetCommitRequest:
    """OffsetCommit for one partition, from outside of the group unless said otherwise."""
    row = OffsetCommitRequestPartition(partition, offset, leader_epoch, committed_metadata=metadata)
    values: dict[str, Any] = {"group_id": group_id, "topics": [OffsetCommitRequestTopic(topic, [row])]}
    return OffsetCommitRequest(**{**values, **how})
