"""Record batches of the groups' topic, made and read record by record (format: record batch v2, magic 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final, TypeAlias

from fastlog.errors import FastlogError
from fastlog.native import compress, crc32c, decompress

KeyValue: TypeAlias = tuple[bytes, bytes | None]
"""Key and value of one record; a value of None is a tombstone."""

# base offset, length, leader epoch, magic, crc | attributes, last offset delta, base timestamp,
# max timestamp, producer id, producer epoch, base sequence, count
_HEAD: Final = Struct(">qiibI")
_AFTER_CRC: Final = Struct(">hiqqqhii")
_HEADER_SIZE: Final = _HEAD.size + _AFTER_CRC.size
_LENGTH_FROM: Final = 12
_MAGIC: Final = 2
_CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
_CONTROL: Final = 0x20


class BadBatch(FastlogError):
    """Bytes that are no whole record batch."""


def make_batch(records: Sequence[KeyValue], timestamp_ms: int, codec: int = 0) -> bytes:
    """One batch, compressed with the codec of that number; all records carry the same time."""
    body = bytearray()
    for index, (key, value) in enumerate(records):
        # attributes, timestamp delta 0, offset delta, key, value, no headers
        record = bytearray(b"\x00\x00")
        _put_varint(record, index)
        _put_bytes(record, key)
        _put_bytes(record, value)
        record.append(0)
        _put_varint(body, len(record))
        body += record
    if codec:
        body = bytearray(compress(_CODECS[codec], body))
    count = len(records)
    tail = _AFTER_CRC.pack(codec, count - 1, timestamp_ms, timestamp_ms, -1, -1, -1, count) + body
    length = _HEAD.size - _LENGTH_FROM + len(tail)
    return _HEAD.pack(0, length, -1, _MAGIC, crc32c(tail)) + tail


def read_records(data: bytes) -> tuple[list[KeyValue], int]:
    """(records of all whole batches but control batches, offset after the last of these batches or -1)."""
    records: list[KeyValue] = []
    position, next_offset = 0, -1
    while position + _HEADER_SIZE <= len(data):
        base_offset, length, _, magic, _ = _HEAD.unpack_from(data, position)
        end = position + _LENGTH_FROM + length
        if length < _HEADER_SIZE - _LENGTH_FROM or magic != _MAGIC:
            raise BadBatch(f"no record batch at offset {base_offset}")
        if end > len(data):
            break
        attributes, last_delta, *_, count = _AFTER_CRC.unpack_from(data, position + _HEAD.size)
        next_offset = base_offset + last_delta + 1
        if not attributes & _CONTROL:
            body = data[position + _HEADER_SIZE : end]
            codec = attributes & 7
            if codec:
                body = decompress(_CODECS[codec], body)
            try:
                records.extend(_records(body, count))
            except IndexError:
                raise BadBatch(f"the batch at offset {base_offset} ends early") from None
        position = end
    return records, next_offset


def _records(body: bytes, count: int) -> Iterator[KeyValue]:
    position = 0
    for _ in range(count):
        length, position = _varint(body, position)
        end = position + length
        position += 1  # attributes
        _, position = _varint(body, position)
        _, position = _varint(body, position)
        key, position = _field(body, position)
        value, position = _field(body, position)
        yield key or b"", value
        position = end


def _field(body: bytes, position: int) -> tuple[bytes | None, int]:
    length, position = _varint(body, position)
    if length < 0:
        return None, position
    return body[position : position + length], position + length


def _varint(body: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), position
        shift += 7


def _put_varint(out: bytearray, value: int) -> None:
    value = (value << 1) ^ (value >> 63)
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_bytes(out: bytearray, data: bytes | None) -> None:
    if data is None:
        out.append(1)
        return
    _put_varint(out, len(data))
    out += data
