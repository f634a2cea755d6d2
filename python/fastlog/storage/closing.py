"""Ends a run: closes all logs, writes the checkpoints, and marks each directory as cleanly shut down."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, NoReturn

from fastlog.base.ending import Ending
from fastlog.native import FastlogNativeError, StorageError
from fastlog.storage.causes import passes
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.disk_jobs import handed_over, in_turns
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partitions import OpenPartition

_LOG: Final = logging.getLogger(__name__)
# Closing waits for the disk, which is good at several things at once.
_THREADS: Final = 8
# Two checkpoints, the mark, and one to spare.
_SLOTS_FOR_THE_END: Final = 4


def halt(reason: str) -> NoReturn:
    """Ends the process at once, with exit code 1: no log directory works, so no clean end is possible."""
    _LOG.critical("no log directory is left, the broker stops: %s", reason)
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(1)


async def close_directory(
    directory: LogDirectory,
    partitions: Sequence[OpenPartition],
    *,
    threads: int,
    not_open: Sequence[PartitionKey],
    lost: Sequence[PartitionKey],
    ending: Ending,
) -> bool:
    """Closes the logs of one directory and marks it clean when all went well. Returns whether it did.

    A partition that is not open, or whose directory is lost and may be brought back, keeps the mark away, so
    that the next start checks it; so does anything that the stop has given up, which may still be at work on
    the logs. What is known of such a partition is kept.
    """
    recovery_points: dict[PartitionKey, int] = {}
    log_starts: dict[PartitionKey, int] = {}
    failures = 0
    pool = ThreadPoolExecutor(max_workers=max(_THREADS, threads), thread_name_prefix="fastlog-close")
    try:
        jobs = await handed_over(pool, partitions, partial(_close_one, directory))
        async for entry, job in in_turns(zip(partitions, jobs, strict=True)):
            try:
                recovery_points[entry.key], log_starts[entry.key] = await job
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are closed and written down
                failures += 1
                defect = None if isinstance(error, FastlogNativeError) else error
                _LOG.error("closing %s-%d: %s", entry.topic, entry.partition, error, exc_info=defect)
            ending.headway()
    finally:
        # Not waited for on the event loop: a thread whose disk hangs would hold it.
        pool.shutdown(wait=False, cancel_futures=True)
    former_points, former_starts = directory.former_offsets([*not_open, *lost])
    recovery_points |= former_points
    log_starts |= former_starts
    kept = {key: offset for key, offset in log_starts.items() if offset > 0}
    try:
        turn = directory.checkpoint_turn(recovery_points, kept)
        await asyncio.to_thread(
            directory.write_checkpoints, recovery_points, kept, turn=turn, use_reserve=True
        )
        clean = failures == 0 and not not_open and not lost and ending.went_well
        if clean:
            await asyncio.to_thread(directory.write_clean_shutdown_mark)
    except OSError as error:
        _LOG.error("%s: the end of the run could not be written down: %s", directory.path, error)
        return False
    return clean


def _close_one(directory: LogDirectory, entry: OpenPartition) -> tuple[int, int]:
    log_start = entry.log.log_start_offset
    try:
        recovery_point = entry.log.flush()
        entry.log.close()
    except StorageError as error:
        if not passes(error):
            raise
        # Nobody else works here any more: what the reserve gives back is there for the last small files, and
        # descriptors are free.
        directory.reserve.release(_SLOTS_FOR_THE_END)
        recovery_point = entry.log.flush()
        entry.log.close()
    return recovery_point, log_start
