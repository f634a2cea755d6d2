"""The logs of this broker: start-up, making and deleting them, and directories that fail.

Start-up order: `prepare` (lock, whose it is, what is there); whoever keeps the metadata then decides what is
to be opened; `confirm_identity`; `open`; `start_housekeeping`. State changes on the event loop; everything
that touches a disk runs in threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fastlog.clock import Clock
from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import FastlogNativeError, Log, LogConfig
from fastlog.storage import starting
from fastlog.storage.adopt import FoundPartition
from fastlog.storage.checkpoints import PartitionKey
from fastlog.storage.cleaner import LogCleaner
from fastlog.storage.closing import close_directory, halt
from fastlog.storage.failures import DirectoryFailed, DirectoryFailures
from fastlog.storage.files import is_full_disk
from fastlog.storage.housekeeping import Housekeeping, RetentionLimit
from fastlog.storage.io import IoLoop
from fastlog.storage.log_dir import LogDirectory
from fastlog.storage.partition_dirs import DirectoryKind
from fastlog.storage.partition_files import make_partition, retire
from fastlog.storage.partitions import ClosedPartition, OpenPartition, PartitionTable, RetiredDirectories
from fastlog.storage.placement import emptiest_first
from fastlog.storage.progress import OpeningProgress
from fastlog.storage.recovery import Opening, OpenLog, is_full, reopen
from fastlog.storage.settings import StorageSettings

_LOG: Final = logging.getLogger(__name__)


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
    ) -> None:
        self.settings: Final = settings
        self.clock: Final = clock
        self.directories: Final = [LogDirectory(Path(path)) for path in settings.log_dirs]
        self.table: Final = PartitionTable()
        self.failures: Final = DirectoryFailures(self.directories, self.table, on_all_failed)
        self.progress: Final = OpeningProgress()
        self._retired = RetiredDirectories()
        self.housekeeping: Final = Housekeeping(
            settings, clock, io, self.directories, self.table, self._retired, self.failures
        )
        self.cleaner: Final = LogCleaner(settings.cleaner, clock, self.directories, self.table, self.failures)
        self._io = io
        self._open_log = open_log
        # Partitions being made, by directory: they count when the next one is placed.
        self._making: dict[PartitionKey, LogDirectory] = {}
        self._loaded = False
        io.set_failure_hook(self.failures.log_failed)

    @property
    def complete(self) -> bool:
        """Whether all directories work, so that a partition that is not found is really not here."""
        return all(directory.online for directory in self.directories)

    def get(self, topic: str, partition: int) -> Log | None:
        """The open log of a partition, or None (see `offline_reason`)."""
        entry = self.table.get(topic, partition)
        return None if entry is None else entry.log

    def offline_reason(self, topic: str, partition: int) -> str | None:
        """Why a partition of this broker answers KAFKA_STORAGE_ERROR; None when nothing is wrong with it."""
        entry = self.table.closed.get((topic, partition))
        return None if entry is None else entry.reason

    def waits_for_room(self, topic: str, partition: int) -> bool:
        """Whether only a full disk kept the partition from being opened: `create` tries it again."""
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

    def dir_failed(self, path: Path, reason: str) -> None:
        """Takes a log directory offline."""
        self.failures.directory_failed(path, reason)

    async def prepare(self) -> starting.Preparation:
        """Locks and lists the directories. Raises FastlogError when the broker must not start on them."""
        preparation = await starting.prepare(self.directories, self.failures)
        due = self.clock.now_ms() + self.settings.file_delete_delay_ms
        for path in preparation.deleted:
            self._retired.add(path, due)
        return preparation

    async def confirm_identity(self, cluster_id: str, node_id: int) -> None:
        """Writes `meta.properties` where it is missing. Raises IdentityError for another's directory."""
        for directory in [entry for entry in self.directories if entry.online]:
            try:
                await asyncio.to_thread(directory.confirm_identity, cluster_id, node_id)
            except OSError as error:
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
        return opened

    def note_missing(self, topic: str, partition: int, topic_id: bytes) -> None:
        """Notes a partition that should be here and was not found: it answers KAFKA_STORAGE_ERROR."""
        reason = (
            "its directory is in none of the log directories"
            if self.complete
            else "its directory was not found; it may be in a log directory that is offline"
        )
        self.table.closed[(topic, partition)] = ClosedPartition(topic_id, reason, None, None)

    def note_unusable(self, found: FoundPartition, topic_id: bytes) -> None:
        """Notes a partition whose directory says of itself that something is wrong: KAFKA_STORAGE_ERROR."""
        directory = next((entry for entry in self.directories if entry.path == found.log_dir), None)
        closed = ClosedPartition(topic_id, found.problem or "it cannot be used", found.path, directory)
        self.table.closed[(found.topic, found.partition)] = closed

    def start_housekeeping(self) -> None:
        """Starts retention, flush by time, checkpoints, removal of deleted files, and compaction."""
        self.housekeeping.start()
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
        closed = self.table.closed.get(key)
        if closed is not None and closed.opening is not None and closed.topic_id == topic_id:
            return await self._reopen(closed, closed.opening)
        if closed is not None:
            # An empty log in its place would pass lost data off as never written.
            raise KafkaError(
                ErrorCode.KAFKA_STORAGE_ERROR, f"{topic}-{partition} is offline: {closed.reason}"
            )
        if key in self._making:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{topic}-{partition} is being made")
        problems: list[str] = []
        for directory in emptiest_first(self.directories, self._partition_counts()):
            self._making[key] = directory
            try:
                return await self._create_in(directory, topic, topic_id, partition, config)
            except (OSError, FastlogNativeError) as error:
                problems.append(f"{directory.path}: {error}")
                if not is_full(error):
                    self.dir_failed(directory.path, f"making {topic}-{partition}: {error}")
            finally:
                del self._making[key]
        raise KafkaError(
            ErrorCode.KAFKA_STORAGE_ERROR,
            f"{topic}-{partition} cannot be made: {'; '.join(problems) or 'no log directory is online'}",
        )

    async def delete(self, topic: str, partition: int, topic_id: bytes) -> None:
        """Takes a partition out of service and its directory out of the way; it is removed later.

        Does nothing when the partition is not here. Raises KafkaError(KAFKA_STORAGE_ERROR) when it cannot be
        done now, or when a directory is offline that may hold it.
        """
        entry = self.table.get(topic, partition)
        closed = self.table.closed.get((topic, partition))
        delay_ms = self.settings.file_delete_delay_ms
        if entry is not None and entry.topic_id == topic_id:
            delay_ms = entry.config.file_delete_delay_ms
            path, directory = Path(entry.log.path), entry.directory
            self.table.remove(topic, partition)
            # Until the directory is renamed the partition still exists, and no other may take its name.
            closed = ClosedPartition(topic_id, "it is being deleted", path, directory)
            self.table.closed[entry.key] = closed
            await self.cleaner.release(entry, "the partition is deleted")
            # An append that is still under way could begin a segment under a name that is no longer its own.
            await self._io.settled(entry.log)
            try:
                await asyncio.to_thread(entry.log.close)
            except FastlogNativeError as error:
                _LOG.debug("closing %s before its deletion: %s", path, error)
        elif closed is None or closed.topic_id != topic_id:
            if not self.complete:
                raise KafkaError(
                    ErrorCode.KAFKA_STORAGE_ERROR,
                    f"{topic}-{partition} may be in a log directory that is offline",
                )
            return
        await self._retire(topic, partition, closed, delay_ms)

    async def set_aside(
        self, path: Path, topic: str, partition: int, kind: DirectoryKind, delay_ms: int = 0
    ) -> None:
        """Retires a partition directory that is not open: deleted (removed after a delay) or stray (kept)."""
        target = await asyncio.to_thread(retire, path, topic, partition, kind)
        if kind is DirectoryKind.DELETED:
            self._retired.add(target, self.clock.now_ms() + delay_ms)
        _LOG.info("renamed %s to %s", path, target.name)

    async def update_config(self, topic: str, config: LogConfig) -> None:
        """Gives all open logs of a topic new settings."""
        for entry in self.table.of_topic(topic):
            entry.config = config
            if not config.compact:
                self.cleaner.interrupt(entry, "cleanup.policy is not compact any more")
            await asyncio.to_thread(entry.log.update_config, config)

    async def advance_log_start(self, topic: str, partition: int, offset: int) -> int:
        """Raises the log start offset (DeleteRecords), durably; returns the one in force.

        Raises KafkaError(KAFKA_STORAGE_ERROR) when there is no such open log or it cannot be written down,
        and what `Log.advance_log_start_offset` raises.
        """
        entry = self.table.get(topic, partition)
        if entry is None:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, self.offline_reason(topic, partition))
        start = await asyncio.to_thread(entry.log.advance_log_start_offset, offset)
        if not await self.housekeeping.checkpoint_directory(entry.directory):
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{entry.directory.path} cannot be written")
        return start

    async def shutdown(self) -> bool:
        """Ends the run: all logs closed, checkpoints, clean-shutdown marks, locks released.

        Returns whether the next start may trust all of it. To be called before `IoLoop.close`, when no job is
        under way any more.
        """
        await self.cleaner.stop()
        await self.housekeeping.stop()
        online = [directory for directory in self.directories if directory.online]
        clean = [False]
        try:
            if self._loaded:
                clean = await asyncio.gather(
                    *(
                        close_directory(
                            directory,
                            self.table.in_directory(directory),
                            threads=self.settings.recovery_threads,
                            not_open=self.table.closed_in(directory),
                        )
                        for directory in online
                    )
                )
        finally:
            for directory in self.directories:
                directory.close()
        return all(clean) and len(online) == len(self.directories)

    async def _create_in(
        self, directory: LogDirectory, topic: str, topic_id: bytes, partition: int, config: LogConfig
    ) -> Log:
        if (topic, partition) in directory.checkpointed:
            # Offsets of an earlier partition of this name must not become this one's.
            await asyncio.to_thread(directory.write_checkpoints, *self.housekeeping.offsets_of(directory))
        await self.cleaner.checkpoints.drop(directory, (topic, partition))
        log = await asyncio.to_thread(
            make_partition, directory, topic, partition, topic_id, config, self._open_log
        )
        self._enter(topic, partition, topic_id, log, directory, config)
        return log

    async def _reopen(self, closed: ClosedPartition, opening: Opening) -> Log:
        """Opens a partition for which there was no room at the start."""
        found, directory = opening.found, closed.directory
        if directory is None or not directory.online:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{found.path} is offline: {closed.reason}")
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
        self._enter(found.topic, found.partition, opening.topic_id, log, directory, opening.config)
        _LOG.info("%s is open, there was room for it now", found.path)
        return log

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
        self.table.add(OpenPartition(topic, partition, topic_id, log, directory, config, now))

    async def _retire(self, topic: str, partition: int, closed: ClosedPartition, delay_ms: int) -> None:
        if closed.path is None and self.complete:
            # It was looked for everywhere: there is nothing to take away.
            del self.table.closed[(topic, partition)]
            return
        if closed.directory is None or closed.path is None or not closed.directory.online:
            raise KafkaError(
                ErrorCode.KAFKA_STORAGE_ERROR, f"{topic}-{partition} is offline: {closed.reason}"
            )
        try:
            await self.set_aside(closed.path, topic, partition, DirectoryKind.DELETED, delay_ms)
        except FileNotFoundError:
            _LOG.warning("%s was already gone when it was to be deleted", closed.path)
        except OSError as error:
            if not is_full_disk(error):
                self.dir_failed(closed.directory.path, f"renaming {closed.path}: {error}")
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"{closed.path}: {error}") from error
        self.table.closed.pop((topic, partition), None)
        await self.cleaner.checkpoints.drop(closed.directory, (topic, partition))

    def _partition_counts(self) -> dict[Path, int]:
        counts = {directory.path: len(self.table.in_directory(directory)) for directory in self.directories}
        for directory in self._making.values():
            counts[directory.path] += 1
        return counts
