"""Readers of the small binary files of a partition directory: indexes, aborted transactions, producers.

| file | entry, big-endian | owner of the format |
|-|-|-|
| `.index` | offset minus base i32, position i32 | `index/offset.rs` |
| `.timeindex` | timestamp i64, offset minus base i32 | `index/time.rs` |
| `.txnindex` | version i16, producer id, first, last, last stable offset i64 each | `txn_index.rs` |
| `.snapshot` | see there | `producer_state/snapshot.rs` |
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from fastlog.base.regular_file import read_regular_file
from fastlog.errors import FastlogError
from fastlog.native import crc32c

OFFSET_ENTRY: Final = struct.Struct(">iI")
TIME_ENTRY: Final = struct.Struct(">qi")
_ABORTED: Final = struct.Struct(">hqqqq")
ABORTED_BYTES: Final = _ABORTED.size
_SNAPSHOT_HEAD: Final = struct.Struct(">hIi")
_PRODUCER: Final = struct.Struct(">qhiqiqiq")
_CRC_FROM: Final = 6
_READ_AT_ONCE: Final = 1 << 20
_LARGEST_SMALL_FILE: Final = 256 * 1024 * 1024


class FileDamaged(FastlogError):
    """The bytes of a file do not follow its format."""


class OffsetEntry(NamedTuple):
    """Where the batch is that holds an offset."""

    offset: int
    position: int


class TimeEntry(NamedTuple):
    """The greatest timestamp (ms) up to an offset."""

    timestamp: int
    offset: int


class AbortedTransaction(NamedTuple):
    """An aborted transaction of one producer; offsets inclusive."""

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


@dataclass(frozen=True, slots=True)
class Producer:
    """One producer of a snapshot. -1 stands for none, as in the file."""

    producer_id: int
    epoch: int
    last_sequence: int
    last_offset: int
    offset_delta: int
    timestamp: int
    coordinator_epoch: int
    transaction_first_offset: int


def base_offset_of(path: Path) -> int:
    """The number in a segment file's name. Raises FileDamaged when there is none."""
    digits = path.name.split(".", 1)[0]
    if len(digits) != 20 or not digits.isdecimal():
        raise FileDamaged(f"{path.name} is not the name of a segment file: it must begin with 20 digits")
    return int(digits)


def read_offset_index(path: Path) -> Iterator[OffsetEntry]:
    """The entries of an offset index. Raises FileDamaged, OSError."""
    base = base_offset_of(path)
    for relative, position in _entries(path, OFFSET_ENTRY):
        yield OffsetEntry(base + relative, position)


def read_time_index(path: Path) -> Iterator[TimeEntry]:
    """The entries of a time index. Raises FileDamaged, OSError."""
    base = base_offset_of(path)
    for timestamp, relative in _entries(path, TIME_ENTRY):
        yield TimeEntry(timestamp, base + relative)


def read_transaction_index(path: Path) -> Iterator[AbortedTransaction]:
    """The aborted transactions of a segment. Raises FileDamaged, OSError."""
    for version, *fields in _entries(path, _ABORTED):
        if version != 0:
            raise FileDamaged(f"an entry has version {version}, only 0 is known")
        yield AbortedTransaction(*fields)


def read_snapshot(path: Path) -> list[Producer]:
    """The producers of a snapshot file. Raises FileDamaged, OSError."""
    data = read_regular_file(path, _LARGEST_SMALL_FILE)
    if len(data) < _SNAPSHOT_HEAD.size:
        raise FileDamaged(f"{len(data)} bytes are too few for a snapshot")
    version, crc, count = _SNAPSHOT_HEAD.unpack_from(data)
    if version != 1:
        raise FileDamaged(f"its version is {version}, only 1 is known")
    if crc != crc32c(data[_CRC_FROM:]):
        raise FileDamaged("its content does not match its checksum")
    if len(data) - _SNAPSHOT_HEAD.size != count * _PRODUCER.size:
        raise FileDamaged(f"it announces {count} producers, which its length does not fit")
    return [Producer(*fields) for fields in _PRODUCER.iter_unpack(data[_SNAPSHOT_HEAD.size :])]


def read_leader_epochs(path: Path) -> list[tuple[int, int]]:
    """(epoch, start offset) of `leader-epoch-checkpoint`. Raises FileDamaged, OSError."""
    rows = _rows(path)
    try:
        return [(int(epoch), int(offset)) for epoch, offset in rows if not epoch.startswith("__")]
    except ValueError as error:
        raise FileDamaged(f"a line is not an epoch and an offset: {error}") from error


def read_index_checksums(path: Path) -> list[tuple[int, int, int]]:
    """(base offset, entries, their CRC-32C) of `txnindex-checkpoint`. Raises FileDamaged, OSError."""
    rows = _rows(path)
    try:
        return [(int(base_offset), int(entries), int(crc)) for base_offset, entries, crc in rows]
    except ValueError as error:
        raise FileDamaged(f"a line is not an offset, a count and a checksum: {error}") from error


def _rows(path: Path) -> list[list[str]]:
    """The lines of a checkpoint, by their fields."""
    lines = read_regular_file(path, _LARGEST_SMALL_FILE).decode("ascii", "replace").split("\n")
    if len(lines) < 3 or lines.pop() != "" or lines[0] != "0" or not lines[1].isdecimal():
        raise FileDamaged("it does not begin with version and count, or ends in the middle of a line")
    rows = [line.split(" ") for line in lines[2:]]
    if int(lines[1]) != len(rows):
        raise FileDamaged(f"it announces {lines[1]} lines and holds {len(rows)}")
    return rows


def read_compacted_below(path: Path) -> int | None:
    """Below which offset `compaction-checkpoint` allows holes; None without a file that says so."""
    try:
        text = read_regular_file(path).decode("ascii", "replace")
    except OSError:
        return None
    match = re.search(r"^compacted_below ([0-9]{1,19})$", text, re.MULTILINE)
    return None if match is None else int(match[1])


def _entries(path: Path, shape: struct.Struct) -> Iterator[tuple[int, ...]]:
    step = _READ_AT_ONCE // shape.size * shape.size
    with path.open("rb") as file:
        while data := file.read(step):
            if len(data) % shape.size:
                raise FileDamaged(f"its length is no multiple of {shape.size}, the size of an entry")
            yield from shape.iter_unpack(data)
