"""Groups from outside: DescribeGroups (15), ListGroups (16), DeleteGroups (42)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.messages.common import UNKNOWN_OPERATIONS
from fastlog.wire.schema import Request, Response, array, blob, boolean, int16, int32, string


@dataclass(slots=True)
class DescribeGroupsRequest(Request):
    """Groups by id."""

    API = ApiKey.DESCRIBE_GROUPS

    groups: list[str] = array("string")
    include_authorized_operations: bool = boolean("3+")


@dataclass(slots=True)
class DescribedGroupMember:
    """A member, its subscription and its assignment."""

    member_id: str = string()
    group_instance_id: str | None = string("4+", nullable="4+", default=None, ignorable=True)
    client_id: str = string()
    client_host: str = string()
    member_metadata: bytes = blob()
    member_assignment: bytes = blob()


@dataclass(slots=True)
class DescribedGroup:
    """State, protocol and members of a group. One that does not exist is in state "Dead", and from version
    6 on an error (KIP-1043)."""

    error_code: int = int16()
    error_message: str | None = string("6+", nullable="6+", default=None, ignorable=True)
    group_id: str = string()
    group_state: str = string()
    protocol_type: str = string()
    protocol_data: str = string()
    members: list[DescribedGroupMember] = array(DescribedGroupMember)
    authorized_operations: int = int32("3+", default=UNKNOWN_OPERATIONS)


@dataclass(slots=True)
class DescribeGroupsResponse(Response):
    """One description for each group."""

    API = ApiKey.DESCRIBE_GROUPS

    throttle_time_ms: int = int32("1+", ignorable=True)
    groups: list[DescribedGroup] = array(DescribedGroup)


@dataclass(slots=True)
class ListGroupsRequest(Request):
    """Groups of this coordinator, by state (version 4) and type (version 5) if any are given."""

    API = ApiKey.LIST_GROUPS

    states_filter: list[str] = array("string", "4+")
    types_filter: list[str] = array("string", "5+")


@dataclass(slots=True)
class ListedGroup:
    """A group in brief."""

    group_id: str = string()
    protocol_type: str = string()
    group_state: str = string("4+", ignorable=True)
    group_type: str = string("5+", ignorable=True)


@dataclass(slots=True)
class ListGroupsResponse(Response):
    """The groups of this coordinator."""

    API = ApiKey.LIST_GROUPS

    throttle_time_ms: int = int32("1+", ignorable=True)
    error_code: int = int16()
    groups: list[ListedGroup] = array(ListedGroup)


@dataclass(slots=True)
class DeleteGroupsRequest(Request):
    """Groups to forget; they must be empty."""

    API = ApiKey.DELETE_GROUPS

    groups_names: list[str] = array("string")


@dataclass(slots=True)
class DeletableGroupResult:
    """The outcome for one group."""

    group_id: str = string()
    error_code: int = int16()


@dataclass(slots=True)
class DeleteGroupsResponse(Response):
    """One result for each group."""

    API = ApiKey.DELETE_GROUPS

    throttle_time_ms: int = int32()
    results: list[DeletableGroupResult] = array(DeletableGroupResult)
