"""Up to where each log is compacted: `cleaner-offset-checkpoint` of every log directory (Kafka's file).

An offset here says that no key occurs twice below it. It is a shortcut, never a promise about data: one that
is too low costs a second pass over the same records; one that is too high would leave old values where they
are, so offsets follow their log when it is cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from fastlog.storage.checkpoints import CLEANER_OFFSETS, PartitionKey, write_offsets
from fastlog.storage.failures import DirectoryFailures
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partitions import OpenPartition, PartitionTable

_WRITING: Final = f"writing {CLEANER_OFFSETS}"


class CleanerCheckpoints:
    """The offsets of all log directories. Used on the event loop; files are read and written in threads."""

    def __init__(
        self, directories: Sequence[LogDirectory], table: PartitionTable, failures: DirectoryFailures
    ) -> None:
        self._directories = directories
        self._table = table
        self._failures = failures
        self._offsets: dict[LogDirectory, dict[PartitionKey, int]] = {
            directory: {} for directory in directories
        }
        # What the files hold: the entry of a partition that was deleted must be gone before another one of
        # its name is made.
        self._on_disk: dict[LogDirectory, dict[PartitionKey, int]] = {
            directory: {} for directory in directories
        }
        self._locks = {directory: asyncio.Lock() for directory in directories}
        # Writes that were asked for so far, and up to which of them the file has what was to be in it.
        self._asked = dict.fromkeys(directories, 0)
        self._covered = dict.fromkeys(directories, 0)
        # Directories whose last write failed: the file may hold either content.
        self._doubtful: set[LogDirectory] = set()

    def load(self) -> None:
        """Takes over what the files said, when the logs are open and nothing has been appended yet.

        A log may have lost its end in a crash: an offset beyond it would hide what is appended there next.
        """
        for directory in self._directories:
            found = directory.former_cleaner_offsets
            self._on_disk[directory] = dict(found)
            self._offsets[directory] = dict(found)
            for key in found:
                entry = self._table.get(*key)
                if entry is not None:
                    self.truncated(entry, entry.log.log_end_offset)

    def get(self, entry: OpenPartition) -> int | None:
        """Up to where (exclusive) the log is compacted; None when it never was."""
        return self._offsets[entry.directory].get(entry.key)

    def set(self, entry: OpenPartition, offset: int) -> None:
        """The log is compacted below `offset`. `write` makes that durable."""
        self._offsets[entry.directory][entry.key] = offset

    def truncated(self, entry: OpenPartition, end_offset: int) -> None:
        """The log ends at `end_offset` now: what comes there next is not compacted
        (`LogCleanerManager.maybeTruncateCheckpoint`).
        """
        offsets = self._offsets[entry.directory]
        if offsets.get(entry.key, -1) > end_offset:
            offsets[entry.key] = end_offset

    async def drop(self, directory: LogDirectory, key: PartitionKey) -> bool:
        """The partition is gone, or about to be made. Returns whether the file does not name it."""
        noted = self._offsets[directory].pop(key, None)
        # One that is noted may be in what is just being written.
        if noted is None and key not in self._on_disk[directory]:
            return True
        return await self.write(directory)

    async def write(self, directory: LogDirectory) -> bool:
        """Replaces the file of a directory. Returns whether it is on the disk.

        Entries of partitions that are not in the directory (any more) are left out. Those who ask while the
        file is being written share the next write.
        """
        self._asked[directory] += 1
        turn = self._asked[directory]
        async with self._locks[directory]:
            if self._covered[directory] >= turn:
                return True
            if not directory.online:
                return False
            # A copy, in one step: all that takes time for each partition happens in the thread.
            asked, offsets = self._asked[directory], dict(self._offsets[directory])
            known = None if directory in self._doubtful else self._on_disk[directory]
            self._doubtful.add(directory)
            try:
                written = await asyncio.to_thread(self._replace, directory, offsets, known)
            except OSError as error:
                self._failures.operation_failed(directory.path, _WRITING, error)
                return False
            self._on_disk[directory] = written
            self._covered[directory] = asked
            self._doubtful.discard(directory)
            self._failures.operation_succeeded(directory.path, _WRITING)
            return True

    def _replace(
        self,
        directory: LogDirectory,
        offsets: Mapping[PartitionKey, int],
        known: Mapping[PartitionKey, int] | None,
    ) -> dict[PartitionKey, int]:
        """Writes what is to be in the file, unless it is `known` to be there, and returns it; blocks.

        The table may change meanwhile: whoever deletes a partition calls `drop` afterwards.
        """
        living = {key: offset for key, offset in offsets.items() if self._is_in(directory, key)}
        if living != known:
            directory.check_place()
            write_offsets(directory.path / CLEANER_OFFSETS, living)
        return living

    def _is_in(self, directory: LogDirectory, key: PartitionKey) -> bool:
        entry = self._table.get(*key) or self._table.closed.get(key)
        return entry is not None and entry.directory is directory
