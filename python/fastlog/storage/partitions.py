"""The partitions of this broker by topic and number: which logs are open, and why others are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastlog.native import Log, LogConfig
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.recovery import Opening


@dataclass(slots=True)
class OpenPartition:
    """One open log. `flushed_at` is the monotonic time of the last flush by time, in seconds."""

    topic: str
    partition: int
    topic_id: bytes
    log: Log
    directory: LogDirectory
    config: LogConfig
    flushed_at: float

    @property
    def key(self) -> PartitionKey:
        """(topic, partition)."""
        return (self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class ClosedPartition:
    """A partition of this broker whose log is not open.

    `path` is None when its directory was not found. `opening` is set when it may be opened later, because the
    disk was only full.
    """

    topic_id: bytes
    reason: str
    path: Path | None
    directory: LogDirectory | None
    opening: Opening | None = None


class PartitionTable:
    """Changed on the event loop only."""

    def __init__(self) -> None:
        self._open: dict[PartitionKey, OpenPartition] = {}
        self.closed: dict[PartitionKey, ClosedPartition] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[OpenPartition]:
        return iter(list(self._open.values()))

    def get(self, topic: str, partition: int) -> OpenPartition | None:
        """The open partition, or None."""
        return self._open.get((topic, partition))

    def add(self, entry: OpenPartition) -> None:
        """Adds an open partition; one that was closed is not any more."""
        self.closed.pop(entry.key, None)
        self._open[entry.key] = entry

    def remove(self, topic: str, partition: int) -> OpenPartition | None:
        """Takes an open partition out."""
        return self._open.pop((topic, partition), None)

    def in_directory(self, directory: LogDirectory) -> list[OpenPartition]:
        """The open partitions of one log directory."""
        return [entry for entry in self._open.values() if entry.directory is directory]

    def closed_in(self, directory: LogDirectory) -> list[PartitionKey]:
        """The partitions of one log directory that are not open."""
        return [key for key, entry in self.closed.items() if entry.directory is directory]

    def of_topic(self, topic: str) -> list[OpenPartition]:
        """The open partitions of one topic."""
        return [entry for entry in self._open.values() if entry.topic == topic]

    def close_directory(self, directory: LogDirectory, reason: str) -> list[OpenPartition]:
        """Moves all open partitions of a failed directory to the closed ones, and returns them."""
        lost = self.in_directory(directory)
        for entry in lost:
            del self._open[entry.key]
            path = Path(entry.log.path)
            self.closed[entry.key] = ClosedPartition(entry.topic_id, reason, path, directory)
        return lost


class RetiredDirectories:
    """Partition directories that were renamed away, and when (ms) each may be removed."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Path]] = []

    def add(self, path: Path, due_ms: int) -> None:
        """Adds a directory."""
        self._waiting.append((due_ms, path))

    def due(self, now_ms: int) -> list[Path]:
        """Takes out those whose time has come."""
        ready = [path for due, path in self._waiting if due <= now_ms]
        self._waiting = [(due, path) for due, path in self._waiting if due > now_ms]
        return ready
