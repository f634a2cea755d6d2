"""All replicas of this broker, by topic and partition (Kafka's `ReplicaManager`, without the I/O)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from fastlog.replication.replica import NO_EPOCH, PartitionKey, Replica, ReplicaSettings

if TYPE_CHECKING:
    from fastlog.native import Log


class ReplicaManager:
    """Where handlers find the replica of a partition. Used on the event loop only.

    `on_advance` is told of every partition whose high watermark or leadership moved.
    """

    def __init__(self, node_id: int, on_advance: Callable[[PartitionKey], object]) -> None:
        self.node_id: Final = node_id
        self._on_advance = on_advance
        self._replicas: dict[PartitionKey, Replica] = {}

    def __len__(self) -> int:
        return len(self._replicas)

    def __iter__(self) -> Iterator[Replica]:
        return iter(list(self._replicas.values()))

    def get(self, topic: str, partition: int) -> Replica | None:
        """The replica, or None when this broker has none."""
        return self._replicas.get((topic, partition))

    def find(self, key: PartitionKey) -> Replica | None:
        """The same by key."""
        return self._replicas.get(key)

    def become_leader(
        self,
        topic: str,
        topic_id: bytes,
        partition: int,
        log: Log,
        *,
        leader_epoch: int,
        in_sync: frozenset[int],
        settings: ReplicaSettings,
    ) -> Replica:
        """Starts leading a partition, or goes on with another epoch, in-sync set or settings.

        The epoch must already be in the log's epoch file. In fsync mode the log must have been flushed: the
        high watermark starts at what is on the disk.
        """
        replica = self._replicas.get((topic, partition))
        if replica is None or replica.log is not log:
            replica = Replica(
                topic,
                topic_id,
                partition,
                log,
                node_id=self.node_id,
                settings=settings,
                on_advance=self._on_advance,
            )
            self._replicas[replica.key] = replica
        replica.configure(settings)
        replica.lead(leader_epoch, in_sync)
        return replica

    def remove(self, topic: str, partition: int) -> Replica | None:
        """Forgets a replica; requests that wait for it are answered with NOT_LEADER_OR_FOLLOWER."""
        replica = self._replicas.pop((topic, partition), None)
        if replica is not None:
            replica.resign(-1, NO_EPOCH)
        return replica
