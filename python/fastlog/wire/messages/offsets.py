"""ListOffsets (2) and OffsetForLeaderEpoch (23): offsets by time, and ends of leader epochs."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, int8, int16, int32, int64, string


@dataclass(slots=True)
class ListOffsetsPartition:
    """A time in milliseconds, or a negative marker (-1 latest, -2 earliest, -3 of the greatest time)."""

    partition_index: int = int32()
    current_leader_epoch: int = int32("4+", default=-1, ignorable=True)
    timestamp: int = int64()
    max_num_offsets: int = int32("0", default=1)


@dataclass(slots=True)
class ListOffsetsTopic:
    """What is asked about one topic."""

    name: str = string()
    partitions: list[ListOffsetsPartition] = array(ListOffsetsPartition)


@dataclass(slots=True)
class ListOffsetsRequest(Request):
    """From a consumer `replica_id` is -1. `isolation_level` 1 stops at the last stable offset."""

    API = ApiKey.LIST_OFFSETS

    replica_id: int = int32()
    isolation_level: int = int8("2+")
    topics: list[ListOffsetsTopic] = array(ListOffsetsTopic)


@dataclass(slots=True)
class ListOffsetsPartitionResponse:
    """Version 0 answers with a list of segment offsets, later ones with one offset."""

    partition_index: int = int32()
    error_code: int = int16()
    old_style_offsets: list[int] = array("int64", "0")
    timestamp: int = int64("1+", default=-1)
    offset: int = int64("1+", default=-1)
    leader_epoch: int = int32("4+", default=-1)


@dataclass(slots=True)
class ListOffsetsTopicResponse:
    """The answers for one topic."""

    name: str = string()
    partitions: list[ListOffsetsPartitionResponse] = array(ListOffsetsPartitionResponse)


@dataclass(slots=True)
class ListOffsetsResponse(Response):
    """Offsets for the partitions that were asked about."""

    API = ApiKey.LIST_OFFSETS

    throttle_time_ms: int = int32("2+", ignorable=True)
    topics: list[ListOffsetsTopicResponse] = array(ListOffsetsTopicResponse)


@dataclass(slots=True)
class OffsetForLeaderPartition:
    """The epoch whose end is wanted, and the epoch that the asker believes current."""

    partition: int = int32()
    current_leader_epoch: int = int32("2+", default=-1, ignorable=True)
    leader_epoch: int = int32()


@dataclass(slots=True)
class OffsetForLeaderTopic:
    """What is asked about one topic."""

    topic: str = string()
    partitions: list[OffsetForLeaderPartition] = array(OffsetForLeaderPartition)


@dataclass(slots=True)
class OffsetForLeaderEpochRequest(Request):
    """`replica_id` is -1 for a consumer and -2 for the debugging consumer."""

    API = ApiKey.OFFSET_FOR_LEADER_EPOCH

    replica_id: int = int32("3+", default=-2, ignorable=True)
    topics: list[OffsetForLeaderTopic] = array(OffsetForLeaderTopic)


@dataclass(slots=True)
class EpochEndOffset:
    """The greatest epoch that is not above the wanted one, and where it ends; -1 and -1 when unknown."""

    error_code: int = int16()
    partition: int = int32()
    leader_epoch: int = int32("1+", default=-1, ignorable=True)
    end_offset: int = int64(default=-1)


@dataclass(slots=True)
class OffsetForLeaderTopicResult:
    """The answers for one topic."""

    topic: str = string()
    partitions: list[EpochEndOffset] = array(EpochEndOffset)


@dataclass(slots=True)
class OffsetForLeaderEpochResponse(Response):
    """Ends of epochs."""

    API = ApiKey.OFFSET_FOR_LEADER_EPOCH

    throttle_time_ms: int = int32("2+", ignorable=True)
    topics: list[OffsetForLeaderTopicResult] = array(OffsetForLeaderTopicResult)
