"""Compressed payloads as encoders other than Java's write them, or might: which of them Java can read.

Written by hand, since no library writes what it calls wrong. A broker that stores what Java's consumers
cannot read stops them at that offset for good, and one that refuses what they can read loses a producer its
records; so what counts is what Apache Kafka 3.9.1 stores (tests/compat/test_odd_batches.py asks it).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4

_LZ4_MAGIC = b"\x04\x22\x4d\x18"
_END_MARK = bytes(4)
_SKIPPABLE = b"\x50\x2a\x4d\x18\x02\0\0\0ab"
_XERIAL = b"\x82SNAPPY\0"


def odd_payloads(body: bytes) -> Iterator[tuple[str, int, bytes, bool]]:
    """(name, codec, payload, whether Kafka stores it); all for the records `body` of 60 to 127 bytes."""
    for name, payload, stored in _lz4(body):
        yield f"lz4: {name}", LZ4, payload, stored
    for name, payload, stored in _snappy(body):
        yield f"snappy: {name}", SNAPPY, payload, stored
    for name, payload, stored in _gzip(body):
        yield f"gzip: {name}", GZIP, payload, stored
    for name, payload, stored in _zstd(body):
        yield f"zstd: {name}", ZSTD, payload, stored


def lz4_frame(
    data: bytes,
    *,
    flags: int = 0x60,
    sizes: int = 0x40,
    extra: bytes = b"",
    piece: int = 65536,
    packed: bool = False,
    trailer: bytes = _END_MARK,
    check: int | None = None,
    block_check: int | None = None,
) -> bytes:
    """An lz4 frame of stored blocks, or with `packed` of compressed ones that hold only literals.

    `flags` and `sizes` are FLG and BD; `extra` what follows them (content size, dictionary id); `check` the
    header's checksum, and `block_check` that of each block, when they are to be others than the right ones.
    """
    descriptor = bytes([flags, sizes]) + extra
    header = _LZ4_MAGIC + descriptor + bytes([_xxh32(descriptor) >> 8 & 0xFF if check is None else check])
    blocks = []
    for at in range(0, len(data), piece):
        block = data[at : at + piece]
        if packed:
            block = _lz4_literals(block)
        size = len(block) if packed else len(block) | 0x8000_0000
        blocks.append(struct.pack("<I", size) + block)
        if flags & 0x10:
            blocks.append(struct.pack("<I", _xxh32(block) if block_check is None else block_check))
    return header + b"".join(blocks) + trailer


def _lz4(body: bytes) -> Iterator[tuple[str, bytes, bool]]:
    yield "one frame of stored blocks", lz4_frame(body), True
    yield "one frame of compressed blocks", lz4_frame(body, packed=True), True
    yield "many blocks", lz4_frame(body, piece=7), True
    for code, name in ((0x50, "256 KiB"), (0x60, "1 MiB"), (0x70, "4 MiB")):
        yield f"blocks of {name}", lz4_frame(body, sizes=code), True
    yield "linked blocks", lz4_frame(body, flags=0x40), False
    yield "linked compressed blocks", lz4_frame(body, flags=0x40, packed=True, piece=20), False
    yield "no end mark", lz4_frame(body, trailer=b""), False
    yield "half an end mark", lz4_frame(body, trailer=bytes(2)), False
    yield "bytes after the end mark", lz4_frame(body) + b"zz", True
    yield "a second frame", lz4_frame(body) + lz4_frame(b"more"), True
    yield "records in two frames", lz4_frame(body[:20]) + lz4_frame(body[20:]), False
    yield "an empty frame first", lz4_frame(b"") + lz4_frame(body), False
    yield "a skippable frame first", _SKIPPABLE + lz4_frame(body), False
    yield "a skippable frame behind", lz4_frame(body) + _SKIPPABLE, True
    yield "a wrong header checksum", lz4_frame(body, check=lz4_frame(body)[6] ^ 1), False
    yield (
        "the header checksum of old Kafkas",
        lz4_frame(body, check=_xxh32(lz4_frame(body)[:6]) >> 8 & 0xFF),
        False,
    )
    yield "a content size", lz4_frame(body, flags=0x68, extra=struct.pack("<Q", len(body))), True
    yield "a wrong content size", lz4_frame(body, flags=0x68, extra=struct.pack("<Q", 3)), True
    yield (
        "a content checksum",
        lz4_frame(body, flags=0x64, trailer=_END_MARK + struct.pack("<I", _xxh32(body))),
        True,
    )
    yield "a wrong content checksum", lz4_frame(body, flags=0x64, trailer=bytes(8)), True
    yield "no room for the content checksum", lz4_frame(body, flags=0x64), False
    yield "block checksums", lz4_frame(body, flags=0x70), True
    yield "wrong block checksums", lz4_frame(body, flags=0x70, block_check=1), False
    yield "a dictionary id", lz4_frame(body, flags=0x61, extra=bytes(4)), False
    yield "a reserved flag", lz4_frame(body, flags=0x62), False
    for version in (0x20, 0xA0, 0xE0):
        yield f"frame version {version >> 6}", lz4_frame(body, flags=version), False
    for code in (0x00, 0x30, 0xC0):
        yield f"size code {code:#x}", lz4_frame(body, sizes=code), False
    for code in (0x41, 0x48, 0xC0):
        yield f"reserved bits of sizes {code:#x}", lz4_frame(body, sizes=code), False
    yield (
        "a legacy frame",
        b"\x02\x21\x4c\x18" + struct.pack("<I", len(_lz4_literals(body))) + _lz4_literals(body),
        False,
    )
    yield "a bare block", _lz4_literals(body), False
    nothing = b"\1\0\0\0\0"
    yield "an empty compressed block behind", lz4_frame(body, trailer=nothing + _END_MARK), True
    yield "an empty compressed block for an end mark", lz4_frame(body, trailer=nothing), True
    yield "an empty compressed block first", lz4_frame(b"", trailer=nothing + lz4_frame(body)[7:]), False
    yield "an empty stored block", lz4_frame(body, trailer=struct.pack("<I", 0x8000_0000) + _END_MARK), True
    yield "a block larger than the frame allows", lz4_frame(body + bytes(70_000), piece=100_000), False
    yield "a block that unpacks to more", lz4_frame(body + bytes(70_000), piece=100_000, packed=True), False
    yield "a block cut short", lz4_frame(body)[:-9], False
    yield "a header cut short", lz4_frame(body)[:5], False
    yield "nothing", b"", False


def _snappy(body: bytes) -> Iterator[tuple[str, bytes, bool]]:
    def xerial(*blocks: bytes, version: int = 1, compatible: int = 1) -> bytes:
        chunks = b"".join(struct.pack(">i", len(block)) + block for block in blocks)
        return _XERIAL + struct.pack(">ii", version, compatible) + chunks

    block = _snappy_block(body)
    yield "xerial", xerial(block), True
    yield "xerial of two chunks", xerial(_snappy_block(body[:20]), _snappy_block(body[20:])), True
    yield "xerial with an empty chunk", xerial(_snappy_block(b""), block), True
    yield "xerial version 2", xerial(block, version=2), True
    yield "xerial version 0", xerial(block, version=0), True
    yield "xerial version 0 behind", xerial(block) + xerial(block, version=0), False
    yield "half a header behind", xerial(block) + _XERIAL, False
    yield "another header behind", xerial(block) + _XERIAL[:6] + bytes(20), False
    yield "xerial, for readers of version 9", xerial(block, compatible=9), True
    yield "xerial again", xerial(_snappy_block(body[:20])) + xerial(_snappy_block(body[20:])), True
    yield "xerial, then a raw block", xerial(block) + block, False
    yield "xerial with bytes behind", xerial(block) + b"zzz", True
    yield "xerial with a chunk length behind", xerial(block) + bytes(4), False
    yield "xerial, cut", xerial(block)[:-3], False
    yield "xerial, a negative chunk", xerial(block) + struct.pack(">i", -1), False
    yield "a header alone", xerial(), False
    yield "a raw block", block, True
    yield "a raw block and a byte", block + b"z", False
    yield "a raw block, cut", block[:-3], False
    yield (
        "the framing format",
        b"\xff\x06\0\0sNaPpY\x01" + struct.pack("<I", len(body) + 4)[:3] + bytes(4) + body,
        False,
    )
    yield "nothing", b"", False


def _gzip(body: bytes) -> Iterator[tuple[str, bytes, bool]]:
    whole = gzip.compress(body, mtime=0)
    head, rest = whole[:10], whole[10:]

    def flagged(flag: int, field: bytes) -> bytes:
        return head[:3] + bytes([flag]) + head[4:] + field + rest

    checked = head[:3] + b"\x02" + head[4:]
    yield "one member", whole, True
    yield "two members", gzip.compress(body[:20], mtime=0) + gzip.compress(body[20:], mtime=0), True
    yield "an empty member behind", whole + gzip.compress(b"", mtime=0), True
    yield "bytes behind", whole + b"zzzz", True
    yield "zeros behind", whole + bytes(20), True
    yield "half a header behind", whole + whole[:5], True
    yield "half a member behind", whole + whole[:-9], False
    yield "a member with a wrong checksum", whole[:-8] + bytes(4) + whole[-4:], False
    yield "a member with a wrong length", whole[:-4] + bytes(4), False
    yield "a name", flagged(0x08, b"name\0"), True
    yield "a comment", flagged(0x10, b"word\0"), True
    yield "an extra field", flagged(0x04, struct.pack("<H", 3) + b"abc"), True
    yield "a header checksum", checked + struct.pack("<H", zlib.crc32(checked) & 0xFFFF) + rest, True
    yield (
        "a wrong header checksum",
        checked + struct.pack("<H", zlib.crc32(checked) & 0xFFFF ^ 1) + rest,
        False,
    )
    yield "reserved flags", flagged(0x20, b""), True
    yield "another method", whole[:2] + b"\x07" + whole[3:], False
    yield "no trailer", whole[:-8], False
    yield "half a trailer", whole[:-3], False
    yield "a zlib stream", zlib.compress(body), False
    yield "bare deflate", zlib.compress(body)[2:-4], False
    yield "nothing", b"", False


def _zstd(body: bytes) -> Iterator[tuple[str, bytes, bool]]:
    def frame(
        data: bytes, *, window: int = 0x58, descriptor: int = 0, extra: bytes = b"", last: bool = True
    ) -> bytes:
        head = bytes([descriptor]) if descriptor & 0x20 else bytes([descriptor, window])
        return b"\x28\xb5\x2f\xfd" + head + extra + struct.pack("<I", len(data) << 3 | last)[:3] + data

    size = bytes([len(body)])
    yield "one frame", frame(body), True
    for log in (24, 25, 26, 27):
        yield f"a window of 2^{log}", frame(body, window=log - 10 << 3), True
    for log in (28, 31, 41):
        yield f"a window of 2^{log}", frame(body, window=log - 10 << 3), False
    yield "a window above 2^27 by a little", frame(body, window=27 - 10 << 3 | 1), False
    yield "one segment with its size", frame(body, descriptor=0x20, extra=size), True
    yield "one segment with a wrong size", frame(body, descriptor=0x20, extra=bytes([len(body) + 1])), False
    yield "two frames", frame(body[:20]) + frame(body[20:]), True
    yield "a small frame, then a large window", frame(body[:20]) + frame(body[20:], window=17 << 3), True
    yield "a small frame, then one too large", frame(body[:20]) + frame(body[20:], window=18 << 3), False
    yield "an empty frame behind", frame(body) + frame(b""), True
    yield "a skippable frame first", _SKIPPABLE + frame(body), True
    yield "a skippable frame between", frame(body[:20]) + _SKIPPABLE + frame(body[20:]), True
    yield "a skippable frame behind", frame(body) + _SKIPPABLE, True
    yield "half a skippable frame behind", frame(body) + _SKIPPABLE[:-1], True
    yield "half a frame behind", frame(body) + frame(b"more")[:-2], False
    yield "half an empty frame behind", frame(body) + frame(b"")[:-2], True
    yield "a skippable frame alone", _SKIPPABLE, False
    yield "bytes behind", frame(body) + b"zzzz", False
    yield "one byte behind", frame(body) + b"z", False
    yield "half a magic behind", frame(body) + b"\x28\xb5", True
    yield "no last block", frame(body, last=False), False
    yield "cut", frame(body)[:-3], False
    yield "a wrong checksum", frame(body, descriptor=0x04) + bytes(4), False
    yield "no room for the checksum", frame(body, descriptor=0x04), False
    yield "a dictionary id", frame(body, descriptor=0x01, extra=b"\x07"), False
    yield "a dictionary id of 0", frame(body, descriptor=0x01, extra=b"\0"), True
    yield "the reserved bit", frame(body, descriptor=0x08), False
    yield "the unused bit", frame(body, descriptor=0x10), True
    yield "nothing", b"", False


def _lz4_literals(data: bytes) -> bytes:
    """An lz4 block of literals alone."""
    out = bytearray([min(len(data), 15) << 4])
    rest = len(data) - 15
    while rest >= 0:
        out.append(min(rest, 255))
        rest -= 255
    return bytes(out) + data


def _snappy_block(data: bytes) -> bytes:
    """A raw snappy block of literals alone."""
    out = bytearray()
    length = len(data)
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    for at in range(0, len(data), 60):
        piece = data[at : at + 60]
        out.append(len(piece) - 1 << 2)
        out += piece
    return bytes(out)


def _xxh32(data: bytes) -> int:
    """xxHash-32 with seed 0."""
    p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
    mask = 0xFFFFFFFF

    def rotate(value: int, bits: int) -> int:
        return (value << bits | value >> 32 - bits) & mask

    at = 0
    if len(data) >= 16:
        lanes = [p1 + p2 & mask, p2, 0, -p1 & mask]
        while at + 16 <= len(data):
            for lane, word in enumerate(struct.unpack_from("<4I", data, at)):
                lanes[lane] = rotate(lanes[lane] + word * p2 & mask, 13) * p1 & mask
            at += 16
        value = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & mask
    else:
        value = p5
    value = value + len(data) & mask
    while at + 4 <= len(data):
        value = rotate(value + struct.unpack_from("<I", data, at)[0] * p3 & mask, 17) * p4 & mask
        at += 4
    for byte in data[at:]:
        value = rotate(value + byte * p5 & mask, 11) * p1 & mask
    value = (value ^ value >> 15) * p2 & mask
    value = (value ^ value >> 13) * p3 & mask
    return value ^ value >> 16
