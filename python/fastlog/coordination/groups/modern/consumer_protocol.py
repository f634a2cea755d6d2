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

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct, error
from typing import Final

from fastlog.coordination.groups.modern.assignors.spec import TopicPartition, by_topic
from fastlog.coordination.groups.modern.topics import Topics
from fastlog.errors import FastlogError

_INT16: Final = Struct(">h")
_INT32: Final = Struct(">i")
_NULL: Final = _INT32.pack(-1)


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
    reader = _Reader(data)
    version = reader.int16()
    topics = tuple(reader.text() for _ in range(reader.count()))
    reader.blob()
    owned = reader.partitions() if version >= 1 and reader.has_more else []
    if version >= 2 and reader.has_more:
        reader.int32()
    rack_id = reader.string() if version >= 3 and reader.has_more else None
    return Subscription(version, topics, tuple(owned), rack_id)


def decode_assignment(data: bytes) -> tuple[list[tuple[str, int]], bytes]:
    """((topic, partition) pairs, user data); both empty for a member without an assignment yet.

    Raises BadProtocolMessage.
    """
    if not data:
        return [], b""
    reader = _Reader(data)
    reader.int16()
    return reader.partitions(), reader.blob()


def encode_assignment(assigned: Iterable[TopicPartition], topics: Topics, version: int) -> bytes:
    """An assignment for a member whose subscription has that version. Topics that are gone are left out."""
    named = [
        (name, numbers)
        for topic_id, numbers in by_topic(assigned).items()
        if (name := topics.name(topic_id)) is not None
    ]
    parts = [_INT16.pack(version), _INT32.pack(len(named))]
    for name, numbers in named:
        text = name.encode()
        parts += [_INT16.pack(len(text)), text, _INT32.pack(len(numbers))]
        parts += map(_INT32.pack, numbers)
    return b"".join([*parts, _NULL])


def with_ids(partitions: Iterable[tuple[str, int]], topics: Topics) -> list[TopicPartition]:
    """The same partitions by topic id, those of topics that exist."""
    return [
        (found[0], number)
        for name, number in partitions
        if (found := topics.find(name)) is not None and 0 <= number < found[1]
    ]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def has_more(self) -> bool:
        return self._at < len(self._data)

    def int16(self) -> int:
        return self._number(_INT16)

    def int32(self) -> int:
        return self._number(_INT32)

    def string(self) -> str | None:
        length = self.int16()
        if length < 0:
            return None
        try:
            return self._take(length).decode()
        except UnicodeDecodeError:
            raise BadProtocolMessage("a string is not UTF-8") from None

    def text(self) -> str:
        text = self.string()
        if text is None:
            raise BadProtocolMessage("a topic's name is null")
        return text

    def blob(self) -> bytes:
        length = self.int32()
        return b"" if length < 0 else self._take(length)

    def count(self) -> int:
        count = self.int32()
        # Each element has at least two bytes.
        if not 0 <= count <= (len(self._data) - self._at) // 2:
            raise BadProtocolMessage(f"{count} elements cannot be in {len(self._data)} bytes")
        return count

    def partitions(self) -> list[tuple[str, int]]:
        found = []
        for _ in range(self.count()):
            topic = self.text()
            found += [(topic, self.int32()) for _ in range(self.count())]
        return found

    def _number(self, layout: Struct) -> int:
        try:
            (value,) = layout.unpack_from(self._data, self._at)
        except error:
            raise BadProtocolMessage(f"it ends after {len(self._data)} bytes") from None
        self._at += layout.size
        return int(value)

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise BadProtocolMessage(f"it ends after {len(self._data)} bytes")
        piece = self._data[self._at : end]
        self._at = end
        return piece
