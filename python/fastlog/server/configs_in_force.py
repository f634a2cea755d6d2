"""Which settings topics and their partitions have: stored overrides over the broker's own configuration."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from fastlog.config import TopicConfig
from fastlog.coordination.topic_names import is_internal
from fastlog.replication.local_partitions import LedTopic, TopicSettings
from fastlog.server.derived_settings import log_config, replica_settings

if TYPE_CHECKING:
    from fastlog.config import LiveConfig
    from fastlog.coordination.cluster_view import ClusterView
    from fastlog.native import LogConfig

_LOG: Final = logging.getLogger(__name__)


class ConfigsInForce:
    """`BrokerConfigs`, and the settings of topics for whoever opens logs and leads partitions."""

    def __init__(self, config: LiveConfig, view: ClusterView, node_id: int) -> None:
        self._config = config
        self._view = view
        self._node_id = node_id

    def log_config_for(self, topic: str, overrides: Mapping[str, str]) -> LogConfig:
        """Settings of a topic's logs."""
        return log_config(self._config.current, self._in_force(topic, overrides))

    def settings_of(self, topic: LedTopic, *, report: bool = False) -> TopicSettings:
        """Settings of a topic's logs and replicas (`SettingsOf`).

        Asked for each partition that changes its leader: topics with the same overrides share what is made.
        """
        name, config = topic.name, self._config.current
        if report:
            self._in_force(name, topic.configs)

        def settings() -> TopicSettings:
            in_force = TopicConfig.in_force(topic.configs, config.layers)
            return TopicSettings(
                log_config(config, in_force),
                replica_settings(name, in_force, max_lag_ms=config.replica_lag_time_max_ms),
            )

        question = (TopicSettings, is_internal(name), frozenset(topic.configs.items()))
        return config.layers.derived(question, settings)

    def adopt(self) -> None:
        """See `BrokerConfigs.adopt`: as far as the stored configuration holds with today's files.

        Not to start, or to forget it, would leave no way to correct it.
        """
        stored = self._view.snapshot.broker_configs
        cluster, broker = stored.get(None, {}), stored.get(self._node_id, {})
        for problem in self._config.adopt(cluster=cluster, broker=broker):
            _LOG.warning("a run-time setting of brokers is kept, but not in force: %s", problem)

    def _in_force(self, topic: str, overrides: Mapping[str, str]) -> TopicConfig:
        in_force = TopicConfig.in_force(overrides, self._config.current.layers)
        for problem in in_force.problems:
            _LOG.warning("a setting of topic %s is kept, but not in force as it stands: %s", topic, problem)
        return in_force
