"""Every broker key that may stand in a configuration, and how to find one by name."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import Final

from fastlog.config.definitions import (
    elsewhere,
    groups,
    identity,
    logs,
    network,
    own,
    quotas,
    replication,
    security,
    tiered,
    topics,
    transactions,
)
from fastlog.config.keys import ConfigKey, Unused, UpdateMode
from fastlog.config.near_names import one_typing_error_away
from fastlog.config.types import ConfigType
from fastlog.errors import ConfigError

__all__ = [
    "BROKER_KEYS",
    "SYNONYMS",
    "base_key",
    "can_be_plugins",
    "find_key",
    "key_or_plugins",
    "synonyms_of",
    "unknown_key",
]

BROKER_KEYS: Final[dict[str, ConfigKey]] = {
    key.name: key
    for table in (
        identity.KEYS,
        network.KEYS,
        topics.KEYS,
        logs.KEYS,
        replication.KEYS,
        groups.KEYS,
        transactions.KEYS,
        security.KEYS,
        tiered.KEYS,
        quotas.KEYS,
        own.KEYS,
    )
    for key in table
}
"""All keys of Kafka 3.9 and fastlog's own, by name."""

_ELSEWHERE: Final = {key.name: key for key in elsewhere.KEYS}

# Keys that say the same thing in different units; the first that is set wins (DynamicBrokerConfig).
SYNONYMS: Final = (
    ("log.roll.ms", "log.roll.hours"),
    ("log.roll.jitter.ms", "log.roll.jitter.hours"),
    ("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
)
_SYNONYMS_OF: Final = {name: names for names in SYNONYMS for name in names} | {
    # The scheduler's interval is where log.flush.interval.ms falls back to, not the other way round.
    "log.flush.interval.ms": ("log.flush.interval.ms", "log.flush.scheduler.interval.ms")
}

# Of the settings of one listener those that may be changed for all brokers at once.
_CLUSTER_WIDE_OF_LISTENERS: Final = frozenset(
    {"max.connections", "max.connection.creation.rate", "num.network.threads"}
)

_LIMITS_OF_LISTENERS: Final = frozenset({"max.connections", "max.connection.creation.rate"})
_OF_LISTENER: Final = re.compile(r"listener\.name\.[^.]+\.(.+)")


def synonyms_of(name: str) -> tuple[str, ...]:
    """The keys that decide about `name`, the strongest first."""
    listener = _OF_LISTENER.fullmatch(name)
    if listener is not None:
        base = _base_of_listener_key(listener[1])
        return (name,) if base is None else (name, base.name)
    return _SYNONYMS_OF.get(name, (name,))


def find_key(name: str) -> ConfigKey | None:
    """What is known of a key, also when it is one of a family (`listener.name.<listener>.<key>`)."""
    key = BROKER_KEYS.get(name) or _ELSEWHERE.get(name)
    if key is not None:
        return key
    listener = _OF_LISTENER.fullmatch(name)
    if listener is not None:
        base = _base_of_listener_key(listener[1])
        if base is None:
            return None
        update = UpdateMode.CLUSTER_WIDE if base.name in _CLUSTER_WIDE_OF_LISTENERS else UpdateMode.PER_BROKER
        is_used = base.name in security.USED or base.name in _LIMITS_OF_LISTENERS
        unused = None if is_used else Unused.PER_LISTENER
        return replace(base, name=name, default=None, unused=unused, update=update)
    for prefix, reason in elsewhere.PREFIXES.items():
        if name.startswith(prefix):
            return ConfigKey(name, ConfigType.PASSWORD, None, "A key of a plugin.", unused=reason)
    return None


def base_key(name: str) -> ConfigKey | None:
    """The key for all listeners, of one that is for a listener alone; else the key itself."""
    listener = _OF_LISTENER.fullmatch(name)
    return BROKER_KEYS.get(name) if listener is None else _base_of_listener_key(listener[1])


def key_or_plugins(name: str) -> ConfigKey:
    """The same, and for a key that nobody knows what is known of a plugin's: it may be a secret."""
    return find_key(name) or ConfigKey(
        name, ConfigType.PASSWORD, None, "A key that only a plugin can know.", unused=Unused.PLUGIN
    )


@lru_cache(maxsize=1024)
def can_be_plugins(name: str) -> bool:
    """Whether an unknown key may be a plugin's own, not a mistake for one of ours.

    A mistake is: one typing error in a known key, a topic's key or one that Kafka once had, and whatever
    begins as fastlog's own keys do.
    """
    if f"log.{name}" in BROKER_KEYS or name in elsewhere.ADVICE or name.startswith("fastlog."):
        return False
    return _one_typing_error_away(name) is None


def unknown_key(name: str) -> ConfigError:
    """The error for a key that `find_key` does not find; it names the nearest one."""
    if name in elsewhere.ADVICE:
        return ConfigError(name, f"is not a key any more: {elsewhere.ADVICE[name]}")
    nearest = nearest_key(name)
    return ConfigError(name, "unknown key" + (f"; did you mean {nearest}?" if nearest else ""))


def nearest_key(name: str) -> str | None:
    """The key whose name looks most like `name`, or None when none comes near."""
    wanted = name.strip().lower().replace("_", ".").replace("-", ".")
    if f"log.{wanted}" in BROKER_KEYS:
        # Topic-level names in a broker's file: difflib would often prefer some other long name.
        return f"log.{wanted}"
    mistyped = _one_typing_error_away(name)
    if mistyped is not None:
        return mistyped
    import difflib  # only needed on the way to an error

    found = difflib.get_close_matches(wanted, BROKER_KEYS, n=1, cutoff=0.7)
    return found[0] if found else None


def _one_typing_error_away(name: str) -> str | None:
    listener = _OF_LISTENER.fullmatch(name)
    if listener is None:
        return one_typing_error_away(name, chain(BROKER_KEYS, _ELSEWHERE))
    near = one_typing_error_away(listener[1], BROKER_KEYS)
    return None if near is None else f"{name.removesuffix(listener[1])}{near}"


def _base_of_listener_key(rest: str) -> ConfigKey | None:
    """The key behind `listener.name.<listener>.[<mechanism>.]<key>`."""
    parts = rest.split(".")
    for first in range(min(2, len(parts))):
        key = BROKER_KEYS.get(".".join(parts[first:]))
        if key is not None:
            return key
    return None
