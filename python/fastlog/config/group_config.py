"""A group's configuration: its overrides over the broker's `group.consumer.*` keys (`GroupConfig`, 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final, Self

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.checks import AtLeast
from fastlog.config.definitions import find_key
from fastlog.config.keys import ConfigKey
from fastlog.config.layers import Layers
from fastlog.config.types import ConfigType, Value
from fastlog.errors import ConfigError, ErrorCode, KafkaError

__all__ = ["BROKER_PREFIX", "GROUP_KEYS", "GroupConfig"]

BROKER_PREFIX: Final = "group."
"""A group's key with this before it is the broker's key for all groups."""

_SESSION: Final = "consumer.session.timeout.ms"
_HEARTBEAT: Final = "consumer.heartbeat.interval.ms"


def _key(name: str, default: str, doc: str) -> ConfigKey:
    return ConfigKey(name, ConfigType.INT, default, doc, check=AtLeast(1))


GROUP_KEYS: Final = MappingProxyType(
    {
        _SESSION: _key(
            _SESSION, "45000", "How long a member of the consumer protocol may be silent before it is fenced."
        ),
        _HEARTBEAT: _key(_HEARTBEAT, "5000", "How often members of the consumer protocol send a heartbeat."),
    }
)
"""What can be set for a group. Kafka has keys for share and Streams groups, too, which fastlog has not."""


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """The values in force for one group."""

    session_timeout_ms: int
    heartbeat_interval_ms: int

    @staticmethod
    def validate(overrides: Mapping[str, str], layers: Layers) -> None:
        """Checks a group's overrides. Raises KafkaError(INVALID_CONFIG) with a text for the client."""
        GroupConfig.effective(overrides, layers)

    @staticmethod
    def readable(overrides: Mapping[str, str]) -> dict[str, str]:
        """Those that this version knows and can read: another one may have stored more."""
        found = {}
        for name, text in overrides.items():
            with suppress(ConfigError):
                if name in GROUP_KEYS:
                    GROUP_KEYS[name].parse(text)
                    found[name] = text
        return found

    @classmethod
    def effective(cls, overrides: Mapping[str, str], layers: Layers) -> Self:
        """The values that `overrides` and the broker's settings add up to. Raises as `validate`."""
        try:
            for name in overrides:
                if name not in GROUP_KEYS:
                    raise _unknown(name)
            session, heartbeat = (_within_bounds(name, overrides, layers) for name in (_SESSION, _HEARTBEAT))
            if session <= heartbeat:
                raise ConfigError(_SESSION, f"{session} is not above {_HEARTBEAT}, which is {heartbeat}")
        except ConfigError as error:
            raise KafkaError(ErrorCode.INVALID_CONFIG, str(error)) from None
        return cls(session, heartbeat)


def _within_bounds(name: str, overrides: Mapping[str, str], layers: Layers) -> int:
    if name not in overrides:
        # What holds for all groups was checked when the broker started.
        return _number(layers.value(BROKER_PREFIX + name))
    value = _number(GROUP_KEYS[name].parse(overrides[name]))
    what = name.removeprefix("consumer.")
    low, high = (f"{BROKER_PREFIX}consumer.{limit}.{what}" for limit in ("min", "max"))
    least, most = _number(layers.value(low)), _number(layers.value(high))
    if not least <= value <= most:
        raise ConfigError(name, f"{value} is not between {low} ({least}) and {high} ({most})")
    return value


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError(f"not a number: {value!r}")
    return value


def _unknown(name: str) -> ConfigError:
    import difflib  # only needed on the way to an error

    known = find_key(name)
    if known is not None and name.removeprefix(BROKER_PREFIX) in GROUP_KEYS:
        return ConfigError(name, f"is a key of brokers: for a group it is {name.removeprefix(BROKER_PREFIX)}")
    near = difflib.get_close_matches(name, GROUP_KEYS, n=1, cutoff=0.7)
    return ConfigError(name, "unknown group config" + (f"; did you mean {near[0]}?" if near else ""))
