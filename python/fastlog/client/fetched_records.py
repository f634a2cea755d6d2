"""Records out of the answer to a fetch, as a consumer should see them.

An answer holds whole batches, of which the first may start below the asked offset and the last may be cut
off. Control batches are markers of transactions, not records. With read_committed the answer lists aborted
transactions as (producer id, first offset): from that offset on the producer's transactional batches are
skipped, up to its next marker.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.errors import ErrorCode
from fastlog.native import MalformedRequest, read_batches

if TYPE_CHECKING:
    from fastlog.native.shapes import ReadRecord

__all__ = ["CorruptBatch", "Fetched", "Record", "read_fetched"]

_HEADER: Final = struct.Struct(">qiibIhiqqq")
_HEADER_SIZE: Final = 61
_BEFORE_LENGTH_COUNTS: Final = 12
_MAGIC: Final = 2
_APPEND_TIME: Final = 1 << 3
_TRANSACTIONAL: Final = 1 << 4
_CONTROL: Final = 1 << 5


class Record(NamedTuple):
    """One record. `timestamp` is in ms since the epoch, -1 for none; header names may repeat."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    is_append_time: bool
    """Whether the broker set `timestamp` (LogAppendTime), not the producer."""


class CorruptBatch(ClientError):
    """A batch that cannot be read. `next_offset` is where the following one should start."""

    def __init__(self, name: TopicPartition, offset: int, next_offset: int, problem: str) -> None:
        text = f"partition {name}: the batch at offset {offset} is damaged: {problem}"
        if next_offset > offset:
            text += f". What follows it starts at offset {next_offset}"
        super().__init__(ErrorCode.CORRUPT_MESSAGE, text)
        self.partition: Final = name
        self.offset: Final = offset
        self.next_offset: Final = next_offset


@dataclass(slots=True)
class Fetched:
    """Records in order, and the offset to go on from (behind skipped batches, too)."""

    records: list[Record]
    position: int


def read_fetched(
    name: TopicPartition,
    data: bytes | memoryview | None,
    position: int,
    aborted: Iterable[tuple[int, int]] | None = None,
) -> Fetched:
    """The records at `position` and later. `aborted`: (producer id, first offset) of the answer.

    Raises CorruptBatch when the first batch that matters is damaged; a damaged one behind good ones is left
    to the next fetch, which will start with it.
    """
    found = Fetched([], position)
    view = memoryview(data or b"")
    pending = sorted(aborted or (), key=lambda entry: entry[1], reverse=True)
    skipping: set[int] = set()
    start = 0
    while len(view) - start >= _HEADER_SIZE:
        base, length, _, magic, _, attributes, last_delta, _, _, producer = _HEADER.unpack_from(view, start)
        last = base + last_delta
        try:
            end = start + _size(length, magic, last_delta)
            if end > len(view):
                break
            while pending and pending[-1][1] <= last:
                skipping.add(pending.pop()[0])
            if attributes & _CONTROL:
                skipping.discard(producer)
            elif last >= position and not (attributes & _TRANSACTIONAL and producer in skipping):
                rows = read_batches(view[start:end])
                found.records += _of_partition(name, rows, position, bool(attributes & _APPEND_TIME))
        except (MalformedRequest, ValueError) as error:
            if found.position > position:
                break
            raise CorruptBatch(name, base, last + 1, str(error)) from error
        found.position = max(found.position, last + 1)
        start = end
    return found


def _size(length: int, magic: int, last_delta: int) -> int:
    size = _BEFORE_LENGTH_COUNTS + length
    if magic != _MAGIC:
        raise ValueError(f"format version {magic}, and only 2 can be read (Kafka 0.11 and later)")
    if size < _HEADER_SIZE or last_delta < 0:
        raise ValueError(f"its header cannot be: length {length}, last offset delta {last_delta}")
    return size


def _of_partition(
    name: TopicPartition, rows: list[ReadRecord], position: int, is_append_time: bool
) -> list[Record]:
    topic, partition = name
    return [
        Record(topic, partition, offset, timestamp, key, value, headers, is_append_time)
        for offset, timestamp, key, value, headers in rows
        if offset >= position
    ]
