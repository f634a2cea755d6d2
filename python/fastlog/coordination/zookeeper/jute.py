"""Jute, the encoding of ZooKeeper's packets: big endian, lengths and counts as int32, -1 for null.

Nothing here takes memory for a length or a count before it was compared with the bytes that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct, error
from typing import Final, TypeVar

from fastlog.errors import FastlogError

T = TypeVar("T")

_INT: Final = Struct(">i")
_LONG: Final = Struct(">q")
NULL: Final = -1
"""The length of what is null."""


class MalformedPacket(FastlogError):
    """Bytes are not the packet that they should be. The connection cannot go on."""


class Reader:
    """Takes fields from a packet, in order. Every method raises MalformedPacket when the bytes do not fit."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at

    @property
    def left(self) -> int:
        """Bytes that nobody has taken."""
        return len(self._data) - self._at

    def take(self, layout: Struct) -> tuple[int, ...]:
        """Several numbers at once."""
        try:
            values = layout.unpack_from(self._data, self._at)
        except error:
            raise MalformedPacket(f"the packet ends at {len(self._data)}, within a number") from None
        self._at += layout.size
        return values

    def int32(self) -> int:
        """An int32."""
        return self.take(_INT)[0]

    def int64(self) -> int:
        """An int64."""
        return self.take(_LONG)[0]

    def boolean(self) -> bool:
        """One byte; anything but 0 is true, as in Java's DataInput."""
        if self._at >= len(self._data):
            raise MalformedPacket(f"the packet ends at {len(self._data)}, before a boolean")
        self._at += 1
        return self._data[self._at - 1] != 0

    def buffer(self) -> bytes | None:
        """Bytes, or null."""
        length = self.int32()
        if length == NULL:
            return None
        if not 0 <= length <= self.left:
            raise MalformedPacket(f"a length of {length} with {self.left} bytes left")
        start = self._at
        self._at += length
        return self._data[start : self._at]

    def string(self) -> str:
        """UTF-8 text; null, which no request of a known client has where text is due, is empty."""
        data = self.buffer() or b""
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise MalformedPacket("text that is not UTF-8") from None

    def vector(self, element: Callable[[Reader], T], least: int) -> list[T]:
        """Elements of at least `least` bytes each; null is empty."""
        count = self.int32()
        if count == NULL:
            return []
        if not 0 <= count <= self.left // least:
            raise MalformedPacket(f"a count of {count} with {self.left} bytes left")
        return [element(self) for _ in range(count)]

    def strings(self) -> list[str]:
        """A vector of strings."""
        return self.vector(Reader.string, _INT.size)


class Writer(bytearray):
    """A packet that is being built."""

    __slots__ = ()

    def int32(self, value: int) -> None:
        """An int32."""
        self.extend(_INT.pack(value))

    def int64(self, value: int) -> None:
        """An int64."""
        self.extend(_LONG.pack(value))

    def boolean(self, value: bool) -> None:
        """One byte."""
        self.append(1 if value else 0)

    def buffer(self, value: bytes | None) -> None:
        """Bytes, or null: ZooKeeper keeps the difference between null and empty."""
        if value is None:
            self.extend(_INT.pack(NULL))
        else:
            self.extend(_INT.pack(len(value)))
            self.extend(value)

    def string(self, value: str) -> None:
        """UTF-8 text."""
        self.buffer(value.encode())

    def strings(self, values: Iterable[str]) -> None:
        """A vector of strings."""
        listed = list(values)
        self.int32(len(listed))
        for value in listed:
            self.string(value)


def framed(packet: bytes | bytearray) -> bytes:
    """A packet with its length before it, as it goes over the wire."""
    return _INT.pack(len(packet)) + packet
