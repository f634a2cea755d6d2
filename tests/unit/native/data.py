"""Record batches and request frames made by hand, byte by byte, for the tests of the native module."""

import struct

from fastlog.native import Frame, FrameReader, crc32c


def varint(number: int) -> bytes:
    """Zigzag varint, as in records."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def record(offset_delta: int, value: bytes) -> bytes:
    """One record without key and headers, with the timestamp of its batch."""
    body = b"\0" + varint(0) + varint(offset_delta) + varint(-1) + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def batch(
    *values: bytes,
    timestamp: int = 1_700_000_000_000,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    attributes: int = 0,
) -> bytes:
    """One uncompressed record batch of format version 2, base offset 0."""
    body = b"".join(record(delta, value) for delta, value in enumerate(values))
    checked = (
        struct.pack(
            ">hiqqqhii",
            attributes,
            len(values) - 1,
            timestamp,
            timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            len(values),
        )
        + body
    )
    return struct.pack(">qiibI", 0, len(checked) + 9, -1, 2, crc32c(checked)) + checked


def rebased(records: bytes, offset: int, leader_epoch: int = 0) -> bytes:
    """What the log stores for a batch: only offset and leader epoch differ."""
    return struct.pack(">q", offset) + records[8:12] + struct.pack(">i", leader_epoch) + records[16:]


def string(text: str | None) -> bytes:
    """Nullable string with an i16 length."""
    if text is None:
        return b"\xff\xff"
    return struct.pack(">h", len(text.encode())) + text.encode()


def header(api_key: int, version: int, correlation_id: int, client_id: str | None = "tester") -> bytes:
    """Request header version 1."""
    return struct.pack(">hhi", api_key, version, correlation_id) + string(client_id)


def produce_request(
    rows: list[tuple[str, int, bytes | None]], *, version: int = 7, correlation_id: int = 5, acks: int = -1
) -> bytes:
    """A Produce request before flexible versions, with one topic entry per row."""
    out = header(0, version, correlation_id) + string(None) + struct.pack(">hii", acks, 30_000, len(rows))
    for topic, partition, records in rows:
        out += string(topic) + struct.pack(">ii", 1, partition)
        out += struct.pack(">i", -1) if records is None else struct.pack(">i", len(records)) + records
    return out


def frame(payload: bytes) -> Frame:
    """A payload as the frame that a reader makes of it."""
    reader = FrameReader(1 << 24)
    frames = feed(reader, struct.pack(">i", len(payload)) + payload)
    assert len(frames) == 1
    return frames[0]


def feed(reader: FrameReader, data: bytes) -> list[Frame]:
    """Receives `data` as a socket would, in pieces that fit."""
    frames: list[Frame] = []
    while data:
        room = len(reader)
        piece, data = data[:room], data[room:]
        with memoryview(reader) as view:
            view[: len(piece)] = piece
        frames += reader.advance(len(piece))
    return frames
