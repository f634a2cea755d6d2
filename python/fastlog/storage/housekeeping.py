"""What goes on in the background: retention, flush by time, checkpoints, removal of deleted files.

Every pass is a method of its own, so that a test (or an operator's command) can run it at a chosen moment.
Blocking work runs in threads, a bounded number of logs at a time.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fastlog.base.clock import Clock
from fastlog.base.quick_dataclass import dataclass
from fastlog.base.tasks import Loop, Supervisor
from fastlog.errors import FastlogError
from fastlog.native import FastlogNativeError
from fastlog.storage.causes import cause_of, passes
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.disk_jobs import uninterrupted
from fastlog.storage.failures import DirectoryFailures
from fastlog.storage.io import IoLoop
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partition_files import remove_tree
from fastlog.storage.partitions import OpenPartition, PartitionTable, RetiredDirectories
from fastlog.storage.settings import StorageSettings

_LOG: Final = logging.getLogger(__name__)

_LOGS_PER_THREAD_CALL: Final = 256
_LOOKS_PER_STEP: Final = 4096
_PARALLEL_FLUSHES: Final = 4
# How long a directory that could not be removed is left alone.
_REMOVAL_AGAIN_MS: Final = 60_000
# What is done in a log directory, as `DirectoryFailures.operation_failed` is told.
_CHECKPOINTS: Final = "writing checkpoints"
_RESERVE: Final = "allocating the reserve"
_PLACE: Final = "looking at the directory"
# Recovery points are written down ahead of their interval for at most one of so many seconds.
_NOTING_SHARE: Final = 50

# Up to which offset retention may delete, by topic and partition; None without a limit.
RetentionLimit = Callable[[str, int], int | None]
LogStartMoved = Callable[[PartitionKey], object]
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
    """Runs the passes over the partitions of one broker, from `start` to `stop`.

    A pass goes on to the other partitions when one of them meets a defect, which it raises at its end.
    """

    def __init__(
        self,
        settings: StorageSettings,
        clock: Clock,
        io: IoLoop,
        directories: Sequence[LogDirectory],
        table: PartitionTable,
        retired: RetiredDirectories,
        failures: DirectoryFailures,
        tasks: Supervisor,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._io = io
        self._directories = directories
        self._table = table
        self._retired = retired
        self._failures = failures
        self._tasks = tasks
        self._loops: list[Loop] = []
        # Logs to look at; None as long as nobody says which were written to.
        self._written: set[PartitionKey] | None = None
        self._next_note: dict[LogDirectory, float] = {}
        self._retention_limit: RetentionLimit = lambda topic, partition: None
        self._on_log_start: LogStartMoved = lambda key: None
        self.stats: Final = HousekeepingStats()

    def set_retention_limit(self, limit: RetentionLimit) -> None:
        """See `LogManager.set_retention_limit`. `limit` is called in threads."""
        self._retention_limit = limit

    def set_log_start_hook(self, hook: LogStartMoved) -> None:
        """See `LogManager.set_log_start_hook`."""
        self._on_log_start = hook

    def follow_writes(self) -> None:
        """From now on `note_write` is called for every log that is written to: `watch` looks at those only.

        Thousands of partitions to which nothing happens cost nothing then.
        """
        self._written = {entry.key for entry in self._table}

    def note_write(self, key: PartitionKey) -> None:
        """Something was appended to a log."""
        if self._written is not None:
            self._written.add(key)

    def start(self) -> None:
        """Starts all passes at their intervals. None ends by the failure of another."""
        settings = self._settings
        initial = settings.initial_delay_ms
        watch_ms = min(settings.watch_ms, settings.checkpoint_ms)
        producers_ms = settings.producer_expiration_check_ms
        for name, action, delay_ms, interval_ms in (
            ("retention", self.retain, initial, settings.retention_check_ms),
            ("checkpoints", self.checkpoint, min(initial, settings.checkpoint_ms), settings.checkpoint_ms),
            ("producer-expiry", self.expire_producers, producers_ms, producers_ms),
            ("removal", self.purge, settings.purge_ms, settings.purge_ms),
            ("flush", self.watch, watch_ms, watch_ms),
            ("disk-reserve", self.fill_reserves, settings.reserve_ms, settings.reserve_ms),
            ("directories", self.look_at_directories, settings.watch_ms, settings.watch_ms),
        ):
            loop = self._tasks.repeat(
                name, _to_its_end(action), every=interval_ms / 1000, first=delay_ms / 1000
            )
            self._loops.append(loop)

    async def stop(self) -> None:
        """Stops them; a pass that is in a thread is waited for."""
        loops, self._loops = self._loops, []
        await asyncio.gather(*(loop.stop() for loop in loops))

    async def retain(self) -> int:
        """Renames segments that are past their retention. Returns how many."""
        now = self._clock.now_ms()
        limit = self._retention_limit
        moved: list[PartitionKey] = []

        def retain(entry: OpenPartition) -> int:
            start = entry.log.log_start_offset
            try:
                return entry.log.apply_retention(now, limit(entry.topic, entry.partition))
            finally:
                if entry.log.log_start_offset != start:
                    moved.append(entry.key)

        count, defects = await self._for_all("retention", retain)
        for key in moved:
            self._on_log_start(key)
        self.stats.retired_segments += count
        if count:
            _LOG.info("retention removed %d segments", count)
        _raise_first(defects)
        return count

    async def purge(self) -> int:
        """Removes segment files and partition directories whose delay is over. Returns how many."""
        now = self._clock.now_ms()
        waiting: list[OpenPartition] = []
        for entries in _batches(self._table, _LOOKS_PER_STEP):
            # Few of thousands have any: the others are worth no closure and no thread.
            waiting += [entry for entry in entries if entry.log.has_deleted]
            await asyncio.sleep(0)
        count, defects = await self._for_all(
            "removal of deleted segments", lambda entry: entry.log.purge_deleted(now), waiting
        )
        for path in self._retired.due(now):
            try:
                await asyncio.to_thread(remove_tree, path)
            except Exception as error:  # noqa: BLE001 - one directory; a defect is raised at the end
                _LOG.warning("%s is not removed yet, it is tried again: %s", path, error)
                self._retired.add(path, now + _REMOVAL_AGAIN_MS)
                if cause_of(error) is None:
                    defects.append(error)
                continue
            self._retired.removed(path)
            _LOG.info("removed %s", path)
            count += 1
        self.stats.removals += count
        _raise_first(defects)
        return count

    async def expire_producers(self) -> int:
        """Forgets idempotent producers that were silent for too long. Returns how many."""
        now = self._clock.now_ms()
        count, defects = await self._for_all(
            "expiry of producers", lambda entry: entry.log.expire_producers(now)
        )
        self.stats.expired_producers += count
        _raise_first(defects)
        return count

    async def watch(self) -> None:
        """Takes notice of failed logs, and flushes those whose time has come.

        That is after flush.ms; and without it as often as recovery points are written down, or when a
        segment's worth has come together: what is flushed need not be checked after a crash.
        """
        now = self._clock.monotonic()
        due: list[OpenPartition] = []
        defects: list[BaseException] = []
        moved: dict[LogDirectory, list[PartitionKey]] = {}
        for entry in self._changed():
            if entry.log.failure is not None:
                self._take_offline(entry, defects)
                continue
            if entry.log.recovery_point > entry.noted_point:
                moved.setdefault(entry.directory, []).append(entry.key)
            waiting = entry.log.unflushed_bytes
            if waiting and self._written is not None:
                # Looked at again until it is flushed.
                self._written.add(entry.key)
            interval_ms = min(entry.config.flush_ms, self._settings.checkpoint_ms)
            if (now - entry.flushed_at) * 1000 >= interval_ms or waiting >= entry.config.segment_bytes:
                entry.flushed_at = now
                if waiting:
                    due.append(entry)
        defects += await self._flush(due)
        defects += await self._note_down(moved)
        _raise_first(defects)

    async def _flush(self, due: Sequence[OpenPartition]) -> list[BaseException]:
        """Flushes logs, a few at a time. Gives the defects that were met on the way."""
        defects: list[BaseException] = []
        for entries in _batches(due, _PARALLEL_FLUSHES):
            results = await asyncio.gather(
                *(self._io.flush(entry.log) for entry in entries), return_exceptions=True
            )
            for entry, result in zip(entries, results, strict=True):
                if isinstance(result, (FastlogNativeError, FastlogError)):
                    level = logging.WARNING if passes(result) else logging.ERROR
                    _LOG.log(level, "flushing %s-%d: %s", entry.topic, entry.partition, result)
                elif isinstance(result, BaseException):
                    defects.append(result)
        return defects

    async def _note_down(self, moved: Mapping[LogDirectory, Iterable[PartitionKey]]) -> list[BaseException]:
        """Writes the checkpoints of directories whose recovery points have moved: all the time in fsync mode.

        They alone can tell a start that the end of a log is missing, so what was promised to be on the disk
        is noted soon; but that takes no more than a small share of the time. Gives the defects that were met.
        """
        defects: list[BaseException] = []
        for directory, keys in moved.items():
            began = self._clock.monotonic()
            noted = False
            if began >= self._next_note.get(directory, began) and directory.online:
                try:
                    noted = await self.checkpoint_directory(directory)
                except Exception as defect:  # noqa: BLE001 - one directory; it is raised at the end
                    defects.append(defect)
                took = self._clock.monotonic() - began
                self._next_note[directory] = began + took * _NOTING_SHARE
            if not noted and directory.online:
                for key in keys:
                    self.note_write(key)
        return defects

    async def checkpoint(self) -> None:
        """Writes recovery points and log start offsets of all directories."""
        defects: list[BaseException] = []
        for directory in [entry for entry in self._directories if entry.online]:
            try:
                await self.checkpoint_directory(directory)
            except Exception as defect:  # noqa: BLE001 - one directory; it is raised at the end
                defects.append(defect)
        _raise_first(defects)

    async def checkpoint_directory(self, directory: LogDirectory) -> bool:
        """Writes the checkpoints of one directory. Returns whether they are on the disk."""
        recovery_points, starts = self.offsets_of(directory)
        try:
            turn = directory.checkpoint_turn(recovery_points, starts)
            await asyncio.to_thread(directory.write_checkpoints, recovery_points, starts, turn=turn)
        except Exception as error:
            self.stats.failed_checkpoints += 1
            if cause_of(error) is None:
                raise
            self._failures.operation_failed(directory.path, _CHECKPOINTS, error)
            return False
        self.stats.checkpoints += 1
        self._failures.operation_succeeded(directory.path, _CHECKPOINTS)
        for entry in self._table.in_directory(directory):
            entry.noted_point = recovery_points.get(entry.key, entry.noted_point)
        return True

    def offsets_of(self, directory: LogDirectory) -> tuple[dict[PartitionKey, int], dict[PartitionKey, int]]:
        """(recovery points, log start offsets above 0) of a directory, as of now.

        A partition that is not open keeps what is known of it: that it reached so far must not be forgotten,
        and what was deleted from it stays deleted.
        """
        entries = self._table.in_directory(directory)
        recovery_points, starts = directory.former_offsets(
            [*self._table.closed_in(directory), *self._table.lost()]
        )
        recovery_points |= {entry.key: entry.claimed_point for entry in entries}
        starts |= {entry.key: entry.log.log_start_offset for entry in entries}
        return recovery_points, {key: offset for key, offset in starts.items() if offset > 0}

    async def look_at_directories(self) -> None:
        """Takes directories offline that are not where they were."""
        for directory in [entry for entry in self._directories if entry.online]:
            try:
                await asyncio.to_thread(directory.check_place)
            except OSError as error:
                self._failures.operation_failed(directory.path, _PLACE, error)
            else:
                self._failures.operation_succeeded(directory.path, _PLACE)

    async def fill_reserves(self) -> None:
        """Makes the reserve files that a full disk used up."""
        defects: list[BaseException] = []
        for directory in [entry for entry in self._directories if entry.online]:
            try:
                await asyncio.to_thread(directory.reserve.fill)
            except Exception as error:  # noqa: BLE001 - one directory; a defect is raised at the end
                if cause_of(error) is None:
                    defects.append(error)
                else:
                    self._failures.operation_failed(directory.path, _RESERVE, error)
            else:
                self._failures.operation_succeeded(directory.path, _RESERVE)
        _raise_first(defects)

    def _changed(self) -> Iterable[OpenPartition]:
        if self._written is None:
            return self._table
        written, self._written = self._written, set()
        found = (self._table.get(*key) for key in written)
        return [entry for entry in found if entry is not None]

    async def _for_all(
        self, what: str, action: Action, entries_of: Iterable[OpenPartition] | None = None
    ) -> tuple[int, list[BaseException]]:
        """Does something with all logs. Gives the sum of its results and the defects that were met."""
        total = 0
        defects: list[BaseException] = []
        for entries in _batches(self._table if entries_of is None else entries_of, _LOGS_PER_THREAD_CALL):
            try:
                count, failures = await asyncio.to_thread(_apply, entries, action)
            except Exception as lacking:  # noqa: BLE001 - no thread for these logs; the next pass tries again
                _LOG.warning("%s of %d logs: %s", what, len(entries), lacking)
                if cause_of(lacking) is None:
                    defects.append(lacking)
                continue
            total += count
            for entry, error in failures:
                if entry.log.failure is not None:
                    self._take_offline(entry, defects)
                if not isinstance(error, FastlogNativeError):
                    defects.append(error)
                _LOG.warning("%s of %s-%d: %s", what, entry.topic, entry.partition, error)
        return total, defects

    def _take_offline(self, entry: OpenPartition, defects: list[BaseException]) -> None:
        try:
            self._failures.log_failed(entry.log)
        except Exception as defect:  # noqa: BLE001 - of whoever is told; the other logs have their turn
            defects.append(defect)


def _to_its_end(action: Callable[[], Coroutine[Any, Any, object]]) -> Callable[[], Awaitable[object]]:
    """A stop comes between passes: whoever closes the logs must not meet one that is half done."""
    return lambda: uninterrupted(action())


def _apply(
    entries: Sequence[OpenPartition], action: Action
) -> tuple[int, list[tuple[OpenPartition, BaseException]]]:
    total = 0
    failures: list[tuple[OpenPartition, BaseException]] = []
    for entry in entries:
        try:
            total += action(entry)
        except BaseException as error:  # noqa: BLE001 - one partition; a defect is raised when all had their turn
            failures.append((entry, error))
    return total, failures


def _raise_first(defects: Sequence[BaseException]) -> None:
    if defects:
        raise defects[0]


def _batches(entries: Iterable[OpenPartition], size: int) -> Iterator[list[OpenPartition]]:
    iterator = iter(entries)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
