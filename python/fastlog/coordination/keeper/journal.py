"""The journal: changes on the disk before anybody is told of them, as a log of the native engine.

Each record is one `Entry`. A thread of its own writes; what comes while it does goes into its next turn, with
one fsync. A start replays what came after the snapshot; the engine checks each batch it reads and cuts a torn
end off, which nobody was told of. Some seconds after a change, and at a stop, the end is noted beside it
(`WRITTEN`): a journal that ends before that has lost something.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from fastlog.coordination.keeper.changes import Entry, size_of
from fastlog.coordination.zookeeper.jute import MalformedPacket
from fastlog.errors import FastlogError
from fastlog.native import FastlogNativeError, Log, LogConfig, StorageError, build_batch, read_batches
from fastlog.storage.causes import Cause, cause_of, passes
from fastlog.storage.checkpoints import RECOVERY_POINTS, CheckpointDamaged, read_offsets, write_offsets

if TYPE_CHECKING:
    from fastlog.native.shapes import BuildRecord

_LOG: Final = logging.getLogger(__name__)

JOURNAL: Final = "journal"
"""Its directory in that of the keeper."""
WRITTEN: Final = RECOVERY_POINTS
"""The file that names an offset up to which the journal once was durable."""
_KEY: Final = (JOURNAL, 0)
_READ_BYTES: Final = 1024 * 1024
# The log takes the largest change that the machine lets through (`changes.MAX_BYTES`).
_MAX_BATCH_BYTES: Final = 64 * 1024 * 1024
_SEGMENT_BYTES: Final = _MAX_BATCH_BYTES
_BATCH_BYTES: Final = 1024 * 1024
_FOR_EVER: Final = 2**63 - 1
# What the engine cuts off.
_KEPT: Final = "*.corrupt"
_AGAIN_SECONDS: Final = 1.0
_PASSES_PER_NOTE: Final = 5
_RESERVE_BYTES: Final = 4 * 1024 * 1024
"""Of disk space that is allocated ahead: what is decided while the disk is full, such as the deletion of a
topic, can still be written down."""
_WANTED_BYTES: Final = _RESERVE_BYTES // 2
"""With less, more is allocated."""
_LEAST_BYTES: Final = 256 * 1024
"""Left for sessions, which open and close on a full disk, too."""
_ENDING_BYTES: Final = 1024 * 1024
"""Left for what ends something: the undoing of a creation, a deletion, which makes room."""
_SMALLEST_RESERVE: Final = 64 * 1024
_ENTRY_BYTES: Final = 128
"""What an entry takes beside what is in it, at most: as a record, in a batch of its own."""


class KeeperDamaged(FastlogError):
    """What the keeper has on disk cannot be trusted: it does not start, and deletes nothing."""


class JournalLog(Protocol):
    """What the journal needs of a log; `fastlog.native.Log` has it, tests make it fail."""

    def append(self, records: bytes) -> object:
        """Appends one batch."""
        ...

    def flush(self) -> int:
        """Makes it durable."""
        ...

    def reserve_ahead(self, ahead: int) -> None:
        """Allocates disk space for appends to come, in the segment that is written now."""
        ...

    @property
    def segment_count(self) -> int:
        """How many segments there are."""
        ...


class Journal:
    """Appends in order, one batch and one fsync for all that waits. Used on the event loop."""

    def __init__(
        self,
        directory: Path,
        *,
        written: Callable[[int], None],
        failed: Callable[[Exception], None],
        give_room: Callable[[], bool] = lambda: False,
    ) -> None:
        """`written(n)`: `n` more entries are durable. `failed(error)`: none ever will be.

        `give_room` gives some of a reserve back to a full disk, if there is some. Called in a thread.
        """
        self._directory = directory
        self._written = written
        self._failed = failed
        self._give_room = give_room
        self._log: Log | None = None
        self._waiting: list[Entry] = []
        self._writing: asyncio.Task[None] | None = None
        self._passes = 0
        self._thread = ThreadPoolExecutor(1, "fastlog-keeper")
        self._end = 0
        self._noted = 0
        self._reserved = 0
        """Bytes that are allocated beyond what is on the disk."""
        self._segments = 0
        """How many there were when that was allocated, in the last of them."""
        self._unwritten = 0
        """Bytes of entries that are not on it yet."""

    @property
    def is_tight(self) -> bool:
        """Whether there was no room on the disk to allocate what is wanted."""
        return self._reserved < _WANTED_BYTES

    @property
    def is_full(self) -> bool:
        """Whether the next entries may find no room: only little is left of what was allocated ahead."""
        return self.is_tight and self._reserved - self._unwritten < _LEAST_BYTES

    @property
    def is_short(self) -> bool:
        """Whether what is left is for what ends something: nothing new should be begun."""
        return self.is_tight and self._reserved - self._unwritten < _ENDING_BYTES

    @property
    def end_offset(self) -> int:
        """Offset of the next entry that is appended to the disk."""
        return self._end

    def open(self, *, allow_data_loss: bool = False) -> None:
        """Opens the log. Blocks. Raises KeeperDamaged; StorageError for what passes, as a full disk does."""
        config = LogConfig(
            segment_bytes=_SEGMENT_BYTES,
            segment_ms=_FOR_EVER,
            max_message_bytes=_MAX_BATCH_BYTES,
            file_delete_delay_ms=0,
            retention_ms=-1,
            retention_bytes=-1,
        )
        kept_before = set(self._directory.glob(_KEPT))
        # All of it is checked where damage is to be cut off.
        point = 0 if allow_data_loss else noted_end(self._directory.parent)
        while self._log is None:
            try:
                self._log = Log.open(
                    str(self._directory), config, recovery_point=point, allow_data_loss=allow_data_loss
                )
            except FastlogNativeError as error:
                if not passes(error):
                    raise KeeperDamaged(
                        f"the keeper's journal in {self._directory} cannot be read: {error}"
                    ) from error
                if cause_of(error) is not Cause.FULL or not self._give_room():
                    raise
        self._report(self._log, set(self._directory.glob(_KEPT)) - kept_before)
        self._end = self._log.log_end_offset
        self._reserve(self._log)
        while self.is_short and self._give_room():
            # A start has to write, and whoever starts on a full disk wants to delete something.
            self._reserve(self._log)

    def replay(self, offset: int) -> Iterator[Entry]:
        """The entries from `offset` on. Blocks. Raises KeeperDamaged."""
        log = self._opened()
        if not log.log_start_offset <= offset <= log.log_end_offset:
            raise KeeperDamaged(
                f"the keeper's snapshot goes to entry {offset}, but the journal in {self._directory} has "
                f"{log.log_start_offset} to {log.log_end_offset}"
            )
        while offset < log.log_end_offset:
            try:
                rows = read_batches(log.read(offset, _READ_BYTES))
            except FastlogNativeError as error:
                raise KeeperDamaged(f"entry {offset} of {self._directory} cannot be read: {error}") from error
            for at, _, _, value, _ in rows:
                if at >= offset:
                    yield decoded(value, at, self._directory)
            offset = rows[-1][0] + 1

    def append(self, entry: Entry) -> None:
        """Has `entry` written after all before it."""
        self._waiting.append(entry)
        self._unwritten += _weight(entry)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(
                self._write(), name="fastlog-keeper-journal"
            )

    async def settled(self) -> None:
        """Waits until all that was appended is durable, or has failed."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    async def forget_below(self, offset: int) -> None:
        """A snapshot has everything below `offset`: whole segments before it go."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._forget_below, offset)

    async def close(self) -> None:
        """Ends the work. Nothing is appended afterwards."""
        await self.settled()
        if self._log is not None:
            await self.note_end()
            await asyncio.get_running_loop().run_in_executor(self._thread, _close, self._log)
        self._thread.shutdown(wait=False)

    async def abandon(self) -> None:
        """Lets go of a journal with which no start has been made: it is left as it is."""
        await self.settled()
        self._log = None
        self._thread.shutdown(wait=False)

    def _report(self, log: Log, kept: set[Path]) -> None:
        report = log.recovery_report
        for warning in report["warnings"]:
            _LOG.warning("%s: %s", self._directory, warning)
        for path in sorted(kept):
            _LOG.warning(
                "%d bytes were cut off the journal, which now ends before change %d; they are kept in %s",
                path.stat().st_size,
                log.log_end_offset,
                path,
            )

    def _opened(self) -> Log:
        if self._log is None:
            raise RuntimeError("the journal is not open")
        return self._log

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                entries, self._waiting = self._waiting, []
                batches = deque(await loop.run_in_executor(self._thread, encode, entries))
                while not await loop.run_in_executor(self._thread, self._write_some, batches):
                    self._reserved = 0
                    await asyncio.sleep(_AGAIN_SECONDS)
                size = sum(map(_weight, entries))
                self._unwritten -= size
                self._reserved -= size
                self._end += len(entries)
                if self.is_tight:
                    await loop.run_in_executor(self._thread, self._reserve, self._opened())
                self._written(len(entries))
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing may be acknowledged any more
            self._waiting.clear()
            self._failed(error)
        finally:
            self._writing = None

    def _write_some(self, batches: deque[bytes]) -> bool:
        """Whether all is durable; False when the disk is full, or the process lacks something: the rest is
        tried again later."""
        log = self._opened()
        try:
            write_durably(log, batches)
        except (StorageError, MemoryError) as error:
            if not passes(error):
                raise
            _LOG.warning("the keeper's journal is not on the disk yet, it is tried again: %s", error)
            return False
        if log.segment_count != self._segments:
            # What was allocated is in another segment.
            self._reserve(log)
        return True

    def _reserve(self, log: JournalLog) -> None:
        self._segments = log.segment_count
        self._reserved = reserve(log)

    async def tend(self) -> None:
        """To be called once a second: looks for room when there was none, notes how far the journal goes."""
        if self.is_tight and self._writing is None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._reserve, self._opened())
        self._passes += 1
        if not self._passes % _PASSES_PER_NOTE:
            await self.note_end()

    async def note_end(self) -> None:
        """Notes how far the journal is durable, unless that is known. Where it fails the next one does it."""
        end = self._end
        if end == self._noted:
            return
        path = self._directory.parent / WRITTEN
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, write_offsets, path, {_KEY: end})
        except (OSError, RuntimeError) as error:
            _LOG.info("the end of the keeper's journal is not noted now: %s", error)
        else:
            self._noted = end

    def _forget_below(self, offset: int) -> None:
        log = self._opened()
        log.advance_log_start_offset(offset)
        log.apply_retention(0, offset)
        log.purge_deleted(_FOR_EVER)


def _weight(entry: Entry) -> int:
    return size_of(entry.change) + _ENTRY_BYTES


def noted_end(directory: Path) -> int:
    """The offset up to which the journal of this keeper was durable once; 0 when none is known. Blocks."""
    try:
        return read_offsets(directory / WRITTEN).get(_KEY, 0)
    except (CheckpointDamaged, OSError) as error:
        _LOG.warning("how far the keeper's journal went is not known: %s", error)
        return 0


def encode(entries: Sequence[Entry]) -> list[bytes]:
    """Record batches of moderate size."""
    batches: list[bytes] = []
    rows: list[BuildRecord] = []
    size = 0
    for entry in entries:
        value = entry.encode()
        if rows and size + len(value) > _BATCH_BYTES:
            batches.append(build_batch(rows))
            rows, size = [], 0
        rows.append((None, value, [], entry.time_ms))
        size += len(value)
    batches.append(build_batch(rows))
    return batches


def reserve(log: JournalLog) -> int:
    """Allocates space ahead, as far as there is some; how much. Blocks.

    Raises StorageError when the disk does not work.
    """
    ahead = _RESERVE_BYTES
    while ahead >= _SMALLEST_RESERVE:
        try:
            log.reserve_ahead(ahead)
        except StorageError as error:
            if not passes(error):
                raise
            ahead //= 2
        else:
            return ahead
    return 0


def write_durably(log: JournalLog, batches: deque[bytes]) -> None:
    """Appends batches, which leave the queue as they are in the log; makes all durable with one fsync.

    Raises StorageError; when what is wrong passes it may be called again with what is left.
    """
    while batches:
        log.append(batches[0])
        batches.popleft()
    log.flush()


def decoded(value: bytes | None, offset: int, directory: Path) -> Entry:
    """The entry of a record. Raises KeeperDamaged."""
    try:
        return Entry.decode(value or b"")
    except MalformedPacket as error:
        raise KeeperDamaged(f"entry {offset} of {directory} is no change of the tree: {error}") from error


def _close(log: Log) -> None:
    try:
        log.close()
    except StorageError as error:
        if not passes(error):
            raise
        # All that anybody was told is durable: the next start only has to look at more.
        _LOG.info("the keeper's journal was not closed as it should be: %s", error)
