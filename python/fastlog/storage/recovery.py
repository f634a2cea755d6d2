"""Opens the partitions of a log directory at start-up, several at once, and tells how far it is.

After a clean shutdown nothing is read but the file lists. Otherwise each log is checked from its recovery
point on, which is what was not known to be on the disk: the time is in proportion to that, not to the data.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from functools import partial
from typing import Final, Protocol

from fastlog.base.clock import Clock
from fastlog.base.files import entries_synced
from fastlog.base.quick_dataclass import dataclass
from fastlog.base.wording import counted
from fastlog.errors import FastlogError
from fastlog.native import ClockAhead, FastlogNativeError, Log, LogConfig, StorageError
from fastlog.native.moving_clock import MovingClock
from fastlog.storage.adopt import FoundPartition
from fastlog.storage.causes import Cause, cause_of, passes
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.disk_jobs import handed_over, in_turns
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.opening_progress import DirectoryProgress
from fastlog.storage.partition_metadata import write_topic_id

_LOG: Final = logging.getLogger(__name__)
_PROGRESS_SECONDS: Final = 5.0
# After a clean shutdown opening waits for the disk; the configured number is for checking, which computes.
_THREADS_WHEN_CLEAN: Final = 8


class OpenLog(Protocol):
    """`Log.open`; a parameter so that tests can put something else there."""

    def __call__(
        self,
        path: str,
        config: LogConfig,
        *,
        recovery_point: int = 0,
        log_start_offset: int = 0,
        compacted_below: int = 0,
        offsets_are_exact: bool = False,
        adopted: bool = False,
        clean_shutdown: bool = False,
        allow_data_loss: bool = False,
        ahead: ClockAhead | None = None,
    ) -> Log:
        """See `Log.open`."""
        ...


def by_clock(open_log: OpenLog, clock: Clock) -> OpenLog:
    """The same, with logs that move on when this clock is one that a test moves."""
    return partial(open_log, ahead=clock.ahead) if isinstance(clock, MovingClock) else open_log


@dataclass(frozen=True, slots=True)
class Opening:
    """A partition directory to open, and the topic id that it must carry."""

    found: FoundPartition
    topic_id: bytes
    config: LogConfig


@dataclass(slots=True)
class DirectoryOpened:
    """What came of one directory.

    `refused` partitions stay offline, `postponed` ones until what they lack is there: room on the disk, or
    descriptors and memory. `failure` is set when the directory itself does not work.
    """

    clean: bool = False
    logs: list[tuple[Opening, Log]] = field(default_factory=list)
    refused: list[tuple[Opening, str]] = field(default_factory=list)
    postponed: list[tuple[Opening, str]] = field(default_factory=list)
    failure: str | None = None


async def open_directory(
    directory: LogDirectory,
    openings: Sequence[Opening],
    *,
    threads: int,
    allow_data_loss: bool,
    open_log: OpenLog,
    progress: DirectoryProgress | None = None,
) -> DirectoryOpened:
    """Opens all partitions of one directory. The clean-shutdown mark is gone before the first is touched.

    A partition with damage is refused and does not stop the others; a disk that fails stops the directory.
    """
    opened = DirectoryOpened()
    progress = progress or DirectoryProgress()
    progress.total = len(openings)
    try:
        opened.clean = await asyncio.to_thread(directory.take_clean_shutdown_mark)
        recovery_points = await asyncio.to_thread(directory.read_recovery_points)
        log_starts = await asyncio.to_thread(directory.read_log_start_offsets)
        compacted = await asyncio.to_thread(directory.read_cleaner_offsets)
        high_watermarks = await asyncio.to_thread(directory.read_high_watermarks)
    except OSError as error:
        if cause_of(error) is Cause.SHORTAGE:
            raise
        opened.failure = str(error)
        return opened
    progress.clean = opened.clean
    _announce(directory, len(openings), opened.clean)
    started = reported = time.monotonic()
    if opened.clean:
        threads = max(threads, _THREADS_WHEN_CLEAN)
    pool = ThreadPoolExecutor(max_workers=max(1, threads), thread_name_prefix="fastlog-open")
    try:
        open_one = partial(
            _open_one,
            recovery_points=recovery_points,
            log_starts=log_starts,
            compacted=compacted,
            high_watermarks=high_watermarks,
            clean=opened.clean,
            # A clean end writes both files, with a line for every log that begins above 0.
            offsets_are_exact=opened.clean and directory.log_starts_complete and not directory.adopted,
            adopted=directory.adopted,
            allow_data_loss=allow_data_loss,
            open_log=open_log,
        )
        jobs = await handed_over(pool, openings, lambda opening: _open_noted(progress, opening, open_one))
        numbered = enumerate(zip(openings, jobs, strict=True), start=1)
        async for done, (opening, job) in in_turns(numbered):
            await _collect(opened, opening, job, progress)
            progress.done = done
            if time.monotonic() - reported > _PROGRESS_SECONDS:
                reported = time.monotonic()
                _LOG.info("%s: %d of %d partitions are open", directory.path, done, len(openings))
    finally:
        # No waiting here: when the start is cancelled, a log that is being opened must not hold up the loop.
        pool.shutdown(wait=False, cancel_futures=True)
    _summarise(directory, opened, time.monotonic() - started)
    return opened


async def _collect(
    opened: DirectoryOpened, opening: Opening, job: asyncio.Future[Log], progress: DirectoryProgress
) -> None:
    try:
        log = await job
        opened.logs.append((opening, log))
        progress.bytes_checked += log.recovery_report["bytes_scanned"]
    except (StorageError, OSError, MemoryError) as error:
        if passes(error):
            opened.postponed.append((opening, str(error) or "no memory"))
            return
        opened.refused.append((opening, str(error)))
        if cause_of(error) is Cause.DISK:
            opened.failure = opened.failure or str(error)
    except (FastlogNativeError, FastlogError) as error:
        opened.refused.append((opening, str(error)))


def reopen(directory: LogDirectory, opening: Opening, *, allow_data_loss: bool, open_log: OpenLog) -> Log:
    """Opens a postponed partition; blocks. Raises what `Log.open` raises, or OSError."""
    return _open_one(
        opening,
        directory.former_recovery_points,
        directory.former_log_starts,
        directory.former_cleaner_offsets,
        directory.read_high_watermarks(),
        False,
        False,
        directory.adopted,
        allow_data_loss,
        open_log,
    )


def _open_noted(progress: DirectoryProgress, opening: Opening, open_one: Callable[[Opening], Log]) -> Log:
    """`open_one`, shown in `progress` while it lasts."""
    name = opening.found.path.name
    progress.opening.add(name)
    try:
        return open_one(opening)
    finally:
        progress.opening.discard(name)


def _open_one(
    opening: Opening,
    recovery_points: dict[PartitionKey, int],
    log_starts: dict[PartitionKey, int],
    compacted: dict[PartitionKey, int],
    high_watermarks: dict[PartitionKey, int],
    clean: bool,
    offsets_are_exact: bool,
    adopted: bool,
    allow_data_loss: bool,
    open_log: OpenLog,
) -> Log:
    found = opening.found
    key = (found.topic, found.partition)
    if found.topic_id is None:
        # Kafka before 2.8, or a crash while the partition was made.
        with entries_synced(found.path):
            write_topic_id(found.path, opening.topic_id)
    log = open_log(
        str(found.path),
        opening.config,
        recovery_point=recovery_points.get(key, 0),
        log_start_offset=log_starts.get(key, 0),
        compacted_below=compacted.get(key, 0),
        offsets_are_exact=offsets_are_exact and key in recovery_points,
        adopted=adopted,
        clean_shutdown=clean,
        allow_data_loss=allow_data_loss,
    )
    if key in high_watermarks:
        log.recall_unreplicated(high_watermarks[key])
    report = log.recovery_report
    for warning in report["warnings"]:
        _LOG.warning("%s: %s", found.path, warning)
    if report["truncated_bytes"]:
        _LOG.warning(
            "%s: %d bytes of an unfinished write were cut off the end", found.path, report["truncated_bytes"]
        )
    return log


def _announce(directory: LogDirectory, partitions: int, clean: bool) -> None:
    if not partitions:
        _LOG.debug("%s holds no partitions", directory.path)
    elif clean:
        _LOG.info("%s: opening %s after a clean shutdown", directory.path, counted(partitions, "partition"))
    else:
        _LOG.info(
            "%s: opening %s; the last run did not end cleanly, so what was not known to be on "
            "disk is checked",
            directory.path,
            counted(partitions, "partition"),
        )


def _summarise(directory: LogDirectory, opened: DirectoryOpened, seconds: float) -> None:
    for opening, reason in opened.refused:
        _LOG.error("partition in %s stays offline: %s", opening.found.path, reason)
    for opening, reason in opened.postponed:
        _LOG.error("partition in %s is offline for now, it is tried again: %s", opening.found.path, reason)
    scanned = sum(log.recovery_report["bytes_scanned"] for _, log in opened.logs)
    rebuilt = sum(log.recovery_report["indexes_rebuilt"] for _, log in opened.logs)
    if opened.logs:
        _LOG.info(
            "%s: %s open after %.2f s (%d bytes checked, %d indexes rebuilt)",
            directory.path,
            counted(len(opened.logs), "partition"),
            seconds,
            scanned,
            rebuilt,
        )
