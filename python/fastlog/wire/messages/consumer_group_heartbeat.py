"""ConsumerGroupHeartbeat (68): membership in the protocol of KIP-848. Version 1 is that of Kafka 4."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, int16, int32, nested, string, uuid


@dataclass(slots=True)
class TopicPartitions:
    """Partitions of one topic, by topic id."""

    topic_id: bytes = uuid()
    partitions: list[int] = array("int32")


@dataclass(slots=True)
class ConsumerGroupHeartbeatRequest(Request):
    """Null fields mean "as before". Member epoch 0 joins, -1 leaves, -2 leaves as a static member.

    From version 1 on the client chooses the member id (KIP-1082) and may subscribe by regular expression.
    """

    API = ApiKey.CONSUMER_GROUP_HEARTBEAT

    group_id: str = string()
    member_id: str = string()
    member_epoch: int = int32()
    instance_id: str | None = string(nullable="0+", default=None)
    rack_id: str | None = string(nullable="0+", default=None)
    rebalance_timeout_ms: int = int32(default=-1)
    subscribed_topic_names: list[str] | None = array("string", nullable="0+", null_default=True)
    subscribed_topic_regex: str | None = string("1+", nullable="1+", default=None)
    server_assignor: str | None = string(nullable="0+", default=None)
    topic_partitions: list[TopicPartitions] | None = array(TopicPartitions, nullable="0+", null_default=True)


@dataclass(slots=True)
class Assignment:
    """All partitions that the member shall own."""

    topic_partitions: list[TopicPartitions] = array(TopicPartitions)


@dataclass(slots=True)
class ConsumerGroupHeartbeatResponse(Response):
    """An assignment only if it has changed."""

    API = ApiKey.CONSUMER_GROUP_HEARTBEAT

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    member_id: str | None = string(nullable="0+", default=None)
    member_epoch: int = int32()
    heartbeat_interval_ms: int = int32()
    assignment: Assignment | None = nested(Assignment, nullable="0+")
