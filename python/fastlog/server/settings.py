"""What the parts below need of the broker's configuration, in their own terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastlog.config import TopicConfig
from fastlog.coordination.topic_names import is_internal
from fastlog.native import LogConfig
from fastlog.replication.replica import ReplicaSettings
from fastlog.server.flow_control import FlowLimits
from fastlog.storage.settings import StorageSettings

if TYPE_CHECKING:
    from fastlog.config import BrokerConfig, LiveConfig


def flow_limits(config: BrokerConfig) -> FlowLimits:
    """Limits of connections and of memory for requests and responses."""
    return FlowLimits(
        max_frame_bytes=config.socket_request_max_bytes,
        request_memory_bytes=config.max_inflight_bytes,
        response_memory_bytes=config.max_inflight_bytes,
        max_connections=config.max_connections,
        max_connections_per_ip=config.max_connections_per_ip,
        per_ip_overrides=dict(config.max_connections_per_ip_overrides),
        idle_seconds=config.connections_max_idle_ms / 1000,
    )


def storage_settings(config: BrokerConfig) -> StorageSettings:
    """Log directories and the intervals of housekeeping."""
    return StorageSettings(
        log_dirs=config.log_dirs,
        recovery_threads=config.num_recovery_threads_per_data_dir,
        retention_check_ms=config.log_retention_check_interval_ms,
        initial_delay_ms=config.log_initial_task_delay_ms,
        checkpoint_ms=min(
            config.log_flush_offset_checkpoint_interval_ms,
            config.log_flush_start_offset_checkpoint_interval_ms,
        ),
        file_delete_delay_ms=config.log_segment_delete_delay_ms,
        allow_data_loss=config.allow_data_loss,
    )


def log_config(config: BrokerConfig, overrides: Mapping[str, str]) -> LogConfig:
    """Settings of the logs of a topic with these overrides."""
    topic = TopicConfig.effective(overrides, config.layers)
    return LogConfig(**topic.log_config(producer_id_expiration_ms=config.producer_id_expiration_ms))


def replica_settings(config: BrokerConfig, name: str, overrides: Mapping[str, str]) -> ReplicaSettings:
    """What replicas need of the configuration of the topic `name`."""
    topic = TopicConfig.effective(overrides, config.layers)
    return ReplicaSettings(
        min_insync_replicas=topic.min_insync_replicas,
        fsync=topic.fsync,
        zstd=topic.values["compression.type"] == "zstd",
        internal=is_internal(name),
    )


class LiveTopicDefaults:
    """`TopicDefaults` over the configuration in force."""

    def __init__(self, config: LiveConfig) -> None:
        self._config = config

    @property
    def num_partitions(self) -> int:
        """num.partitions."""
        return self._config.current.num_partitions

    @property
    def default_replication_factor(self) -> int:
        """default.replication.factor."""
        return self._config.current.default_replication_factor
