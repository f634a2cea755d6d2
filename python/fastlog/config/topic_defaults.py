"""What holds for a topic that overrides nothing: the broker's settings, turned into topic-level values."""

from __future__ import annotations

from typing import Final

from fastlog.config.definitions.of_topics import TOPIC_KEYS
from fastlog.config.layers import Layers
from fastlog.config.types import Value

__all__ = ["UNBOUNDED", "topic_default"]

_FACTORS: Final = {
    "log.roll.hours": 3_600_000,
    "log.roll.jitter.hours": 3_600_000,
    "log.retention.minutes": 60_000,
    "log.retention.hours": 3_600_000,
}

_BOUNDS: Final = ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms")
_OLDER_BOUND: Final = "log.message.timestamp.difference.max.ms"
UNBOUNDED: Final = (1 << 63) - 1
"""A bound of timestamps that bounds nothing: the default."""


def topic_default(name: str, layers: Layers) -> Value:
    """The value of a topic-level key that the topic leaves to the broker
    (`KafkaConfig.extractLogConfigMap`).
    """
    entry = TOPIC_KEYS[name]
    if name in _BOUNDS and layers.value(entry.synonyms[0]) == UNBOUNDED:
        # KIP-937: the older key speaks for both sides, whatever a topic's own older key says, as in Kafka.
        return layers.value(_OLDER_BOUND)
    for synonym in entry.synonyms:
        value = layers.value(synonym)
        if value is None:
            continue
        if isinstance(value, int) and synonym in _FACTORS:
            value *= _FACTORS[synonym]
        if name == "retention.ms" and isinstance(value, int) and value < 0:
            # Any negative retention time means for ever.
            return -1
        return value
    return entry.key.default_value()
