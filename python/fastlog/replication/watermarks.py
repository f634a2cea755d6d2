"""High watermarks on the disk: `replication-offset-checkpoint` of every log directory, as Kafka has it.

A partition starts with what the file says, within its log. One that is too low costs nothing but time:
records above it are served again when the leader has confirmed them. Partitions that have no role yet keep
what the file says of them, so that a start without their leader does not forget it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from fastlog.base.tasks import Loop, Supervisor
from fastlog.storage.causes import Cause, cause_of
from fastlog.storage.checkpoints import HIGH_WATERMARKS, CheckpointDamaged, read_offsets, write_offsets
from fastlog.storage.checkpoints import PartitionKey as Key
from fastlog.storage.disk_jobs import uninterrupted
from fastlog.storage.failures import DirectoryFailures
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partitions import PartitionTable

_LOG: Final = logging.getLogger(__name__)
_WRITING: Final = f"writing {HIGH_WATERMARKS}"


class Watermark(Protocol):
    """The part of a `Partition` that is kept."""

    @property
    def high_watermark(self) -> int:
        """The offset."""
        ...


class HighWatermarks:
    """The files of all log directories.

    `find` gives the partition that has a role here, and is called in threads. `moves` grows with each move
    of a high watermark: while nothing moves, nobody looks at thousands of partitions. `every` in seconds is
    `replica.high.watermark.checkpoint.interval.ms`.
    """

    def __init__(
        self,
        directories: Sequence[LogDirectory],
        table: PartitionTable,
        failures: DirectoryFailures,
        find: Callable[[Key], Watermark | None],
        moves: Callable[[], int],
        every: Callable[[], float],
    ) -> None:
        self._directories = directories
        self._table = table
        self._failures = failures
        self._find = find
        self._moves = moves
        self._every = every
        self._seen: dict[LogDirectory, tuple[int, int]] = {}
        """Moves and changes of the table that the files have, as far as they are whole."""
        self._kept: dict[LogDirectory, dict[Key, int]] = {directory: {} for directory in directories}
        """What the files hold, as far as it is known."""
        self._locks = {directory: asyncio.Lock() for directory in directories}
        self._loop: Loop | None = None

    async def load(self) -> None:
        """Reads the files, before any partition gets a role. A damaged one counts as none."""
        for directory in [entry for entry in self._directories if entry.online]:
            path = directory.path / HIGH_WATERMARKS
            try:
                self._kept[directory] = await asyncio.to_thread(read_offsets, path)
            except CheckpointDamaged as error:
                _LOG.warning("%s. What is committed there is learnt from the leaders again", error)
            except OSError as error:
                if cause_of(error) is Cause.DISK:
                    self._failures.directory_failed(directory.path, f"reading {path}: {error}")
                else:
                    _LOG.warning("%s cannot be read: %s", path, error)

    def kept(self, key: Key) -> int:
        """The high watermark that a partition starts with, 0 when none is kept: for `Surroundings`."""
        entry = self._table.get(*key)
        return 0 if entry is None else self._kept[entry.directory].get(key, 0)

    def start(self, tasks: Supervisor) -> None:
        """Writes the files again and again."""
        every = self._every
        self._loop = tasks.repeat(
            "high-watermarks", lambda: uninterrupted(self.write()), every=every, first=every()
        )

    async def stop(self) -> None:
        """Ends that, with a last pass."""
        loop, self._loop = self._loop, None
        if loop is not None:
            await loop.stop()
            await self.write()

    async def write(self) -> None:
        """Replaces the files whose content has changed."""
        for directory in self._directories:
            await self._write(directory)

    async def keep(self, keys: Iterable[Key]) -> None:
        """The same for the directories of some partitions: their high watermarks have fallen."""
        entries = (self._table.get(*key) for key in keys)
        for directory in dict.fromkeys(entry.directory for entry in entries if entry is not None):
            await self._write(directory)

    async def _write(self, directory: LogDirectory) -> None:
        async with self._locks[directory]:
            seen = (self._moves(), self._table.generation)
            if not directory.online or self._seen.get(directory) == seen:
                return
            try:
                written = await asyncio.to_thread(self._replace, directory, self._kept[directory])
            except OSError as error:
                self._failures.operation_failed(directory.path, _WRITING, error)
                return
            self._kept[directory] = written
            self._seen[directory] = seen
            self._failures.operation_succeeded(directory.path, _WRITING)

    def _replace(self, directory: LogDirectory, kept: Mapping[Key, int]) -> dict[Key, int]:
        """Gathers and writes what is to be in the file, and returns it; blocks."""
        offsets: dict[Key, int] = {}
        keys = [entry.key for entry in self._table if entry.directory is directory]
        for key in keys:
            partition = self._find(key)
            offset = kept.get(key) if partition is None else partition.high_watermark
            if offset is not None:
                offsets[key] = offset
        closed = dict(self._table.closed)
        for key, entry in closed.items():
            if entry.directory is directory and key in kept:
                offsets.setdefault(key, kept[key])
        if offsets != kept:
            directory.check_place()
            write_offsets(directory.path / HIGH_WATERMARKS, offsets)
        return offsets
