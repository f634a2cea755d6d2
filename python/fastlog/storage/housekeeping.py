"""What goes on in the background: retention, flush by time, checkpoints, removal of deleted files.

Every pass is a method of its own, so that a test (or an operator's command) can run it at a chosen moment.
Blocking work runs in threads, a bounded number of logs at a time.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastlog.clock import Clock
from fastlog.errors import FastlogError
from fastlog.native import FastlogNativeError
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.failures import DirectoryFailures
from fastlog.storage.files import is_full_disk
from fastlog.storage.io import IoLoop
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partition_files import remove_tree
from fastlog.storage.partitions import OpenPartition, PartitionTable, RetiredDirectories
from fastlog.storage.settings import StorageSettings
from fastlog.storage.tasks import uninterrupted

_LOG: Final = logging.getLogger(__name__)

_LOGS_PER_THREAD_CALL: Final = 256
_PARALLEL_FLUSHES: Final = 4

# Up to which offset retention may delete, by topic and partition; None without a limit.
RetentionLimit = Callable[[str, int], int | None]
Action = Callable[[OpenPartition], int]


@dataclass(slots=True)
class HousekeepingStats:
    """What the passes did since the start. `checkpoints` are files written of one directory each."""

    retired_segments: int = 0
    removals: int = 0
    expired_producers: int = 0
    checkpoints: int = 0
    failed_checkpoints: int = 0


class Housekeeping:
    """Runs the passes over the partitions of one broker, from `start` to `stop`."""

    def __init__(
        self,
        settings: StorageSettings,
        clock: Clock,
        io: IoLoop,
        directories: Sequence[LogDirectory],
        table: PartitionTable,
        retired: RetiredDirectories,
        failures: DirectoryFailures,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._io = io
        self._directories = directories
        self._table = table
        self._retired = retired
        self._failures = failures
        self._task: asyncio.Task[None] | None = None
        self._full: set[LogDirectory] = set()
        self._retention_limit: RetentionLimit = lambda topic, partition: None
        self.stats: Final = HousekeepingStats()

    def set_retention_limit(self, limit: RetentionLimit) -> None:
        """See `LogManager.set_retention_limit`. `limit` is called in threads."""
        self._retention_limit = limit

    def start(self) -> None:
        """Starts all passes at their intervals."""
        self._task = asyncio.create_task(self._run(), name="fastlog-housekeeping")

    async def stop(self) -> None:
        """Stops them; a pass that is in a thread is waited for."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None

    async def retain(self) -> int:
        """Renames segments that are past their retention. Returns how many."""
        now = self._clock.now_ms()
        limit = self._retention_limit
        count = await self._for_all(
            "retention",
            lambda entry: entry.log.apply_retention(now, limit(entry.topic, entry.partition)),
        )
        self.stats.retired_segments += count
        if count:
            _LOG.info("retention removed %d segments", count)
        return count

    async def purge(self) -> int:
        """Removes segment files and partition directories whose delay is over. Returns how many."""
        now = self._clock.now_ms()
        count = await self._for_all("removal of deleted segments", lambda entry: entry.log.purge_deleted(now))
        for path in self._retired.due(now):
            try:
                await asyncio.to_thread(remove_tree, path)
            except OSError as error:
                _LOG.warning("%s is not removed, the next start tries again: %s", path, error)
                continue
            _LOG.info("removed %s", path)
            count += 1
        self.stats.removals += count
        return count

    async def expire_producers(self) -> int:
        """Forgets idempotent producers that were silent for too long. Returns how many."""
        now = self._clock.now_ms()
        count = await self._for_all("expiry of producers", lambda entry: entry.log.expire_producers(now))
        self.stats.expired_producers += count
        return count

    async def watch(self) -> None:
        """Takes notice of failed logs, and flushes those whose time has come.

        That is after flush.ms; and without it as often as recovery points are written down, or when a
        segment's worth has come together: what is flushed need not be checked after a crash.
        """
        now = self._clock.monotonic()
        due: list[OpenPartition] = []
        for entry in self._table:
            if entry.log.failure is not None:
                self._failures.log_failed(entry.log)
                continue
            waiting = entry.log.unflushed_bytes
            interval_ms = min(entry.config.flush_ms, self._settings.checkpoint_ms)
            if (now - entry.flushed_at) * 1000 >= interval_ms or waiting >= entry.config.segment_bytes:
                entry.flushed_at = now
                if waiting:
                    due.append(entry)
        for entries in _batches(due, _PARALLEL_FLUSHES):
            results = await asyncio.gather(
                *(self._io.flush(entry.log) for entry in entries), return_exceptions=True
            )
            for entry, result in zip(entries, results, strict=True):
                if isinstance(result, (FastlogNativeError, FastlogError)):
                    _LOG.error("flushing %s-%d: %s", entry.topic, entry.partition, result)
                elif isinstance(result, BaseException):
                    raise result

    async def checkpoint(self) -> None:
        """Writes recovery points and log start offsets of all directories."""
        for directory in [entry for entry in self._directories if entry.online]:
            await self.checkpoint_directory(directory)

    async def checkpoint_directory(self, directory: LogDirectory) -> bool:
        """Writes the checkpoints of one directory. Returns whether they are on the disk."""
        try:
            await asyncio.to_thread(directory.write_checkpoints, *self.offsets_of(directory))
        except OSError as error:
            self.stats.failed_checkpoints += 1
            if not is_full_disk(error):
                self._failures.directory_failed(directory.path, f"writing checkpoints: {error}")
            elif directory not in self._full:
                self._full.add(directory)
                _LOG.warning("%s is full, checkpoints wait for room", directory.path)
            return False
        self.stats.checkpoints += 1
        if directory in self._full:
            self._full.discard(directory)
            _LOG.info("%s has room again", directory.path)
        return True

    def offsets_of(self, directory: LogDirectory) -> tuple[dict[PartitionKey, int], dict[PartitionKey, int]]:
        """(recovery points, log start offsets above 0) of a directory, as of now.

        A partition that is not open has no recovery point, so that all of it is checked when it is opened;
        but what was deleted from it stays deleted.
        """
        entries = self._table.in_directory(directory)
        recovery_points = {entry.key: entry.log.recovery_point for entry in entries}
        starts = {key: directory.former_log_starts.get(key, 0) for key in self._table.closed_in(directory)}
        starts |= {entry.key: entry.log.log_start_offset for entry in entries}
        return recovery_points, {key: offset for key, offset in starts.items() if offset > 0}

    async def fill_reserves(self) -> None:
        """Makes the reserve files that a full disk used up."""
        for directory in [entry for entry in self._directories if entry.online]:
            try:
                await asyncio.to_thread(directory.reserve.fill)
            except OSError as error:
                self._failures.directory_failed(directory.path, f"allocating the reserve: {error}")

    async def _for_all(self, what: str, action: Action) -> int:
        total = 0
        for entries in _batches(self._table, _LOGS_PER_THREAD_CALL):
            count, failures = await asyncio.to_thread(_apply, entries, action)
            total += count
            for entry, error in failures:
                if entry.log.failure is not None:
                    self._failures.log_failed(entry.log)
                _LOG.warning("%s of %s-%d: %s", what, entry.topic, entry.partition, error)
        return total

    async def _run(self) -> None:
        settings = self._settings
        initial = settings.initial_delay_ms
        watch_ms = min(settings.watch_ms, settings.checkpoint_ms)
        async with asyncio.TaskGroup() as group:
            for action, delay, interval in (
                (self.retain, initial, settings.retention_check_ms),
                (self.checkpoint, min(initial, settings.checkpoint_ms), settings.checkpoint_ms),
                (
                    self.expire_producers,
                    settings.producer_expiration_check_ms,
                    settings.producer_expiration_check_ms,
                ),
                (self.purge, settings.purge_ms, settings.purge_ms),
                (self.watch, watch_ms, watch_ms),
                (self.fill_reserves, settings.reserve_ms, settings.reserve_ms),
            ):
                group.create_task(_repeat(action, delay / 1000, interval / 1000))


async def _repeat(action: Callable[[], Coroutine[Any, Any, object]], delay: float, interval: float) -> None:
    await asyncio.sleep(delay)
    while True:
        try:
            await uninterrupted(action())
        except FastlogError:
            _LOG.exception("a background pass failed, it is tried again")
        await asyncio.sleep(interval)


def _apply(
    entries: Sequence[OpenPartition], action: Action
) -> tuple[int, list[tuple[OpenPartition, FastlogNativeError]]]:
    total = 0
    failures: list[tuple[OpenPartition, FastlogNativeError]] = []
    for entry in entries:
        try:
            total += action(entry)
        except FastlogNativeError as error:
            failures.append((entry, error))
    return total, failures


def _batches(entries: Iterable[OpenPartition], size: int) -> Iterator[list[OpenPartition]]:
    iterator = iter(entries)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
