"""Log directories that stop working: their partitions go offline, the others go on.

A failed write or fsync is never tried again (the kernel may have dropped the pages and tells it only once),
so a directory stays offline until the broker is started anew. A full disk is no failure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fastlog.native import Log
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partitions import PartitionTable

_LOG: Final = logging.getLogger(__name__)

# (directory, reason, partitions that were open there)
DirectoryFailed = Callable[[Path, str, Sequence[PartitionKey]], None]


class DirectoryFailures:
    """Takes failed directories out of service. Used on the event loop only.

    `on_all_failed` is called, once, with the last reason when no directory is left.
    """

    def __init__(
        self,
        directories: Sequence[LogDirectory],
        table: PartitionTable,
        on_all_failed: Callable[[str], None],
    ) -> None:
        self._directories = directories
        self._table = table
        self._on_all_failed = on_all_failed
        self._callbacks: list[DirectoryFailed] = []

    def add_callback(self, callback: DirectoryFailed) -> None:
        """Has `callback` called for each directory that fails from now on."""
        self._callbacks.append(callback)

    def directory_failed(self, path: Path, reason: str) -> None:
        """Takes the directory offline. Later reports of the same directory are ignored."""
        directory = next((entry for entry in self._directories if entry.path == path), None)
        if directory is None or not directory.online:
            return
        directory.offline_reason = reason
        lost = self._table.close_directory(directory, f"log directory {path} is offline: {reason}")
        _LOG.error("log directory %s is offline with %d partitions: %s", path, len(lost), reason)
        for callback in self._callbacks:
            callback(path, reason, [entry.key for entry in lost])
        if not any(entry.online for entry in self._directories):
            self._on_all_failed(reason)

    def log_failed(self, log: Log) -> None:
        """Takes the directory of a failed log offline. Logs that were deleted meanwhile are ignored."""
        entry = next((entry for entry in self._table if entry.log is log), None)
        if entry is not None:
            self.directory_failed(entry.directory.path, f"{log.path}: {log.failure}")
