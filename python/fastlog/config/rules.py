"""What may be changed while the broker runs: the rules behind AlterConfigs, for topics and brokers.

`ConfigurationRules` is what the coordination layer asks (its `ConfigRules` protocol). Broker keys follow
`DynamicBrokerConfig.validateConfigs` (3.9): only dynamic keys, per-broker ones not for the whole cluster.
Keys that have no effect in fastlog are accepted and kept, as Kafka accepts what only a plugin knows; the log
says so (`fastlog.server.unused_settings`). Only what looks like a mistyped key is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fastlog.config.broker_config import BrokerConfig
from fastlog.config.definitions import (
    BROKER_KEYS,
    can_be_plugins,
    find_key,
    key_or_plugins,
    synonyms_of,
    unknown_key,
)
from fastlog.config.definitions.of_topics import TOPIC_KEYS
from fastlog.config.definitions.security import USED, fixed_listener
from fastlog.config.group_config import GroupConfig
from fastlog.config.keys import ConfigKey, Unused, UpdateMode
from fastlog.config.reconfiguration import check_reconfiguration
from fastlog.config.topic_config import TopicConfig
from fastlog.config.topic_defaults import topic_default
from fastlog.config.types import ConfigType, format_value
from fastlog.errors import ConfigError, ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.config.password_encoder import PasswordEncoder

__all__ = ["ConfigurationRules"]

_OF_ONE_LISTENER: Final = ("ssl.key.password", "ssl.keystore.", "ssl.truststore.")
"""Beginnings of the keys that Kafka reads again for a listener, and for no other use (`SslConfigs`)."""
_JAAS: Final = "sasl.jaas.config"
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class ConfigurationRules:
    """The checks against the configuration in force, which `current` returns."""

    def __init__(
        self,
        current: Callable[[], BrokerConfig],
        examine: Callable[[BrokerConfig], Awaitable[None]] | None = None,
    ) -> None:
        self._current = current
        self._examine = examine

    def check_topic(self, configs: Mapping[str, str], stored: Mapping[str, str] = _NOTHING) -> None:
        """Raises KafkaError(INVALID_CONFIG) unless a topic may have these overrides.

        Of those that are `stored` already, what this version cannot read is not looked at.
        """
        layers = self._current().layers
        readable = TopicConfig.in_force(stored, layers).overrides
        TopicConfig.validate(_looked_at(configs, stored, readable), layers)

    def check_group(self, configs: Mapping[str, str], stored: Mapping[str, str] = _NOTHING) -> None:
        """Raises KafkaError(INVALID_CONFIG) unless a group may have these overrides. `stored` as above."""
        readable = GroupConfig.readable(stored)
        GroupConfig.validate(_looked_at(configs, stored, readable), self._current().layers)

    def check_broker(
        self, node_id: int | None, configs: Mapping[str, str], stored: Mapping[str, str] = _NOTHING
    ) -> None:
        """Raises KafkaError(INVALID_REQUEST) unless these may be the run-time overrides of a broker, or all.

        The code is not INVALID_CONFIG, as it is for topics, because Kafka's is not (KAFKA-13609). What is
        `stored` and not in force is not looked at.
        """
        current = self._current()
        in_force = current.layers.cluster if node_id is None else current.layers.broker
        configs = _looked_at(configs, stored, in_force)
        try:
            for name, text in configs.items():
                if stored.get(name) != text:
                    _check_dynamic(name, cluster_wide=node_id is None).parse(text)
                    key = synonyms_of(name)[-1]
                    if key == _JAAS:
                        from fastlog.config.jaas import refuse_other_modules  # with SASL alone

                        refuse_other_modules(name, text)
                    if fixed_listener(name, key) in current.listeners.sasl:
                        raise ConfigError(
                            name, "cannot be changed through the API: set it in the properties file"
                        )
            # Whether the configuration as a whole still makes sense.
            if node_id is None:
                after = current.with_overrides(cluster=configs)
            else:
                after = current.with_overrides(broker=configs)
            check_reconfiguration(current.layers, after.layers)
        except ConfigError as error:
            raise KafkaError(ErrorCode.INVALID_REQUEST, str(error)) from None

    async def examine_broker(self, node_id: int | None, configs: Mapping[str, str]) -> None:
        """Raises KafkaError(INVALID_REQUEST) unless this broker, if it is meant, could be set so: settings
        name files. Others look at theirs when the change reaches them."""
        current = self._current()
        if self._examine is None or node_id != current.node_id:
            return
        try:
            await self._examine(current.with_overrides(broker=configs))
        except ConfigError as error:
            raise KafkaError(ErrorCode.INVALID_REQUEST, str(error)) from None

    async def kept(self, configs: Mapping[str, str]) -> Mapping[str, str]:
        """Broker settings as they are to be stored: passwords encrypted, where there is a secret for that."""
        encoder = self._current().layers.encoder()
        if encoder is None:
            return configs
        from fastlog.config.password_encoder import is_encoded  # with a secret alone

        plain = {
            name: text
            for name, text in configs.items()
            if key_or_plugins(name).sensitive and not is_encoded(text)
        }
        return {**configs, **await asyncio.to_thread(_encoded, encoder, plain)} if plain else configs

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


def _encoded(encoder: PasswordEncoder, plain: Mapping[str, str]) -> dict[str, str]:
    return {name: encoder.encode(text) for name, text in plain.items()}


def _looked_at(
    configs: Mapping[str, str], stored: Mapping[str, str], readable: Mapping[str, str]
) -> dict[str, str]:
    return {name: text for name, text in configs.items() if name in readable or stored.get(name) != text}


def _definition(name: str) -> ConfigKey | None:
    topic = TOPIC_KEYS.get(name)
    return topic.key if topic is not None else find_key(name)


def _check_dynamic(name: str, *, cluster_wide: bool) -> ConfigKey:
    key = key_or_plugins(name)
    if key.unused is Unused.PLUGIN and not can_be_plugins(name):
        raise unknown_key(name)
    if name in BROKER_KEYS and not key.dynamic:
        raise ConfigError(name, "cannot be changed while the broker runs: set it in the properties file")
    if key.update is UpdateMode.PER_BROKER:
        if cluster_wide:
            raise ConfigError(name, "cannot be changed for all brokers at once: name a broker id")
        if name.startswith(_OF_ONE_LISTENER):
            raise ConfigError(name, f"can be changed for one listener only: listener.name.<listener>.{name}")
        if key.unused is None and name in BROKER_KEYS and name not in USED:
            raise ConfigError(name, "cannot be changed while the broker runs yet")
    return key
