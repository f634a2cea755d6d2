"""Ends a run: closes all logs, writes the checkpoints, and marks each directory as cleanly shut down."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NoReturn

from fastlog.native import FastlogNativeError, StorageError
from fastlog.storage.checkpoints import PartitionKey
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
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


async def close_directory(
    directory: LogDirectory,
    partitions: Sequence[OpenPartition],
    *,
    threads: int,
    not_open: Sequence[PartitionKey],
) -> bool:
    """Closes the logs of one directory and marks it clean when all went well. Returns whether it did.

    A partition that is not open keeps the mark away, so that the next start checks it again.
    """
    recovery_points: dict[PartitionKey, int] = {}
    log_starts: dict[PartitionKey, int] = {}
    failures = 0
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=max(_THREADS, threads), thread_name_prefix="fastlog-close") as pool:
        jobs = [loop.run_in_executor(pool, _close_one, directory, entry) for entry in partitions]
        for entry, job in zip(partitions, jobs, strict=True):
            try:
                recovery_points[entry.key], log_starts[entry.key] = await job
            except FastlogNativeError as error:
                failures += 1
                _LOG.error("closing %s-%d: %s", entry.topic, entry.partition, error)
    log_starts |= {key: directory.former_log_starts.get(key, 0) for key in not_open}
    kept = {key: offset for key, offset in log_starts.items() if offset > 0}
    clean = failures == 0 and not not_open
    try:
        await asyncio.to_thread(directory.write_checkpoints, recovery_points, kept, use_reserve=True)
        if clean:
            await asyncio.to_thread(directory.write_clean_shutdown_mark)
    except OSError as error:
        _LOG.error("%s: the end of the run could not be written down: %s", directory.path, error)
        return False
    return clean


def _close_one(directory: LogDirectory, entry: OpenPartition) -> tuple[int, int]:
    recovery_point = entry.log.flush()
    log_start = entry.log.log_start_offset
    try:
        entry.log.close()
    except StorageError as error:
        if not error.no_space:
            raise
        # Nobody else writes here any more, so what the reserve gives back is there for the last small files.
        directory.reserve.release(_SLOTS_FOR_THE_END)
        entry.log.close()
    return recovery_point, log_start
