"""DescribeCluster (60) and DescribeLogDirs (35)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.messages.common import UNKNOWN_OPERATIONS
from fastlog.wire.schema import Request, Response, array, boolean, int8, int16, int32, int64, string


@dataclass(slots=True)
class DescribeClusterRequest(Request):
    """From version 1 on for brokers (endpoint type 1) or controllers (2)."""

    API = ApiKey.DESCRIBE_CLUSTER

    include_cluster_authorized_operations: bool = boolean()
    endpoint_type: int = int8("1+", default=1)


@dataclass(slots=True)
class DescribeClusterBroker:
    """A broker and where clients of this listener reach it."""

    broker_id: int = int32()
    host: str = string()
    port: int = int32()
    rack: str | None = string(nullable="0+", default=None)


@dataclass(slots=True)
class DescribeClusterResponse(Response):
    """Cluster id, controller and brokers."""

    API = ApiKey.DESCRIBE_CLUSTER

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    endpoint_type: int = int8("1+", default=1)
    cluster_id: str = string()
    controller_id: int = int32(default=-1)
    brokers: list[DescribeClusterBroker] = array(DescribeClusterBroker)
    cluster_authorized_operations: int = int32(default=UNKNOWN_OPERATIONS)


@dataclass(slots=True)
class DescribableLogDirTopic:
    """Partitions of one topic."""

    topic: str = string()
    partitions: list[int] = array("int32")


@dataclass(slots=True)
class DescribeLogDirsRequest(Request):
    """Partitions to look for; null for all."""

    API = ApiKey.DESCRIBE_LOG_DIRS

    topics: list[DescribableLogDirTopic] | None = array(
        DescribableLogDirTopic, nullable="0+", null_default=True
    )


@dataclass(slots=True)
class DescribeLogDirsPartition:
    """Size in bytes, and how far a replica that moves between directories lags behind."""

    partition_index: int = int32()
    partition_size: int = int64()
    offset_lag: int = int64()
    is_future_key: bool = boolean()


@dataclass(slots=True)
class DescribeLogDirsTopic:
    """The partitions of one topic in this directory."""

    name: str = string()
    partitions: list[DescribeLogDirsPartition] = array(DescribeLogDirsPartition)


@dataclass(slots=True)
class DescribeLogDirsResult:
    """A directory, its partitions, and the size and free space of its volume (KIP-827)."""

    error_code: int = int16()
    log_dir: str = string()
    topics: list[DescribeLogDirsTopic] = array(DescribeLogDirsTopic)
    total_bytes: int = int64("4+", default=-1, ignorable=True)
    usable_bytes: int = int64("4+", default=-1, ignorable=True)


@dataclass(slots=True)
class DescribeLogDirsResponse(Response):
    """One result for each log directory."""

    API = ApiKey.DESCRIBE_LOG_DIRS

    throttle_time_ms: int = int32()
    error_code: int = int16("3+", ignorable=True)
    results: list[DescribeLogDirsResult] = array(DescribeLogDirsResult)
