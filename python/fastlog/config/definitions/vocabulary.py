"""Short names for the tables of this package."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fastlog.config.keys import ConfigKey, Importance, Unused, UpdateMode
from fastlog.config.types import ConfigType

__all__ = [
    "BOOLEAN",
    "CLASS",
    "CLUSTER_WIDE",
    "DOUBLE",
    "HIGH",
    "INT",
    "LIST",
    "LONG",
    "LOW",
    "MEDIUM",
    "PASSWORD",
    "PER_BROKER",
    "SHORT",
    "STRING",
    "without_effect",
]

BOOLEAN: Final = ConfigType.BOOLEAN
STRING: Final = ConfigType.STRING
INT: Final = ConfigType.INT
SHORT: Final = ConfigType.SHORT
LONG: Final = ConfigType.LONG
DOUBLE: Final = ConfigType.DOUBLE
LIST: Final = ConfigType.LIST
CLASS: Final = ConfigType.CLASS
PASSWORD: Final = ConfigType.PASSWORD

HIGH: Final = Importance.HIGH
MEDIUM: Final = Importance.MEDIUM
LOW: Final = Importance.LOW

PER_BROKER: Final = UpdateMode.PER_BROKER
CLUSTER_WIDE: Final = UpdateMode.CLUSTER_WIDE


def without_effect(reason: Unused, *keys: ConfigKey) -> tuple[ConfigKey, ...]:
    """Keys that are accepted for the sake of files written for Kafka."""
    return tuple(replace(key, unused=reason) for key in keys)
