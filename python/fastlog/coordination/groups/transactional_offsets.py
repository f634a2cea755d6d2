"""Offsets that were committed in transactions, as they are read in the log.

Records of a transaction count when its commit marker comes, unless something that counts was committed behind
them meanwhile, and never when an abort marker comes; those of transactions without a marker stay open
(`fastlog.coordination.groups.pending_offsets` has the same rules for what is written).

The header of a batch tells what it is (attributes: bit 4 transactional, bit 5 control). The only record of a
control batch has the type of the marker in its key: int16 version, int16 type (0: abort, 1: commit).
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, error
from typing import Final

from fastlog.coordination.groups.batches import read_records, take_latest
from fastlog.errors import FastlogError

# length, attributes, producer id: of a batch's header, with what is between them
_LENGTH: Final = Struct(">8xi")
_ATTRIBUTES: Final = Struct(">21xh")
_PRODUCER: Final = Struct(">43xq")
_HEADER_BYTES: Final = 61
_LENGTH_FROM: Final = 12
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20
_MARKER: Final = Struct(">hh")
_COMMIT: Final = 1

Latest = dict[bytes, bytes | None]
PlacedValue = tuple[bytes | None, int]
"""A value, and the place of its record: a number that rises along the log. Below 0: overtaken."""


class LatestRecords:
    """The last value of every key of a log, in the order of these records: what has been decided of it."""

    def __init__(self) -> None:
        self.values: Latest = {}
        self.open: dict[int, dict[bytes, PlacedValue]] = {}
        """By producer id, what transactions have written that have not ended yet."""
        self._place = 0
        self._latest: dict[bytes, int] = {}
        """Places of what counts, of keys that were written while a transaction was open."""

    def take(self, data: bytes) -> tuple[int, int]:
        """Takes in all whole batches; (number of records, offset after the last of these batches or -1).

        Raises FastlogError and FastlogNativeError for what cannot be read.
        """
        if not self.open and not any(attributes & _TRANSACTIONAL for _, _, attributes in _batches(data)):
            return take_latest(data, self.values)
        count, next_offset = 0, -1
        for start, end, attributes in _batches(data):
            batch = data[start:end]
            records, next_offset = read_records(batch)
            count += len(records)
            (producer_id,) = _PRODUCER.unpack_from(batch)
            self._place += 1
            if not attributes & _TRANSACTIONAL:
                self._overtake(dict(records))
            elif attributes & _CONTROL:
                self._end(producer_id, commits=_is_commit(batch))
            else:
                placed = {key: (value, self._place) for key, value in records}
                self.open.setdefault(producer_id, {}).update(placed)
        return count, next_offset

    def _overtake(self, records: Latest) -> None:
        _put(self.values, records)
        if not self.open:
            return
        for key, value in records.items():
            self._latest[key] = self._place
            for pending in self.open.values():
                if value is None:
                    pending.pop(key, None)
                elif key in pending:
                    pending[key] = pending[key][0], -1

    def _end(self, producer_id: int, *, commits: bool) -> None:
        pending = self.open.pop(producer_id, {})
        if commits:
            for key, (value, place) in pending.items():
                if place > self._latest.get(key, 0):
                    self._latest[key] = place
                    _put(self.values, {key: value})
                    for other in self.open.values():
                        if key in other and other[key][1] < place:
                            other[key] = other[key][0], -1
        if not self.open:
            self._latest.clear()


def _put(latest: Latest, records: Latest) -> None:
    for key, value in records.items():
        latest.pop(key, None)
        latest[key] = value


def _batches(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(start, end, attributes) of each whole batch."""
    start = 0
    while start + _HEADER_BYTES <= len(data):
        (length,) = _LENGTH.unpack_from(data, start)
        end = start + _LENGTH_FROM + length
        if length < _HEADER_BYTES - _LENGTH_FROM or end > len(data):
            return
        (attributes,) = _ATTRIBUTES.unpack_from(data, start)
        yield start, end, attributes
        start = end


def _is_commit(batch: bytes) -> bool:
    """Whether a control batch is a commit marker: its record is the first, and never compressed."""
    # length, attributes, deltas of time and offset, length of the key; all but the second are varints
    position = _after_varint(batch, _HEADER_BYTES) + 1
    for _ in range(3):
        position = _after_varint(batch, position)
    try:
        _, kind = _MARKER.unpack_from(batch, position)
    except error:
        raise FastlogError("a marker of a transaction is cut off") from None
    return int(kind) == _COMMIT


def _after_varint(data: bytes, position: int) -> int:
    while position < len(data) and data[position] & 0x80:
        position += 1
    return position + 1
