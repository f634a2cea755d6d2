"""Partitions come, change and go: what that means for logs and replicas (`PartitionLifecycle`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from fastlog.errors import ConfigError, FastlogError
from fastlog.server.settings import log_config, replica_settings

if TYPE_CHECKING:
    from fastlog.config import LiveConfig
    from fastlog.coordination.cluster_view import ClusterView, TopicState
    from fastlog.native import LogConfig
    from fastlog.replication.committer import GroupCommitter
    from fastlog.replication.manager import ReplicaManager
    from fastlog.storage.io import IoLoop
    from fastlog.storage.manager import LogManager

_LOG: Final = logging.getLogger(__name__)


class ServedPartitions:
    """Keeps logs and replicas in step with the metadata and with the configuration in force."""

    def __init__(
        self,
        config: LiveConfig,
        *,
        view: ClusterView,
        logs: LogManager,
        replicas: ReplicaManager,
        committer: GroupCommitter,
        io: IoLoop,
    ) -> None:
        self._config = config
        self._view = view
        self._logs = logs
        self._replicas = replicas
        self._committer = committer
        self._io = io

    def log_config_for(self, topic: str, overrides: Mapping[str, str]) -> LogConfig:
        """Settings of a topic's logs. Run-time overrides of the broker that were just loaded count."""
        self._adopt_broker_overrides()
        return log_config(self._config.current, overrides)

    async def on_partition_created(self, topic: TopicState, partition: int) -> None:
        """See `PartitionLifecycle.on_partition_created`: opens the log and starts leading."""
        state = topic.partitions[partition]
        config = log_config(self._config.current, topic.configs)
        log = await self._logs.create(topic.name, topic.topic_id, partition, config)
        if state.leader != self._replicas.node_id:
            return
        if log.latest_epoch < state.leader_epoch:
            # Before the first append of the epoch: a truncation is found by comparing epochs (KIP-101).
            await asyncio.to_thread(log.assign_epoch, state.leader_epoch, log.log_end_offset)
        settings = replica_settings(self._config.current, topic.name, topic.configs)
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
        await self._logs.update_config(topic.name, log_config(self._config.current, topic.configs))
        settings = replica_settings(self._config.current, topic.name, topic.configs)
        for partition in range(len(topic.partitions)):
            replica = self._replicas.get(topic.name, partition)
            if replica is not None:
                replica.configure(settings)
                if replica.waits_for_disk:
                    self._committer.request(replica)

    async def on_broker_config_changed(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        """See `PartitionLifecycle.on_broker_config_changed`: defaults of topics change with the broker's."""
        if node_id is None:
            self._config.apply(cluster=configs)
        elif node_id == self._replicas.node_id:
            self._config.apply(broker=configs)
        else:
            return
        for topic in self._view.topics.values():
            try:
                await self.on_config_changed(topic)
            except FastlogError as error:
                # One topic whose own overrides do not go with the new defaults keeps what it has.
                _LOG.warning("topic %s keeps its former settings: %s", topic.name, error)

    def _adopt_broker_overrides(self) -> None:
        stored = self._view.snapshot.broker_configs
        cluster, broker = stored.get(None, {}), stored.get(self._replicas.node_id, {})
        layers = self._config.current.layers
        if dict(layers.cluster) == dict(cluster) and dict(layers.broker) == dict(broker):
            return
        try:
            self._config.apply(cluster=cluster, broker=broker)
        except ConfigError as error:
            # They were legal when they were made. Not to start would leave no way to correct them.
            _LOG.error("the stored run-time configuration does not hold and is left out: %s", error)
            self._view.set_broker_configs({})
