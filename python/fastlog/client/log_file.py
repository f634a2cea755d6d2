"""A partition's log, read from its directory: beside the broker that writes it, or from a copy.

with fastlog.open_log("/var/lib/fastlog/clicks-0") as log:
    for columns in log.chunks():
        ...
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Literal, Self

from fastlog.client.columns import DEFAULT_MAX_BYTES, RecordColumns
from fastlog.client.consumer.records import CorruptBatch
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.errors import ErrorCode
from fastlog.native import FastlogNativeError, LogReader, TableBuilder, TablePool

__all__ = ["LogColumns", "LogFile", "open_log"]

_ALL_ROWS: Final = 1 << 62


class LogColumns(RecordColumns):
    """What was read of a log: records as columns, and where it goes on."""

    next_offset: int
    """The offset to go on from: the first one that was not read."""
    is_at_end: bool
    """Whether there was nothing more when it was read, up to the asked end."""


def open_log(
    path: str | os.PathLike[str],
    *,
    isolation_level: Literal["read_uncommitted", "read_committed"] = "read_uncommitted",
    end: Literal["committed", "written"] = "committed",
) -> LogFile:
    """Opens the directory of a partition (`<topic>-<partition>`) for reading, beside its broker or without.

    Never writes, maps, locks or repairs anything. With `end="committed"` it ends where the broker's
    `replication-offset-checkpoint` says that records are safe, which a broker writes every
    `replica.high.watermark.checkpoint.interval.ms`; a partition that is not in it yet has none. In a folder
    that is no broker's (no `meta.properties`) and has no such file it ends where the files end, and with
    `end="written"` everywhere. `read_committed` leaves out transactions that were aborted or are open.

    Raises ValueError when it is no such directory, FileNotFoundError when there is none, and ClientError.
    """
    if isolation_level not in ("read_uncommitted", "read_committed"):
        raise ValueError(f"isolation_level: {isolation_level!r} is not read_uncommitted or read_committed")
    if end not in ("committed", "written"):
        raise ValueError(f"end: {end!r} is not committed or written")
    place = os.path.abspath(os.fspath(path))
    if not os.path.isdir(place):
        raise FileNotFoundError(f"there is no directory {place}")
    with _told():
        reader = LogReader.open(
            place,
            to_committed_end=end == "committed",
            read_committed=isolation_level == "read_committed",
        )
    return LogFile(reader)


class LogFile:
    """The log of a partition, read only; a context manager. May be used from several threads.

    What it raises is a ClientError: OffsetOutOfRange for what the log has removed or taken back, and
    KafkaStorageError when the topic was deleted or the disk fails.
    """

    def __init__(self, reader: LogReader) -> None:
        self._reader: LogReader | None = reader
        self._tables: Final = TablePool()
        self.partition: Final = TopicPartition(reader.topic, reader.partition)
        """Whose log it is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes its files. Columns that were read stay. May be called more than once."""
        self._reader = None

    @property
    def start_offset(self) -> int:
        """The first offset that may be read, now."""
        with _told():
            return self._open.start_offset

    @property
    def end_offset(self) -> int:
        """The offset behind the last one that may be read, now."""
        with _told():
            return self._open.end_offset

    def columns(
        self,
        start: int | None = None,
        stop: int | None = None,
        *,
        max_records: int | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> LogColumns:
        """Records from offset `start` (the first one by default) on, none at or behind `stop`.

        At most `max_records`, and no more once they take `max_bytes` (decompressed, and 32 for each record).
        A damaged batch ends them: it is `damage` of what is returned, which has the good records before it.
        """
        reader = self._open
        most = _ALL_ROWS if max_records is None else max_records
        if most < 1 or max_bytes < 1:
            raise ValueError(f"a read of {max_records} records and {max_bytes} bytes")
        builder = TableBuilder(self._tables)
        with _told():
            position = reader.start_offset if start is None else start
            next_offset, is_at_end, damage = reader.read_into(builder, position, stop, most, max_bytes)
        found = LogColumns(
            builder.finish(), None if damage is None else CorruptBatch(self.partition, *damage)
        )
        found.next_offset, found.is_at_end = next_offset, is_at_end
        return found

    def chunks(
        self, start: int | None = None, stop: int | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> Iterator[LogColumns]:
        """All records from `start` to `stop`, or to the end of now, some at a time. Raises CorruptBatch."""
        position = self.start_offset if start is None else start
        end = self.end_offset
        stop = end if stop is None else min(stop, end)
        while position < stop:
            found = self.columns(position, stop, max_bytes=max_bytes)
            if len(found):
                yield found
            if found.damage is not None:
                raise found.damage
            if found.is_at_end:
                return
            position = found.next_offset

    def __iter__(self) -> Iterator[LogColumns]:
        return self.chunks()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """All records up to the end of now, as `chunks` gives them, each chunk read when it is asked for.

        So `duckdb.sql("select count(*) from log")` needs the memory of a chunk, not that of the log.
        """
        with _told():
            return self._open.stream(self.start_offset, self.end_offset, DEFAULT_MAX_BYTES)

    @property
    def _open(self) -> LogReader:
        if self._reader is None:
            raise ValueError("the log is closed")
        return self._reader


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the native module as those of the library."""
    try:
        yield
    except FastlogNativeError as error:
        code = ErrorCode.of(getattr(error, "code", ErrorCode.UNKNOWN_SERVER_ERROR))
        raise ClientError(code, str(error)) from None
