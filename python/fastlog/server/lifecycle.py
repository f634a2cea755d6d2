"""Partitions come, change and go: what that means for logs and replicas (`PartitionLifecycle`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from fastlog.errors import FastlogError
from fastlog.server.settings import log_config, replica_settings

if TYPE_CHECKING:
    from fastlog.config import BrokerConfig
    from fastlog.coordination.cluster_view import ClusterView, TopicState
    from fastlog.replication.committer import GroupCommitter
    from fastlog.replication.manager import ReplicaManager
    from fastlog.storage.io import IoLoop
    from fastlog.storage.manager import LogManager

_LOG: Final = logging.getLogger(__name__)


class ServedPartitions:
    """Keeps logs and replicas in step with the metadata. Holds the configuration in force."""

    def __init__(
        self,
        config: BrokerConfig,
        *,
        view: ClusterView,
        logs: LogManager,
        replicas: ReplicaManager,
        committer: GroupCommitter,
        io: IoLoop,
        on_config: Callable[[BrokerConfig], None],
    ) -> None:
        self.config = config
        self._view = view
        self._logs = logs
        self._replicas = replicas
        self._committer = committer
        self._io = io
        self._on_config = on_config

    async def on_partition_created(self, topic: TopicState, partition: int) -> None:
        """See `PartitionLifecycle.on_partition_created`: opens the log and starts leading."""
        state = topic.partitions[partition]
        config = log_config(self.config, topic.configs)
        log = await self._logs.create(topic.name, topic.topic_id, partition, config)
        if state.leader != self._replicas.node_id:
            return
        if log.latest_epoch < state.leader_epoch:
            # Before the first append of the epoch: a truncation is found by comparing epochs (KIP-101).
            await asyncio.to_thread(log.assign_epoch, state.leader_epoch, log.log_end_offset)
        settings = replica_settings(self.config, topic.name, topic.configs)
        if settings.fsync and log.recovery_point < log.log_end_offset:
            # What was served before a crash must be served again, and only what is on the disk is.
            await self._io.flush(log)
        self._replicas.become_leader(
            topic.name,
            topic.topic_id,
            partition,
            log,
            leader_epoch=state.leader_epoch,
            in_sync=frozenset(state.isr),
            settings=settings,
        )

    async def on_partition_deleted(self, topic: str, topic_id: bytes, partition: int) -> None:
        """See `PartitionLifecycle.on_partition_deleted`: requests that wait for it are answered first."""
        replica = self._replicas.get(topic, partition)
        if replica is not None and replica.topic_id == topic_id:
            self._replicas.remove(topic, partition)
        await self._logs.delete(topic, partition, topic_id)

    async def on_config_changed(self, topic: TopicState) -> None:
        """See `PartitionLifecycle.on_config_changed`."""
        await self._logs.update_config(topic.name, log_config(self.config, topic.configs))
        settings = replica_settings(self.config, topic.name, topic.configs)
        for partition in range(len(topic.partitions)):
            replica = self._replicas.get(topic.name, partition)
            if replica is not None:
                replica.configure(settings)
                if replica.waits_for_disk:
                    self._committer.request(replica)

    async def on_broker_config_changed(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        """See `PartitionLifecycle.on_broker_config_changed`: defaults of topics change with the broker's."""
        overrides = dict(self._view.snapshot.broker_configs)
        overrides[node_id] = configs
        own = self._replicas.node_id
        if node_id not in (None, own):
            return
        self.config = self.config.with_overrides(
            cluster=overrides.get(None, {}), broker=overrides.get(own, {})
        )
        self._on_config(self.config)
        for topic in self._view.topics.values():
            try:
                await self.on_config_changed(topic)
            except FastlogError as error:
                # One topic whose own overrides do not go with the new defaults keeps what it has.
                _LOG.warning("topic %s keeps its former settings: %s", topic.name, error)
