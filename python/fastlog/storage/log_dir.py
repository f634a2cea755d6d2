"""One log directory: lock, identity, clean-shutdown mark, checkpoints, reserve, and whether it is online.

All methods block (run them in a thread), except the properties. File by file: docs/storage.md.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import logging
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from fastlog.base.files import (
    TEMPORARY_SUFFIX,
    make_directories,
    remove_durably,
    write_atomically,
)
from fastlog.errors import FastlogError
from fastlog.storage.causes import Cause, cause_of
from fastlog.storage.checkpoints import (
    CLEANER_OFFSETS,
    HIGH_WATERMARKS,
    LOG_START_OFFSETS,
    RECOVERY_POINTS,
    CheckpointDamaged,
    PartitionKey,
    is_own,
    read_offsets,
    write_offsets,
)
from fastlog.storage.dir_lock import DirectoryLock
from fastlog.storage.disk_guard import DiskReserve
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
        # Kafka wrote it, or nobody: see "What proves a loss" in docs/storage.md.
        self.adopted = True
        # It was nobody's when this run began: what was on the disk in its place, if there was one, is gone.
        self.is_new = False
        # The file of log start offsets is there and whole, and fastlog wrote it.
        self.log_starts_complete = False
        # Offsets of partitions that are not open, as the last run left them or this one has seen them last.
        self.former_recovery_points: dict[PartitionKey, int] = {}
        self.former_log_starts: dict[PartitionKey, int] = {}
        self.former_cleaner_offsets: dict[PartitionKey, int] = {}
        self._lock = DirectoryLock(path)
        self._checkpoint_lock = threading.Lock()
        self._turns = itertools.count(1)
        # The newest turn whose offsets are on the disk.
        self._last_turn = 0
        # What was gathered in turns that are not over: it may get to the disk at any moment.
        self._gathered: dict[int, frozenset[PartitionKey]] = {}

    @property
    def online(self) -> bool:
        """Whether the directory takes part."""
        return self.offline_reason is None

    def open(self) -> None:
        """Makes the directory if need be, locks it, and reads whose it is.

        Raises DirectoryLocked, IdentityError, LogDirectoryError, OSError.
        """
        if not self.path.exists():
            if self.path.is_symlink():
                raise LogDirectoryError(
                    f"{self.path} is a symbolic link that leads nowhere, to {os.readlink(self.path)}"
                )
            _LOG.info("log directory %s does not exist, making it", self.path)
            make_directories(self.path)
        if not self.path.is_dir():
            raise LogDirectoryError(f"{self.path} is not a directory")
        self._lock.acquire()
        self.read_identity()
        self.reserve.clear_taken()
        for leftover in self.path.glob(f"*{TEMPORARY_SUFFIX}"):
            # A crash between writing and renaming: the file under its proper name is the one that counts.
            if leftover.is_symlink() or not leftover.is_dir():
                with contextlib.suppress(PermissionError):
                    leftover.unlink()
            else:
                # In the way of the next one. Who has put something into it may want that back.
                with contextlib.suppress(OSError):
                    leftover.rmdir()
        self.reserve.fill()

    def check_place(self) -> None:
        """Raises OSError (ESTALE: it is not what it was) when another directory is at the path, or none.

        It may be another broker's, and all files here are opened by their paths.
        """
        if not self._lock.is_in_place():
            reason = "the directory was moved away or replaced while the broker used it"
            raise OSError(errno.ESTALE, reason, str(self.path))

    def read_identity(self) -> None:
        """Reads whose the directory is. Raises IdentityError, OSError."""
        self.identity = read_meta_properties(self.path)
        self.adopted = self.identity is None or not self.identity.fastlog
        self.is_new = self.identity is None

    def confirm_identity(self, cluster_id: str, node_id: int) -> None:
        """Checks, completes and writes `meta.properties`. Raises IdentityError, OSError."""
        self.identity = confirm_identity(self.path, self.identity, cluster_id, node_id)

    def take_clean_shutdown_mark(self) -> bool:
        """Whether the last run ended cleanly. The mark is gone, durably, when this returns True.

        One that cannot be removed, now or at the next start, is not believed.
        """
        try:
            return remove_durably(self.path / CLEAN_SHUTDOWN_FILE)
        except OSError as error:
            if cause_of(error) is not Cause.FILE:
                raise
            _LOG.warning("%s cannot be removed, the logs are checked: %s", CLEAN_SHUTDOWN_FILE, error)
            return False

    def write_clean_shutdown_mark(self) -> None:
        """The last thing that a clean run writes here. Raises OSError."""
        write_atomically(self.path / CLEAN_SHUTDOWN_FILE, _CLEAN_SHUTDOWN_CONTENT, self.reserve)

    def read_recovery_points(self) -> dict[PartitionKey, int]:
        """Offsets up to which each log is known to be on disk; damage costs a full check of every log."""
        try:
            points = _read(self.path / RECOVERY_POINTS)
        except CheckpointDamaged as error:
            _LOG.warning("%s. All logs of the directory are checked from their start", error)
            return {}
        self.checkpointed |= points.keys()
        self.former_recovery_points = points
        return points

    def read_log_start_offsets(self) -> dict[PartitionKey, int]:
        """First offsets that may be served; damage makes deleted records of kept segments readable again."""
        try:
            offsets = _read(self.path / LOG_START_OFFSETS)
            self.log_starts_complete = is_own(self.path / LOG_START_OFFSETS)
        except CheckpointDamaged as error:
            _LOG.error("%s. Each log starts at its first segment; DeleteRecords must be repeated", error)
            return {}
        self.checkpointed |= offsets.keys()
        self.former_log_starts = offsets
        return offsets

    def former_offsets(
        self, keys: Iterable[PartitionKey]
    ) -> tuple[dict[PartitionKey, int], dict[PartitionKey, int]]:
        """(recovery points, log start offsets) of partitions that are not open, as far as they are known."""
        wanted = list(keys)
        points, starts = self.former_recovery_points, self.former_log_starts
        return (
            {key: points[key] for key in wanted if key in points},
            {key: starts[key] for key in wanted if key in starts},
        )

    def note_former(self, key: PartitionKey, recovery_point: int, log_start_offset: int) -> None:
        """A partition is not open any more: what it had reached is not to be forgotten."""
        self.former_recovery_points[key] = recovery_point
        self.former_log_starts[key] = log_start_offset

    def forget_former(self, key: PartitionKey) -> None:
        """A partition is gone: what it had reached must not become that of another one of its name."""
        self.former_recovery_points.pop(key, None)
        self.former_log_starts.pop(key, None)
        self.former_cleaner_offsets.pop(key, None)

    def read_cleaner_offsets(self) -> dict[PartitionKey, int]:
        """Offsets up to which each log is compacted; damage costs another compaction of all of them."""
        try:
            offsets = _read(self.path / CLEANER_OFFSETS)
        except CheckpointDamaged as error:
            _LOG.warning("%s. Its logs are compacted from their start again", error)
            return {}
        self.former_cleaner_offsets = offsets
        return offsets

    def read_high_watermarks(self) -> dict[PartitionKey, int]:
        """High watermarks of the last run; damage costs the knowledge of what was not replicated."""
        try:
            return _read(self.path / HIGH_WATERMARKS)
        except CheckpointDamaged:
            # Whoever goes by them tells of it (`replication.watermarks`).
            return {}

    def checkpoint_turn(self, *gathered: Iterable[PartitionKey]) -> int:
        """The turn of the offsets of these partitions, which are gathered now; see `write_checkpoints`."""
        turn = next(self._turns)
        self._gathered[turn] = frozenset().union(*gathered)
        return turn

    def may_be_checkpointed(self, key: PartitionKey) -> bool:
        """Whether the checkpoints hold offsets of a partition, or will when a thread has written them."""
        return key in self.checkpointed or any(key in keys for keys in list(self._gathered.values()))

    def write_checkpoints(
        self,
        recovery_points: Mapping[PartitionKey, int],
        log_start_offsets: Mapping[PartitionKey, int],
        *,
        turn: int,
        use_reserve: bool = False,
    ) -> None:
        """Replaces both checkpoints, unless they hold what was gathered in a later turn. Raises OSError.

        A thread that was slow to begin would bring back the offsets of a partition that was deleted
        meanwhile, and another one of its name would start at them. A later turn that has failed does not
        count: what was gathered here is then on the disk when this returns, as its caller promises somebody.
        """
        spare = self.reserve if use_reserve else None
        with self._checkpoint_lock:
            if turn < self._last_turn:
                return
            self.check_place()
            self.checkpointed |= recovery_points.keys() | log_start_offsets.keys()
            write_offsets(self.path / RECOVERY_POINTS, recovery_points, spare)
            write_offsets(self.path / LOG_START_OFFSETS, log_start_offsets, spare)
            self.checkpointed = set(recovery_points) | set(log_start_offsets)
            self._last_turn = turn
            for over in list(self._gathered):
                if over <= turn:
                    self._gathered.pop(over, None)

    def close(self) -> None:
        """Releases the lock."""
        self._lock.release()


def _read(path: Path) -> dict[PartitionKey, int]:
    """A checkpoint. One that cannot be opened is no better than a damaged one: it is replaced later."""
    try:
        return read_offsets(path)
    except OSError as error:
        if cause_of(error) is not Cause.FILE:
            raise
        raise CheckpointDamaged(f"{path} cannot be read: {error.strerror}") from error
