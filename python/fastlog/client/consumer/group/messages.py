"""What members of a classic group tell each other: `ConsumerProtocolSubscription`, `...Assignment`.

    Subscription  int16 version; topics: array of string; user data: bytes; owned (1+): array of
                  (topic, array of int32); generation (2+): int32; rack (3+): nullable string
    Assignment    int16 version; array of (topic, array of int32); user data: bytes

Lengths of strings are int16, of arrays and bytes int32, -1 for null. What later versions add is left alone.
User data is the assignors' own: "sticky" has (owned, generation) there, "cooperative-sticky" the generation.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fastlog.client.metadata import TopicPartition

__all__ = [
    "Subscription",
    "decode_assignment",
    "decode_subscription",
    "encode_assignment",
    "encode_subscription",
]

_VERSION: Final = 3


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a member wants, and what it owned in which generation."""

    topics: tuple[str, ...]
    owned: frozenset[TopicPartition] = frozenset()
    generation: int = -1
    rack: str | None = None
    instance_id: str | None = None


def encode_subscription(subscription: Subscription, assignor: str) -> bytes:
    """The metadata of a member for one assignor."""
    owned = _partitions(subscription.owned)
    generation = struct.pack(">i", subscription.generation)
    data = {"sticky": owned + generation, "cooperative-sticky": generation}.get(assignor)
    rack = subscription.rack
    return b"".join(
        [
            struct.pack(">hi", _VERSION, len(subscription.topics)),
            *(_string(topic) for topic in sorted(subscription.topics)),
            _bytes(data),
            owned,
            generation,
            struct.pack(">h", -1) if rack is None else _string(rack),
        ]
    )


def decode_subscription(data: bytes, assignor: str, instance_id: str | None) -> Subscription:
    """Raises ValueError for what is no subscription."""
    reader = Reader(data)
    version = reader.int16()
    topics = tuple(reader.string() for _ in range(reader.count()))
    user = reader.blob()
    owned = reader.partitions() if version >= 1 and reader.left else set()
    generation = reader.int32() if version >= 2 and reader.left else -1
    rack = reader.nullable_string() if version >= 3 and reader.left else None
    if user and assignor == "sticky":
        inner = Reader(user)
        owned, generation = inner.partitions(), inner.int32() if inner.left else -1
    elif user and assignor == "cooperative-sticky" and generation < 0:
        generation = Reader(user).int32()
    return Subscription(topics, frozenset(owned), generation, rack, instance_id)


def encode_assignment(partitions: Iterable[TopicPartition]) -> bytes:
    """What one member shall own."""
    return struct.pack(">h", _VERSION) + _partitions(partitions) + _bytes(None)


def decode_assignment(data: bytes) -> set[TopicPartition]:
    """Empty for no bytes. Raises ValueError for what is no assignment."""
    if not data:
        return set()
    reader = Reader(data)
    reader.int16()
    return reader.partitions()


def _partitions(names: Iterable[TopicPartition]) -> bytes:
    topics: defaultdict[str, list[int]] = defaultdict(list)
    for name in sorted(names):
        topics[name.topic].append(name.partition)
    rows = (
        _string(topic) + struct.pack(f">i{len(numbers)}i", len(numbers), *numbers)
        for topic, numbers in topics.items()
    )
    return struct.pack(">i", len(topics)) + b"".join(rows)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def _bytes(data: bytes | None) -> bytes:
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


class Reader:
    """Takes fields off the front of bytes. All methods raise ValueError when they are not there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data) - self._at

    def int16(self) -> int:
        """A number of two bytes."""
        return int.from_bytes(self._take(2), signed=True)

    def int32(self) -> int:
        """A number of four bytes."""
        return int.from_bytes(self._take(4), signed=True)

    def count(self) -> int:
        """The length of an array."""
        count = self.int32()
        if count > self.left:
            raise ValueError("an array is longer than the data")
        return max(count, 0)

    def string(self) -> str:
        """A string that is not null."""
        return self._take(self.int16()).decode()

    def nullable_string(self) -> str | None:
        """A string, or null."""
        size = self.int16()
        return None if size < 0 else self._take(size).decode()

    def blob(self) -> bytes | None:
        """Bytes, or null."""
        size = self.int32()
        return None if size < 0 else self._take(size)

    def partitions(self) -> set[TopicPartition]:
        """Partitions by topic."""
        found = set()
        for _ in range(self.count()):
            topic = self.string()
            found |= {TopicPartition(topic, self.int32()) for _ in range(self.count())}
        return found

    def _take(self, size: int) -> bytes:
        if not 0 <= size <= self.left:
            raise ValueError("a field is longer than the data")
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken
