"""The partitions of this broker's disks: what leading, following and stopping mean for logs and replicas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fastlog.replication.partition import NO_LEADER, Partition, PartitionKey
from fastlog.replication.reconciler import AssignedPartition, AssignedTopic

if TYPE_CHECKING:
    from fastlog.native import Log, LogConfig
    from fastlog.replication.committer import GroupCommitter
    from fastlog.replication.partition import ReplicaSettings
    from fastlog.replication.replica_manager import ReplicaManager
    from fastlog.storage.io import IoLoop
    from fastlog.storage.log_manager import LogManager


class LedPartition(AssignedPartition, Protocol):
    """With what a leader has to know."""

    @property
    def leader_epoch(self) -> int:
        """Rises with each election."""
        ...

    @property
    def isr(self) -> tuple[int, ...]:
        """Node ids of the replicas in sync."""
        ...

    @property
    def partition_epoch(self) -> int:
        """Rises with each change that the controller stores of the partition."""
        ...


class LedTopic(AssignedTopic, Protocol):
    """A topic of such partitions."""

    @property
    def partitions(self) -> Sequence[LedPartition]:
        """By number."""
        ...


class TopicSettings(NamedTuple):
    """The settings in force of the partitions of one topic."""

    log: LogConfig
    replica: ReplicaSettings


class SettingsOf(Protocol):
    """Gives what is in force for a topic now."""

    def __call__(self, topic: LedTopic, *, report: bool = False) -> TopicSettings:
        """With `report` the operator is told of overrides that are kept, but not in force."""
        ...


class Fetchers(Protocol):
    """Fetches from leaders what this broker follows (`FetcherManager`)."""

    async def follow(self, partition: Partition) -> None:
        """Fetches for a partition from its leader, in its leader epoch; what went on in another one ends."""
        ...

    async def stop(self, keys: Iterable[PartitionKey]) -> None:
        """Ends fetching for partitions: afterwards nothing of theirs is appended, cut or under way."""
        ...


class LocalPartitions:
    """`PartitionHost` over the log directories."""

    def __init__(
        self,
        logs: LogManager,
        replicas: ReplicaManager,
        committer: GroupCommitter,
        io: IoLoop,
        settings_of: SettingsOf,
        fetchers: Fetchers,
    ) -> None:
        self._fetchers = fetchers
        self._logs = logs
        self._replicas = replicas
        self._committer = committer
        self._io = io
        self._settings_of = settings_of

    async def lead(self, topic: LedTopic, partition: int) -> None:
        """See `PartitionHost.lead`."""
        state, settings = topic.partitions[partition], self._settings_of(topic)
        await self._fetchers.stop([(topic.name, partition)])
        log = await self._log(topic, partition, settings)
        if log.latest_epoch < state.leader_epoch:
            # Before the first append of the epoch: a truncation is found by comparing epochs (KIP-101). What
            # is still queued in an older one is refused from here on.
            await self._logs.lead(topic.name, partition, state.leader_epoch)
        if settings.replica.fsync and log.recovery_point < log.log_end_offset:
            # What was served before a crash must be served again, and only what is on the disk is.
            await self._io.flush(log)
        self._replicas.become_leader(
            topic.name,
            topic.topic_id,
            partition,
            log,
            leader_epoch=state.leader_epoch,
            in_sync=frozenset(state.isr),
            replicas=state.replicas,
            partition_epoch=state.partition_epoch,
            settings=settings.replica,
        )

    async def follow(self, topic: LedTopic, partition: int) -> None:
        """See `PartitionHost.follow`."""
        state, settings = topic.partitions[partition], self._settings_of(topic)
        await self._fetchers.stop([(topic.name, partition)])
        log = await self._log(topic, partition, settings)
        await self._fence(log, state.leader_epoch)
        replica = self._replicas.become_follower(
            topic.name,
            topic.topic_id,
            partition,
            log,
            leader_id=state.leader,
            leader_epoch=state.leader_epoch,
            settings=settings.replica,
        )
        if state.leader != NO_LEADER:
            await self._fetchers.follow(replica)

    async def stop(self, topic: LedTopic, partition: int, *, delete: bool) -> None:
        """See `PartitionHost.stop`: requests that wait for the partition are answered first."""
        await self._fetchers.stop([(topic.name, partition)])
        replica = self._replicas.get(topic.name, partition)
        if replica is not None and replica.topic_id == topic.topic_id:
            self._replicas.remove(topic.name, partition)
            if not delete:
                await self._fence(replica.log, topic.partitions[partition].leader_epoch)
        if delete:
            await self._logs.delete(topic.name, partition, topic.topic_id)

    async def configure(self, topic: LedTopic) -> None:
        """See `PartitionHost.configure`."""
        settings = self._settings_of(topic, report=True)
        await self._logs.update_config(topic.name, settings.log)
        for partition in range(len(topic.partitions)):
            replica = self._replicas.get(topic.name, partition)
            if replica is not None:
                replica.configure(settings.replica)
                if replica.waits_for_disk:
                    self._committer.request(replica)

    async def _fence(self, log: Log, epoch: int) -> None:
        """What is still queued of a leadership of this broker is refused from here on."""
        if log.latest_epoch <= epoch:
            await self._io.fence(log, epoch)

    async def _log(self, topic: LedTopic, partition: int, settings: TopicSettings) -> Log:
        return await self._logs.create(topic.name, topic.topic_id, partition, settings.log)
