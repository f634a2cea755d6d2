"""DescribeTopicPartitions (75): partitions of topics, page by page (KIP-966)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.messages.common import UNKNOWN_OPERATIONS
from fastlog.wire.schema import Request, Response, array, boolean, int16, int32, nested, string, uuid


@dataclass(slots=True)
class TopicRequest:
    """A topic by name."""

    name: str = string()


@dataclass(slots=True)
class Cursor:
    """The first partition of the next page."""

    topic_name: str = string()
    partition_index: int = int32()


@dataclass(slots=True)
class DescribeTopicPartitionsRequest(Request):
    """Topics in order, and where to go on (null: from the start)."""

    API = ApiKey.DESCRIBE_TOPIC_PARTITIONS

    topics: list[TopicRequest] = array(TopicRequest)
    response_partition_limit: int = int32(default=2000)
    cursor: Cursor | None = nested(Cursor, nullable="0+")


@dataclass(slots=True)
class DescribeTopicPartitionsResponsePartition:
    """One partition. Eligible leader replicas are null where there is no such notion."""

    error_code: int = int16()
    partition_index: int = int32()
    leader_id: int = int32()
    leader_epoch: int = int32(default=-1, ignorable=True)
    replica_nodes: list[int] = array("int32")
    isr_nodes: list[int] = array("int32")
    eligible_leader_replicas: list[int] | None = array("int32", nullable="0+", null_default=True)
    last_known_elr: list[int] | None = array("int32", nullable="0+", null_default=True)
    offline_replicas: list[int] = array("int32", ignorable=True)


@dataclass(slots=True)
class DescribeTopicPartitionsResponseTopic:
    """One topic, or the part of it that fits the page."""

    error_code: int = int16()
    name: str | None = string(nullable="0+", default=None)
    topic_id: bytes = uuid(ignorable=True)
    is_internal: bool = boolean(ignorable=True)
    partitions: list[DescribeTopicPartitionsResponsePartition] = array(
        DescribeTopicPartitionsResponsePartition
    )
    topic_authorized_operations: int = int32(default=UNKNOWN_OPERATIONS)


@dataclass(slots=True)
class DescribeTopicPartitionsResponse(Response):
    """A page; without a cursor it is the last."""

    API = ApiKey.DESCRIBE_TOPIC_PARTITIONS

    throttle_time_ms: int = int32(ignorable=True)
    topics: list[DescribeTopicPartitionsResponseTopic] = array(DescribeTopicPartitionsResponseTopic)
    next_cursor: Cursor | None = nested(Cursor, nullable="0+")
