"""Record batches (magic 2, no compression) written by hand, so that tests can also get every field wrong."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from fastlog.native import crc32c

TIME = 1_700_000_000_000
_HEADER = struct.Struct(">qiibIhiqqqhii")


def batch(
    *values: bytes | None,
    key: bytes | None = b"k",
    timestamp: int = TIME,
    attributes: int = 0,
    producer: tuple[int, int, int] = (-1, -1, -1),
    base_offset: int = 0,
    crc_change: int = 0,
    time_delta: int = 0,
) -> bytes:
    """Records with these values, one millisecond apart. `producer` is (id, epoch, first sequence).

    The first record is `time_delta` ms away from `timestamp`.
    """
    body = b"".join(_record(index, time_delta, key, value) for index, value in enumerate(values))
    last = len(values) - 1
    fields = (attributes, last, timestamp, timestamp + time_delta + last, *producer, len(values))
    covered = struct.pack(">hiqqqhii", *fields) + body
    crc = crc32c(covered) ^ crc_change
    return struct.pack(">qiibI", base_offset, len(covered) + 9, 0, 2, crc) + covered


def records(data: bytes | memoryview | None) -> Iterator[tuple[int, bytes | None]]:
    """(offset, value) of the records of uncompressed batches; a batch that is cut short ends it."""
    view = memoryview(data or b"")
    while len(view) >= _HEADER.size:
        header = _HEADER.unpack_from(view)
        size = 12 + header[1]
        if size > len(view):
            return
        position = _HEADER.size
        for _ in range(header[12]):
            length, position = _varint(view, position)
            end = position + length
            position += 1
            _, position = _varint(view, position)
            delta, position = _varint(view, position)
            key_length, position = _varint(view, position)
            position += max(key_length, 0)
            value_length, position = _varint(view, position)
            value = None if value_length < 0 else bytes(view[position : position + value_length])
            yield header[0] + delta, value
            position = end
        view = view[size:]


def _record(index: int, time_delta: int, key: bytes | None, value: bytes | None) -> bytes:
    content = b"\0" + _zigzag(time_delta + index) + _zigzag(index) + _bytes(key) + _bytes(value) + _zigzag(0)
    return _zigzag(len(content)) + content


def _bytes(data: bytes | None) -> bytes:
    return _zigzag(-1) if data is None else _zigzag(len(data)) + data


def _zigzag(value: int) -> bytes:
    rest = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = view[position]
        position += 1
        result |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return (result >> 1) ^ -(result & 1), position
