"""Which topics the members of a group of consumers subscribe to.

Member metadata is opaque but for this: to delete or expire offsets Kafka looks at the topics in the metadata
of protocol type "consumer" (`ConsumerProtocolSubscription`): int16 version, then an array of topic names.
"""

from __future__ import annotations

from struct import Struct, error
from typing import Final

from fastlog.coordination.groups.state import CONSUMER, Group

_HEAD: Final = Struct(">hi")
_LENGTH: Final = Struct(">h")


def subscribed_topics(group: Group) -> frozenset[str] | None:
    """The topics of all members, or None when that cannot be known."""
    if group.protocol_type != CONSUMER:
        return None
    if not len(group.members):
        return frozenset()
    if group.protocol_name is None:
        return None
    topics: set[str] = set()
    for member in group.members:
        names = _topics(member.metadata(group.protocol_name))
        if names is None:
            return None
        topics.update(names)
    return frozenset(topics)


def _topics(metadata: bytes) -> list[str] | None:
    try:
        _, count = _HEAD.unpack_from(metadata)
        position, names = _HEAD.size, []
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(metadata, position)
            position += _LENGTH.size
            if length < 0 or position + length > len(metadata):
                return None
            names.append(metadata[position : position + length].decode())
            position += length
    except (error, UnicodeDecodeError):
        return None
    return names
