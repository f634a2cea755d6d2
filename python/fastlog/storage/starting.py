"""Start-up of the log directories, before and after the metadata decides what is to be opened."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import FastlogError
from fastlog.storage.adopt import FoundPartition, Listing, list_log_directory, report_left_alone
from fastlog.storage.causes import Cause, cause_of
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.disk_jobs import in_turns
from fastlog.storage.failures import DirectoryFailures
from fastlog.storage.log_dir import LogDirectory, LogDirectoryError
from fastlog.storage.opening_progress import OpeningProgress
from fastlog.storage.partitions import ClosedPartition, OpenPartition, PartitionTable
from fastlog.storage.placement import common_identity, duplicate_directories, duplicate_partitions
from fastlog.storage.recovery import Opening, OpenLog, open_directory
from fastlog.storage.settings import StorageSettings


@dataclass(frozen=True, slots=True)
class Preparation:
    """What the log directories say before anything is opened.

    `cluster_id` and `node_id` are those in their meta.properties, if any; `used_before` says whether fastlog
    kept metadata here; `complete` is false when a directory could not be looked at.
    """

    cluster_id: str | None
    node_id: int | None
    used_before: bool
    complete: bool
    partitions: list[FoundPartition]
    deleted: list[Path]


@dataclass(slots=True)
class Opened:
    """What start-up opened.

    `postponed` partitions wait for room on the disk. `unclean` ones, open or postponed, may have lost what
    the operating system had not written. `highest_producer_id` is the highest that any log knows, -1 when
    none: new ids must be above it.
    """

    partitions: list[PartitionKey] = field(default_factory=list)
    postponed: list[PartitionKey] = field(default_factory=list)
    unclean: set[PartitionKey] = field(default_factory=set)
    highest_producer_id: int = -1
    is_clean: bool = False
    """Whether the run before ended cleanly, in all directories that there are."""


async def prepare(directories: Sequence[LogDirectory], failures: DirectoryFailures) -> Preparation:
    """Locks, checks and lists all directories; one that does not work goes offline.

    Raises FastlogError (DirectoryLocked, IdentityError, ...) when the broker must not start on them, and
    OSError when it cannot, for want of descriptors or memory: no directory is to be blamed for that.
    """
    _refuse(duplicate_directories([directory.path for directory in directories]))
    listings: list[Listing] = []
    for directory in directories:
        try:
            await asyncio.to_thread(directory.open)
            listings.append(await asyncio.to_thread(list_log_directory, directory.path))
        except (OSError, LogDirectoryError) as error:
            if cause_of(error) is Cause.SHORTAGE:
                raise
            failures.directory_failed(directory.path, str(error))
    report_left_alone(listings)
    found = [partition for listing in listings for partition in listing.partitions]
    _refuse(duplicate_partitions(found))
    identity = common_identity(directories)
    return Preparation(
        cluster_id=None if identity is None else identity[0],
        node_id=None if identity is None else identity[1],
        used_before=any(entry.identity.fastlog for entry in directories if entry.identity is not None),
        complete=all(directory.online for directory in directories),
        partitions=found,
        deleted=[path for listing in listings for path in listing.deleted],
    )


async def open_partitions(
    directories: Sequence[LogDirectory],
    openings: Sequence[Opening],
    settings: StorageSettings,
    now: float,
    table: PartitionTable,
    failures: DirectoryFailures,
    open_log: OpenLog,
    progress: OpeningProgress,
) -> Opened:
    """Opens all partitions into `table`; refused ones are noted there. `now` is the monotonic time."""
    online = [directory for directory in directories if directory.online]
    results = await asyncio.gather(
        *(
            open_directory(
                directory,
                [opening for opening in openings if opening.found.log_dir == directory.path],
                threads=settings.recovery_threads,
                allow_data_loss=settings.allow_data_loss,
                open_log=open_log,
                progress=progress.of(directory.path),
            )
            for directory in online
        )
    )
    opened = Opened()
    for directory, result in zip(online, results, strict=True):
        for refused, postponed in ((result.refused, False), (result.postponed, True)):
            for opening, reason in refused:
                found = opening.found
                later = opening if postponed else None
                closed = ClosedPartition(opening.topic_id, reason, found.path, directory, later)
                table.add_closed((found.topic, found.partition), closed)
                if postponed:
                    opened.postponed.append((found.topic, found.partition))
                    if not result.clean:
                        opened.unclean.add((found.topic, found.partition))
        async for opening, log in in_turns(result.logs):
            found = opening.found
            entry = OpenPartition(
                found.topic, found.partition, opening.topic_id, log, directory, opening.config, now
            )
            table.add(entry)
            if not result.clean:
                opened.unclean.add(entry.key)
            producers = [row[0] for row in log.active_producers()]
            opened.highest_producer_id = max(opened.highest_producer_id, *producers, -1)
        if result.failure is not None:
            failures.directory_failed(directory.path, result.failure)
    opened.partitions = [entry.key for entry in table]
    opened.is_clean = all(result.clean for result in results)
    return opened


def _refuse(problem: str | None) -> None:
    if problem is not None:
        raise FastlogError(problem)
