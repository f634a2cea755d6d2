"""Batches of a segment file, read in bounded steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastlog.native import scan_segment
from fastlog.native.shapes import BatchRow
from fastlog.storage.offline.formats import base_offset_of

_BATCHES_AT_ONCE: Final = 4096
_CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")


@dataclass(frozen=True, slots=True)
class Batch:
    """The header of one record batch, and where it stands. Times in ms; -1 stands for none."""

    position: int
    size: int
    base_offset: int
    last_offset: int
    count: int
    leader_epoch: int
    attributes: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    crc: int

    @classmethod
    def of(cls, row: BatchRow) -> Batch:
        """From what the native scan gives."""
        return cls(*row[:9], *row[9], row[10])

    @property
    def codec(self) -> str:
        """Name of the compression, `codec 5` for one that is not known."""
        number = self.attributes & 7
        return _CODECS[number] if number < len(_CODECS) else f"codec {number}"

    @property
    def timestamp_type(self) -> str:
        """`CreateTime` or `LogAppendTime`."""
        return "LogAppendTime" if self.attributes & 8 else "CreateTime"

    @property
    def is_transactional(self) -> bool:
        """Whether it belongs to a transaction."""
        return bool(self.attributes & 16)

    @property
    def is_control(self) -> bool:
        """Whether it is a transaction marker."""
        return bool(self.attributes & 32)

    @property
    def delete_horizon(self) -> int | None:
        """When compaction may remove its tombstones or marker, in ms; None before the first compaction."""
        return self.base_timestamp if self.attributes & 64 else None


@dataclass(frozen=True, slots=True)
class Problem:
    """Where a segment file stops to be sound.

    `next_batch` is (position, base offset) of a sound batch behind it, or right there with an offset that
    cannot be: then this is no torn end of a crash.
    """

    position: int
    reason: str
    next_batch: tuple[int, int] | None
    only_zeros: bool

    @property
    def is_legacy(self) -> bool:
        """Whether the bytes are sound, in a message format from before Kafka 0.11."""
        return self.reason.startswith("a message of format 0 or 1")


def scan(path: Path, *, position: int = 0, offset: int | None = None) -> Iterator[Batch | Problem]:
    """The batches of a segment file in order, checksums verified; a Problem, if there is one, comes last.

    `offset` is the one due at `position`. Raises StorageError, FileDamaged.
    """
    base_offset = base_offset_of(path)
    expected = base_offset if offset is None else offset
    epoch = -1
    while True:
        rows, (position, expected, epoch), problem = scan_segment(
            str(path), base_offset, position, expected, epoch, _BATCHES_AT_ONCE
        )
        yield from map(Batch.of, rows)
        if problem is not None:
            yield Problem(*problem)
            return
        if not rows:
            return
