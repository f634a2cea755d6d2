"""Members of a classic group: JoinGroup (11), SyncGroup (14), Heartbeat (12), LeaveGroup (13)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, blob, boolean, int16, int32, string


@dataclass(slots=True)
class JoinGroupRequestProtocol:
    """A protocol by name and what the member tells the leader for it (its subscription)."""

    name: str = string()
    metadata: bytes = blob()


@dataclass(slots=True)
class JoinGroupRequest(Request):
    """A member (empty id: a new one) and the assignment protocols that it supports, in order of preference.

    `group_instance_id` makes the member static (KIP-345). Without `rebalance_timeout_ms` (version 0, then -1)
    the session timeout stands for it.
    """

    API = ApiKey.JOIN_GROUP

    group_id: str = string()
    session_timeout_ms: int = int32()
    rebalance_timeout_ms: int = int32("1+", default=-1, ignorable=True)
    member_id: str = string()
    group_instance_id: str | None = string("5+", nullable="5+", default=None)
    protocol_type: str = string()
    protocols: list[JoinGroupRequestProtocol] = array(JoinGroupRequestProtocol)
    reason: str | None = string("8+", nullable="8+", default=None, ignorable=True)


@dataclass(slots=True)
class JoinGroupResponseMember:
    """A member and its metadata for the chosen protocol."""

    member_id: str = string()
    group_instance_id: str | None = string("5+", nullable="5+", default=None, ignorable=True)
    metadata: bytes = blob()


@dataclass(slots=True)
class JoinGroupResponse(Response):
    """The generation. The leader gets all members, the others none."""

    API = ApiKey.JOIN_GROUP

    throttle_time_ms: int = int32("2+", ignorable=True)
    error_code: int = int16()
    generation_id: int = int32(default=-1)
    protocol_type: str | None = string("7+", nullable="7+", default=None, ignorable=True)
    protocol_name: str | None = string(nullable="7+")
    leader: str = string()
    skip_assignment: bool = boolean("9+")
    member_id: str = string()
    members: list[JoinGroupResponseMember] = array(JoinGroupResponseMember)


@dataclass(slots=True)
class SyncGroupRequestAssignment:
    """What one member shall own."""

    member_id: str = string()
    assignment: bytes = blob()


@dataclass(slots=True)
class SyncGroupRequest(Request):
    """The leader brings every member's assignment, the others bring none."""

    API = ApiKey.SYNC_GROUP

    group_id: str = string()
    generation_id: int = int32()
    member_id: str = string()
    group_instance_id: str | None = string("3+", nullable="3+", default=None)
    protocol_type: str | None = string("5+", nullable="5+", default=None, ignorable=True)
    protocol_name: str | None = string("5+", nullable="5+", default=None, ignorable=True)
    assignments: list[SyncGroupRequestAssignment] = array(SyncGroupRequestAssignment)


@dataclass(slots=True)
class SyncGroupResponse(Response):
    """The member's own assignment."""

    API = ApiKey.SYNC_GROUP

    throttle_time_ms: int = int32("1+", ignorable=True)
    error_code: int = int16()
    protocol_type: str | None = string("5+", nullable="5+", default=None, ignorable=True)
    protocol_name: str | None = string("5+", nullable="5+", default=None, ignorable=True)
    assignment: bytes = blob()


@dataclass(slots=True)
class HeartbeatRequest(Request):
    """A sign of life of one member in one generation."""

    API = ApiKey.HEARTBEAT

    group_id: str = string()
    generation_id: int = int32()
    member_id: str = string()
    group_instance_id: str | None = string("3+", nullable="3+", default=None)


@dataclass(slots=True)
class HeartbeatResponse(Response):
    """Error 27 (REBALANCE_IN_PROGRESS) calls the member to join again."""

    API = ApiKey.HEARTBEAT

    throttle_time_ms: int = int32("1+", ignorable=True)
    error_code: int = int16()


@dataclass(slots=True)
class MemberIdentity:
    """A member by id, or by instance id with an empty or any member id."""

    member_id: str = string()
    group_instance_id: str | None = string(nullable="3+", default=None)
    reason: str | None = string("5+", nullable="5+", default=None, ignorable=True)


@dataclass(slots=True)
class LeaveGroupRequest(Request):
    """One member up to version 2, several from 3 on (KIP-345)."""

    API = ApiKey.LEAVE_GROUP

    group_id: str = string()
    member_id: str = string("0-2")
    members: list[MemberIdentity] = array(MemberIdentity, "3+")


@dataclass(slots=True)
class MemberResponse:
    """The outcome for one member."""

    member_id: str = string()
    group_instance_id: str | None = string(nullable="3+", default=None)
    error_code: int = int16()


@dataclass(slots=True)
class LeaveGroupResponse(Response):
    """From version 3 on with one result for each member."""

    API = ApiKey.LEAVE_GROUP

    throttle_time_ms: int = int32("1+", ignorable=True)
    error_code: int = int16()
    members: list[MemberResponse] = array(MemberResponse, "3+")
