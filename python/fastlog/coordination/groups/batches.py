"""Record batches of the groups' topic."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final, TypeAlias

from fastlog.native import build_batch, read_batches

if TYPE_CHECKING:
    from fastlog.native.shapes import BuildRecord

KeyValue: TypeAlias = tuple[bytes, bytes | None]
"""Key and value of one record; a value of None is a tombstone."""

CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
"""By their numbers, as in offsets.topic.compression.codec."""

# base offset, length from here on, then (leader epoch, magic, CRC, attributes) last offset delta
_HEAD: Final = Struct(">qi11xi")
_LENGTH_FROM: Final = 12


def make_batch(records: Sequence[KeyValue], timestamp_ms: int, codec: int = 0) -> bytes:
    """One batch, compressed with the codec of that number; all records carry the same time."""
    rows: list[BuildRecord] = [(key, value, [], timestamp_ms) for key, value in records]
    return build_batch(rows, codec=CODECS[codec])


def read_records(data: bytes) -> tuple[list[KeyValue], int]:
    """(records of all whole batches, offset after the last of these batches or -1 when there is none).

    Control batches have no records here, but they count for the offset. Raises FastlogNativeError.
    """
    records = [(key or b"", value) for _, _, key, value, _ in read_batches(data)]
    position, next_offset = 0, -1
    while position + _HEAD.size <= len(data):
        base_offset, length, last_delta = _HEAD.unpack_from(data, position)
        position += _LENGTH_FROM + length
        if position > len(data):
            break
        next_offset = base_offset + last_delta + 1
    return records, next_offset
