"""Fields of records in `__consumer_offsets` and of what consumers tell each other, in Kafka's two encodings.

Numbers are big-endian in both. The classic encoding has int16 lengths of strings, int32 lengths of bytes and
int32 counts, -1 for null. The flexible one has varints of the length + 1, 0 for null, and tagged fields at
the end of every struct. Encoders without a word about it are of the flexible encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct, error, unpack
from typing import Final, TypeVar

from fastlog.coordination.groups.subscribed_names import BadNames, read_names
from fastlog.errors import FastlogError
from fastlog.wire.primitives import encode_uvarint

_INT8: Final = Struct(">b")
_INT16: Final = Struct(">h")
_INT32: Final = Struct(">i")
_INT64: Final = Struct(">q")
_pack_int16: Final = _INT16.pack
_UUID_BYTES: Final = 16
_NULL: Final = -1
_NULL_COUNT: Final = _INT32.pack(_NULL)
NO_TAGS: Final = b"\0"
"""The end of a struct without tagged fields."""

T = TypeVar("T")


class BadGroupRecord(FastlogError):
    """Bytes that are no record of the version that they claim, or content that does not fit into one."""


def int8(value: int) -> bytes:
    """Signed, one byte."""
    return _INT8.pack(value)


def int16(value: int) -> bytes:
    """Signed, two bytes."""
    return _INT16.pack(value)


def int32(value: int) -> bytes:
    """Signed, four bytes."""
    return _INT32.pack(value)


def int64(value: int) -> bytes:
    """Signed, eight bytes."""
    return _INT64.pack(value)


def blob(data: bytes) -> bytes:
    """Bytes with their length."""
    return encode_uvarint(len(data) + 1) + data


def string(text: str | None) -> bytes:
    """UTF-8, or null."""
    return b"\0" if text is None else blob(text.encode())


def classic_string(text: str | None) -> bytes:
    """UTF-8, or null, in the classic encoding. Raises BadGroupRecord beyond 32767 bytes."""
    if text is None:
        return int16(-1)
    data = text.encode()
    try:
        return _pack_int16(len(data)) + data
    except error:
        raise BadGroupRecord(f"a string of {len(data)} bytes does not fit into a record") from None


def array(elements: Sequence[bytes]) -> bytes:
    """Encoded elements with their count."""
    return encode_uvarint(len(elements) + 1) + b"".join(elements)


def tagged(number: int, content: bytes) -> bytes:
    """The end of a struct with one tagged field."""
    return encode_uvarint(1) + encode_uvarint(number) + encode_uvarint(len(content)) + content


class FieldReader:
    """Reads fields one after the other. Raises BadGroupRecord past the end.

    `flexible` says in which encoding the next ones are: the version, always the first field, decides.
    """

    def __init__(self, data: bytes) -> None:
        self.flexible = False
        self._data = data
        self._at = 0

    @property
    def has_more(self) -> bool:
        """Whether there is a byte left."""
        return self._at < len(self._data)

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
        length = self._length(_INT32)
        return b"" if length == _NULL else self._take(length)

    def string(self) -> str | None:
        """Text or null."""
        length = self._length(_INT16)
        if length == _NULL:
            return None
        try:
            return self._take(length).decode()
        except UnicodeDecodeError:
            raise BadGroupRecord("a string is not UTF-8") from None

    def text(self) -> str:
        """Text that is not null."""
        text = self.string()
        if text is None:
            raise BadGroupRecord("a string is null")
        return text

    def topic_names(self) -> list[str]:
        """An array of texts in the classic encoding, of `MAX_TOPIC_NAMES` at most."""
        try:
            names, self._at = read_names(self._data, self._at)
        except BadNames as problem:
            raise BadGroupRecord(str(problem)) from None
        return names

    def int32s(self, limit: int) -> tuple[int, ...]:
        """An array of numbers in the classic encoding, of `limit` at most."""
        count = self._number(_INT32)
        if not 0 <= count <= limit:
            raise BadGroupRecord(f"{count} numbers: there may be {limit}")
        return unpack(f">{count}i", self._take(count * _INT32.size))

    def array(self, element: Callable[[], T]) -> list[T]:
        """As many elements as the count says; in the flexible encoding null counts as none."""
        count = self._length(_INT32)
        # Each element has at least one byte.
        if not (_NULL if self.flexible else 0) <= count <= len(self._data) - self._at:
            raise BadGroupRecord(f"{count} elements cannot be in {len(self._data)} bytes")
        return [element() for _ in range(count)]

    def is_null(self) -> bool:
        """Whether an array of the classic encoding is null: then it is read."""
        if self._data[self._at : self._at + _INT32.size] != _NULL_COUNT:
            return False
        self._at += _INT32.size
        return True

    def tagged(self) -> dict[int, FieldReader]:
        """The tagged fields at the end of a struct, by their numbers; none in the classic encoding."""
        found = {}
        for _ in range(self._varint() if self.flexible else 0):
            number = self._varint()
            field = found[number] = FieldReader(self._take(self._varint()))
            field.flexible = True
        return found

    def _length(self, classic: Struct) -> int:
        return self._varint() - 1 if self.flexible else self._number(classic)

    def _number(self, layout: Struct) -> int:
        try:
            (value,) = layout.unpack_from(self._data, self._at)
        except error:
            raise BadGroupRecord(f"it ends after {len(self._data)} bytes") from None
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

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if size < 0 or end > len(self._data):
            raise BadGroupRecord(f"it ends after {len(self._data)} bytes")
        piece = self._data[self._at : end]
        self._at = end
        return piece
