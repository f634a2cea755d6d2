"""What stops working goes offline, and no more than that: a partition or a log directory; the others go on.

A failed write or fsync is never tried again (the kernel may have dropped the pages and tells it only once),
so what is offline stays so until the broker is started anew. What passes is no failure: see `causes`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fastlog.base.wording import counted
from fastlog.native import Log
from fastlog.storage.causes import Cause, cause_of
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partitions import OpenPartition, PartitionTable

_LOG: Final = logging.getLogger(__name__)
_APPENDING: Final = "appending"

# (directory, reason, partitions that were open and are not any more)
DirectoryFailed = Callable[[Path, str, Sequence[PartitionKey]], None]


class DirectoryFailures:
    """Takes failed partitions and directories out of service. Used on the event loop only.

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
        # What is being tried again, so that it is said once.
        self._hindered: dict[tuple[Path, str], Cause | None] = {}
        self.damaged = 0
        """Partitions that were taken offline for damage since the start."""

    def add_callback(self, callback: DirectoryFailed) -> None:
        """Has `callback` called for each directory and each partition that fails from now on."""
        self._callbacks.append(callback)

    def directory_failed(self, path: Path, reason: str) -> None:
        """Takes the directory offline. Later reports of the same directory are ignored."""
        directory = next((entry for entry in self._directories if entry.path == path), None)
        if directory is None or not directory.online:
            return
        directory.offline_reason = reason
        lost = self._table.close_directory(directory, f"log directory {path} is offline: {reason}")
        _LOG.error("log directory %s is offline with %s: %s", path, counted(len(lost), "partition"), reason)
        try:
            self._tell(path, reason, [entry.key for entry in lost])
        finally:
            if not any(entry.online for entry in self._directories):
                self._on_all_failed(reason)

    def partition_failed(self, entry: OpenPartition, reason: str) -> None:
        """Takes one partition offline."""
        if self._table.close(entry, reason) is None:
            return
        _LOG.error("partition in %s is offline: %s", entry.log.path, reason)
        self._tell(entry.directory.path, reason, [entry.key])

    def _tell(self, path: Path, reason: str, partitions: Sequence[PartitionKey]) -> None:
        """Nobody is told twice, so a defect of one callback keeps no other from being told."""
        defects: list[Exception] = []
        for callback in self._callbacks:
            try:
                callback(path, reason, partitions)
            except Exception as defect:  # noqa: BLE001 - raised when all were told
                defects.append(defect)
        if defects:
            raise defects[0]

    def log_failed(self, log: Log) -> None:
        """Takes a failed log offline, and its directory with it when the disk is what failed.

        Logs that were deleted meanwhile are ignored.
        """
        entry = next((entry for entry in self._table if entry.log is log), None)
        if entry is None:
            return
        if log.damage is not None:
            self.damaged += 1
            self.partition_failed(entry, log.damage)
        elif log.failure_cause == "disk":
            self.directory_failed(entry.directory.path, f"{log.path}: {log.failure}")
        else:
            self.partition_failed(entry, str(log.failure))

    def room_changed(self, path: Path, full: bool) -> None:
        """Says that appends to a directory are refused for want of room, or that they find room again."""
        if not full:
            self.operation_succeeded(path, _APPENDING)
        elif (path, _APPENDING) not in self._hindered:
            self._hindered[(path, _APPENDING)] = Cause.FULL
            _LOG.warning("%s is full: records for it are refused until there is room", path)

    def operation_failed(self, path: Path, what: str, error: BaseException) -> None:
        """Judges an error with a file that belongs to the directory and to no partition.

        A broken disk takes the directory offline. Everything else is tried again, and told once until
        `operation_succeeded`.
        """
        cause = cause_of(error)
        if cause is Cause.DISK:
            self.directory_failed(path, f"{what}: {error}")
            return
        if self._hindered.get((path, what), Cause.DISK) is cause:
            return
        self._hindered[(path, what)] = cause
        if cause is Cause.FULL:
            _LOG.warning("%s is full, %s waits for room", path, what)
        else:
            _LOG.warning("%s: %s is not possible now, it is tried again: %s", path, what, error)

    def operation_succeeded(self, path: Path, what: str) -> None:
        """What `operation_failed` was told of works."""
        if (path, what) not in self._hindered:
            return
        if self._hindered.pop((path, what)) is Cause.FULL:
            _LOG.info("%s has room again", path)
        else:
            _LOG.info("%s: %s works again", path, what)
