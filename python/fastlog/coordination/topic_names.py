"""Rules for topic names (Kafka's `Topic`): legal characters, length, collisions, internal topics."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from fastlog.errors import ErrorCode, KafkaError

MAX_TOPIC_NAME_LENGTH: Final = 249
_LEGAL: Final = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)

GROUP_METADATA_TOPIC: Final = "__consumer_offsets"
TRANSACTION_STATE_TOPIC: Final = "__transaction_state"
SHARE_GROUP_STATE_TOPIC: Final = "__share_group_state"
CLUSTER_METADATA_TOPIC: Final = "__cluster_metadata"
INTERNAL_TOPICS: Final = frozenset({GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC, SHARE_GROUP_STATE_TOPIC})


def topic_name_problem(name: str) -> str | None:
    """Why `name` cannot be a topic's name, in words for the client, or None."""
    if not name:
        return "the empty string is not allowed"
    if name in {".", ".."}:
        return f"'{name}' is not allowed"
    if len(name) > MAX_TOPIC_NAME_LENGTH:
        return f"the name has {len(name)} characters, more than the {MAX_TOPIC_NAME_LENGTH} allowed"
    if _LEGAL.fullmatch(name) is None:
        return f"{name!r} contains characters other than ASCII letters, digits, '.', '_' and '-'"
    if name == CLUSTER_METADATA_TOPIC:
        return f"'{name}' is reserved"
    return None


def check_topic_name(name: str) -> None:
    """Raises KafkaError(INVALID_TOPIC_EXCEPTION) when `name` cannot be a topic's name."""
    problem = topic_name_problem(name)
    if problem is not None:
        raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"topic name is invalid: {problem}")


def collision_key(name: str) -> str:
    """Names with one key would share metric names: '.' and '_' count as the same character there."""
    return name.replace(".", "_")


def by_collision_key(names: Iterable[str]) -> dict[str, str]:
    """One of the names for each key."""
    return {collision_key(name): name for name in names}


def colliding_topic(name: str, existing: Mapping[str, str]) -> str | None:
    """The one of `existing` that differs from `name` only by '.' against '_', or None.

    `existing` is what `by_collision_key` makes.
    """
    other = existing.get(collision_key(name))
    return None if other == name else other


def is_internal(name: str) -> bool:
    """Whether Kafka marks the topic as internal in Metadata answers."""
    return name in INTERNAL_TOPICS
