"""All partitions of this broker, by topic and partition (Kafka's `ReplicaManager`, without the I/O)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Final

from fastlog.replication.broker_epochs import BrokerEpochs
from fastlog.replication.partition import (
    NO_EPOCH,
    NO_LEADER,
    Partition,
    PartitionKey,
    ReplicaSettings,
    Surroundings,
)

if TYPE_CHECKING:
    from fastlog.native import Log
    from fastlog.replication.leader_throttle import LeaderThrottle


class ReplicaManager:
    """Where handlers find this broker's part in a partition. Used on the event loop only.

    `on_advance` is told of every partition that is not what it was for those who read it, `on_append` of
    those that have more records for their followers (see `Partition`).
    """

    def __init__(
        self,
        node_id: int,
        on_advance: Callable[[PartitionKey], object],
        surroundings: Surroundings | None = None,
        *,
        on_append: Callable[[PartitionKey], object] = lambda _: None,
    ) -> None:
        self.node_id: Final = node_id
        self._advances = advances = [0]

        # Not a method: partitions are not to keep this object, which has them.
        def advanced(key: PartitionKey) -> None:
            advances[0] += 1
            on_advance(key)

        self._on_advance = advanced
        self._on_append = on_append
        self._surroundings = surroundings or Surroundings()
        self._replicas: dict[PartitionKey, Partition] = {}
        self.broker_epochs: Final = BrokerEpochs()
        """Those of the brokers that fetch from this one."""
        self.leader_throttle: LeaderThrottle | None = None
        self.on_removed: Callable[[PartitionKey], object] = lambda _: None
        """Told of replicas, or logs of theirs, that are of no more use here."""

    def __len__(self) -> int:
        return len(self._replicas)

    def __iter__(self) -> Iterator[Partition]:
        return iter(list(self._replicas.values()))

    @property
    def advances(self) -> int:
        """How often `on_advance` was told: who writes down what has moved sees whether anything has."""
        return self._advances[0]

    def now_ms(self) -> int:
        """The clock of the partitions, in milliseconds."""
        return self._surroundings.now_ms()

    def get(self, topic: str, partition: int) -> Partition | None:
        """The replica, or None when this broker has none."""
        return self._replicas.get((topic, partition))

    def find(self, key: PartitionKey) -> Partition | None:
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
        replicas: Collection[int] = (),
        partition_epoch: int = 0,
    ) -> Partition:
        """Starts leading a partition, or goes on with another epoch, in-sync set or settings.

        The epoch must already be in the log's epoch file. In fsync mode the log must have been flushed: the
        high watermark starts at what is on the disk.
        """
        found = self._entered(topic, topic_id, partition, log, settings)
        found.configure(settings)
        found.lead(leader_epoch, in_sync, replicas=replicas, partition_epoch=partition_epoch)
        return found

    def become_follower(
        self,
        topic: str,
        topic_id: bytes,
        partition: int,
        log: Log,
        *,
        leader_id: int,
        leader_epoch: int,
        settings: ReplicaSettings,
    ) -> Partition:
        """Starts following a partition, or goes on with another leader (-1: nobody leads) or settings."""
        found = self._entered(topic, topic_id, partition, log, settings)
        found.follow(leader_id, leader_epoch)
        found.configure(settings)
        return found

    def remove(self, topic: str, partition: int) -> Partition | None:
        """Forgets a replica; requests that wait for it are answered with NOT_LEADER_OR_FOLLOWER."""
        replica = self._replicas.pop((topic, partition), None)
        if replica is not None:
            self.on_removed(replica.key)
            replica.resign(NO_LEADER, NO_EPOCH)
        return replica

    def _entered(
        self, topic: str, topic_id: bytes, partition: int, log: Log, settings: ReplicaSettings
    ) -> Partition:
        """The partition of this log, in no role yet when it is new here."""
        former = self._replicas.get((topic, partition))
        if former is not None and former.log is log:
            return former
        found = self._replicas[topic, partition] = Partition(
            topic,
            topic_id,
            partition,
            log,
            node_id=self.node_id,
            settings=settings,
            on_advance=self._on_advance,
            on_append=self._on_append,
            surroundings=self._surroundings,
        )
        if former is not None:
            self.on_removed(former.key)
            # Who waits for the log that was there before waits for nothing.
            former.resign(NO_LEADER, NO_EPOCH)
        return found
