"""Finding the replica that a request is about, or the true reason why it cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.replication.partition import NO_EPOCH

if TYPE_CHECKING:
    from fastlog.native.shapes import NodeEndpoint
    from fastlog.replication.partition import Partition
    from fastlog.server.requests.context import BrokerServices

NO_LEADER: Final = (-1, -1)
"""(leader id, leader epoch) when neither is known."""


def missing_error(broker: BrokerServices, topic: str, partition: int) -> ErrorCode:
    """Why there is no replica here: unknown, on another broker, or its log directory failed."""
    state = broker.cluster.topics.get(topic)
    if state is None or not 0 <= partition < len(state.partitions):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if broker.logs.offline_reason(topic, partition) is not None:
        return ErrorCode.KAFKA_STORAGE_ERROR
    return ErrorCode.NOT_LEADER_OR_FOLLOWER


def is_offline(broker: BrokerServices, topic: str, partition: int) -> bool:
    """Whether the partition is this broker's and cannot be used: in Kafka it is led from here no more."""
    return broker.logs.offline_reason(topic, partition) is not None


def find_leader(
    broker: BrokerServices, topic: str, partition: int, known_epoch: int = NO_EPOCH
) -> tuple[Partition | None, int]:
    """(replica that this broker leads, 0), or (None, error code)."""
    replica = broker.replicas.get(topic, partition)
    if replica is None:
        return None, missing_error(broker, topic, partition)
    error = replica.leader_error(known_epoch)
    return (None, error) if error else (replica, 0)


def find_replica(
    broker: BrokerServices, topic: str, partition: int, known_epoch: int = NO_EPOCH
) -> tuple[Partition | None, int]:
    """The same for what any replica may answer."""
    replica = broker.replicas.get(topic, partition)
    if replica is None:
        return None, missing_error(broker, topic, partition)
    error = replica.replica_error(known_epoch)
    return (None, error) if error else (replica, 0)


def current_leader(broker: BrokerServices, topic: str, partition: int) -> tuple[int, int]:
    """(leader id, leader epoch) as the replica here has it, or else the cluster's metadata (KIP-951)."""
    replica = broker.replicas.get(topic, partition)
    if replica is not None:
        return replica.leader_id, replica.leader_epoch
    state = broker.cluster.topics.get(topic)
    if state is None or not 0 <= partition < len(state.partitions):
        return NO_LEADER
    found = state.partitions[partition]
    return found.leader, found.leader_epoch


def leader_endpoints(
    broker: BrokerServices, listener: str, leaders: list[tuple[int, int]]
) -> list[NodeEndpoint]:
    """Where the given leaders are reached over `listener` (KIP-951), each once."""
    wanted = {leader for leader, _ in leaders}
    return [
        (info.id, *info.endpoints[listener], info.rack)
        for info in broker.cluster.brokers()
        if info.id in wanted and listener in info.endpoints
    ]
