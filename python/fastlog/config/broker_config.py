"""The broker's configuration as typed attributes: what the rest of the broker reads.

An attribute is the key with dots as underscores (`socket_request_max_bytes`), without the prefix of
fastlog's own keys (`durability`). Where Kafka spreads one value over several keys (log.retention.ms,
.minutes, .hours), the attribute holds the outcome in the finest unit. Times are milliseconds, sizes bytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.access_settings import AccessSettings, access_settings
from fastlog.config.consistency import check_consistency
from fastlog.config.definitions import BROKER_KEYS, key_or_plugins
from fastlog.config.definitions.replication import RACK_AWARE_SELECTOR
from fastlog.config.definitions.security import is_renewable
from fastlog.config.layers import Layers
from fastlog.config.listener_config import ListenerConfig, listener_config
from fastlog.config.listener_values import listener_key
from fastlog.config.memory_shares import MemoryShares
from fastlog.config.sources import Settings
from fastlog.config.token_settings import TokenSettings, token_settings
from fastlog.config.topic_defaults import topic_default
from fastlog.config.types import Value
from fastlog.config.zookeeper_settings import (
    KEEPER_USERS,
    ZooKeeperSettings,
    keeper_tls,
    keeper_users,
    zookeeper_settings,
)
from fastlog.errors import ConfigError

if TYPE_CHECKING:
    from fastlog.config.tls_settings import TlsSettings

__all__ = ["BrokerConfig"]

DEFAULT_NODE_ID: Final = 1
_OF_OTHER_RELEASES: Final = (
    "add_partitions_to_txn_retry_backoff_ms",
    "add_partitions_to_txn_retry_backoff_max_ms",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """One consistent configuration. Make it with `from_settings`; `with_overrides` gives the next one."""

    layers: Layers
    node_id: int
    node_id_is_set: bool
    """False when the id came from nowhere: the one that a data directory remembers goes before it."""
    broker_rack: str | None
    broker_id_generation_enable: bool
    reserved_broker_max_id: int
    listeners: ListenerConfig
    access: AccessSettings | None
    """Access rules; None: whoever is in may do everything."""
    tokens: TokenSettings | None
    """Delegation tokens; None: there are none."""
    log_dirs: tuple[Path, ...]

    zookeeper_connect: str | None
    """None: the metadata is in a keeper in this process."""
    keeper_listen: str | None
    keeper_tls: TlsSettings | None
    """How its clients reach it, where that is encrypted."""
    keeper_users: Mapping[str, str]
    """Who may log in there, with passwords."""
    auto_leader_rebalance_enable: bool
    leader_imbalance_check_interval_seconds: int
    leader_imbalance_per_broker_percentage: int
    unclean_leader_election_enable: bool
    controller_fast_failover: bool
    default_transaction_version: int
    controlled_shutdown_enable: bool
    controlled_shutdown_max_retries: int
    controlled_shutdown_retry_backoff_ms: int
    zookeeper: ZooKeeperSettings
    zookeeper_session_timeout_ms: int
    zookeeper_connection_timeout_ms: int | None

    socket_request_max_bytes: int
    socket_listen_backlog_size: int
    connections_max_idle_ms: int
    connection_failed_authentication_delay_ms: int
    authentication_timeout_ms: int
    authentication_max_connections: int
    max_connections: int
    max_connection_creation_rate: int
    max_connections_of_listeners: Mapping[str, int]
    """Where it is not that of the broker; by name. So is the next one."""
    max_connection_creation_rate_of_listeners: Mapping[str, int]
    max_connections_per_ip: int
    max_connections_per_ip_overrides: Mapping[str, int]
    max_request_partition_size_limit: int

    auto_create_topics_enable: bool
    num_partitions: int
    default_replication_factor: int
    min_insync_replicas: int
    delete_topic_enable: bool
    message_max_bytes: int
    fetch_max_bytes: int
    max_incremental_fetch_session_cache_slots: int
    replica_lag_time_max_ms: int
    sends_to_racks: bool
    """Whether consumers are sent to replicas in their racks (`replica.selector.class`, KIP-392)."""

    group_initial_rebalance_delay_ms: int
    group_min_session_timeout_ms: int
    group_max_session_timeout_ms: int
    group_max_size: int
    group_coordinator_rebalance_protocols: tuple[str, ...]
    group_consumer_session_timeout_ms: int
    group_consumer_heartbeat_interval_ms: int
    group_consumer_max_size: int
    group_consumer_assignors: tuple[str, ...]
    group_consumer_migration_policy: str
    offset_metadata_max_bytes: int
    transaction_max_timeout_ms: int
    transaction_abort_timed_out_transaction_cleanup_interval_ms: int
    transaction_remove_expired_transaction_cleanup_interval_ms: int
    transaction_partition_verification_enable: bool
    transaction_state_log_load_buffer_size: int
    transaction_state_log_min_isr: int
    transaction_state_log_num_partitions: int
    transaction_state_log_replication_factor: int
    transaction_state_log_segment_bytes: int
    transactional_id_expiration_ms: int
    add_partitions_to_txn_retry_backoff_ms: int
    add_partitions_to_txn_retry_backoff_max_ms: int
    offsets_commit_timeout_ms: int
    offsets_load_buffer_size: int
    offsets_retention_minutes: int
    offsets_retention_check_interval_ms: int
    offsets_topic_compression_codec: int
    offsets_topic_num_partitions: int
    offsets_topic_replication_factor: int
    offsets_topic_segment_bytes: int

    num_replica_fetchers: int
    replica_fetch_backoff_ms: int
    replica_fetch_max_bytes: int
    replica_fetch_min_bytes: int
    replica_fetch_response_max_bytes: int
    replica_fetch_wait_max_ms: int
    replica_high_watermark_checkpoint_interval_ms: int
    replica_socket_timeout_ms: int
    quota_window_num: int
    quota_window_size_seconds: int
    controller_quota_window_num: int
    controller_quota_window_size_seconds: int
    replication_quota_window_num: int
    replication_quota_window_size_seconds: int

    log_cleaner_enable: bool
    log_cleaner_threads: int
    log_cleaner_backoff_ms: int
    log_cleaner_dedupe_buffer_size: int
    log_cleaner_io_buffer_load_factor: float
    log_cleaner_io_max_bytes_per_second: float

    log_retention_ms: int
    log_retention_check_interval_ms: int
    log_segment_delete_delay_ms: int
    log_flush_offset_checkpoint_interval_ms: int
    log_flush_start_offset_checkpoint_interval_ms: int
    log_initial_task_delay_ms: int
    num_recovery_threads_per_data_dir: int
    producer_id_expiration_ms: int

    durability: str
    """`pagecache` or `fsync`."""
    io_threads: int
    memory_max_bytes: int
    max_inflight_bytes: int
    shutdown_timeout_ms: int
    allow_data_loss: bool
    core_dumps: bool
    scrub_bytes_per_second: int
    scrub_interval_ms: int
    log_level: str
    log_format: str
    http_host: str
    http_port: int
    http_allowed_hosts: tuple[str, ...]
    http_token: str | None
    http_ssl_keystore_location: str | None
    http_ssl_truststore_location: str | None
    http_anonymous: bool
    http_port_is_set: bool
    """False when it is only the default: then a port that is taken is no reason not to start."""
    metrics_kafka_exporter_names: bool
    metrics_per_partition: bool

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        cluster: Mapping[str, str] | None = None,
        broker: Mapping[str, str] | None = None,
    ) -> Self:
        """The configuration that `settings` and run-time overrides add up to.

        Raises ConfigError when values contradict each other or ask for what this release cannot do.
        """
        layers = Layers(settings, dict(cluster or {}), dict(broker or {}))
        check_consistency(layers)
        layers.encoder()
        plain = {
            field.name: layers.value(_key_of(field.name))
            for field in fields(cls)
            if _key_of(field.name) in BROKER_KEYS
        }
        node_id, node_id_is_set = _node_id(layers)
        listeners = listener_config(layers)
        derived: dict[str, Any] = {
            "layers": layers,
            "node_id": node_id,
            "node_id_is_set": node_id_is_set,
            "listeners": listeners,
            "zookeeper": zookeeper_settings(layers),
            "keeper_tls": keeper_tls(layers),
            "keeper_users": keeper_users(KEEPER_USERS, layers.text(KEEPER_USERS)),
            "access": access_settings(layers),
            "tokens": token_settings(layers),
            "log_dirs": _log_dirs(layers),
            "max_connections_of_listeners": _of_listeners(layers, listeners, "max.connections"),
            "max_connection_creation_rate_of_listeners": _of_listeners(
                layers, listeners, "max.connection.creation.rate"
            ),
            "max_connections_per_ip_overrides": _overrides_per_ip(layers),
            "sends_to_racks": layers.value("replica.selector.class") == RACK_AWARE_SELECTOR,
            "log_retention_ms": topic_default("retention.ms", layers),
            "http_port_is_set": layers.is_set("fastlog.http.port"),
            **{name: _of_other_release(layers, _key_of(name)) for name in _OF_OTHER_RELEASES},
            "io_threads": layers.value("fastlog.io.threads") or min(8, max(2, os.cpu_count() or 2)),
        }
        return cls(**{**plain, **derived})

    def with_overrides(
        self, *, cluster: Mapping[str, str] | None = None, broker: Mapping[str, str] | None = None
    ) -> Self:
        """The same configuration under other run-time overrides; what is left out stays as it is."""
        return self.from_settings(
            self.layers.settings,
            cluster=self.layers.cluster if cluster is None else cluster,
            broker=self.layers.broker if broker is None else broker,
        )

    def renewed_by(self, found: BrokerConfig) -> Self:
        """The same configuration with those settings of `found` that are read again while the broker runs.

        Raises ConfigError when they do not go together with the others, which wait for the next start.
        """
        old, new = self.layers.settings, found.layers.settings
        kept = {name: setting for name, setting in old.values.items() if not is_renewable(name)}
        fresh = {name: setting for name, setting in new.values.items() if is_renewable(name)}
        after = replace(old, values={**kept, **fresh})
        made = self.from_settings(after, cluster=self.layers.cluster, broker=self.layers.broker)
        return replace(made, node_id=self.node_id, node_id_is_set=self.node_id_is_set)

    @property
    def memory(self) -> MemoryShares:
        """What each holder of memory may take."""
        return MemoryShares.of(self.memory_max_bytes, self.max_inflight_bytes)

    def with_node_id(self, node_id: int) -> Self:
        """The same configuration with the id that the data directory remembers."""
        return replace(self, node_id=node_id)


def _key_of(attribute: str) -> str:
    own = f"fastlog.{attribute.replace('_', '.')}"
    return own if own in BROKER_KEYS else attribute.replace("_", ".")


def _of_other_release(layers: Layers, name: str) -> Value:
    """The value of a key that Kafka 3.9 does not have: its default is in no layer."""
    return layers.value(name) if layers.is_set(name) else key_or_plugins(name).default_value()


def _node_id(layers: Layers) -> tuple[int, bool]:
    """(id, whether it was configured). -1 is Kafka's way of saying "not set"."""
    ids = {name: layers.value(name) for name in ("node.id", "broker.id")}
    chosen = [value for value in ids.values() if isinstance(value, int) and value != -1]
    if len(set(chosen)) > 1:
        raise ConfigError("node.id", f"is {ids['node.id']}, but broker.id is {ids['broker.id']}")
    if any(value < 0 for value in chosen):
        raise ConfigError("node.id", f"{chosen[0]} is negative")
    return (chosen[0], True) if chosen else (DEFAULT_NODE_ID, False)


def _log_dirs(layers: Layers) -> tuple[Path, ...]:
    text = layers.text("log.dirs") or layers.text("log.dir") or ""
    directories = tuple(Path(part.strip()) for part in text.split(",") if part.strip())
    if not directories:
        raise ConfigError("log.dirs", "must name at least one directory")
    absolute = [os.path.abspath(directory) for directory in directories]
    if len(set(absolute)) != len(absolute):
        raise ConfigError("log.dirs", "names a directory more than once")
    return directories


def _of_listeners(layers: Layers, listeners: ListenerConfig, key: str) -> dict[str, int]:
    """The values of listeners that have one of their own, by name."""
    names = [endpoint.name for endpoint in listeners.bound]
    values = {name: layers.value(listener_key(name, key)) for name in names}
    return {name: value for name, value in values.items() if isinstance(value, int)}


def _overrides_per_ip(layers: Layers) -> dict[str, int]:
    key = "max.connections.per.ip.overrides"
    limits = {}
    for item in filter(None, (part.strip() for part in (layers.text(key) or "").split(","))):
        address, separator, limit = item.rpartition(":")
        if not separator or not address or not limit.isdigit():
            raise ConfigError(key, f"'{item}' is not of the form address:limit")
        limits[_plain(address.strip("[]"))] = int(limit)
    return limits


def _plain(address: str) -> str:
    try:
        return str(ip_address(address))
    except ValueError:
        return address
