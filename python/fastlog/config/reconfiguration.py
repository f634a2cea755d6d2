"""Rules for changes at run time beyond those of a key by itself (`DynamicBrokerConfig`, 3.9)."""

from __future__ import annotations

import re
from typing import Final

from fastlog.config.definitions import key_or_plugins
from fastlog.config.layers import Layers
from fastlog.config.topic_defaults import topic_default
from fastlog.config.types import ConfigType
from fastlog.errors import ConfigError

__all__ = ["check_reconfiguration"]

_THREADS: Final = (
    "num.network.threads",
    "num.io.threads",
    "num.replica.fetchers",
    "num.recovery.threads.per.data.dir",
    "background.threads",
    "log.cleaner.threads",
)
_LIMITS: Final = ("max.connections", "max.connection.creation.rate")
_OF_LISTENER: Final = re.compile(r"listener\.name\.[^.]+\.")
_CLASS: Final = re.compile(r"[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)+")
_AS_RETENTION: Final = -2
_FOR_EVER: Final = -1


def check_reconfiguration(before: Layers, after: Layers) -> None:
    """Raises ConfigError when Kafka would not go from one to the other while it runs."""
    for name in sorted({*after.cluster, *after.broker}):
        base = _base(name)
        if base in _THREADS:
            old, new = before.value(name) or before.value(base), after.value(name)
            if isinstance(old, int) and isinstance(new, int):
                _check_threads(name, old, new)
        elif _base(name) in _LIMITS and after.value(name) == 0:
            raise ConfigError(name, "'0' is not allowed: nobody could connect to change it back")
        _check_classes(name, after)
    _check_local_retention(after, "ms")
    _check_local_retention(after, "bytes")


def _base(name: str) -> str:
    """The key behind `listener.name.<listener>.<key>`."""
    return _OF_LISTENER.sub("", name)


def _check_classes(name: str, layers: Layers) -> None:
    """Kafka loads the class; here its name must at least be one."""
    value = layers.value(name)
    if key_or_plugins(name).type is ConfigType.CLASS or name == "metric.reporters":
        for item in value if isinstance(value, tuple) else [str(value)]:
            if _CLASS.fullmatch(item) is None:
                raise ConfigError(name, f"'{item}' is not the name of a Java class with its package")


def _check_threads(name: str, old: int, new: int) -> None:
    if new != old and not max(1, old // 2) <= new <= old * 2:
        raise ConfigError(name, f"{new} is less than half, or more than double, of the {old} in force")


def _check_local_retention(layers: Layers, unit: str) -> None:
    """Tiered storage keeps no more on the local disk than there is (`DynamicLogConfig`)."""
    name = f"log.local.retention.{unit}"
    local, whole = layers.value(name), topic_default(f"retention.{unit}", layers)
    if not isinstance(local, int) or not isinstance(whole, int) or local == _AS_RETENTION:
        return
    if whole != _FOR_EVER and (local == _FOR_EVER or local > whole):
        raise ConfigError(name, f"{local} is more than log.retention.{unit}, which is {whole}")
