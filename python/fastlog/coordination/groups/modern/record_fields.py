"""The flexible encoding of record values: varint lengths + 1, tagged fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct, error
from typing import Final, TypeVar

from fastlog.coordination.groups.records import BadGroupRecord

_INT8: Final = Struct(">b")
_INT16: Final = Struct(">h")
_INT32: Final = Struct(">i")
_INT64: Final = Struct(">q")
_UUID_BYTES: Final = 16
NO_TAGS: Final = b"\0"
"""The end of a struct without tagged fields."""

T = TypeVar("T")


def varint(value: int) -> bytes:
    """An unsigned number in groups of seven bits, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def int8(value: int) -> bytes:
    """Signed, one byte."""
    return _INT8.pack(value)


def int32(value: int) -> bytes:
    """Signed, four bytes."""
    return _INT32.pack(value)


def int64(value: int) -> bytes:
    """Signed, eight bytes."""
    return _INT64.pack(value)


def blob(data: bytes) -> bytes:
    """Bytes with their length."""
    return varint(len(data) + 1) + data


def string(text: str | None) -> bytes:
    """UTF-8, or null."""
    return b"\0" if text is None else blob(text.encode())


def array(elements: Sequence[bytes]) -> bytes:
    """Encoded elements with their count."""
    return varint(len(elements) + 1) + b"".join(elements)


def tagged(number: int, content: bytes) -> bytes:
    """The end of a struct with one tagged field."""
    return varint(1) + varint(number) + varint(len(content)) + content


class FieldReader:
    """Reads fields one after the other. Raises BadGroupRecord past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

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
        return self._take(_UUID_BYTES)

    def blob(self) -> bytes:
        """Bytes; null counts as none."""
        return self._take(max(0, self._varint() - 1))

    def string(self) -> str | None:
        """Text or null."""
        length = self._varint() - 1
        return None if length < 0 else self._decode(length)

    def text(self) -> str:
        """Text that is not null."""
        text = self.string()
        if text is None:
            raise BadGroupRecord("a string is null")
        return text

    def classic_text(self) -> str:
        """Text in the encoding of keys: a length of two bytes."""
        length = self.int16()
        if length < 0:
            raise BadGroupRecord("a string is null")
        return self._decode(length)

    def array(self, element: Callable[[], T]) -> list[T]:
        """As many elements as the count says; null counts as none."""
        count = self._varint() - 1
        # Each element has at least one byte.
        if count > len(self._data) - self._at:
            raise BadGroupRecord(f"{count} elements cannot be in {len(self._data)} bytes")
        return [element() for _ in range(count)]

    def tagged(self) -> dict[int, FieldReader]:
        """The tagged fields at the end of a struct, by their numbers."""
        found = {}
        for _ in range(self._varint()):
            number = self._varint()
            found[number] = FieldReader(self._take(self._varint()))
        return found

    def _number(self, layout: Struct) -> int:
        try:
            (value,) = layout.unpack_from(self._data, self._at)
        except error:
            raise BadGroupRecord(f"the record ends after {len(self._data)} bytes") from None
        self._at += layout.size
        return int(value)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            (byte,) = self._take(1)
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise BadGroupRecord("a varint is too long")

    def _decode(self, length: int) -> str:
        try:
            return self._take(length).decode()
        except UnicodeDecodeError:
            raise BadGroupRecord("a string is not UTF-8") from None

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise BadGroupRecord(f"the record ends after {len(self._data)} bytes")
        piece = self._data[self._at : end]
        self._at = end
        return piece
