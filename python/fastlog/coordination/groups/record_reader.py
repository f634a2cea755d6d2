"""Fields of a record of `__consumer_offsets`: what the plain and the flexible encoding have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from struct import Struct, error
from typing import Final

from fastlog.errors import FastlogError

_INT8: Final = Struct(">b")
_INT16: Final = Struct(">h")
_INT32: Final = Struct(">i")
_INT64: Final = Struct(">q")
_UUID_BYTES: Final = 16


class BadGroupRecord(FastlogError):
    """Bytes that are no record of the version that they claim."""


class RecordReader(ABC):
    """Reads fields one after the other. Raises BadGroupRecord past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @abstractmethod
    def string(self) -> str | None:
        """Text or null."""

    def text(self) -> str:
        """Text that is not null."""
        text = self.string()
        if text is None:
            raise BadGroupRecord("a string is null")
        return text

    def int8(self) -> int:
        """Signed, one byte."""
        return self._number(_INT8)

    def int16(self) -> int:
        """Signed, two bytes."""
        return self._number(_INT16)

    def int32(self) -> int:
        """Signed, four bytes."""
        return self._number(_INT32)

    def int64(self) -> int:
        """Signed, eight bytes."""
        return self._number(_INT64)

    def uuid(self) -> bytes:
        """Sixteen bytes."""
        return self.take(_UUID_BYTES)

    def varint(self) -> int:
        """An unsigned number in groups of seven bits, the lowest first."""
        value = 0
        for shift in range(0, 35, 7):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise BadGroupRecord("a varint is too long")

    def decoded(self, size: int) -> str:
        """So many bytes of UTF-8."""
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise BadGroupRecord("a string is not UTF-8") from None

    def elements(self, count: int) -> int:
        """A count of what follows, each with at least one byte: checked before memory is taken for it."""
        if count > len(self._data) - self._at:
            raise BadGroupRecord(f"{count} elements cannot be in {len(self._data)} bytes")
        return count

    def take(self, size: int) -> bytes:
        """The next bytes."""
        end = self._at + size
        if size < 0 or end > len(self._data):
            raise BadGroupRecord(f"the record ends after {len(self._data)} bytes")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def _number(self, layout: Struct) -> int:
        try:
            (value,) = layout.unpack_from(self._data, self._at)
        except error:
            raise BadGroupRecord(f"the record ends after {len(self._data)} bytes") from None
        self._at += layout.size
        return int(value)
