"""What members of a classic group of type "consumer" tell each other (Kafka's ConsumerProtocol*.json).

    assignment    int16 version, array of (string topic, array of int32 partition), ...
    subscription  int16 version, array of string topic, ...

Lengths are int32, those of strings int16. What later versions add comes behind and is left alone.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["read_assignment", "read_subscription"]

_INT16: Final = struct.Struct(">h")
_INT32: Final = struct.Struct(">i")


def read_assignment(data: bytes) -> dict[str, tuple[int, ...]] | None:
    """Partitions by topic; empty for no bytes, None for bytes that are something else."""
    if not data:
        return {}
    reader = _Reader(data)
    try:
        reader.int16()
        found = {}
        for _ in range(reader.count(6)):
            topic = reader.string()
            found[topic] = tuple(sorted(reader.int32() for _ in range(reader.count(4))))
    except (struct.error, ValueError):
        return None
    return found


def read_subscription(data: bytes) -> tuple[str, ...] | None:
    """Topics in order of their names; None for bytes that are no subscription."""
    if not data:
        return ()
    reader = _Reader(data)
    try:
        reader.int16()
        return tuple(sorted(reader.string() for _ in range(reader.count(2))))
    except (struct.error, ValueError):
        return None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def int16(self) -> int:
        value: int = _INT16.unpack_from(self._data, self._at)[0]
        self._at += 2
        return value

    def int32(self) -> int:
        value: int = _INT32.unpack_from(self._data, self._at)[0]
        self._at += 4
        return value

    def count(self, smallest: int) -> int:
        """The length of an array whose items take at least `smallest` bytes. Raises ValueError."""
        count = self.int32()
        if count < 0 or count * smallest > len(self._data) - self._at:
            raise ValueError("an array is longer than the data")
        return count

    def string(self) -> str:
        size = self.int16()
        if size < 0 or size > len(self._data) - self._at:
            raise ValueError("a string is longer than the data")
        text = self._data[self._at : self._at + size].decode()
        self._at += size
        return text
