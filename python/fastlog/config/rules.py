"""What may be changed while the broker runs: the rules behind AlterConfigs, for topics and brokers.

`ConfigurationRules` is what the coordination layer asks (its `ConfigRules` protocol). Broker keys follow
`DynamicBrokerConfig.validateConfigs` (3.9): only dynamic keys, per-broker ones not for the whole cluster.
Beyond that, a dynamic key that has no effect in fastlog is refused, so that nobody believes to have changed
something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastlog.config.broker_config import BrokerConfig
from fastlog.config.definitions import BROKER_KEYS, find_key, unknown_key
from fastlog.config.definitions.of_topics import TOPIC_KEYS
from fastlog.config.group_config import GroupConfig
from fastlog.config.keys import ConfigKey, UpdateMode
from fastlog.config.topic_config import TopicConfig
from fastlog.config.topic_defaults import topic_default
from fastlog.config.types import ConfigType, format_value
from fastlog.errors import ConfigError, ErrorCode, KafkaError

__all__ = ["ConfigurationRules"]


class ConfigurationRules:
    """The checks against the configuration in force, which `current` returns."""

    def __init__(self, current: Callable[[], BrokerConfig]) -> None:
        self._current = current

    def check_topic(self, configs: Mapping[str, str]) -> None:
        """Raises KafkaError(INVALID_CONFIG) unless a topic may have these overrides."""
        TopicConfig.validate(configs, self._current().layers)

    def check_group(self, configs: Mapping[str, str]) -> None:
        """Raises KafkaError(INVALID_CONFIG) unless a group may have these overrides."""
        GroupConfig.validate(configs, self._current().layers)

    def check_broker(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        """Raises KafkaError(INVALID_REQUEST) unless these may be the run-time overrides of a broker, or all.

        The code is not INVALID_CONFIG, as it is for topics, because Kafka's is not (KAFKA-13609).
        """
        try:
            for name, text in configs.items():
                _check_dynamic(name, cluster_wide=node_id is None).parse(text)
            # Whether the configuration as a whole still makes sense.
            current = self._current()
            if node_id is None:
                current.with_overrides(cluster=configs)
            else:
                current.with_overrides(broker=configs)
        except ConfigError as error:
            raise KafkaError(ErrorCode.INVALID_REQUEST, str(error)) from None

    def is_list(self, key: str) -> bool:
        """Whether values of a topic or broker key are comma-separated lists."""
        definition = _definition(key)
        return definition is not None and definition.type is ConfigType.LIST

    def default(self, key: str) -> str | None:
        """The text in force when `key` is not overridden at run time."""
        layers = self._current().layers
        if key in TOPIC_KEYS and key not in BROKER_KEYS:
            return format_value(TOPIC_KEYS[key].key.type, topic_default(key, layers))
        return layers.text(key)


def _definition(name: str) -> ConfigKey | None:
    topic = TOPIC_KEYS.get(name)
    return topic.key if topic is not None else find_key(name)


def _check_dynamic(name: str, *, cluster_wide: bool) -> ConfigKey:
    key = find_key(name)
    if key is None:
        raise unknown_key(name)
    if not key.dynamic:
        raise ConfigError(name, "cannot be changed while the broker runs: set it in the properties file")
    if key.unused is not None:
        raise ConfigError(name, f"has no effect here: {key.unused.value}")
    if key.update is UpdateMode.PER_BROKER:
        where = " for all brokers at once: name a broker id" if cluster_wide else " while the broker runs yet"
        raise ConfigError(name, f"cannot be changed{where}")
    return key
