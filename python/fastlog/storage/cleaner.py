"""The log cleaner: compacts the logs of topics whose cleanup.policy has `compact`, the dirtiest first.

What Kafka's LogCleaner and LogCleanerManager do. Each of `log.cleaner.threads` threads takes the dirtiest
log that is worth it, has the engine compact it, writes down how far it is clean, and looks again; when
nothing is worth it, it pauses. Decisions and all state are on the event loop; looking at logs and compacting
them happens in the cleaner's own threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from fastlog.base.clock import Clock
from fastlog.base.tasks import Loop, Supervisor
from fastlog.errors import FastlogError
from fastlog.native import (
    CleanerThrottle,
    CompactionReport,
    FastlogNativeError,
)
from fastlog.storage.causes import Cause, cause_of, passes
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.cleaner_checkpoints import CleanerCheckpoints
from fastlog.storage.cleaner_choice import Candidate, LogToClean, choose, look
from fastlog.storage.cleaner_run import Run
from fastlog.storage.cleaner_settings import CleanerSettings, CompactionLimit, PolicyOf
from fastlog.storage.cleaner_stats import CleanerStats
from fastlog.storage.disk_jobs import uninterrupted
from fastlog.storage.failures import DirectoryFailures
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partitions import OpenPartition, PartitionTable

_LOG: Final = logging.getLogger(__name__)
_LOGS_PER_THREAD_CALL: Final = 256
# How long a log is left alone when there was no room for its compacted segments, or no descriptor.
_PAUSE_SECONDS: Final = 60.0

_Looked = list[tuple[Candidate, LogToClean | Exception | None]]


class LogCleaner:
    """Compacts the logs of one broker, from `start` to `stop`. Used on the event loop only."""

    def __init__(
        self,
        settings: CleanerSettings,
        clock: Clock,
        directories: Sequence[LogDirectory],
        table: PartitionTable,
        failures: DirectoryFailures,
        tasks: Supervisor,
    ) -> None:
        self.checkpoints: Final = CleanerCheckpoints(directories, table, failures)
        self.stats: Final = CleanerStats()
        self._settings = settings
        self._clock = clock
        self._directories = directories
        self._table = table
        self._failures = failures
        self._policy_of: PolicyOf = lambda topic: None
        self._limit: CompactionLimit = lambda topic, partition: None
        self._throttle = CleanerThrottle(settings.rate)
        # No partition of a name is made before `release` has returned for the last one.
        self._running: dict[PartitionKey, Run] = {}
        # Logs for which there was no room, and the monotonic time when they are looked at again.
        self._postponed: dict[PartitionKey, float] = {}
        self._tasks = tasks
        self._workers: dict[int, Loop] = {}
        self._choosing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._resting = 0
        self.rests = 0
        """How often a thread had looked and found nothing to compact."""
        self._started = False
        failures.add_callback(self._directory_failed)

    @property
    def running(self) -> list[PartitionKey]:
        """The partitions that are being compacted."""
        return list(self._running)

    def set_hooks(self, policy_of: PolicyOf, limit: CompactionLimit) -> None:
        """Sets who knows the topics' settings, and up to which offset a partition may be compacted."""
        self._policy_of = policy_of
        self._limit = limit

    def start(self) -> None:
        """Starts the threads, unless log.cleaner.enable is false."""
        self._started = True
        self._adjust_workers()

    async def stop(self) -> None:
        """Interrupts what runs, waits for that, and writes the checkpoints. There is no other start."""
        self._started = False
        self._adjust_workers()
        runs = list(self._running.values())
        for run in runs:
            run.reason = run.reason or "the broker stops"
        self._throttle.cancel()
        await asyncio.gather(
            *(worker.finish() for worker in list(self._workers.values())), *(run.wait() for run in runs)
        )
        for directory in self._directories:
            await self.checkpoints.write(directory)

    def reconfigure(self, settings: CleanerSettings) -> None:
        """Takes over settings that were changed at run time.

        The bound on disk traffic holds at once, also for what is under way; the rest from the next run on.
        """
        self._settings = settings
        self._throttle.set_rate(settings.rate)
        self._adjust_workers()

    def hurry(self) -> int:
        """Has all threads look now: the clock was moved. Gives what `rests` is when they have."""
        due = self.rests + 2 * len(self._workers) - self._resting
        self._adjust_workers()
        return due

    def interrupt(self, entry: OpenPartition, reason: str) -> None:
        """Has a running compaction of a log given up soon; no record is lost by that."""
        run = self._running.get(entry.key)
        if run is not None:
            run.interrupt(reason)

    async def release(self, entry: OpenPartition, reason: str) -> None:
        """Returns when nothing here touches the log any more. It must be out of the table before."""
        run = self._running.get(entry.key)
        if run is not None:
            run.interrupt(reason)
            await run.wait()
        self._forget(entry.key)

    async def clean_one(self, executor: ThreadPoolExecutor | None = None) -> bool:
        """Compacts the dirtiest log that is worth it. False when there was none, or nothing came of it."""
        async with self._choosing:
            target = await self._choose(executor)
            if target is None:
                return False
            # From here to the engine nothing else gets a turn: what takes the log away finds the run.
            run = Run(target, self._settings.map_bytes, self._throttle, self._clock.now_ms())
            self._running[target.entry.key] = run
            self._count_running()
        began = self._clock.monotonic()
        try:
            report = await asyncio.get_running_loop().run_in_executor(executor, run.compact)
            if report is None:
                self.stats.interrupted += 1
                _LOG.info("the compaction of %s-%d was interrupted: %s", *target.entry.key, run.reason)
                return False
            await self._note_cleaned(target, report, self._clock.monotonic() - began)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other logs go on
            self._note_failed(target.entry, error)
            return False
        finally:
            del self._running[target.entry.key]
            self._count_running()
            run.ended()
        # A compaction that gets nowhere must not be repeated without a pause.
        return report.cleaned_to > target.state.first_dirty_offset

    async def _choose(self, executor: ThreadPoolExecutor | None) -> LogToClean | None:
        now = self._clock.now_ms()
        found: list[LogToClean] = []
        loop = asyncio.get_running_loop()
        candidates = self._candidates()
        while some := list(islice(candidates, _LOGS_PER_THREAD_CALL)):
            for candidate, result in await loop.run_in_executor(executor, _look_at, some, self._limit, now):
                if isinstance(result, Exception):
                    self._note_failed(candidate.entry, result)
                elif result is not None:
                    found.append(result)
        self.stats.max_dirty_ratio = max((target.state.dirty_ratio for target in found), default=0.0)
        for target in found:
            self._correct_checkpoint(target)
        best = choose(target for target in found if self._is_open(target.entry))
        return best if best is not None and best.entry.config.compact else None

    def _candidates(self) -> Iterator[Candidate]:
        """One by one: to ask for the settings of thousands of topics at once would hold up the event loop."""
        now = self._clock.monotonic()
        for entry in self._table:
            if (
                not entry.config.compact
                or not self._is_open(entry)
                or entry.key in self._running
                or entry.key in self.stats.uncleanable
                or self._postponed.get(entry.key, now) > now
            ):
                continue
            policy = self._policy_of(entry.topic)
            if policy is not None:
                yield Candidate(entry, policy, self.checkpoints.get(entry))

    def _correct_checkpoint(self, target: LogToClean) -> None:
        """An offset outside of the log, as retention or a crash leave it, must not come true again later."""
        state, entry = target.state, target.entry
        if target.clean_from < 0 or state.checkpoint_valid or not self._is_open(entry):
            return
        self.checkpoints.set(entry, state.first_dirty_offset)
        if not entry.config.delete:
            _LOG.warning(
                "%s-%d was compacted up to offset %d, which is not in its log: it starts at %d again",
                *entry.key,
                target.clean_from,
                state.first_dirty_offset,
            )

    async def _note_cleaned(self, target: LogToClean, report: CompactionReport, seconds: float) -> None:
        entry = target.entry
        self.stats.add(report, seconds, self._clock.now_ms())
        _LOG.info(
            "compacted %s-%d from offset %d to %d in %.2f s: %d of %d records and %d of %d bytes stay "
            "(offset map of %d bytes for %d keys%s)",
            *entry.key,
            target.state.first_dirty_offset,
            report.cleaned_to,
            seconds,
            report.records_kept,
            report.records_read,
            report.bytes_kept,
            report.bytes_read,
            report.map_memory_bytes,
            report.map_records,
            ", full" if report.map_full else "",
        )
        if report.invalid_records:
            _LOG.warning(
                "%s-%d: %d records without a key were dropped, as a compacted log cannot keep them",
                *entry.key,
                report.invalid_records,
            )
        # Whoever deletes the partition meanwhile waits for the run, and drops this entry afterwards.
        self.checkpoints.set(entry, report.cleaned_to)
        await self.checkpoints.write(entry.directory)

    def _note_failed(self, entry: OpenPartition, error: Exception) -> None:
        if not self._is_open(entry):
            # It was deleted or closed, or its directory is offline.
            _LOG.debug("compaction of %s-%d: %s", *entry.key, error)
        elif passes(error):
            self._postponed[entry.key] = self._clock.monotonic() + _PAUSE_SECONDS
            lacking = "room on the disk" if cause_of(error) is Cause.FULL else "descriptors or memory"
            _LOG.warning("the compaction of %s-%d waits for %s: %s", *entry.key, lacking, error)
        elif entry.log.failure is not None:
            self._failures.log_failed(entry.log)
        elif cause_of(error) is Cause.DISK:
            reason = f"compaction of {entry.topic}-{entry.partition}: {error}"
            self._failures.directory_failed(entry.directory.path, reason)
        else:
            self.stats.uncleanable[entry.key] = str(error)
            expected = isinstance(error, (FastlogNativeError, FastlogError))
            _LOG.error(
                "%s-%d cannot be compacted and is left alone until the next start: %s",
                *entry.key,
                error,
                exc_info=None if expected else error,
            )

    def _directory_failed(self, path: Path, reason: str, partitions: Sequence[PartitionKey]) -> None:
        for run in self._running.values():
            if run.target.entry.key in partitions:
                run.interrupt(reason)
        for key in partitions:
            self._forget(key)

    def _forget(self, key: PartitionKey) -> None:
        self.stats.uncleanable.pop(key, None)
        self._postponed.pop(key, None)

    def _is_open(self, entry: OpenPartition) -> bool:
        return self._table.get(*entry.key) is entry

    def _count_running(self) -> None:
        self.stats.running = len(self._running)

    def _adjust_workers(self) -> None:
        """Starts threads that are missing, and wakes all up: those that are too many end by themselves."""
        self._wake.set()
        self._wake = asyncio.Event()
        for index in range(self._settings.threads):
            if self._is_wanted(index) and index not in self._workers:
                self._workers[index] = self._tasks.run(f"cleaner-{index}", partial(self._work, index))

    async def _work(self, index: int) -> None:
        # A pool of one thread each, so that the number of threads can change while some are busy.
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"fastlog-cleaner-{index}")
        try:
            while self._is_wanted(index):
                # Set by a change of settings from here on.
                wake = self._wake
                if not await uninterrupted(self.clean_one(executor)):
                    self.rests += 1
                    self._resting += 1
                    try:
                        await _wait(wake, self._settings.backoff_ms / 1000)
                    finally:
                        self._resting -= 1
        finally:
            executor.shutdown(wait=False)
        del self._workers[index]

    def _is_wanted(self, index: int) -> bool:
        return self._started and self._settings.enabled and index < self._settings.threads


def _look_at(candidates: Sequence[Candidate], limit: CompactionLimit, now_ms: int) -> _Looked:
    looked: _Looked = []
    for candidate in candidates:
        result: LogToClean | Exception | None
        try:
            result = look(candidate, limit(*candidate.entry.key), now_ms)
        except Exception as error:  # noqa: BLE001 - one log in trouble does not hide the others
            result = error
        looked.append((candidate, result))
    return looked


async def _wait(wake: asyncio.Event, seconds: float) -> None:
    """Waits until `wake` is set, but not longer than so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return
