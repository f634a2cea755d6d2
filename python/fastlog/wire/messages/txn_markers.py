"""WriteTxnMarkers (27): the coordinator tells the leaders how transactions ended."""

from __future__ import annotations

from dataclasses import dataclass

from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, boolean, int8, int16, int32, int64, string


@dataclass(slots=True)
class WritableTxnMarkerTopic:
    """Partitions of one topic."""

    name: str = string()
    partition_indexes: list[int] = array("int32")


@dataclass(slots=True)
class WritableTxnMarker:
    """One producer, the result (true: committed) and the partitions; from version 2 on with the transaction's
    version (KIP-1228)."""

    producer_id: int = int64()
    producer_epoch: int = int16()
    transaction_result: bool = boolean()
    topics: list[WritableTxnMarkerTopic] = array(WritableTxnMarkerTopic)
    coordinator_epoch: int = int32()
    transaction_version: int = int8("2+", ignorable=True)


@dataclass(slots=True)
class WriteTxnMarkersRequest(Request):
    """Markers to append."""

    API = ApiKey.WRITE_TXN_MARKERS

    markers: list[WritableTxnMarker] = array(WritableTxnMarker)


@dataclass(slots=True)
class WritableTxnMarkerPartitionResult:
    """The outcome for one partition."""

    partition_index: int = int32()
    error_code: int = int16()


@dataclass(slots=True)
class WritableTxnMarkerTopicResult:
    """The outcome for one topic."""

    name: str = string()
    partitions: list[WritableTxnMarkerPartitionResult] = array(WritableTxnMarkerPartitionResult)


@dataclass(slots=True)
class WritableTxnMarkerResult:
    """The outcome for one marker."""

    producer_id: int = int64()
    topics: list[WritableTxnMarkerTopicResult] = array(WritableTxnMarkerTopicResult)


@dataclass(slots=True)
class WriteTxnMarkersResponse(Response):
    """One result for each marker."""

    API = ApiKey.WRITE_TXN_MARKERS

    markers: list[WritableTxnMarkerResult] = array(WritableTxnMarkerResult)
