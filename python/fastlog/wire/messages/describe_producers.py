"""DescribeProducers (61): the producers that a partition remembers (KIP-664)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, int16, int32, int64, string


@dataclass(slots=True)
class TopicRequest:
    """Partitions of one topic."""

    name: str = string()
    partition_indexes: list[int] = array("int32")


@dataclass(slots=True)
class DescribeProducersRequest(Request):
    """Partitions to look into."""

    API = ApiKey.DESCRIBE_PRODUCERS

    topics: list[TopicRequest] = array(TopicRequest)


@dataclass(slots=True)
class ProducerState:
    """One producer. `current_txn_start_offset` is -1 outside a transaction."""

    producer_id: int = int64()
    producer_epoch: int = int32()
    last_sequence: int = int32(default=-1)
    last_timestamp: int = int64(default=-1)
    coordinator_epoch: int = int32()
    current_txn_start_offset: int = int64(default=-1)


@dataclass(slots=True)
class PartitionResponse:
    """The producers of one partition."""

    partition_index: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    active_producers: list[ProducerState] = array(ProducerState)


@dataclass(slots=True)
class TopicResponse:
    """The answers for one topic."""

    name: str = string()
    partitions: list[PartitionResponse] = array(PartitionResponse)


@dataclass(slots=True)
class DescribeProducersResponse(Response):
    """Producer state by partition."""

    API = ApiKey.DESCRIBE_PRODUCERS

    throttle_time_ms: int = int32()
    topics: list[TopicResponse] = array(TopicResponse)
