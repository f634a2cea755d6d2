"""The partitions of this broker by topic and number: which logs are open, and why others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastlog.base.quick_dataclass import dataclass
from fastlog.native import Log, LogConfig
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partition_dirs import parse_name
from fastlog.storage.recovery import Opening


@dataclass(slots=True)
class OpenPartition:
    """One open log.

    `flushed_at` is the monotonic time of the last flush by time, in seconds; `noted_point` the recovery point
    that is on the disk; `floor` where the log may end at the least while it is being cut.
    """

    topic: str
    partition: int
    topic_id: bytes
    log: Log
    directory: LogDirectory
    config: LogConfig
    flushed_at: float
    noted_point: int = -1
    floor: int | None = None

    @property
    def claimed_point(self) -> int:
        """The recovery point to write down: an end below it would count as a loss after a crash."""
        point = self.log.recovery_point
        return point if self.floor is None else min(point, self.floor)

    @property
    def key(self) -> PartitionKey:
        """(topic, partition)."""
        return (self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class ClosedPartition:
    """A partition of this broker whose log is not open.

    `path` is None when its directory was not found. `opening` is set when it may be opened later, because the
    disk was only full. `former` is what was open before: threads may still be at work on its log, so whoever
    takes the directory away waits for them, and closes it.
    """

    topic_id: bytes
    reason: str
    path: Path | None
    directory: LogDirectory | None
    opening: Opening | None = None
    former: OpenPartition | None = None


class PartitionTable:
    """Changed on the event loop only."""

    def __init__(self) -> None:
        self._open: dict[PartitionKey, OpenPartition] = {}
        # Of each topic the number above its highest open partition, and of each directory how many there are:
        # a change of one topic does not look at the others.
        self._ends: dict[str, int] = {}
        self._counts: Counter[LogDirectory] = Counter()
        self._closed: dict[PartitionKey, ClosedPartition] = {}
        self.generation = 0
        """Grows whenever a partition opens or closes."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[OpenPartition]:
        return iter(list(self._open.values()))

    @property
    def closed(self) -> Mapping[PartitionKey, ClosedPartition]:
        """The partitions that are not open."""
        return self._closed

    def get(self, topic: str, partition: int) -> OpenPartition | None:
        """The open partition, or None."""
        return self._open.get((topic, partition))

    def add(self, entry: OpenPartition) -> None:
        """Adds an open partition; one that was closed is not any more."""
        self.generation += 1
        self._closed.pop(entry.key, None)
        self.remove(*entry.key)
        self._open[entry.key] = entry
        self._ends[entry.topic] = max(self._ends.get(entry.topic, 0), entry.partition + 1)
        self._counts[entry.directory] += 1

    def add_closed(self, key: PartitionKey, entry: ClosedPartition) -> None:
        """Adds a partition that is not open."""
        self.generation += 1
        self._closed[key] = entry

    def forget(self, key: PartitionKey) -> None:
        """A partition that was closed is gone."""
        self.generation += 1
        self._closed.pop(key, None)

    def remove(self, topic: str, partition: int) -> OpenPartition | None:
        """Takes an open partition out."""
        entry = self._open.pop((topic, partition), None)
        if entry is None:
            return None
        self.generation += 1
        self._counts[entry.directory] -= 1
        end = self._ends.pop(topic)
        while end and (topic, end - 1) not in self._open:
            end -= 1
        if end:
            self._ends[topic] = end
        return entry

    def count_in(self, directory: LogDirectory) -> int:
        """How many open partitions one log directory has."""
        return self._counts[directory]

    def in_directory(self, directory: LogDirectory) -> list[OpenPartition]:
        """The open partitions of one log directory."""
        return [entry for entry in self._open.values() if entry.directory is directory]

    def closed_in(self, directory: LogDirectory) -> list[PartitionKey]:
        """The partitions of one log directory that are not open."""
        return [key for key, entry in self._closed.items() if entry.directory is directory]

    def lost(self) -> list[PartitionKey]:
        """The partitions of which nobody knows where they are."""
        return [key for key, entry in self._closed.items() if entry.directory is None]

    def of_topic(self, topic: str) -> list[OpenPartition]:
        """The open partitions of one topic."""
        found = (self._open.get((topic, number)) for number in range(self._ends.get(topic, 0)))
        return [entry for entry in found if entry is not None]

    def close(self, entry: OpenPartition, reason: str) -> ClosedPartition | None:
        """Moves an open partition to the closed ones; None when it is not open any more.

        What is known of it is kept in the checkpoints of its directory.
        """
        if self._open.get(entry.key) is not entry:
            return None
        self.remove(*entry.key)
        entry.directory.note_former(entry.key, entry.log.recovery_point, entry.log.log_start_offset)
        path = Path(entry.log.path)
        closed = ClosedPartition(entry.topic_id, reason, path, entry.directory, former=entry)
        self.add_closed(entry.key, closed)
        return closed

    def close_directory(self, directory: LogDirectory, reason: str) -> list[OpenPartition]:
        """Moves all open partitions of a failed directory to the closed ones, and returns them."""
        lost = self.in_directory(directory)
        for entry in lost:
            self.close(entry, reason)
        return lost


class RetiredDirectories:
    """Partition directories that were renamed away, and when (ms) each may be removed."""

    def __init__(self) -> None:
        self._waiting: dict[Path, int] = {}

    def add(self, path: Path, due_ms: int) -> None:
        """Adds a directory, or puts off its removal."""
        self._waiting[path] = due_ms

    def due(self, now_ms: int) -> list[Path]:
        """Those whose time has come. Each stays until it is said to be `removed`."""
        return [path for path, due in self._waiting.items() if due <= now_ms]

    def holds(self, topic: str, partition: int) -> bool:
        """Whether one of them was that partition's: it was deleted a moment ago, be it in the run before."""
        names = (parse_name(path.name) for path in self._waiting)
        return any(name is not None and (name.topic, name.partition) == (topic, partition) for name in names)

    def removed(self, path: Path) -> None:
        """The directory is gone."""
        self._waiting.pop(path, None)
