"""Up to where each log is compacted: `cleaner-offset-checkpoint` of every log directory (Kafka's file).

An offset here says that no key occurs twice below it. It is a shortcut, never a promise about data: one that
is too low costs a second pass over the same records; one that is too high would leave old values where they
are, so offsets follow their log when it is cut.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from fastlog.storage.checkpoints import CLEANER_OFFSETS, PartitionKey, write_offsets
from fastlog.storage.failures import DirectoryFailures
from fastlog.storage.files import is_full_disk
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partitions import OpenPartition, PartitionTable

_LOG: Final = logging.getLogger(__name__)


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
        # Directories whose last write failed: the file may hold either content.
        self._doubtful: set[LogDirectory] = set()
        self._full: set[LogDirectory] = set()

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

        Entries of partitions that are not in the directory (any more) are left out.
        """
        async with self._locks[directory]:
            if not directory.online:
                return False
            # A copy, in one step: all that takes time for each partition happens in the thread.
            offsets = dict(self._offsets[directory])
            known = None if directory in self._doubtful else self._on_disk[directory]
            self._doubtful.add(directory)
            try:
                written = await asyncio.to_thread(self._replace, directory, offsets, known)
            except OSError as error:
                if not is_full_disk(error):
                    self._failures.directory_failed(directory.path, f"writing {CLEANER_OFFSETS}: {error}")
                elif directory not in self._full:
                    self._full.add(directory)
                    _LOG.warning("%s is full, %s waits for room", directory.path, CLEANER_OFFSETS)
                return False
            self._on_disk[directory] = written
            self._doubtful.discard(directory)
            self._full.discard(directory)
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
            write_offsets(directory.path / CLEANER_OFFSETS, living)
        return living

    def _is_in(self, directory: LogDirectory, key: PartitionKey) -> bool:
        entry = self._table.get(*key) or self._table.closed.get(key)
        return entry is not None and entry.directory is directory
