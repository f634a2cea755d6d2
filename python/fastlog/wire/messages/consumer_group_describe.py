"""ConsumerGroupDescribe (69): groups of the protocol of KIP-848. Version 1 tells each member's protocol."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.messages.common import UNKNOWN_OPERATIONS
from fastlog.wire.schema import Request, Response, array, boolean, int8, int16, int32, nested, string, uuid


@dataclass(slots=True)
class ConsumerGroupDescribeRequest(Request):
    """Groups by id."""

    API = ApiKey.CONSUMER_GROUP_DESCRIBE

    group_ids: list[str] = array("string")
    include_authorized_operations: bool = boolean()


@dataclass(slots=True)
class TopicPartitions:
    """Partitions of one topic."""

    topic_id: bytes = uuid()
    topic_name: str = string()
    partitions: list[int] = array("int32")


@dataclass(slots=True)
class Assignment:
    """Partitions by topic."""

    topic_partitions: list[TopicPartitions] = array(TopicPartitions)


@dataclass(slots=True)
class Member:
    """A member, what it owns now and what it is to own."""

    member_id: str = string()
    instance_id: str | None = string(nullable="0+", default=None)
    rack_id: str | None = string(nullable="0+", default=None)
    member_epoch: int = int32()
    client_id: str = string()
    client_host: str = string()
    subscribed_topic_names: list[str] = array("string")
    subscribed_topic_regex: str | None = string(nullable="0+", default=None)
    assignment: Assignment = nested(Assignment)
    target_assignment: Assignment = nested(Assignment)
    member_type: int = int8("1+", default=-1, ignorable=True)
    """0: classic protocol, 1: consumer protocol, -1: not known (KIP-1099)."""


@dataclass(slots=True)
class DescribedGroup:
    """State, epochs and members of a group."""

    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    group_id: str = string()
    group_state: str = string()
    group_epoch: int = int32()
    assignment_epoch: int = int32()
    assignor_name: str = string()
    members: list[Member] = array(Member)
    authorized_operations: int = int32(default=UNKNOWN_OPERATIONS)


@dataclass(slots=True)
class ConsumerGroupDescribeResponse(Response):
    """One description for each group."""

    API = ApiKey.CONSUMER_GROUP_DESCRIBE

    throttle_time_ms: int = int32()
    groups: list[DescribedGroup] = array(DescribedGroup)
