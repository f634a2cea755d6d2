"""One log directory: lock, identity, clean-shutdown mark, checkpoints, reserve, and whether it is online.

All methods block (run them in a thread), except the properties. File by file: docs/storage.md.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fastlog.errors import FastlogError
from fastlog.storage.checkpoints import (
    CLEANER_OFFSETS,
    LOG_START_OFFSETS,
    RECOVERY_POINTS,
    CheckpointDamaged,
    PartitionKey,
    read_offsets,
    write_offsets,
)
from fastlog.storage.dir_lock import DirectoryLock
from fastlog.storage.disk_guard import DiskReserve
from fastlog.storage.files import TEMPORARY_SUFFIX, fsync_directory, remove_durably, write_atomically
from fastlog.storage.meta_properties import MetaProperties, confirm_identity, read_meta_properties

_LOG: Final = logging.getLogger(__name__)

CLEAN_SHUTDOWN_FILE: Final = ".kafka_cleanshutdown"
# Kafka's content: a version and the broker epoch, which means nothing without a controller.
_CLEAN_SHUTDOWN_CONTENT: Final = json.dumps({"version": 0, "brokerEpoch": -1}).encode("ascii")


class LogDirectoryError(FastlogError):
    """A log directory cannot be used."""


class LogDirectory:
    """A directory of `log.dirs`. `offline_reason` is set once, when it fails; it then stays offline."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.reserve: Final = DiskReserve(path)
        self.identity: MetaProperties | None = None
        self.offline_reason: str | None = None
        # Partitions in the checkpoint files as they are on disk: entries of one that was deleted must be gone
        # before a partition of that name is made again, or the new one would start at the old one's offsets.
        self.checkpointed: set[PartitionKey] = set()
        # Offsets as the last run left them, for partitions that cannot be opened now.
        self.former_recovery_points: dict[PartitionKey, int] = {}
        self.former_log_starts: dict[PartitionKey, int] = {}
        self.former_cleaner_offsets: dict[PartitionKey, int] = {}
        self._lock = DirectoryLock(path)
        self._checkpoint_lock = threading.Lock()

    @property
    def online(self) -> bool:
        """Whether the directory takes part."""
        return self.offline_reason is None

    def open(self) -> None:
        """Makes the directory if need be, locks it, and reads whose it is.

        Raises DirectoryLocked, IdentityError, LogDirectoryError, OSError.
        """
        if not self.path.exists():
            _LOG.info("log directory %s does not exist, making it", self.path)
            self.path.mkdir(parents=True)
            fsync_directory(self.path.parent)
        if not self.path.is_dir():
            raise LogDirectoryError(f"{self.path} is not a directory")
        self._lock.acquire()
        self.identity = read_meta_properties(self.path)
        self.reserve.clear_taken()
        for leftover in self.path.glob(f"*{TEMPORARY_SUFFIX}"):
            # A crash between writing and renaming: the file under its proper name is the one that counts.
            if leftover.is_file():
                leftover.unlink()
        self.reserve.fill()

    def confirm_identity(self, cluster_id: str, node_id: int) -> None:
        """Checks, completes and writes `meta.properties`. Raises IdentityError, OSError."""
        self.identity = confirm_identity(self.path, self.identity, cluster_id, node_id)

    def take_clean_shutdown_mark(self) -> bool:
        """Whether the last run ended cleanly. The mark is gone, durably, when this returns."""
        return remove_durably(self.path / CLEAN_SHUTDOWN_FILE)

    def write_clean_shutdown_mark(self) -> None:
        """The last thing that a clean run writes here. Raises OSError."""
        write_atomically(self.path / CLEAN_SHUTDOWN_FILE, _CLEAN_SHUTDOWN_CONTENT, self.reserve)

    def read_recovery_points(self) -> dict[PartitionKey, int]:
        """Offsets up to which each log is known to be on disk; damage costs a full check of every log."""
        try:
            points = read_offsets(self.path / RECOVERY_POINTS)
        except CheckpointDamaged as error:
            _LOG.warning("%s. All logs of the directory are checked from their start", error)
            return {}
        self.checkpointed |= points.keys()
        self.former_recovery_points = points
        return points

    def read_log_start_offsets(self) -> dict[PartitionKey, int]:
        """First offsets that may be served; damage makes deleted records of kept segments readable again."""
        try:
            offsets = read_offsets(self.path / LOG_START_OFFSETS)
        except CheckpointDamaged as error:
            _LOG.error("%s. Each log starts at its first segment; DeleteRecords must be repeated", error)
            return {}
        self.checkpointed |= offsets.keys()
        self.former_log_starts = offsets
        return offsets

    def read_cleaner_offsets(self) -> dict[PartitionKey, int]:
        """Offsets up to which each log is compacted; damage costs another compaction of all of them."""
        try:
            offsets = read_offsets(self.path / CLEANER_OFFSETS)
        except CheckpointDamaged as error:
            _LOG.warning("%s. Its logs are compacted from their start again", error)
            return {}
        self.former_cleaner_offsets = offsets
        return offsets

    def write_checkpoints(
        self,
        recovery_points: Mapping[PartitionKey, int],
        log_start_offsets: Mapping[PartitionKey, int],
        *,
        use_reserve: bool = False,
    ) -> None:
        """Replaces both checkpoints. Raises OSError."""
        spare = self.reserve if use_reserve else None
        with self._checkpoint_lock:
            self.checkpointed |= recovery_points.keys() | log_start_offsets.keys()
            write_offsets(self.path / RECOVERY_POINTS, recovery_points, spare)
            write_offsets(self.path / LOG_START_OFFSETS, log_start_offsets, spare)
            self.checkpointed = set(recovery_points) | set(log_start_offsets)

    def close(self) -> None:
        """Releases the lock."""
        self._lock.release()
