"""The logs of this broker: start-up, making and deleting them, and directories that fail.

Start-up order: `prepare` (lock, whose it is, what is there); whoever keeps the metadata then decides what is
to be opened; `confirm_identity`; `open`; `start_housekeeping`. State changes on the event loop; everything
that touches a disk runs in threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from fastlog.base.clock import Clock
from fastlog.base.ending import Ending
from fastlog.base.tasks import Supervisor
from fastlog.errors import ErrorCode, FastlogError, KafkaError
from fastlog.native import FastlogNativeError, Log, LogConfig, StorageError
from fastlog.storage import starting
from fastlog.storage.adopt import FoundPartition
from fastlog.storage.causes import Cause, cause_of
from fastlog.storage.checkpoints import CLEANER_OFFSETS, PartitionKey
from fastlog.storage.cleaner import LogCleaner
from fastlog.storage.closing import close_directory, halt
from fastlog.storage.failures import DirectoryFailed, DirectoryFailures
from fastlog.storage.housekeeping import Housekeeping, LogStartMoved, RetentionLimit
from fastlog.storage.io import IoLoop
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.opening_progress import OpeningProgress
from fastlog.storage.partition_dirs import DirectoryKind
from fastlog.storage.partition_files import make_partition, retire
from fastlog.storage.partitions import ClosedPartition, OpenPartition, PartitionTable, RetiredDirectories
from fastlog.storage.placement import emptiest_first
from fastlog.storage.recovery import Opening, OpenLog, by_clock, reopen
from fastlog.storage.scrubber import Scrubber
from fastlog.storage.settings import StorageSettings

_LOG: Final = logging.getLogger(__name__)


class _NotForgotten(FastlogError):
    """What is known of a partition that was deleted would become that of another one of its name."""


class LogManager:
    """All logs of one broker.

    `on_all_failed` is called with the reason when the last log directory has failed; the broker can keep no
    promise any more, so that the default ends the process at once with exit code 1.
    """

    def __init__(
        self,
        settings: StorageSettings,
        clock: Clock,
        io: IoLoop,
        *,
        open_log: OpenLog = Log.open,
        on_all_failed: Callable[[str], None] = halt,
        tasks: Supervisor | None = None,
    ) -> None:
        tasks = tasks or Supervisor()
        self.settings: Final = settings
        self.clock: Final = clock
        self.directories: Final = [LogDirectory(Path(path)) for path in settings.log_dirs]
        self.table: Final = PartitionTable()
        self.failures: Final = DirectoryFailures(self.directories, self.table, on_all_failed)
        self.progress: Final = OpeningProgress()
        self.retired = RetiredDirectories()
        self.housekeeping: Final = Housekeeping(
            settings, clock, io, self.directories, self.table, self.retired, self.failures, tasks
        )
        self.cleaner: Final = LogCleaner(
            settings.cleaner, clock, self.directories, self.table, self.failures, tasks
        )
        self.scrubber: Final = Scrubber(settings, clock, self.table, self.failures, tasks)
        self._io = io
        self._open_log = by_clock(open_log, clock)
        # Partitions being made, by directory: they count when the next one is placed.
        self._making: dict[PartitionKey, LogDirectory] = {}
        self._loaded = False
        self._on_log_start: LogStartMoved = lambda key: None
        io.set_failure_hook(self.failures.log_failed)
        io.set_room_hook(self.failures.room_changed)

    @property
    def complete(self) -> bool:
        """Whether all directories work, so that a partition that is not found is really not here."""
        return all(directory.online for directory in self.directories)

    @property
    def may_have_lost_directories(self) -> bool:
        """Whether one was nobody's when this run began, and losing data is not allowed."""
        return not self.settings.allow_data_loss and any(entry.is_new for entry in self.directories)

    def get(self, topic: str, partition: int) -> Log | None:
        """The open log of a partition, or None (see `offline_reason`)."""
        entry = self.table.get(topic, partition)
        return None if entry is None else entry.log

    def offline_reason(self, topic: str, partition: int) -> str | None:
        """Why a partition of this broker answers KAFKA_STORAGE_ERROR; None when nothing is wrong with it."""
        entry = self.table.closed.get((topic, partition))
        return None if entry is None else entry.reason

    def waits_for_room(self, topic: str, partition: int) -> bool:
        """Whether only what passes kept the partition from being opened: `create` tries it again."""
        entry = self.table.closed.get((topic, partition))
        return entry is not None and entry.opening is not None

    def directory_of(self, topic: str, partition: int) -> LogDirectory | None:
        """The log directory of an open partition."""
        entry = self.table.get(topic, partition)
        return None if entry is None else entry.directory

    def add_failure_callback(self, callback: DirectoryFailed) -> None:
        """Has `callback(path, reason, partitions)` called on the loop when a directory goes offline."""
        self.failures.add_callback(callback)

    def set_retention_limit(self, limit: RetentionLimit) -> None:
        """Has `limit(topic, partition)` say up to which offset retention may delete: the high watermark."""
        self.housekeeping.set_retention_limit(limit)

    def set_log_start_hook(self, hook: LogStartMoved) -> None:
        """Has `hook(key)` called on the loop when the log start offset of a partition has moved."""
        self._on_log_start = hook
        self.housekeeping.set_log_start_hook(hook)

    def dir_failed(self, path: Path, reason: str) -> None:
        """Takes a log directory offline."""
        self.failures.directory_failed(path, reason)

    async def prepare(self) -> starting.Preparation:
        """Locks and lists the directories. Raises FastlogError when the broker must not start on them."""
        preparation = await starting.prepare(self.directories, self.failures)
        due = self.clock.now_ms() + self.settings.file_delete_delay_ms
        for path in preparation.deleted:
            self.retired.add(path, due)
        return preparation

    async def confirm_identity(self, cluster_id: str, node_id: int) -> None:
        """Writes `meta.properties` where it is missing. Raises IdentityError for another's directory."""
        for directory in [entry for entry in self.directories if entry.online]:
            try:
                await asyncio.to_thread(directory.confirm_identity, cluster_id, node_id)
            except OSError as error:
                if cause_of(error) is Cause.SHORTAGE:
                    raise
                self.dir_failed(directory.path, str(error))

    async def open(self, openings: Sequence[Opening]) -> starting.Opened:
        """Opens the partitions of all directories at once. What cannot be opened is in `offline_reason`."""
        opened = await starting.open_partitions(
            self.directories,
            openings,
            self.settings,
            self.clock.monotonic(),
            self.table,
            self.failures,
            self._open_log,
            self.progress,
        )
        self.cleaner.checkpoints.load()
        self._loaded = True
        if self.settings.allow_data_loss:
            # What was given up is not to be missed again by a start that does not allow it.
            await self.housekeeping.checkpoint()
        return opened

    def note_missing(self, topic: str, partition: int, topic_id: bytes) -> None:
        """Notes a partition that should be here and was not found: it answers KAFKA_STORAGE_ERROR."""
        reason = (
            "its directory is in none of the log directories"
            if self.complete
            else "its directory was not found; it may be in a log directory that is offline"
        )
        self.table.add_closed((topic, partition), ClosedPartition(topic_id, reason, None, None))

    async def note_lost(self, partitions: Mapping[PartitionKey, bytes]) -> None:
        """Notes partitions, with their topics' ids, that were in a directory in whose place is a new one.

        The next run, to which it is not new any more, is to know of it: that is on the disk then.
        """
        reason = "it was led before, and a log directory was empty when the broker started"
        for key, topic_id in partitions.items():
            self.table.add_closed(key, ClosedPartition(topic_id, reason, None, None))
            for directory in self.directories:
                if directory.is_new:
                    directory.note_former(key, 0, 0)
        await self.housekeeping.checkpoint()

    def note_unusable(self, found: FoundPartition, topic_id: bytes) -> None:
        """Notes a partition whose directory says of itself that something is wrong: KAFKA_STORAGE_ERROR."""
        directory = next((entry for entry in self.directories if entry.path == found.log_dir), None)
        closed = ClosedPartition(topic_id, found.problem or "it cannot be used", found.path, directory)
        self.table.add_closed((found.topic, found.partition), closed)

    def give_room(self, directory: Path) -> bool:
        """Gives some of the reserve of a log directory back to its full disk; whether there was some.

        Blocks.
        """
        return any(entry.reserve.give_room() for entry in self.directories if entry.path == directory)

    def start_housekeeping(self) -> None:
        """Starts retention, flush by time, checkpoints, removal of deleted files, compaction, the scrub."""
        self.housekeeping.start()
        self.scrubber.start()
        self.cleaner.start()

    async def create(self, topic: str, topic_id: bytes, partition: int, config: LogConfig) -> Log:
        """The log of a partition, made in the directory with the fewest partitions unless it is there.

        Raises KafkaError: KAFKA_STORAGE_ERROR when no directory can take it, or its data exists and cannot be
        used; INCONSISTENT_TOPIC_ID when the name is another topic's.
        """
        key = (topic, partition)
        entry = self.table.get(topic, partition)
        if entry is not None:
            if entry.topic_id != topic_id:
                raise KafkaError(ErrorCode.INCONSISTENT_TOPIC_ID, f"{topic}-{partition} has another topic id")
            return entry.log
        self._check_not_being_made(key)
        closed = self.table.closed.get(key)
        if closed is not None and closed.opening is not None and closed.topic_id == topic_id:
            return await self._reopen(closed, closed.opening)
        if closed is not None:
            # An empty log in its place would pass lost data off as never written.
            raise KafkaError(
                ErrorCode.KAFKA_STORAGE_ERROR, f"{topic}-{partition} is offline: {closed.reason}"
            )
        problems: list[str] = []
        for directory in emptiest_first(self.directories, self._partition_counts()):
            self._making[key] = directory
            try:
                return await self._create_in(directory, topic, topic_id, partition, config)
            except (OSError, FastlogNativeError, _NotForgotten) as error:
                problems.append(f"{directory.path}: {error}")
                if cause_of(error) is Cause.DISK:
                    self.dir_failed(directory.path, f"making {topic}-{partition}: {error}")
            finally:
                del self._making[key]
        raise KafkaError(
            ErrorCode.KAFKA_STORAGE_ERROR,
            f"{topic}-{partition} cannot be made: {'; '.join(problems) or 'no log directory is online'}",
        )

    async def delete(self, topic: str, partition: int, topic_id: bytes, *, keep: bool = False) -> None:
        """Takes a partition out of service and its directory out of the way; it is removed later.

        With `keep` it stays, as a stray one. Does nothing when the partition is not here. Raises
        KafkaError(KAFKA_STORAGE_ERROR) when it cannot be done now, or when a directory is offline that may
        hold it; the next attempt does all of it again.
        """
        self._check_not_being_made((topic, partition))
        entry = self.table.get(topic, partition)
        closed = self.table.closed.get((topic, partition))
        if entry is not None and entry.topic_id == topic_id:
            self.table.remove(topic, partition)
            # Until the directory is renamed the partition still exists, and no other may take its name.
            path = Path(entry.log.path)
            closed = ClosedPartition(topic_id, "it is being deleted", path, entry.directory, former=entry)
            self.table.add_closed(entry.key, closed)
        elif closed is None or closed.topic_id != topic_id:
            if not self.complete:
                raise KafkaError(
                    ErrorCode.KAFKA_STORAGE_ERROR,
                    f"{topic}-{partition} may be in a log directory that is offline",
                )
            return
        await self._retire(topic, partition, closed, DirectoryKind.STRAY if keep else DirectoryKind.DELETED)

    async def set_aside(
        self, path: Path, topic: str, partition: int, kind: DirectoryKind, delay_ms: int = 0
    ) -> None:
        """Retires a partition directory that is not open: deleted (removed after a delay) or stray (kept)."""
        target = await asyncio.to_thread(retire, path, topic, partition, kind)
        if kind is DirectoryKind.DELETED:
            self.retired.add(target, self.clock.now_ms() + delay_ms)
        _LOG.info("renamed %s to %s", path, target.name)

    async def update_config(self, topic: str, config: LogConfig) -> None:
        """Gives all open logs of a topic new settings."""
        for entry in self.table.of_topic(topic):
            entry.config = config
            if not config.compact:
                self.cleaner.interrupt(entry, "cleanup.policy is not compact any more")
            await asyncio.to_thread(entry.log.update_config, config)

    async def advance_log_start(self, topic: str, partition: int, offset: int) -> int:
        """Raises the log start offset (DeleteRecords); returns the one in force.

        It is durable after `keep_log_starts`. Raises KafkaError(KAFKA_STORAGE_ERROR) when there is no such
        open log, and what `Log.advance_log_start_offset` raises.
        """
        entry = self.table.get(topic, partition)
        if entry is None:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, self.offline_reason(topic, partition))
        try:
            return await asyncio.to_thread(entry.log.advance_log_start_offset, offset)
        finally:
            # It may have moved although something failed after that.
            self._on_log_start(entry.key)

    async def keep_log_starts(self, partitions: Iterable[PartitionKey]) -> set[PartitionKey]:
        """Makes the log start offsets of partitions durable, all of a directory at once.

        Returns those of which that could not be written down.
        """
        by_directory: defaultdict[LogDirectory, list[PartitionKey]] = defaultdict(list)
        lost: set[PartitionKey] = set()
        for key in partitions:
            entry = self.table.get(*key)
            if entry is None:
                lost.add(key)
            else:
                by_directory[entry.directory].append(key)
        for directory, keys in by_directory.items():
            if not await self.housekeeping.checkpoint_directory(directory):
                lost.update(keys)
        return lost

    async def shutdown(self, ending: Ending | None = None) -> bool:
        """Ends the run: all logs closed, checkpoints, clean-shutdown marks, locks released.

        Returns whether the next start may trust all of it. To be called before `IoLoop.close`, when no job is
        under way any more. When `ending` has given something up, threads may still be at work on the logs: no
        mark is written, and the locks stay with the process.
        """
        ending = ending or Ending()
        await ending.wait("the scrub", self.scrubber.stop)
        await ending.wait("compaction", self.cleaner.stop)
        await ending.wait("background passes", self.housekeeping.stop)
        online = [directory for directory in self.directories if directory.online]
        clean: list[bool] = []

        async def close() -> None:
            closing = [
                close_directory(
                    directory,
                    self.table.in_directory(directory),
                    threads=self.settings.recovery_threads,
                    not_open=self.table.closed_in(directory),
                    lost=self.table.lost(),
                    ending=ending,
                )
                for directory in online
            ]
            clean.extend(await asyncio.gather(*closing))

        if self._loaded:
            await ending.wait("flushing and closing logs", close)
        if not ending.gave_up:
            for directory in self.directories:
                directory.close()
        return self._loaded and clean == [True] * len(self.directories) and ending.went_well

    async def _create_in(
        self, directory: LogDirectory, topic: str, topic_id: bytes, partition: int, config: LogConfig
    ) -> Log:
        if directory.may_be_checkpointed((topic, partition)):
            # Offsets of an earlier partition of this name must not become this one's.
            offsets = self.housekeeping.offsets_of(directory)
            turn = directory.checkpoint_turn(*offsets)
            await asyncio.to_thread(directory.write_checkpoints, *offsets, turn=turn)
        if not await self.cleaner.checkpoints.drop(directory, (topic, partition)):
            # After a crash it would count as compacted where nobody has looked yet.
            raise _NotForgotten(f"the former {topic}-{partition} is still in {CLEANER_OFFSETS}")
        log = await asyncio.to_thread(
            make_partition, directory, topic, partition, topic_id, config, self._open_log
        )
        self._enter(topic, partition, topic_id, log, directory, config)
        return log

    async def _reopen(self, closed: ClosedPartition, opening: Opening) -> Log:
        """Opens a partition for which something was missing at the start."""
        found, directory = opening.found, closed.directory
        key = (found.topic, found.partition)
        if directory is None or not directory.online:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{found.path} is offline: {closed.reason}")
        self._making[key] = directory
        try:
            log = await asyncio.to_thread(
                reopen,
                directory,
                opening,
                allow_data_loss=self.settings.allow_data_loss,
                open_log=self._open_log,
            )
        except (OSError, FastlogNativeError) as error:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{found.path}: {error}") from error
        finally:
            del self._making[key]
        self._enter(found.topic, found.partition, opening.topic_id, log, directory, opening.config)
        _LOG.info("%s is open: what it lacked at the start is there", found.path)
        return log

    async def lead(self, topic: str, partition: int, epoch: int) -> None:
        """Begins leader epoch `epoch` at the end of the log of a partition, and fences those before it.

        On a full disk it takes room of the reserve: without the epoch what is there could not be served.
        Raises KafkaError, StorageError.
        """
        entry = self.table.get(topic, partition)
        if entry is None:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{topic}-{partition} is offline")
        while True:
            try:
                await self._io.lead(entry.log, epoch)
            except StorageError as error:
                if not error.no_space or not await asyncio.to_thread(entry.directory.reserve.give_room):
                    raise
            else:
                return

    def _enter(
        self,
        topic: str,
        partition: int,
        topic_id: bytes,
        log: Log,
        directory: LogDirectory,
        config: LogConfig,
    ) -> None:
        now = self.clock.monotonic()
        entry = OpenPartition(topic, partition, topic_id, log, directory, config, now)
        self.table.add(entry)
        if not directory.online:
            # It failed meanwhile, and this partition with it.
            reason = f"log directory {directory.path} is offline: {directory.offline_reason}"
            self.table.close(entry, reason)
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{topic}-{partition} is offline: {reason}")
        # What recovery has read is not known to be on the disk.
        self.housekeeping.note_write((topic, partition))
        # It may have lost its end in a crash.
        self.cleaner.checkpoints.truncated(entry, log.log_end_offset)

    def _check_not_being_made(self, key: PartitionKey) -> None:
        """Two logs on the same files would not know of each other."""
        if key in self._making:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{key[0]}-{key[1]} is being made, or opened")

    async def _end_use(self, entry: OpenPartition) -> None:
        """Returns when nothing touches the log of a partition that is being deleted, and it is closed."""
        await self.cleaner.release(entry, "the partition is deleted")
        # An append that is still under way could begin a segment under a name that is no longer its own.
        try:
            await self._io.settled(entry.log)
        except TimeoutError:
            raise KafkaError(
                ErrorCode.KAFKA_STORAGE_ERROR, f"{entry.log.path}: what is under way there does not end"
            ) from None
        self._io.forget(entry.log)
        try:
            await asyncio.to_thread(entry.log.close)
        except FastlogNativeError as error:
            _LOG.debug("closing %s before its deletion: %s", entry.log.path, error)

    async def _retire(self, topic: str, partition: int, closed: ClosedPartition, kind: DirectoryKind) -> None:
        if closed.path is None and self.complete:
            # It was looked for everywhere: there is nothing to take away.
            self._forget(topic, partition)
            return
        if closed.directory is None or closed.path is None or not closed.directory.online:
            raise KafkaError(
                ErrorCode.KAFKA_STORAGE_ERROR, f"{topic}-{partition} is offline: {closed.reason}"
            )
        delay_ms = self.settings.file_delete_delay_ms
        if closed.former is not None:
            delay_ms = closed.former.config.file_delete_delay_ms
            await self._end_use(closed.former)
            if self.table.closed.get((topic, partition)) is not closed:
                # Another attempt has done it, and the name may be another partition's by now.
                return
        try:
            await self.set_aside(closed.path, topic, partition, kind, delay_ms)
        except FileNotFoundError:
            _LOG.warning("%s was already gone when it was to be deleted", closed.path)
        except OSError as error:
            if cause_of(error) is Cause.DISK:
                self.dir_failed(closed.directory.path, f"renaming {closed.path}: {error}")
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{closed.path}: {error}") from error
        self._forget(topic, partition)
        await self.cleaner.checkpoints.drop(closed.directory, (topic, partition))

    def _forget(self, topic: str, partition: int) -> None:
        """A partition is gone, and so is what was known of it."""
        self.table.forget((topic, partition))
        for directory in self.directories:
            directory.forget_former((topic, partition))

    def _partition_counts(self) -> dict[Path, int]:
        counts = {directory.path: self.table.count_in(directory) for directory in self.directories}
        for directory in self._making.values():
            counts[directory.path] += 1
        return counts
