"""The cluster as a broker describes it: brokers, topics, partitions. Plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fastlog.errors import ErrorCode
from fastlog.net.opening import format_address
from fastlog.wire.messages.common import UNKNOWN_OPERATIONS
from fastlog.wire.messages.metadata import MetadataResponse, MetadataResponsePartition, MetadataResponseTopic

__all__ = [
    "UNKNOWN_OPERATIONS",
    "BrokerNode",
    "ClusterMetadata",
    "PartitionInfo",
    "TopicInfo",
    "TopicPartition",
    "as_partition",
]


class TopicPartition(NamedTuple):
    """The name of a partition."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


def as_partition(given: object) -> TopicPartition:
    """A partition, from one or from a pair of topic and number. Raises TypeError for all else."""
    match given:
        case (str(topic), int(partition)):
            return TopicPartition(topic, partition)
    raise TypeError(f"a partition is a TopicPartition, or a pair of topic and number: {given!r} is not")


@dataclass(frozen=True, slots=True)
class BrokerNode:
    """A live broker and the address that it advertises to this listener's clients."""

    node_id: int
    host: str
    port: int
    rack: str | None = None

    @property
    def address(self) -> str:
        """host:port."""
        return format_address(self.host, self.port)


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """One partition. `leader` is a node id, -1 when there is none; `leader_epoch` is -1 when unknown."""

    topic: str
    index: int
    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    offline_replicas: tuple[int, ...]
    error: ErrorCode

    @property
    def name(self) -> TopicPartition:
        """Topic and index."""
        return TopicPartition(self.topic, self.index)


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """One topic. `topic_id` is 16 bytes, all zero where the broker knows no ids (before 2.8)."""

    name: str
    topic_id: bytes
    is_internal: bool
    partitions: tuple[PartitionInfo, ...]
    error: ErrorCode
    authorized_operations: int = UNKNOWN_OPERATIONS


@dataclass(frozen=True, slots=True)
class ClusterMetadata:
    """One answer to a Metadata request. Partitions are in order of their index."""

    cluster_id: str | None
    controller_id: int
    brokers: dict[int, BrokerNode]
    topics: dict[str, TopicInfo]

    @classmethod
    def of(cls, answer: MetadataResponse) -> ClusterMetadata:
        """Takes over an answer of any version."""
        return cls(
            cluster_id=answer.cluster_id,
            controller_id=answer.controller_id,
            brokers={
                broker.node_id: BrokerNode(broker.node_id, broker.host, broker.port, broker.rack)
                for broker in answer.brokers
            },
            topics={
                topic.name: _topic(topic, topic.name) for topic in answer.topics if topic.name is not None
            },
        )


def _topic(topic: MetadataResponseTopic, name: str) -> TopicInfo:
    partitions = sorted(topic.partitions, key=lambda partition: partition.partition_index)
    return TopicInfo(
        name=name,
        topic_id=topic.topic_id,
        is_internal=topic.is_internal,
        partitions=tuple(_partition(name, partition) for partition in partitions),
        error=ErrorCode.of(topic.error_code),
        authorized_operations=topic.topic_authorized_operations,
    )


def _partition(topic: str, partition: MetadataResponsePartition) -> PartitionInfo:
    return PartitionInfo(
        topic=topic,
        index=partition.partition_index,
        leader=partition.leader_id,
        leader_epoch=partition.leader_epoch,
        replicas=tuple(partition.replica_nodes),
        isr=tuple(partition.isr_nodes),
        offline_replicas=tuple(partition.offline_replicas),
        error=ErrorCode.of(partition.error_code),
    )
