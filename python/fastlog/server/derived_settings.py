"""What the parts below need of the broker's configuration, in their own terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from fastlog.config import TopicConfig
from fastlog.coordination.cluster_view import BrokerInfo
from fastlog.coordination.topic_names import is_internal
from fastlog.native import LogConfig
from fastlog.replication.partition import ReplicaSettings
from fastlog.server.network.descriptors import current_plan
from fastlog.server.network.flow_control import CONNECTION_BYTES, FlowLimits
from fastlog.server.quotas.connection_quotas import ConnectionLimits
from fastlog.server.quotas.rates import QuotaWindows
from fastlog.storage.cleaner_settings import CleanerSettings, CompactionPolicy
from fastlog.storage.settings import StorageSettings

if TYPE_CHECKING:
    from fastlog.config import BrokerConfig, LiveConfig
    from fastlog.config.layers import Layers
    from fastlog.coordination.cluster_view import ClusterView
    from fastlog.server.network.listener import BoundListener


def broker_info(config: BrokerConfig, listeners: Iterable[BoundListener]) -> BrokerInfo:
    """This broker as clients are told of it: an advertised port 0 is the port that was given."""
    ports = {listener.name: listener.port for listener in listeners}
    return BrokerInfo(
        id=config.node_id,
        rack=config.broker_rack,
        endpoints={
            endpoint.name: (endpoint.host, endpoint.port or ports[endpoint.name])
            for endpoint in config.listeners.advertised
        },
    )


def connection_limits(config: BrokerConfig) -> ConnectionLimits:
    """How many connections there may be, and how fast they may come."""
    among_brokers = config.listeners.inter_broker
    is_only_one = len(config.listeners.bound) == 1
    return ConnectionLimits(
        most=config.max_connections,
        rate=config.max_connection_creation_rate,
        most_of=config.max_connections_of_listeners,
        rate_of=config.max_connection_creation_rate_of_listeners,
        protected=None if is_only_one else among_brokers,
    )


def quota_windows(config: BrokerConfig) -> QuotaWindows:
    """Over which time the rates of clients, and of new connections, are taken."""
    return QuotaWindows(config.quota_window_num, config.quota_window_size_seconds * 1000)


def mutation_windows(config: BrokerConfig) -> QuotaWindows:
    """The same for topics that clients make and delete."""
    return QuotaWindows(
        config.controller_quota_window_num, config.controller_quota_window_size_seconds * 1000
    )


def flow_limits(config: BrokerConfig) -> FlowLimits:
    """Limits of connections and of memory for requests and responses."""
    descriptors = current_plan().connections
    # Beyond these they are refused; before `max.connections` alone they wait (`connection_limits`).
    allowed = config.memory.connections // CONNECTION_BYTES
    return FlowLimits(
        max_frame_bytes=config.socket_request_max_bytes,
        request_memory_bytes=config.memory.requests,
        work_memory_bytes=config.memory.work,
        max_connections=min(allowed, descriptors),
        connections_end_at="ulimit -n" if descriptors < allowed else "max.connections",
        max_connections_per_ip=config.max_connections_per_ip,
        per_ip_overrides=dict(config.max_connections_per_ip_overrides),
        idle_seconds=config.connections_max_idle_ms / 1000,
        proving_seconds=config.authentication_timeout_ms / 1000,
        max_proving=config.authentication_max_connections,
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
        scrub_bytes_per_second=config.scrub_bytes_per_second,
        scrub_interval_ms=config.scrub_interval_ms,
        cleaner=cleaner_settings(config),
    )


def cleaner_settings(config: BrokerConfig) -> CleanerSettings:
    """Threads, memory and disk traffic of compaction."""
    return CleanerSettings(
        enabled=config.log_cleaner_enable,
        threads=config.log_cleaner_threads,
        backoff_ms=config.log_cleaner_backoff_ms,
        dedupe_buffer_bytes=config.log_cleaner_dedupe_buffer_size,
        load_factor=config.log_cleaner_io_buffer_load_factor,
        bytes_per_second=config.log_cleaner_io_max_bytes_per_second,
    )


def log_config(config: BrokerConfig, topic: TopicConfig) -> LogConfig:
    """Settings of the logs of a topic."""
    return LogConfig(**topic.log_config(producer_id_expiration_ms=config.producer_id_expiration_ms))


def replica_settings(name: str, topic: TopicConfig, *, max_lag_ms: int) -> ReplicaSettings:
    """What replicas need of the configuration of the topic `name`."""
    return ReplicaSettings(
        min_insync_replicas=topic.min_insync_replicas,
        fsync=topic.fsync,
        zstd=topic.values["compression.type"] == "zstd",
        internal=is_internal(name),
        max_lag_ms=max_lag_ms,
    )


class CompactionPolicies:
    """The compaction settings of topics, kept until the topic's or the broker's configuration changes."""

    def __init__(self, config: LiveConfig, view: ClusterView) -> None:
        self._config = config
        self._view = view
        self._known: dict[str, tuple[Mapping[str, str], Layers, CompactionPolicy]] = {}

    def __call__(self, topic: str) -> CompactionPolicy | None:
        """The settings of one topic, or None when it does not exist."""
        state = self._view.topics.get(topic)
        if state is None:
            self._known.pop(topic, None)
            return None
        layers = self._config.current.layers
        known = self._known.get(topic)
        if known is None or known[0] is not state.configs or known[1] is not layers:
            known = self._known[topic] = (state.configs, layers, _compaction_policy(state.configs, layers))
        return known[2]


def _compaction_policy(overrides: Mapping[str, str], layers: Layers) -> CompactionPolicy:
    topic = TopicConfig.in_force(overrides, layers)
    return CompactionPolicy(
        min_dirty_ratio=topic.min_cleanable_dirty_ratio,
        min_lag_ms=topic.min_compaction_lag_ms,
        max_lag_ms=topic.max_compaction_lag_ms,
        delete_retention_ms=topic.delete_retention_ms,
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
