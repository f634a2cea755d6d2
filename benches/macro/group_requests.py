"""Requests of consumers as frames, encoded beforehand, and the answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastlog.wire import Request, decode_response, encode_request
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
)
from fastlog.wire.messages.groups import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
)

TOPIC: Final = "positions"
SESSION_MS: Final = 30 * 60 * 1000
# Groups must not wait for members that do not come, and sessions outlive the run.
SETTINGS: Final = {
    "group.initial.rebalance.delay.ms": "0",
    "group.max.session.timeout.ms": str(SESSION_MS),
}
JOIN, SYNC, COMMIT, FETCH, LEAVE, DESCRIBE = 2, 2, 7, 8, 3, 1
"""Versions of the requests; JoinGroup 2 is the last that gives out member ids at once."""


def frame(request: Request, version: int) -> bytes:
    """A request, with its length."""
    return bytes(encode_request(request, version, 1, "bench"))


def decode(request: type[Request], version: int, frame: bytes) -> Any:
    """The answer to a request of that type, from a frame without its length."""
    return decode_response(request.API, version, frame)[1]


def join_request(group: str, member_id: str = "") -> JoinGroupRequest:
    """A consumer of one topic; without an id it is a new member."""
    subscription = b"\0\1\0\0\0\1\0\x09" + TOPIC.encode() + b"\xff\xff\xff\xff\0\0\0\0"
    return JoinGroupRequest(
        group_id=group,
        session_timeout_ms=SESSION_MS,
        rebalance_timeout_ms=SESSION_MS,
        member_id=member_id,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol("range", subscription)],
    )


def sync_request(group: str, generation: int, member_id: str, owners: Sequence[str]) -> SyncGroupRequest:
    """A member's, with assignments of ten partitions each for `owners` if it leads."""
    assignment = b"\0\1\0\0\0\1\0\x09" + TOPIC.encode() + bytes(4 + 4 * 10 + 4)
    return SyncGroupRequest(
        group_id=group,
        generation_id=generation,
        member_id=member_id,
        assignments=[SyncGroupRequestAssignment(owner, assignment) for owner in owners],
    )


def commit_request(
    group: str, generation: int, member_id: str, offset: int, partitions: int
) -> OffsetCommitRequest:
    """The same offset for all partitions."""
    rows = [OffsetCommitRequestPartition(index, offset, 0, -1, "") for index in range(partitions)]
    return OffsetCommitRequest(
        group_id=group,
        generation_id_or_member_epoch=generation,
        member_id=member_id,
        topics=[OffsetCommitRequestTopic(TOPIC, rows)],
    )


def fetch_request(group: str) -> OffsetFetchRequest:
    """All offsets of a group."""
    return OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group, topics=None)])
