"""Ends transactions that nobody else will, on a directory that no broker has open, when an operator asks.

An abort marker is appended for each, as Kafka's coordinator would on `kafka-transactions.sh abort` (KIP-664).
The checkpoints are written as at a stop; the mark of a clean stop stays if it was there, and only then.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import FastlogError
from fastlog.native import FastlogNativeError, Log, LogConfig
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.log_dir import LogDirectory

__all__ = ["Unfinished", "end_transactions"]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A partition with open transactions, and the producers whose are to be aborted."""

    topic: str
    partition: int
    path: Path
    producer_ids: tuple[int, ...]

    @property
    def key(self) -> PartitionKey:
        """(topic, partition)."""
        return (self.topic, self.partition)


def end_transactions(directory: LogDirectory, partitions: Sequence[Unfinished]) -> int:
    """Aborts open transactions in these partitions of a directory, the lock of which the caller holds.

    Returns how many. Raises FastlogError, OSError; what was ended until then stays so.
    """
    directory.read_identity()
    clean = directory.take_clean_shutdown_mark()
    points = directory.read_recovery_points()
    starts = directory.read_log_start_offsets()
    compacted = directory.read_cleaner_offsets()
    count = 0
    for found in partitions:
        try:
            count += _end(found, directory, points, starts, compacted, clean=clean)
        except FastlogNativeError as error:
            raise FastlogError(f"{found.path}: {error}") from error
    directory.write_checkpoints(points, starts, turn=directory.checkpoint_turn(points, starts))
    if clean:
        directory.write_clean_shutdown_mark()
    return count


def _end(
    found: Unfinished,
    directory: LogDirectory,
    points: dict[PartitionKey, int],
    starts: dict[PartitionKey, int],
    compacted: dict[PartitionKey, int],
    *,
    clean: bool,
) -> int:
    log = Log.open(
        str(found.path),
        LogConfig(),
        recovery_point=points.get(found.key, 0),
        log_start_offset=starts.get(found.key, 0),
        compacted_below=compacted.get(found.key, 0),
        clean_shutdown=clean,
        adopted=directory.adopted,
    )
    # Nobody leads here: the markers belong to the epoch in which the broker stopped.
    ended = log.abort_open_transactions(
        leader_epoch=max(log.latest_epoch, 0), producer_ids=list(found.producer_ids)
    )
    points[found.key] = log.flush()
    log.close()
    return len(ended)
