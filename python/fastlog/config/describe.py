"""What DescribeConfigs and CreateTopics tell about configurations (`kafka.server.ConfigHelper`, 3.9)."""

from __future__ import annotations

from collections.abc import Mapping

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.broker_config import BrokerConfig
from fastlog.config.definitions import BROKER_KEYS, key_or_plugins
from fastlog.config.definitions.of_topics import TOPIC_KEYS
from fastlog.config.group_config import BROKER_PREFIX, GROUP_KEYS, GroupConfig
from fastlog.config.keys import ConfigKey
from fastlog.config.layers import ConfigSource, SourcedText
from fastlog.config.topic_config import TopicConfig
from fastlog.config.types import Value

__all__ = [
    "ConfigEntry",
    "Synonym",
    "describe_broker",
    "describe_cluster_defaults",
    "describe_group",
    "describe_topic",
]


@dataclass(frozen=True, slots=True)
class Synonym:
    """One place that could give the value, the strongest first. Passwords read as None."""

    name: str
    value: str | None
    source: ConfigSource


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """One key as it is reported. `value` is None when it is not set or must not be shown."""

    key: ConfigKey
    value: str | None
    source: ConfigSource
    read_only: bool
    synonyms: tuple[Synonym, ...] = ()

    @property
    def name(self) -> str:
        """Name of the key."""
        return self.key.name


def describe_topic(overrides: Mapping[str, str], config: BrokerConfig) -> list[ConfigEntry]:
    """All topic-level keys of a topic with these overrides, by name. Topics of the same share one list."""
    question = (describe_topic, frozenset(overrides.items()))
    return config.layers.derived(question, lambda: _describe_topic(overrides, config))


def _describe_topic(overrides: Mapping[str, str], config: BrokerConfig) -> list[ConfigEntry]:
    topic = TopicConfig.in_force(overrides, config.layers)
    values, overrides = topic.values, topic.overrides
    entries = []
    for name in sorted(TOPIC_KEYS):
        entry = TOPIC_KEYS[name]
        text = _shown(entry.key, values[name])
        synonyms = (
            _synonyms(entry.key, config.layers.with_synonyms(entry.synonyms[0])) if entry.synonyms else ()
        )
        if name in overrides:
            synonyms = (Synonym(name, text, ConfigSource.TOPIC), *synonyms)
        entries.append(ConfigEntry(entry.key, text, _source(synonyms), read_only=False, synonyms=synonyms))
    return entries


def describe_group(overrides: Mapping[str, str], config: BrokerConfig) -> list[ConfigEntry]:
    """All keys of a group with these overrides, by name. A group need not exist to have them."""
    entries = []
    for name, key in sorted(GROUP_KEYS.items()):
        texts = config.layers.with_synonyms(BROKER_PREFIX + name)
        if name in GroupConfig.readable(overrides):
            text = _shown(key, key.parse(overrides[name])) or ""
            texts = [SourcedText(name, text, ConfigSource.GROUP), *texts]
        synonyms = _synonyms(key, texts)
        entries.append(
            ConfigEntry(key, synonyms[0].value, _source(synonyms), read_only=False, synonyms=synonyms)
        )
    return entries


def describe_broker(config: BrokerConfig) -> list[ConfigEntry]:
    """All keys of this broker by name: every defined one, and those that were set although undefined."""
    layers = config.layers
    names = {name for name, key in BROKER_KEYS.items() if not key.internal}
    names |= {*layers.settings.values, *layers.cluster, *layers.broker}
    return [
        _broker_entry(key_or_plugins(name), layers.value(name), layers.with_synonyms(name))
        for name in sorted(names)
    ]


def describe_cluster_defaults(config: BrokerConfig) -> list[ConfigEntry]:
    """The overrides that hold for all brokers (BROKER resource with an empty name)."""
    entries = []
    for name, text in sorted(config.layers.cluster.items()):
        key = key_or_plugins(name)
        texts = [SourcedText(name, text, ConfigSource.DYNAMIC_DEFAULT_BROKER)]
        entries.append(_broker_entry(key, key.parse(text), texts))
    return entries


def _broker_entry(key: ConfigKey, value: Value, texts: list[SourcedText]) -> ConfigEntry:
    synonyms = _synonyms(key, texts)
    # Kafka knows of the others only that somebody has set them, and calls them read-only.
    can_change = key.dynamic and key.name in BROKER_KEYS
    return ConfigEntry(
        key, _shown(key, value), _source(synonyms), read_only=not can_change, synonyms=synonyms
    )


def _shown(key: ConfigKey, value: Value) -> str | None:
    return None if key.sensitive else key.format(value)


def _synonyms(key: ConfigKey, texts: list[SourcedText]) -> tuple[Synonym, ...]:
    return tuple(
        Synonym(item.name, None if key.sensitive else key.shown(item.text), item.source) for item in texts
    )


def _source(synonyms: tuple[Synonym, ...]) -> ConfigSource:
    return synonyms[0].source if synonyms else ConfigSource.DEFAULT
