"""Record batches of the groups' topic."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final, TypeAlias

from fastlog.native import build_batch, decode_columns, read_batches

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
    return records, _next_offset(data)


def take_latest(data: bytes, latest: dict[bytes, bytes | None]) -> tuple[int, int]:
    """Puts the last value of every key in all whole batches into `latest`, in the order of these records.

    Returns how many records there are, and the offset after the last of these batches as `read_records`
    does. Most records of a group's log are positions that were overtaken: they cost no more than this.
    Raises FastlogNativeError.
    """
    columns = decode_columns(data)
    keys, values = bytes(columns["key_data"]), bytes(columns["value_data"])
    valid = bytes(columns["value_validity"])
    ends = memoryview(columns["key_offsets"]).cast("q"), memoryview(columns["value_offsets"]).cast("q")
    key_start = value_start = 0
    pop = latest.pop
    for key_end, value_end, is_valid in zip(ends[0][1:], ends[1][1:], valid, strict=True):
        key = keys[key_start:key_end]
        pop(key, None)
        latest[key] = values[value_start:value_end] if is_valid else None
        key_start, value_start = key_end, value_end
    return len(valid), _next_offset(data)


def _next_offset(data: bytes) -> int:
    position, next_offset = 0, -1
    while position + _HEAD.size <= len(data):
        base_offset, length, last_delta = _HEAD.unpack_from(data, position)
        position += _LENGTH_FROM + length
        if position > len(data):
            break
        next_offset = base_offset + last_delta + 1
    return next_offset
