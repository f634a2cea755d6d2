"""What members of the classic protocol tell each other (`ConsumerProtocolSubscription` and `...Assignment`).

Each begins with an int16 version. Strings are int16 length + UTF-8, arrays int32 count + elements, bytes
int32 length + bytes (-1: null).

| message         | fields                                                                                 |
|-----------------|----------------------------------------------------------------------------------------|
| Subscription 0+ | topics: array of string; user data: bytes; from 1 on owned: array of (topic: string,   |
|                 | partitions: array of int32); 2: generation: int32; 3: rack: string                     |
| Assignment 0+   | assigned: array of (topic, partitions); user data: bytes                               |

A version that is not known yet is read as the last known one, as Kafka does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.groups.consumer.assignors.spec import TopicPartition, by_topic
from fastlog.coordination.groups.consumer.topics_seen import Topics
from fastlog.coordination.groups.record_fields import (
    BadGroupRecord,
    FieldReader,
    classic_string,
    int16,
    int32,
)
from fastlog.coordination.groups.subscribed_names import MAX_TOPIC_NAMES
from fastlog.errors import FastlogError

_NULL: Final = -1
_MAX_PARTITIONS: Final = 100_000
"""Of one member: to read them is one step."""


class BadProtocolMessage(FastlogError):
    """Metadata or an assignment that is not of the consumer protocol."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a member wants, and what it still owns (members that rebalance eagerly own nothing)."""

    version: int
    topics: tuple[str, ...]
    owned: tuple[tuple[str, int], ...] = ()
    rack_id: str | None = None


def decode_subscription(data: bytes) -> Subscription:
    """Raises BadProtocolMessage."""
    with _reading(data) as reader:
        version = reader.int16()
        topics = tuple(reader.topic_names())
        reader.blob()
        owned = _partitions(reader) if version >= 1 and reader.has_more else []
        if version >= 2 and reader.has_more:
            reader.int32()
        rack_id = reader.string() if version >= 3 and reader.has_more else None
    return Subscription(version, topics, tuple(owned), rack_id)


def version_of(data: bytes) -> int:
    """The version of a subscription, the rest unread. Raises BadProtocolMessage."""
    with _reading(data) as reader:
        return reader.int16()


def decode_assignment(data: bytes) -> tuple[list[tuple[str, int]], bytes]:
    """((topic, partition) pairs, user data); both empty for a member without an assignment yet.

    Raises BadProtocolMessage.
    """
    if not data:
        return [], b""
    with _reading(data) as reader:
        reader.int16()
        return _partitions(reader), reader.blob()


def encode_assignment(assigned: Iterable[TopicPartition], topics: Topics, version: int) -> bytes:
    """An assignment for a member whose subscription has that version. Topics that are gone are left out."""
    named = [
        (name, numbers)
        for topic_id, numbers in by_topic(assigned).items()
        if (name := topics.name(topic_id)) is not None
    ]
    parts = [int16(version), int32(len(named))]
    for name, numbers in named:
        parts += [classic_string(name), int32(len(numbers))]
        parts += map(int32, numbers)
    return b"".join([*parts, int32(_NULL)])


def with_ids(partitions: Iterable[tuple[str, int]], topics: Topics) -> list[TopicPartition]:
    """The same partitions by topic id, those of topics that exist."""
    return [
        (found[0], number)
        for name, number in partitions
        if (found := topics.find(name)) is not None and 0 <= number < found[1]
    ]


def _partitions(reader: FieldReader) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    rows = reader.int32()
    if not 0 <= rows <= MAX_TOPIC_NAMES:
        raise BadProtocolMessage(f"{rows} topics: there may be {MAX_TOPIC_NAMES}")
    for _ in range(rows):
        topic = reader.text()
        found += [(topic, number) for number in reader.int32s(_MAX_PARTITIONS - len(found))]
    return found


@contextmanager
def _reading(data: bytes) -> Iterator[FieldReader]:
    try:
        yield FieldReader(data)
    except BadGroupRecord as error:
        raise BadProtocolMessage(str(error)) from None
