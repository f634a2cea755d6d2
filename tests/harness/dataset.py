"""Deterministic records with every shape that a client may send, and the file that carries them to clients.

File format, all big-endian: per record `i64 timestamp, bytes key, bytes value, i32 header count`, then per
header `bytes name, bytes value`; `bytes` is an i32 length (-1 = null) and that many bytes. A producer in any
language sends a file's records in order; a consumer writes what it got in the same format; equal files mean
equal records.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

Headers = list[tuple[str, bytes | None]]
LARGE_EVERY = 20_000
LARGE_BYTES = 1_000_000
FIRST_TIMESTAMP = 1_700_000_000_000
_LENGTH = struct.Struct(">i")
_STAMP = struct.Struct(">q")
_PATTERN = bytes((index * 167 + index // 256) % 256 for index in range(4096))


class Record(NamedTuple):
    """One record as a user gives it; `timestamp` in milliseconds since the epoch."""

    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def record(index: int, *, every_null: bool = True) -> Record:
    """The record number `index`: null, empty, small and 1 MB parts come in fixed turns.

    Without `every_null` there are no null header values and no records with neither key nor value.
    """
    mixed = index * 2_654_435_761 % 2**32
    key = None if index % 7 == 0 else b"" if index % 11 == 0 else b"key-%d" % (mixed % 1000)
    value: bytes | None
    if index % LARGE_EVERY == LARGE_EVERY - 1:
        value = (_PATTERN * (LARGE_BYTES // len(_PATTERN) + 1))[:LARGE_BYTES]
    elif index % 13 == 0 and (every_null or key is not None):
        value = None
    elif index % 17 == 0:
        value = b""
    else:
        start = mixed % 3000
        value = b"%d:" % index + _PATTERN[start : start + mixed // 4096 % 200]
    headers: Headers = []
    if index % 3 == 0:
        headers = [
            (f"h{index % 5}", b"%d" % mixed),
            ("none", None if every_null else b"null"),
            ("empty", b""),
            ("none", b"again"),
        ]
    return Record(FIRST_TIMESTAMP + index, key, value, headers)


def plain_record(index: int) -> Record:
    """A record for tools that know neither nulls nor headers: text key and text value without separators."""
    return Record(FIRST_TIMESTAMP + index, b"k%d" % index, b"value %d" % (index * 2_654_435_761 % 2**32), [])


def records(count: int, start: int = 0, *, every_null: bool = True) -> Iterator[Record]:
    """`count` records from number `start` on."""
    return (record(index, every_null=every_null) for index in range(start, start + count))


def write_record(out: BinaryIO, item: Record) -> None:
    """Appends one record to a file of this format."""
    out.write(_STAMP.pack(item.timestamp))
    _write_bytes(out, item.key)
    _write_bytes(out, item.value)
    out.write(_LENGTH.pack(len(item.headers)))
    for name, value in item.headers:
        _write_bytes(out, name.encode())
        _write_bytes(out, value)


def write_file(path: Path, items: Iterable[Record]) -> None:
    """Writes a whole file."""
    with path.open("wb") as out:
        for item in items:
            write_record(out, item)


def read_file(path: Path) -> Iterator[Record]:
    """The records of a file."""
    with path.open("rb") as source:
        while stamp := source.read(8):
            (timestamp,) = _STAMP.unpack(stamp)
            key, value = _read_bytes(source), _read_bytes(source)
            (count,) = _LENGTH.unpack(source.read(4))
            headers = [((_read_bytes(source) or b"").decode(), _read_bytes(source)) for _ in range(count)]
            yield Record(timestamp, key, value, headers)


def first_difference(expected: Path, found: Path) -> str | None:
    """None when the files are equal, else words about the first record that is not."""
    if expected.read_bytes() == found.read_bytes():
        return None
    left, right = read_file(expected), read_file(found)
    for index, item in enumerate(left):
        other = next(right, None)
        if item != other:
            return f"record {index}: expected {_brief(item)}, found {_brief(other)}"
    return f"more records than expected: {_brief(next(right, None))}"


def _brief(item: Record | None) -> str:
    text = repr(item)
    return text if len(text) < 400 else f"{text[:200]} ... {text[-100:]}"


def _write_bytes(out: BinaryIO, data: bytes | None) -> None:
    if data is None:
        out.write(_LENGTH.pack(-1))
    else:
        out.write(_LENGTH.pack(len(data)))
        out.write(data)


def _read_bytes(source: BinaryIO) -> bytes | None:
    (length,) = _LENGTH.unpack(source.read(4))
    return None if length < 0 else source.read(length)
