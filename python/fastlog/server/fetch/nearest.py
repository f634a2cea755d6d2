"""To which replica a consumer is sent, so that it reads in its own rack (KIP-392).

Follows `ReplicaManager.findPreferredReadReplica` and `RackAwareReplicaSelector` of Kafka: of the members of
the in-sync set that have the offset, the leader if it is in the consumer's rack, otherwise the one there that
has caught up furthest. Where there is none in that rack the consumer stays with the leader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastlog.replication.partition import Partition
    from fastlog.server.requests.context import BrokerServices

NO_REPLICA: Final = -1


def nearer_replica(broker: BrokerServices, partition: Partition, offset: int, rack: str) -> int:
    """Node id of the replica that a consumer in `rack` should read from; NO_REPLICA: it is to read here."""
    followers = partition.followers
    if not followers:
        return NO_REPLICA
    there = {info.id for info in broker.cluster.brokers() if info.rack == rack}
    if partition.node_id in there:
        return NO_REPLICA
    members = partition.in_sync
    able = [
        (follower.end_offset, follower.caught_up_ms, -replica)
        for replica, follower in followers.items()
        if replica in there and replica in members and follower.start_offset <= offset <= follower.end_offset
    ]
    return -max(able)[2] if able else NO_REPLICA
