"""What the generated codecs call at run time: packers, readers of lengths and tags, and the ways to fail.

Encoders get bytes from packers (`struct.Struct.pack` bound methods) and append them to a list. A *run* is a
stretch of adjacent fields that one packer covers. It is described by items: a `struct` code for a fixed
field, "x" for an empty tag section, "B" for a one-byte length, and for what depends on the value: "V" an
unsigned varint, "S" the same for a string (at most 32767 bytes), "A<code>" a compact array and "L<code>" a
classic array of fixed-size elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from struct import Struct
from typing import Any, Final, NoReturn

from fastlog.wire.errors import MalformedMessage, UnencodableMessage

MAX_STRING: Final = 0x7FFF
"""Longest string, in bytes of UTF-8 (Kafka's generator enforces it for compact strings too)."""

_MAX_TAGS: Final = 64
"""Most tagged fields in one section: Kafka's messages have at most a handful."""

_SMALL_ARRAY: Final = 64
_CACHE_LIMIT: Final = 4096

Packer = Callable[..., bytes]


def encode_uvarint(value: int) -> bytes:
    """Unsigned LEB128 of a number below 2**32."""
    if not 0 <= value <= 0xFFFFFFFF:
        raise UnencodableMessage(f"{value} does not fit an unsigned varint")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_string_length(value: int) -> bytes:
    """The compact length of a string (bytes + 1)."""
    if value > MAX_STRING + 1:
        raise UnencodableMessage(f"a string of {value - 1} bytes is longer than {MAX_STRING}")
    return encode_uvarint(value)


class Lengths(dict[int, bytes]):
    """Encoded varints by value: one-byte ones from the table, longer ones computed."""

    __slots__ = ("_encode",)

    def __init__(self, encode: Callable[[int], bytes]) -> None:
        super().__init__((value, bytes([value])) for value in range(128))
        self._encode = encode

    def __missing__(self, value: int) -> bytes:
        return self._encode(value)


UVARINT: Final = Lengths(encode_uvarint)
STRING_LENGTH: Final = Lengths(encode_string_length)


def run_packer(items: tuple[str, ...]) -> Packer:
    """A packer for a run without arrays. With "V" or "S" in it, the slow one for long lengths."""
    if "V" in items or "S" in items:
        return lambda *args: b"".join(_pieces(items, iter(args), ()))
    return Struct(">" + "".join(items)).pack


class ArrayRun(dict[int | tuple[int, ...], Packer]):
    """Packers of one run with arrays, by the lengths of the arrays (and of the "V" or "S" at its end).

    One length is the key itself, several are a tuple. Packers of short arrays are kept, others made anew.
    """

    __slots__ = ("_items",)

    def __init__(self, items: tuple[str, ...]) -> None:
        self._items = items

    def __missing__(self, key: int | tuple[int, ...]) -> Packer:
        lengths = (key,) if isinstance(key, int) else key
        if all(length <= _SMALL_ARRAY for length in lengths):
            packer = self._short(lengths)
            if len(self) < _CACHE_LIMIT:
                self[key] = packer
            return packer
        return lambda *args: b"".join(_pieces(self._items, iter(args), lengths))

    def _short(self, lengths: tuple[int, ...]) -> Packer:
        codes = [">"]
        remaining = iter(lengths)
        for item in self._items:
            match item[0]:
                case "A":
                    codes.append(f"B{next(remaining)}{item[1]}")
                case "L":
                    codes.append(f"i{next(remaining)}{item[1]}")
                case "V" | "S":
                    codes.append("B")
                case _:
                    codes.append(item)
        return Struct("".join(codes)).pack


def _pieces(items: tuple[str, ...], args: Iterator[Any], lengths: tuple[int, ...]) -> Iterator[bytes]:
    """The bytes of a run item by item, for any lengths."""
    remaining = iter(lengths)
    for item in items:
        match item[0]:
            case "A" | "L":
                count = next(remaining)
                announced = next(args)
                yield encode_uvarint(announced) if item[0] == "A" else Struct(">i").pack(announced)
                yield Struct(f">{count}{item[1]}").pack(*islice(args, count))
            case "V":
                yield encode_uvarint(next(args))
            case "S":
                yield encode_string_length(next(args))
            case "x":
                yield b"\0"
            case _:
                yield Struct(">" + item).pack(next(args))


def pack_tags(tags: list[tuple[int, bytes]]) -> bytes:
    """A tag section: count, then number, size and bytes of each, in ascending order of number."""
    parts = [UVARINT[len(tags)]]
    for number, value in tags:
        parts += (UVARINT[number], UVARINT[len(value)], value)
    return b"".join(parts)


Unpacker = Callable[[bytes, int], tuple[Any, ...]]


def run_unpacker(items: tuple[str, ...]) -> Unpacker:
    """`unpack_from` for a run of fixed fields."""
    return Struct(">" + "".join(items)).unpack_from


class ArrayReaders(dict[int, Unpacker]):
    """`unpack_from` for N elements of one fixed-size type, by N. Callers check N against the input first."""

    __slots__ = ("_code",)

    def __init__(self, code: str) -> None:
        self._code = code

    def __missing__(self, count: int) -> Unpacker:
        reader = Struct(f">{count}{self._code}").unpack_from
        if count <= _SMALL_ARRAY:
            self[count] = reader
        return reader


def long_uvarint(buf: bytes | memoryview, p: int) -> tuple[int, int]:
    """Reads an unsigned varint of up to 5 bytes at `p`: (value, position after it)."""
    value = 0
    for shift in range(0, 35, 7):
        byte = buf[p]
        p += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFFFFFF:
                break
            return value, p
    raise MalformedMessage("an unsigned varint does not fit 32 bits")


def read_tags(
    buf: bytes | memoryview, p: int, end: int, known: int = -1
) -> tuple[dict[int, tuple[int, int]], int]:
    """Reads a tag section at `p`. Tags ascend (KIP-482), so that one cannot appear twice.

    Returns the start and end of each value by number, for numbers up to `known`, and the position after all.
    """
    spans: dict[int, tuple[int, int]] = {}
    count, p = long_uvarint(buf, p)
    if count > _MAX_TAGS:
        raise MalformedMessage(f"{count} tagged fields in one place, more than {_MAX_TAGS}")
    if count * 2 > end - p:
        raise MalformedMessage(f"{count} tagged fields do not fit the {end - p} bytes left")
    last = -1
    for _ in range(count):
        number, p = long_uvarint(buf, p)
        size, p = long_uvarint(buf, p)
        if number <= last:
            raise MalformedMessage(f"tag {number} comes after tag {last}")
        if size > end - p:
            raise MalformedMessage(f"tag {number} of {size} bytes does not fit the {end - p} left")
        if number <= known:
            spans[number] = (p, p + size)
        last = number
        p += size
    return spans, p


def skip_tags(buf: bytes | memoryview, p: int, end: int) -> int:
    """Passes over a tag section none of whose tags are known; returns the position after it."""
    return read_tags(buf, p, end)[1]


def bad_length(field: str, length: int, left: int) -> NoReturn:
    """A length or count that is negative, null where null is not allowed, or beyond the input."""
    raise MalformedMessage(f"{field}: length {length} is not possible with {left} bytes left")


def too_many(field: str, limit: int) -> NoReturn:
    """More elements than a request may have in all."""
    raise MalformedMessage(f"{field}: the request has more than {limit} elements")


def bad_end(field: str, p: int, end: int) -> NoReturn:
    """Bytes left over, or read past the end of a tagged field or of the message."""
    raise MalformedMessage(f"{field}: {abs(end - p)} bytes too {'many' if p < end else 'few'}")


def absent(field: str, version: int) -> NoReturn:
    """A value that would be lost, since this version has no such field."""
    raise UnencodableMessage(f"{field} is not part of version {version} and must keep its default")
