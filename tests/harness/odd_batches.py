"""Record batches with something that no client should send: bits, counts, times, producers, frames, records.

Each has a name. The CRC is right unless that says otherwise.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from typing import Any

from fastlog.native import crc32c
from tests.harness.odd_payloads import GZIP, odd_payloads

TIME = 1_700_000_000_000
_VALUES = (b"one-" + b"1" * 20, b"two-" + b"2" * 20, b"three-" + b"3" * 20)


def varint(value: int) -> bytes:
    """Zigzag varint."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def record(
    delta: int,
    value: bytes | None,
    *,
    key: bytes | None = b"k",
    time: int | None = None,
    attributes: int = 0,
    null: int = -1,
    headers: bytes = b"\0",
    length: int | None = None,
    tail: bytes = b"",
) -> bytes:
    """One record. `null` is the length written for null, `headers` the field with its count."""

    def nullable(data: bytes | None) -> bytes:
        return varint(null) if data is None else varint(len(data)) + data

    body = bytes([attributes]) + varint(delta if time is None else time) + varint(delta)
    body += nullable(key) + nullable(value) + headers + tail
    return varint(len(body) if length is None else length) + body


RECORDS = b"".join(record(delta, value) for delta, value in enumerate(_VALUES))
PACKED = gzip.compress(RECORDS, mtime=0)


def craft(body: bytes = RECORDS, **fields: Any) -> bytes:
    """A batch of three records, with some fields of the header other than they should be."""
    known = {
        "base_offset": 0,
        "length": None,
        "leader_epoch": -1,
        "magic": 2,
        "attributes": 0,
        "last_delta": 2,
        "base_time": TIME,
        "max_time": TIME + 2,
        "producer": (-1, -1, -1),
        "count": 3,
        "crc_change": 0,
        "tail": b"",
    }
    assert fields.keys() <= known.keys(), fields
    f = known | fields
    middle = (f["attributes"], f["last_delta"], f["base_time"], f["max_time"])
    covered = struct.pack(">hiqqqhii", *middle, *f["producer"], f["count"]) + body
    length = len(covered) + 9 if f["length"] is None else f["length"]
    crc = crc32c(covered) ^ f["crc_change"]
    head: bytes = struct.pack(">qiibI", f["base_offset"], length, f["leader_epoch"], f["magic"], crc)
    return head + covered + bytes(f["tail"])


def odd_batches() -> Iterator[tuple[str, bytes]]:
    """(name, the bytes of one partition)."""
    yield from _odd_headers("", RECORDS, 0)
    yield from _odd_headers(", compressed", PACKED, GZIP)
    for codec in (5, 6, 7):
        yield f"codec {codec}", craft(PACKED, attributes=codec)
    yield from _odd_producers()
    yield from _odd_frames()
    yield from _odd_records()
    for name, codec, payload, _ in odd_payloads(RECORDS):
        yield name, craft(payload, attributes=codec)


def _odd_headers(form: str, body: bytes, codec: int) -> Iterator[tuple[str, bytes]]:
    yield f"as it should be{form}", craft(body, attributes=codec)
    for bit in range(3, 16):
        (attributes,) = struct.unpack(">h", struct.pack(">H", 1 << bit | codec))
        yield f"attribute bit {bit}{form}", craft(body, attributes=attributes)
    yield f"bit 3 and a later max timestamp{form}", craft(body, attributes=8 | codec, max_time=TIME + 9)
    yield f"bit 3 and no max timestamp{form}", craft(body, attributes=8 | codec, max_time=-1)
    for name, time in (("late", TIME + 900), ("early", TIME + 1), ("none", -1), ("far off", 2**63 - 1)):
        yield f"max timestamp {name}{form}", craft(body, attributes=codec, max_time=time)
    for time in (-1, -5, 0, 2**62):
        odd = craft(body, attributes=codec, base_time=time, max_time=time + 2)
        yield f"base timestamp {time}{form}", odd
    counts = ((0, 2), (-1, 2), (2, 2), (4, 2), (2, 1), (4, 3), (3, 0), (3, -1), (0, -1), (2**31 - 1, 2))
    for count, last in counts:
        odd = craft(body, attributes=codec, count=count, last_delta=last)
        yield f"count {count}, last delta {last}{form}", odd
    yield f"no records, counted right{form}", craft(body[:0], attributes=codec, count=0, last_delta=-1)


def _odd_producers() -> Iterator[tuple[str, bytes]]:
    # (id, epoch, first sequence); ids differ, since a log remembers them.
    for producer in ((1, 0, 0), (2, 0, -1), (3, -1, 0), (4, 0, 5), (5, 0, 2**31 - 1)):
        yield f"producer {producer}", craft(producer=producer)
    for producer in ((-1, 0, 0), (-1, -1, 5), (-2, 0, 0)):
        yield f"producer {producer}", craft(producer=producer)
    for bits in (0x10, 0x20, 0x30):
        yield f"bits {bits:#x} of a producer", craft(attributes=bits, producer=(bits, 0, 0))
        yield f"bits {bits:#x} of nobody", craft(attributes=bits)
    marker = record(0, struct.pack(">hi", 0, 0), key=struct.pack(">hh", 0, 1))
    yield "a marker", craft(marker, attributes=0x30, producer=(77, 0, -1), count=1, last_delta=0)


def _odd_frames() -> Iterator[tuple[str, bytes]]:
    yield "base offset 7", craft(base_offset=7)
    yield "base offset -1", craft(base_offset=-1)
    yield "leader epoch 5", craft(leader_epoch=5)
    for magic in (0, 1, 3, -1):
        yield f"magic {magic}", craft(magic=magic)
    yield "a wrong checksum", craft(crc_change=1)
    yield "two batches", craft() + craft()
    yield "a byte behind the batch", craft(tail=b"z")
    yield "12 bytes behind the batch", craft(tail=bytes(12))
    yield "half a batch behind", craft() + craft()[:70]
    yield "cut", craft()[:-1]
    yield "half a header", craft()[:40]
    yield "no bytes", b""
    for length in (-1, 0, 13, 48, 49, 2**31 - 1):
        yield f"batch length {length}", craft(length=length)


def _odd_records() -> Iterator[tuple[str, bytes]]:
    first, second = (record(delta, value) for delta, value in enumerate(_VALUES[:2]))
    value = _VALUES[2]
    thirds = {
        "offset delta 1 again": record(1, value),
        "offset delta 5": record(5, value),
        "offset delta -1": record(-1, value),
        "an attribute": record(2, value, attributes=0x7F),
        "a null key": record(2, value, key=None),
        "a null value": record(2, None),
        "a null of -2": record(2, None, null=-2),
        "a time of 2^60": record(2, value, time=2**60),
        "a time before 1970": record(2, value, time=-TIME - 5),
        "a time below long": record(2, value, time=-(2**63)),
        "a time of -1": record(2, value, time=-TIME - 1),
        "a header": record(2, value, headers=varint(1) + varint(1) + b"h" + varint(1) + b"x"),
        "a null header value": record(2, value, headers=varint(1) + varint(1) + b"h" + varint(-1)),
        "a header value of -2": record(2, value, headers=varint(1) + varint(1) + b"h" + varint(-2)),
        "a null header key": record(2, value, headers=varint(1) + varint(-1) + varint(1) + b"x"),
        "a header key that is no text": record(
            2, value, headers=varint(1) + varint(2) + b"\xff\xfe" + varint(-1)
        ),
        "a header count of -1": record(2, value, headers=varint(-1)),
        "a header too few": record(2, value, headers=varint(2) + varint(1) + b"h" + varint(1) + b"x"),
        "a byte too many": record(2, value, tail=b"z"),
        "a length too small": record(2, value, length=20),
        "a length too large": record(2, value, length=60),
        "a length of -1": record(2, value, length=-1),
        "a long varint": b"\xc0\x80\x80\x80\x00" + record(2, value)[1:],
    }
    for name, third in thirds.items():
        body = first + second + third
        yield f"record with {name}", craft(body)
        yield f"record with {name}, compressed", craft(gzip.compress(body, mtime=0), attributes=GZIP)
