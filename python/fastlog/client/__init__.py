"""Client of a Kafka cluster, fastlog's or Apache's, on asyncio: connections, metadata, records.

`Cluster` is the base that everything else stands on:

    async with Cluster("127.0.0.1:9092") as cluster:
        answer = await cluster.request(DescribeClusterRequest(), DescribeClusterResponse)

With TLS and SASL it takes a `Security` (`fastlog.client.security`).
"""

from fastlog.client.cluster import Cluster
from fastlog.client.errors import (
    BadResponse,
    BrokerError,
    ClientError,
    ConnectionFailed,
    RequestTimedOut,
    Unreachable,
    VersionMismatch,
)
from fastlog.client.leaders import OffsetAt, leader_requests, list_offsets
from fastlog.client.metadata import BrokerNode, ClusterMetadata, PartitionInfo, TopicInfo, TopicPartition

__all__ = [
    "BadResponse",
    "BrokerError",
    "BrokerNode",
    "ClientError",
    "Cluster",
    "ClusterMetadata",
    "ConnectionFailed",
    "OffsetAt",
    "PartitionInfo",
    "RequestTimedOut",
    "TopicInfo",
    "TopicPartition",
    "Unreachable",
    "VersionMismatch",
    "leader_requests",
    "list_offsets",
]
