"""Produce (0): append record batches."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.messages.common import LeaderIdAndEpoch, NodeEndpoint
from fastlog.wire.schema import Request, Response, array, int16, int32, int64, nested, records, string


@dataclass(slots=True)
class PartitionProduceData:
    """The batch for one partition."""

    index: int = int32()
    records: bytes | memoryview | None = records(nullable="0+")


@dataclass(slots=True)
class TopicProduceData:
    """The batches for one topic."""

    name: str = string()
    partition_data: list[PartitionProduceData] = array(PartitionProduceData)


@dataclass(slots=True)
class ProduceRequest(Request):
    """Versions 0 to 2 carry message sets of magic 0 and 1, later ones record batches of magic 2."""

    API = ApiKey.PRODUCE

    transactional_id: str | None = string("3+", nullable="3+", default=None)
    acks: int = int16()
    timeout_ms: int = int32()
    topic_data: list[TopicProduceData] = array(TopicProduceData)


@dataclass(slots=True)
class BatchIndexAndErrorMessage:
    """Why one record of the batch was refused (KIP-467)."""

    batch_index: int = int32()
    batch_index_error_message: str | None = string(nullable="8+", default=None)


@dataclass(slots=True)
class PartitionProduceResponse:
    """The outcome for one partition.

    `log_append_time_ms` is -1 unless the topic stamps its own time; `current_leader` and the response's
    `node_endpoints` tell a client of version 10 on where the leader has gone (KIP-951).
    """

    index: int = int32()
    error_code: int = int16()
    base_offset: int = int64()
    log_append_time_ms: int = int64("2+", default=-1, ignorable=True)
    log_start_offset: int = int64("5+", default=-1, ignorable=True)
    record_errors: list[BatchIndexAndErrorMessage] = array(BatchIndexAndErrorMessage, "8+", ignorable=True)
    error_message: str | None = string("8+", nullable="8+", default=None, ignorable=True)
    current_leader: LeaderIdAndEpoch = nested(LeaderIdAndEpoch, "10+", tag=0)


@dataclass(slots=True)
class TopicProduceResponse:
    """The outcome for one topic."""

    name: str = string()
    partition_responses: list[PartitionProduceResponse] = array(PartitionProduceResponse)


@dataclass(slots=True)
class ProduceResponse(Response):
    """Not sent at all when the request had acks=0."""

    API = ApiKey.PRODUCE

    responses: list[TopicProduceResponse] = array(TopicProduceResponse)
    throttle_time_ms: int = int32("1+", ignorable=True)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint, "10+", tag=0)
