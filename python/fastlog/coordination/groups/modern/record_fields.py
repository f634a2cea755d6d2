"""The flexible encoding of record values: varint lengths + 1, tagged fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final, TypeVar

from fastlog.coordination.groups.record_reader import BadGroupRecord, RecordReader

_INT8: Final = Struct(">b")
_INT32: Final = Struct(">i")
_INT64: Final = Struct(">q")
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


class FieldReader(RecordReader):
    """Reads fields one after the other."""

    def blob(self) -> bytes:
        """Bytes; null counts as none."""
        return self.take(max(0, self.varint() - 1))

    def string(self) -> str | None:
        """Text or null."""
        length = self.varint() - 1
        return None if length < 0 else self.decoded(length)

    def classic_text(self) -> str:
        """Text in the encoding of keys: a length of two bytes."""
        length = self.int16()
        if length < 0:
            raise BadGroupRecord("a string is null")
        return self.decoded(length)

    def array(self, element: Callable[[], T]) -> list[T]:
        """As many elements as the count says; null counts as none."""
        return [element() for _ in range(self.elements(self.varint() - 1))]

    def tagged(self) -> dict[int, FieldReader]:
        """The tagged fields at the end of a struct, by their numbers."""
        found = {}
        for _ in range(self.varint()):
            number = self.varint()
            found[number] = FieldReader(self.take(self.varint()))
        return found
