"""The native log engine: framing, Produce and Fetch plans, partition logs and the I/O threads.

Every call that touches the disk or many bytes releases the GIL. Buffers are taken without a copy: any
C-contiguous bytes-like object will do, and must not be changed by another thread until the call returns.
Offsets and byte counts are 64-bit; times are milliseconds since the Unix epoch.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, ClassVar, Self, final

from typing_extensions import Buffer

from fastlog.native.shapes import (
    ActiveProducer,
    AppendRow,
    BatchProblem,
    BatchRow,
    BuildRecord,
    Cause,
    FetchPlanRow,
    FetchReplyRow,
    FetchRow,
    ForgottenPartition,
    IoResult,
    NodeEndpoint,
    ProducePlanRow,
    ProduceResponseRow,
    ReadRecord,
    RecordErrors,
    RecoveryReport,
    ReplicateRow,
    ScrubPosition,
    SegmentRow,
    TimestampOffset,
    TransactionalBatch,
)

__all__ = [
    "Accumulator",
    "AppendInfo",
    "ArrowBatch",
    "ArrowReader",
    "Chunk",
    "CleanerThrottle",
    "ClockAhead",
    "CompactionAborted",
    "CompactionReport",
    "CompactionState",
    "CorruptLog",
    "Delivery",
    "FastlogNativeError",
    "FencedLeader",
    "FetchPlan",
    "FetchReply",
    "FetchRowBuilder",
    "FetchedRecords",
    "FetchedRows",
    "FileResponse",
    "Frame",
    "FrameError",
    "FrameReader",
    "Generation",
    "IoEngine",
    "Log",
    "LogConfig",
    "LogReader",
    "MalformedRequest",
    "NotYet",
    "OffsetOutOfRange",
    "ProducePlan",
    "Produced",
    "Received",
    "Receiver",
    "Record",
    "RecordBatch",
    "RecordMetadata",
    "RejectedBatch",
    "SettledTable",
    "Socket",
    "StorageError",
    "Table",
    "TableBuffer",
    "TableBuilder",
    "TablePool",
    "__version__",
    "build_batch",
    "compress",
    "crc32c",
    "decode_columns",
    "decompress",
    "errno_cause",
    "give_back",
    "hold_reserve",
    "limit_heaps",
    "look_for_missing",
    "murmur2",
    "open_files",
    "read_batches",
    "release_reserve",
    "scan_segment",
    "set_open_files",
]

__version__: str

class FastlogNativeError(Exception):
    """Base of everything that the native module raises by itself."""

    code: int
    """The Kafka error code that a client should see."""

class MalformedRequest(FastlogNativeError):
    """A frame, a batch or a compressed payload does not follow the protocol."""

class FrameError(MalformedRequest):
    """A frame length is not positive, or larger than allowed: the connection cannot be resynchronized."""

    frames: list[Frame]
    """The frames that were whole before the bad one."""

class CorruptLog(FastlogNativeError):
    """Bytes on disk are damaged in a way that recovery must not paper over."""

class StorageError(FastlogNativeError):
    """A system call on the log failed; the text of the operating system is in the message."""

    no_space: bool
    """The disk is full: nothing was appended, and a later append may succeed."""
    errno: int | None
    """The number of the operating system, when there is one."""
    cause: Cause | None
    """What the error is about; None when it is no failed system call, or the log was offline already."""

class CompactionAborted(FastlogNativeError):
    """A compaction was interrupted: nothing is lost, what it had finished stays, the rest is as before.

    Its caller must not move the cleaner checkpoint.
    """

class OffsetOutOfRange(FastlogNativeError):
    """The asked offset is outside [log start offset, log end offset]."""

class FencedLeader(FastlogNativeError):
    """Another leader epoch of the log has begun: nothing was appended."""

class RejectedBatch(FastlogNativeError):
    """A batch failed validation and nothing was appended."""

    message: str
    record_errors: RecordErrors

@final
class Frame:
    """One request without its length prefix: a read-only buffer that keeps its bytes alive."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    @property
    def api_key(self) -> int: ...
    @property
    def api_version(self) -> int: ...
    @property
    def correlation_id(self) -> int: ...
    @property
    def client_id(self) -> str | None:
        """The client id, or None when it is null. Raises MalformedRequest when the header is cut short."""

@final
class FrameReader:
    """Splits a byte stream into frames; it is itself the writable buffer to receive into.

    For asyncio's BufferedProtocol: `get_buffer` returns the reader, `buffer_updated(n)` calls `advance(n)`.
    Memory follows the bytes that arrived, never the length that a frame announces. MemoryError when there is
    none for the next bytes.
    """

    def __new__(cls, max_frame_bytes: int) -> FrameReader: ...
    def __len__(self) -> int:
        """Bytes of free space that the buffer offers now, never 0."""
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def advance(self, n: int) -> list[Frame]:
        """Takes over `n` bytes that were written at the start of the buffer and returns the finished frames.

        Raises FrameError when a frame length is out of bounds (the reader is of no more use then),
        BufferError while a view of the buffer is still alive, and ValueError when `n` exceeds the buffer.
        """
    def set_limits(self, min_frame_bytes: int, max_frame_bytes: int) -> None:
        """Sets the size of frames whose length has yet to come. What is no request may be shorter than 8
        bytes: the header attributes of such a frame are -1."""
    def reuse_buffers(self) -> None:
        """Keeps the memory of frames of more than 64 KiB that nobody has any more, of two at most and 32 MiB,
        for the next ones: for answers that are as large each time."""
    @property
    def buffered(self) -> int:
        """Bytes received that do not make a whole frame yet."""
    @property
    def announced(self) -> int:
        """Size of the frame that has begun, without its length; 0 when there is none, or its length is not
        known."""

@final
class Chunk:
    """A finished run of bytes in native memory: a read-only buffer, written to a socket without a copy."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class FileResponse:
    """A response whose records stay in their files until `IoEngine.send` sends them. Its length is that on
    the wire, length prefix included."""

    def __len__(self) -> int: ...
    @property
    def memory_bytes(self) -> int:
        """How much of it is held in memory."""

@final
class Socket:
    """A descriptor of its own of a connected, non-blocking socket; closed with the last use of this object.

    Raises OSError when `fd` is not open, ValueError when it is negative.
    """

    def __new__(cls, fd: int) -> Socket: ...
    def fileno(self) -> int: ...

@final
class ProducePlan:
    """A Produce request of versions 3 to 12 as flat rows; the records stay in the frame."""

    @staticmethod
    def parse(frame: Frame) -> ProducePlan:
        """Raises MalformedRequest."""
    @property
    def acks(self) -> int: ...
    @property
    def timeout_ms(self) -> int: ...
    @property
    def transactional_id(self) -> str | None: ...
    @property
    def is_transactional(self) -> bool:
        """Whether the first batch of any row says that it belongs to a transaction."""
    @property
    def transactional_batches(self) -> list[TransactionalBatch]:
        """The first batches of rows that say so."""
    @property
    def version(self) -> int: ...
    @property
    def correlation_id(self) -> int: ...
    @property
    def rows(self) -> list[ProducePlanRow]:
        """One row per partition, in request order. Built anew by each access."""
    @property
    def total_bytes(self) -> int:
        """Record bytes of all rows."""
    def encode_response(
        self,
        results: list[ProduceResponseRow],
        throttle_ms: int = 0,
        node_endpoints: list[NodeEndpoint] = ...,
    ) -> bytes:
        """The response frame, length prefix included. `results` has one entry per row, in row order."""

@final
class Generation:
    """A number that changes whenever something is decided anew about a partition."""

    def __new__(cls) -> Generation: ...
    @property
    def number(self) -> int: ...
    def change(self) -> None:
        """What was decided before does not count any more."""

@final
class SettledTable:
    """What is settled about partitions, and Produce requests about which nothing is left to decide.

    An entry counts while `generation` has the number `decided_in`. It says that everybody whose requests come
    here may write to the partition, as to `log` in `leader_epoch`; with `acks_all`, that acks=all waits for
    nobody else. Not for use by several threads at a time.
    """

    def __new__(cls) -> SettledTable: ...
    def __len__(self) -> int:
        """Entries, those included that do not count any more; at most twice as many, and a few."""
    def has(self, topic: str, partition: int) -> bool:
        """Whether there is an entry that counts."""
    def enter(
        self,
        topic: str,
        partition: int,
        *,
        log: Log,
        leader_epoch: int,
        acks_all: bool,
        owner: object,
        generation: Generation,
        decided_in: int,
    ) -> None:
        """Puts an entry in, in place of the former one. `owner` is handed out after appends.

        To be called after an append of the usual way: an entry that was not used for ten seconds rests until
        it is put in again.
        """
    def withdraw(self, topic: str, partition: int) -> None:
        """Takes an entry out, if there is one."""
    def produce(self, frames: list[Frame], most_seconds: float) -> Produced | None:
        """Executes requests from the first one on, as long as everything is settled about them, and for about
        as long as that. None when that is none of them. Nothing is done about the others."""

@final
class Receiver:
    """The sockets of connections: reads from all that have something, and answers what is settled.

    `fileno()` is readable while any of them is. A connection is `free` while nothing else of it is in work,
    waits or is unsent: only then is anything executed. It is not any more when something of it is left.
    """

    def __new__(cls) -> Receiver: ...
    def __len__(self) -> int: ...
    def fileno(self) -> int: ...
    def watch(self, fd: int, connection: object, reader: FrameReader) -> None:
        """Reads from a socket into `reader`, on behalf of `connection`, which is not free yet. Raises
        ValueError when it is watched already."""
    def leave(self, fd: int) -> None:
        """Reads no more from it; one that is not watched is ignored. To be called before it is closed."""
    def free(self, fd: int) -> None:
        """See above. One that is not watched is ignored."""
    def hold(self, fd: int) -> None:
        """The contrary."""
    def heard(self) -> list[tuple[Any, float]]:
        """Connections of which everything was executed since the last call, and how many seconds ago."""
    def receive(self, table: SettledTable | None, most_seconds: float) -> Received:
        """Reads what has come of some sockets; without a table nothing is executed. Others wait after about
        so many seconds. Raises OSError."""

@final
class Received:
    """What `Receiver.receive` has read, and executed."""

    @property
    def bytes_in(self) -> int:
        """Bytes that were read."""
    @property
    def bytes_out(self) -> int:
        """Bytes that were written."""
    @property
    def record_bytes(self) -> int:
        """Bytes of records that were appended."""
    @property
    def appended(self) -> list[tuple[Any, int]]:
        """(owner, where its log ends) for logs that were appended to, most of them once."""
    @property
    def seconds(self) -> list[float]:
        """How long each request that was executed has taken."""
    @property
    def left(self) -> list[tuple[Any, list[Frame] | None, bytes, BaseException | None]]:
        """(connection, frames, bytes of answers to those before them that are unsent, error). Without frames
        the peer has ended, or the socket has failed; or, with an error, what came is of no use."""

@final
class Produced:
    """What became of requests that a SettledTable has executed."""

    @property
    def requests(self) -> int:
        """How many they are."""
    @property
    def answers(self) -> bytes:
        """The response frames, one behind the other, in order; requests with acks=0 have none."""
    @property
    def appended(self) -> list[tuple[Any, int]]:
        """(owner, where its log ends) of each append, in order."""
    @property
    def record_bytes(self) -> int:
        """Bytes of the records of all of them."""
    @property
    def taken_up(self) -> list[float]:
        """When each of them was taken up, in seconds from the beginning of the call."""
    @property
    def failure(self) -> str | None:
        """Why the request after those cannot be answered at all: what became of it is not known."""

@final
class FetchPlan:
    """A Fetch request of versions 4 to 17 as flat rows."""

    @staticmethod
    def parse(frame: Frame) -> FetchPlan:
        """Raises MalformedRequest."""
    @property
    def version(self) -> int: ...
    @property
    def correlation_id(self) -> int: ...
    @property
    def replica_id(self) -> int:
        """Node id of a follower, -1 for consumers."""
    @property
    def replica_epoch(self) -> int: ...
    @property
    def max_wait_ms(self) -> int: ...
    @property
    def min_bytes(self) -> int: ...
    @property
    def max_bytes(self) -> int: ...
    @property
    def isolation_level(self) -> int:
        """0 read_uncommitted, 1 read_committed."""
    @property
    def session_id(self) -> int: ...
    @property
    def session_epoch(self) -> int: ...
    @property
    def rack_id(self) -> str: ...
    def __len__(self) -> int:
        """The number of rows."""
    def part(self, start: int, stop: int) -> list[FetchPlanRow]:
        """The rows from `start` to `stop`, which may be after the last."""
    @property
    def rows(self) -> list[FetchPlanRow]:
        """One row per partition, in request order. Built anew by each access."""
    @property
    def forgotten(self) -> list[ForgottenPartition]: ...

@final
class FetchRowBuilder:
    """Rows for one `IoEngine.fetch` that are handed over in lots: thousands at once would take long."""

    def __new__(cls) -> FetchRowBuilder: ...
    def add(self, rows: list[FetchRow], start: int) -> None:
        """Takes over the rows from `start` on; none of them if one has a wrong shape."""
    def __len__(self) -> int: ...

@final
class FetchedRows:
    """What became of each row of a fetch of more than 1024."""

    def part(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """(row, error code, record bytes) of the rows from `start` to `stop`, which may be after the last."""
    def has_error(self, code: int) -> bool:
        """Whether that became of any of them."""
    def __len__(self) -> int: ...

@final
class FetchReply:
    """The answer to a follower's Fetch of versions 12 to 17 as flat rows; the records stay in the frame."""

    @staticmethod
    def parse(frame: Frame, version: int, max_rows: int) -> FetchReply:
        """Parses a whole answer, from the correlation id on, of at most `max_rows` partitions.

        Raises MalformedRequest.
        """
    @property
    def version(self) -> int: ...
    @property
    def throttle_ms(self) -> int: ...
    @property
    def error_code(self) -> int:
        """Error of the request as a whole."""
    @property
    def session_id(self) -> int: ...
    @property
    def rows(self) -> list[FetchReplyRow]: ...

@final
class LogConfig:
    """Settings of one log; the defaults are Kafka's. Immutable.

    `compression` is "producer", "uncompressed", "gzip", "snappy", "lz4" or "zstd"; `timestamp_type` is
    "CreateTime" or "LogAppendTime". -1 in a retention means no limit. Raises ValueError.
    """

    def __new__(
        cls,
        *,
        segment_bytes: int = 1073741824,
        segment_ms: int = 604800000,
        segment_jitter_ms: int = 0,
        index_interval_bytes: int = 4096,
        index_max_bytes: int = 10485760,
        flush_messages: int = 9223372036854775807,
        flush_ms: int = 9223372036854775807,
        retention_ms: int = 604800000,
        retention_bytes: int = ...,
        file_delete_delay_ms: int = 60000,
        max_message_bytes: int = 1048588,
        timestamp_type: str = "CreateTime",
        timestamp_before_max_ms: int = 9223372036854775807,
        timestamp_after_max_ms: int = 9223372036854775807,
        compact: bool = False,
        delete: bool = True,
        compression: str = "producer",
        compression_level: int | None = None,
        preallocate: bool = False,
        producer_id_expiration_ms: int = 86400000,
    ) -> LogConfig: ...
    @property
    def segment_bytes(self) -> int: ...
    @property
    def segment_ms(self) -> int: ...
    @property
    def segment_jitter_ms(self) -> int: ...
    @property
    def index_interval_bytes(self) -> int: ...
    @property
    def index_max_bytes(self) -> int: ...
    @property
    def flush_messages(self) -> int: ...
    @property
    def flush_ms(self) -> int: ...
    @property
    def retention_ms(self) -> int: ...
    @property
    def retention_bytes(self) -> int: ...
    @property
    def file_delete_delay_ms(self) -> int: ...
    @property
    def max_message_bytes(self) -> int: ...
    @property
    def timestamp_type(self) -> str: ...
    @property
    def timestamp_before_max_ms(self) -> int: ...
    @property
    def timestamp_after_max_ms(self) -> int: ...
    @property
    def compact(self) -> bool: ...
    @property
    def delete(self) -> bool: ...
    @property
    def compression(self) -> str: ...
    @property
    def compression_level(self) -> int | None: ...
    @property
    def preallocate(self) -> bool: ...
    @property
    def producer_id_expiration_ms(self) -> int: ...

@final
class AppendInfo:
    """What one append did. A duplicate reports the offsets of the original and appended nothing."""

    @property
    def first_offset(self) -> int: ...
    @property
    def last_offset(self) -> int: ...
    @property
    def log_append_time(self) -> int:
        """Time that the log gave to the batch in ms, -1 when the producer's times were kept."""
    @property
    def log_start_offset(self) -> int: ...
    @property
    def duplicate(self) -> bool: ...
    @property
    def end_offset(self) -> int:
        """Offset after the last record, of a duplicate too."""

@final
class ClockAhead:
    """Milliseconds by which the logs that are opened with it are ahead of the system's clock.

    For brokers under test, whose time is moved. May be used from any thread.
    """

    def __new__(cls, milliseconds: int = 0) -> ClockAhead: ...
    @property
    def milliseconds(self) -> int: ...
    def advance(self, milliseconds: int) -> None:
        """Moves on by so many milliseconds."""

@final
class CleanerThrottle:
    """Limits the bytes per second that all compactions sharing it read and write together.

    A compaction that has used up its share sleeps without the GIL. All methods may be called at any time
    from any thread.
    """

    def __new__(cls, bytes_per_second: float | None = None) -> CleanerThrottle:
        """None stands for no limit. Raises ValueError unless the rate is above 0."""
    @property
    def bytes_per_second(self) -> float | None: ...
    def set_rate(self, bytes_per_second: float | None) -> None:
        """Changes the limit, for compactions that are asleep too (`log.cleaner.io.max.bytes.per.second`)."""
    def cancel(self) -> None:
        """Ends every compaction that uses this throttle, and those to come, with CompactionAborted.

        Returns at once; the compactions end within the time of one batch and one fsync. For the stop of the
        broker.
        """
    @property
    def cancelled(self) -> bool: ...
    @property
    def bytes_taken(self) -> int:
        """Bytes that went through so far."""
    @property
    def seconds_slept(self) -> float:
        """Time that compactions slept because of the limit, added up over all threads."""

@final
class CompactionState:
    """What there is to compact in a log, as Kafka's LogCleanerManager works it out (`LogToClean`)."""

    @property
    def first_dirty_offset(self) -> int:
        """Where cleaning goes on: `clean_from`, or the log start offset when that lies outside of the log.

        Never above what is known to be compacted: by this engine, or from `Log.open(compacted_below=)`.
        """
    @property
    def checkpoint_valid(self) -> bool:
        """Whether the two are equal; if not, write `first_dirty_offset` to the cleaner checkpoint."""
    @property
    def first_uncleanable_offset(self) -> int:
        """Base offset of the first segment that must stay as it is, at least `first_dirty_offset`.

        The active segment, one that reaches to `max_offset` or to an open transaction, or one with a record
        younger than `min_lag_ms`.
        """
    @property
    def clean_bytes(self) -> int:
        """Bytes of the segments that end at or below `first_dirty_offset`."""
    @property
    def cleanable_bytes(self) -> int:
        """Bytes of the segments from `first_dirty_offset` to `first_uncleanable_offset`."""
    @property
    def dirty_ratio(self) -> float:
        """cleanable / (clean + cleanable), 0 for an empty log; compare with `min.cleanable.dirty.ratio`."""
    @property
    def earliest_dirty_timestamp(self) -> int:
        """Smallest first timestamp of the dirty segments but the active one in ms, -1 when none has one."""
    @property
    def compaction_delay_ms(self) -> int:
        """By how much `max_lag_ms` is exceeded; 0 when it is not. Above 0 the ratio does not count."""
    @property
    def earliest_delete_horizon(self) -> int:
        """When the first tombstones or markers of the clean part may go, in ms; -1 when none wait.

        Known for what was compacted by this engine, also before a restart.
        """
    @property
    def removal_due(self) -> bool:
        """Whether that time has come: a compaction removes something although nothing is dirty."""

@final
class CompactionReport:
    """What one compaction did."""

    @property
    def cleaned_to(self) -> int:
        """Everything below this offset is clean: the new value of the cleaner checkpoint."""
    @property
    def map_full(self) -> bool:
        """The map of keys had no room for all dirty records: cleaned as far as it reached. Compact again."""
    @property
    def map_records(self) -> int:
        """Keys in the map."""
    @property
    def map_memory_bytes(self) -> int:
        """Memory of the map, at most `memory_bytes`."""
    @property
    def map_bytes_read(self) -> int:
        """Bytes read to build the map: the dirty part."""
    @property
    def map_records_read(self) -> int: ...
    @property
    def bytes_read(self) -> int:
        """Bytes of the segments that were cleaned, read a second time."""
    @property
    def bytes_kept(self) -> int:
        """Bytes of the segments that replaced them."""
    @property
    def records_read(self) -> int: ...
    @property
    def records_kept(self) -> int: ...
    @property
    def batches_copied(self) -> int:
        """Batches that stayed as they were, byte for byte."""
    @property
    def batches_rewritten(self) -> int: ...
    @property
    def tombstones_dropped(self) -> int:
        """Tombstones and transaction markers that went because their delete horizon had passed."""
    @property
    def invalid_records(self) -> int:
        """Records without a key, which a compacted log cannot keep."""
    @property
    def segments_before(self) -> int: ...
    @property
    def segments_after(self) -> int: ...
    @property
    def buffer_memory_bytes(self) -> int:
        """Largest size of the buffers beside the map: they hold one batch, stored and decompressed."""
    @property
    def map_seconds(self) -> float:
        """Time that building the map took."""
    @property
    def clean_seconds(self) -> float:
        """Time that everything else took."""
    @property
    def throttled_seconds(self) -> float:
        """How much of both was spent asleep."""

@final
class Log:
    """One partition's log. Thread-safe: readers do not wait for a writer that is inside the system call.

    Every method that reaches the disk raises StorageError, and CorruptLog on damage.
    """

    @staticmethod
    def open(
        path: str,
        config: LogConfig,
        *,
        recovery_point: int = 0,
        log_start_offset: int = 0,
        clean_shutdown: bool = False,
        allow_data_loss: bool = False,
        compacted_below: int = 0,
        offsets_are_exact: bool = False,
        adopted: bool = False,
        ahead: ClockAhead | None = None,
    ) -> Log:
        """Opens or creates the log in directory `path`; scans from `recovery_point` unless clean.

        What is missing counts as damage: an end below `recovery_point`, a start above the one that the log
        itself has noted, or above `log_start_offset` when that is exact. `adopted` is for a directory of
        Kafka, which notes the start too late.

        `compacted_below` is the cleaner checkpoint of a directory that comes from Kafka: below it offsets may
        be missing. What this engine has compacted it knows by itself (`compaction-checkpoint`).

        What the log does by the time goes by the system's clock, `ahead` of it if that is given.

        Raises CorruptLog on damage that is not a torn tail, unless `allow_data_loss` is set: then the
        bytes from the damage on are kept aside as `*.corrupt`.
        """
    def recall_unreplicated(self, high_watermark: int) -> None:
        """Takes note of the transactions that ended at or above `high_watermark`, of which producer snapshots
        say nothing: to be called before anybody reads. Reads headers of batches."""
    @property
    def recovery_report(self) -> RecoveryReport: ...
    @property
    def path(self) -> str: ...
    @property
    def log_start_offset(self) -> int: ...
    @property
    def log_end_offset(self) -> int: ...
    @property
    def recovery_point(self) -> int:
        """Everything below this offset is on the disk itself, not only in the page cache."""
    @property
    def size_bytes(self) -> int: ...
    @property
    def segment_count(self) -> int: ...
    @property
    def unflushed_bytes(self) -> int: ...
    @property
    def latest_epoch(self) -> int:
        """The latest leader epoch that the log knows, -1 when none."""
    @property
    def is_out_of_room(self) -> bool:
        """Whether the last append found no room on the disk. The next one may find some."""
    @property
    def failure(self) -> str | None:
        """Why the log takes no more work: the first error that does not pass; None while it is well."""
    @property
    def failure_cause(self) -> Cause | None:
        """Whether the log is alone with its failure ("file"), or its disk is at fault ("disk")."""
    @property
    def damage(self) -> str | None:
        """The damage in its own files for which the log takes no more work; None while none was found."""
    def scrub(
        self, max_bytes: int, position: ScrubPosition | None = None
    ) -> tuple[int, ScrubPosition | None]:
        """Reads about `max_bytes` on from a position that an earlier call gave, by default from the log's
        start, and checks them. Gives the bytes read and where to go on, None at the log's end.

        Raises StorageError when there is damage: `damage` says what.
        """
    def append(self, records: Buffer, *, leader_epoch: int = 0, zstd_allowed: bool = True) -> AppendInfo:
        """Validates one batch of a client, gives it offsets and appends it. The buffer is not changed.

        Raises RejectedBatch, and FencedLeader when a newer epoch than `leader_epoch` has begun.
        """
    def append_as_follower(self, records: Buffer, *, leader_epoch: int) -> AppendInfo:
        """Appends batches that already have their offsets from the leader, who leads in `leader_epoch`.

        Raises RejectedBatch, and FencedLeader when a newer epoch has begun.
        """
    def read(
        self, offset: int, max_bytes: int, *, max_offset: int | None = None, min_one_batch: bool = True
    ) -> Chunk:
        """Whole batches from the one that holds `offset` on, below `max_offset`, at most `max_bytes`.

        With `min_one_batch` the first batch comes whole whatever its size. The last batch may be cut.
        Raises OffsetOutOfRange.
        """
    def offset_for_timestamp(self, timestamp: int, max_offset: int | None = None) -> TimestampOffset | None:
        """The first record at or after `timestamp` (ms), or None."""
    def max_timestamp_offset(self) -> TimestampOffset | None:
        """The record with the largest timestamp, or None in an empty log."""
    def lead(self, epoch: int) -> int:
        """Begins the leadership of `epoch` at the end of the log, durably; returns its first offset.

        Nothing of an older epoch gets into the log any more, also what is queued. Raises FencedLeader when a
        newer one has begun.
        """
    def fence(self, epoch: int) -> int:
        """The same for an epoch in which another broker leads, which is written down with its first records.
        Returns the end of the log."""
    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """(largest epoch <= `epoch`, its end offset), or (-1, -1) when unknown."""
    def truncate_to(self, offset: int) -> None:
        """Drops the batches from `offset` on, whole, and the epochs that begin at or behind the new end."""
    def truncate_fully_and_start_at(self, offset: int) -> None: ...
    def advance_log_start_offset(self, offset: int) -> int:
        """Raises the log start offset (DeleteRecords) and returns the one in force."""
    def roll(self) -> None:
        """Starts a new segment."""
    def reserve_ahead(self, ahead: int) -> None:
        """Reserves blocks for `ahead` bytes of appends to the active segment, against a disk that gets full.

        For logs with one writer, which calls it between its appends. Raises StorageError.
        """
    def flush(self) -> int:
        """Makes all appended data durable; returns the new recovery point."""
    def apply_retention(self, now_ms: int, max_offset: int | None = None) -> int:
        """Renames the segments that are past their retention to `*.deleted`; returns how many.

        Segments that reach beyond `max_offset` (the high watermark) are kept.
        """
    def compaction_state(
        self,
        clean_from: int,
        max_offset: int,
        now_ms: int,
        *,
        min_lag_ms: int = 0,
        max_lag_ms: int = 9223372036854775807,
    ) -> CompactionState:
        """What there is to compact. Reads at most the first header of dirty segments, once each.

        `clean_from` is the cleaner checkpoint, -1 when there is none. `max_offset` is the high watermark, or
        anything below it; the last stable offset is taken into account in any case. The lags are
        `min.compaction.lag.ms` and `max.compaction.lag.ms`; for the latter to hold, the log must also roll
        by it: open it with `segment_ms=min(segment.ms, max.compaction.lag.ms)`.
        """
    def compact(
        self,
        clean_from: int,
        max_offset: int,
        now_ms: int,
        *,
        delete_retention_ms: int = 86400000,
        min_lag_ms: int = 0,
        memory_bytes: int = 134217728,
        throttle: CleanerThrottle | None = None,
    ) -> CompactionReport:
        """Keeps the last record of each key in everything below the first uncleanable offset.

        Arguments as in `compaction_state`; `delete_retention_ms` is `delete.retention.ms`. Runs for as long
        as it takes without the GIL, beside appends, fetches, retention and DeleteRecords. The log's config
        need not have `compact`: whoever calls this wants it.

        Raises CompactionAborted when the log was closed, deleted or truncated meanwhile, retention took away
        part of what was being cleaned, another compaction of the log is running, or `stop_compaction` or
        `CleanerThrottle.cancel` was called. Raises CorruptLog when records cannot be decoded: nothing of
        their segment is changed, and the log stays online. A batch that fails its checksum is `damage`.
        StorageError with `no_space` leaves the log online too. ValueError when `memory_bytes` has no room for
        a single key.
        """
    def stop_compaction(self) -> None:
        """Interrupts the compaction that is running, if one is, and waits until it has ended.

        That takes at most one batch and one fsync. `close` and `delete_files` do this by themselves.
        """
    @property
    def has_deleted(self) -> bool:
        """Whether files wait for `purge_deleted`."""
    def purge_deleted(self, now_ms: int) -> int:
        """Unlinks `*.deleted` files whose delay is over; returns how many."""
    def expire_producers(self, now_ms: int) -> int:
        """Forgets producers that have been silent for too long; returns how many."""
    def update_config(self, config: LogConfig) -> None: ...
    def last_stable_offset(self, high_watermark: int) -> int: ...
    def open_transaction_since(self, now_ms: int) -> int | None:
        """When this method has first seen the transaction that is open for longest, in ms like `now_ms`; None
        without one. Takes some nanoseconds for each that is open.
        """
    def aborted_transactions(self, lo: int, hi: int) -> list[tuple[int, int]]:
        """(producer id, first offset) of the aborted transactions that touch offsets [lo, hi)."""
    def begin_verification(
        self, producer_id: int, epoch: int, sequence: int, *, raises_epoch: bool
    ) -> int | None:
        """The guard with which a transactional batch may be appended once the coordinator has said yes; None
        when its transaction is open, so that nobody needs to be asked. Does not wait for writes.

        `sequence` is the batch's first one; `raises_epoch` tells that its producer's epoch rises with each
        transaction (`transaction.version` 2). Raises FastlogNativeError when too many are under way.
        """
    def active_producers(self, above: int = ..., most: int = ...) -> list[ActiveProducer]:
        """The first `most` producers whose ids are larger than `above`, by id; all of them by default. Waits
        for the writer of the log."""
    def abort_open_transactions(
        self, *, leader_epoch: int, producer_ids: list[int] | None = None
    ) -> list[tuple[int, int]]:
        """Ends open transactions with abort markers: all, or those of some producers. Gives producer ids and
        first offsets.

        For a log that no broker serves: one that goes on would lose records. Raises RejectedBatch, and
        FencedLeader as `append`.
        """
    def available_bytes(self, offset: int, max_offset: int) -> int | None:
        """Cheap upper estimate of the bytes between two offsets, without I/O; None when that takes some."""
    def spans_segments(self, offset: int, max_offset: int) -> bool:
        """Whether a read of [offset, max_offset) begins in an older segment than the one it ends in."""
    def segments(self) -> list[SegmentRow]: ...
    def close(self) -> None:
        """Flushes, writes the producer snapshot and trims the indexes. The last call on a log."""
    def delete_files(self, path: str | None = None) -> None:
        """Removes the whole log from the disk; `path` when its directory was renamed since it was opened."""

@final
class IoEngine:
    """Native threads that read, append and flush without ever taking the GIL.

    `threads` of them append and flush, as many read and send, so that neither keeps the other waiting.

    A finished job makes `fileno()` readable; `drain()` hands out all finished tokens at once. Each token
    comes back exactly once. A job that failed as a whole has a FastlogNativeError as its result.
    Jobs run in any order: a caller that needs order waits for the result of the earlier job.
    """

    def __new__(cls, threads: int) -> IoEngine: ...
    def fileno(self) -> int:
        """An eventfd, readable while results wait."""
    def drain(self) -> list[tuple[int, IoResult]]: ...
    def close(self) -> None:
        """Runs what was submitted, then joins the threads. Results can still be drained afterwards."""
    def produce(
        self,
        token: int,
        plan: ProducePlan,
        targets: list[Log | int],
        leader_epochs: list[int],
        guards: dict[int, int] | None = None,
    ) -> None:
        """Appends the rows of a plan: a Log takes the row's records, an error code is passed through.

        `guards` has, by row, what `Log.begin_verification` gave, 0 for None: a transactional batch is taken
        if its transaction is open, or with the guard that is in force, and is INVALID_TXN_STATE otherwise.
        Rows without one are taken as they are.

        Result: list[ProduceResult] in row order. A row of an epoch that is over is NOT_LEADER_OR_FOLLOWER.
        """
    def append(self, token: int, rows: list[AppendRow], *, timestamp_ms: int, codec: str = "none") -> None:
        """Appends records of the broker's own, those of a row as one batch, row after row.

        Result: list[ProduceResult] in row order, as for `produce`.
        """
    def replicate(self, token: int, reply: FetchReply, rows: list[ReplicateRow]) -> None:
        """Appends rows of a leader's answer as follower: batches keep offsets and epochs, one that is cut off
        is left out. The log start offset follows the leader's.

        Result: list[ReplicateResult] in the order of `rows`.
        """
    def truncate(self, token: int, log: Log, offset: int, leader_epoch: int) -> None:
        """`Log.truncate_to` for a follower of that epoch's leader. Result: the end of the log.

        FencedLeader when another epoch has begun.
        """
    def start_over(self, token: int, log: Log, offset: int, leader_epoch: int) -> None:
        """`Log.truncate_fully_and_start_at` for a follower. Result and errors as those of `truncate`."""
    def lead(self, token: int, log: Log, epoch: int) -> None:
        """Begins a leadership as `Log.lead` does. Result: its first offset."""
    def fence(self, token: int, log: Log, epoch: int) -> None:
        """Ends older leaderships as `Log.fence` does. Result: the end of the log."""
    def fetch(
        self,
        token: int,
        version: int,
        correlation_id: int,
        rows: list[FetchRow] | FetchRowBuilder,
        *,
        max_bytes: int,
        min_bytes: int,
        throttle_ms: int = 0,
        error_code: int = 0,
        session_id: int = 0,
        node_endpoints: list[NodeEndpoint] = ...,
        hard_max_bytes: bool = False,
        from_files: bool = False,
    ) -> None:
        """Reads rows in order within `max_bytes` and builds the response. Result: FetchResult. A builder has
        no rows left then.

        With `from_files` the response is a FileResponse when rows have long stretches of records, but for
        those of a log of which a file could not be read while it was sent.

        The first row with data gives at least one batch whatever its size, unless `hard_max_bytes`. No
        response is built while the bytes stay below `min_bytes`, no row has an error, a diverging epoch or
        a preferred replica, and `error_code` is 0: pass `min_bytes=0` to get an answer in any case.
        """
    def send(self, token: int, socket: Socket, response: FileResponse, start: int) -> None:
        """Sends from position `start` on as much as the socket takes. The caller sees to it that nobody else
        writes to the socket until the result is there.

        Result: the position reached, `len(response)` when all is sent; -1 when the peer is gone. A file that
        cannot be read fails the job: the answer is torn and the connection of no more use.
        """
    def copy(self, token: int, response: FileResponse, start: int, most: int) -> None:
        """Result: a `Chunk` with at most `most` bytes from position `start` on; empty at the end only."""
    def flush(self, token: int, log: Log) -> None:
        """Result: the recovery point."""
    def commit(self, token: int, log: Log) -> None:
        """Group commit: one fdatasync serves every commit of a log that waits for it.

        Result: the end offset up to which the log is durable.
        """

def errno_cause(number: int) -> Cause:
    """What a failed system call is about, by its error number. Not for fsync: see `Cause`."""

def open_files() -> int:
    """How many files of logs are open in this process."""

def set_open_files(capacity: int) -> None:
    """Sets how many files of logs may be open at a time: beyond that, idle ones are closed."""

def crc32c(data: Buffer) -> int: ...
def compress(codec: str, data: Buffer, level: int | None = None) -> bytes:
    """`codec` is "none", "gzip", "snappy", "lz4" or "zstd"."""

def decompress(codec: str, data: Buffer, limit: int | None = None) -> bytes:
    """Raises MalformedRequest on damage and when the result exceeds `limit` bytes."""

def build_batch(
    records: Sequence[BuildRecord],
    *,
    codec: str = "none",
    level: int | None = None,
    base_offset: int = 0,
    producer_id: int = ...,
    producer_epoch: int = ...,
    base_sequence: int = ...,
    transactional: bool = False,
    leader_epoch: int = ...,
) -> bytes:
    """One record batch v2. Producer fields and leader epoch default to -1, none."""

def read_batches(data: Buffer) -> list[ReadRecord]:
    """The records of every whole batch in `data`, control batches left out."""

def decode_columns(data: Buffer) -> dict[str, Buffer]:
    """The records of every whole batch in `data` as columns, control batches and headers left out.

    Raw arrays in the byte order of the machine: int64
    "offsets" and "timestamps" (ms); for "key" and "value", bytes "..._data", int64 "..._offsets" (one more
    than rows) and one byte per row "..._validity" (0 for null). Raises MalformedRequest on damage.
    """

def look_for_missing(
    path: str,
    *,
    recovery_point: int = 0,
    log_start_offset: int = 0,
    offsets_are_exact: bool = False,
    adopted: bool = False,
) -> str | None:
    """Why the log in a partition's directory would be refused for files that are missing; None when none are.

    Arguments as in `Log.open`. Looks at names, indexes without a log and what a compaction has left, not at
    segments, and changes nothing. Raises StorageError.
    """

def scan_segment(
    path: str, base_offset: int, position: int, expected: int, epoch: int, limit: int
) -> tuple[list[BatchRow], tuple[int, int, int], BatchProblem | None]:
    """At most `limit` batches of a segment file from `position` on, checked as recovery checks them.

    `base_offset` is the segment's, `expected` the offset that is due at `position` (missing ones are
    allowed), `epoch` the leader epoch reached.
    Gives the batches, (position, offset, epoch) to go on with, and what is wrong at that position. No batch
    and no problem: the end. Raises StorageError.
    """

def hold_reserve() -> bool:
    """Sets a few MiB aside for when an allocation of native code fails; whether they are there.

    Where they had been used, freed memory goes back to the system first.
    """

def give_back(least: int) -> bool:
    """Gives freed memory back to the system if it is at least `least` bytes; whether it was. May take some
    milliseconds for each 100 MiB."""

def release_reserve() -> bool:
    """Gives the reserve up, for allocations of others; whether there was one."""

def limit_heaps(count: int) -> None:
    """Lets threads share `count` heaps of the C library, where that is glibc. Before threads are started."""

def murmur2(data: Buffer) -> int:
    """The 32-bit MurmurHash2 of Kafka's clients, unsigned."""

class NotYet(Exception):
    """A record was not taken. `args` are a reason, one of `Accumulator`'s, and the partition or -1."""

@final
class RecordMetadata:
    """Where a record has gone. `offset` is -1 with acks=0; `timestamp` is what the log holds, in ms."""

    __match_args__: ClassVar[tuple[str, str, str, str]]

    def __new__(cls, topic: str, partition: int, offset: int, timestamp: int) -> RecordMetadata: ...
    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Delivery:
    """What becomes of one record: to be awaited, waited for in a thread, or ignored at no cost.

    It is the record `index` of `batch`, which is asked through its methods `done_at` and so on.
    """

    def __new__(cls, batch: object, index: int) -> Delivery: ...
    @property
    def batch(self) -> object: ...
    @property
    def index(self) -> int: ...
    def done(self) -> bool:
        """Whether the record is written or has failed."""

    def result(self, timeout: float | None = None) -> RecordMetadata:
        """Waits in this thread for at most `timeout` seconds. Raises the record's error, or RequestTimedOut.

        RuntimeError on an event loop, which would stand still: await the delivery there.
        """

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The same, for the record's error; None when it is written."""

    def add_done_callback(self, callback: Callable[[Delivery], object]) -> None:
        """Calls `callback(delivery)` when the record is written or has failed, or now."""

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        """Waits on the running event loop. Raises the record's error."""

class RecordBatch:
    """Records of one partition that are sent, acknowledged or refused together."""

    def __new__(cls, topic: str, partition: int, capacity: int = 0) -> Self:
        """An empty batch, with memory for so many bytes of records."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def closed(self) -> bool:
        """Whether it takes no more records."""

    @property
    def size(self) -> int:
        """Bytes before compression, 61 of the header included."""

    @property
    def count(self) -> int:
        """Records in it."""

    @property
    def is_done(self) -> bool:
        """Whether its outcome is known."""

    def close(self) -> None:
        """Takes no more records."""

    def seal(
        self,
        *,
        codec: str,
        level: int | None = None,
        producer_id: int = ...,
        producer_epoch: int = ...,
        base_sequence: int = ...,
        transactional: bool = False,
    ) -> Chunk:
        """Its bytes, once; it is closed. Releases the GIL. RuntimeError the second time."""

    @staticmethod
    def restamped(data: Chunk, producer_id: int, producer_epoch: int, base_sequence: int) -> Chunk:
        """The same records under another identity."""

    def split(self, data: Chunk, first: RecordBatch, second: RecordBatch) -> int:
        """Moves the records of a sealed batch to two empty ones: the index of the second's first one."""

    def succeed(self, base_offset: int, append_time_ms: int) -> None:
        """All are written, from `base_offset` (-1: unknown) on; calls the records' callbacks.

        `append_time_ms` is the broker's time, or -1 when records keep their own.
        """

    def fail(self, error: BaseException, of_records: dict[int, Any] | None) -> bool:
        """None is written; calls the records' callbacks. Whether there were any."""

    def metadata_at(self, index: int) -> RecordMetadata:
        """Where a record has gone. Raises its error; IndexError while nothing is known."""

    def error_at(self, index: int) -> BaseException | None:
        """The error of a record, if it has one."""

@final
class Accumulator:
    """The open batches of a producer, by topic and partition, and everything that is done for each record.

    From any thread, or with `start(own_thread=True)` from one only (RuntimeError from others).
    """

    CLOSED: ClassVar[int]
    TOPIC: ClassVar[int]
    PARTITION: ClassVar[int]
    TOO_LARGE: ClassVar[int]
    ROOM: ClassVar[int]
    BATCH: ClassVar[int]
    TURN: ClassVar[int]

    def __new__(cls, *, batch_size: int, max_record: int, buffer_memory: int, seed: int) -> Accumulator: ...
    def send(
        self,
        topic: str,
        value: Buffer | None,
        key: Buffer | None,
        headers: object,
        partition: int | None,
        timestamp_ms: int | None,
        on_delivery: object,
        queued: bool = False,
    ) -> Delivery:
        """Puts a record into the open batch of its partition.

        Raises TypeError for what is no record, and NotYet: CLOSED, TOPIC (not known), PARTITION (there is
        none), TOO_LARGE (the second argument is the size), ROOM, BATCH (none is open), TURN (others wait, and
        it is not `queued`).
        """

    def send_many(
        self,
        topic: str,
        values: list[Any],
        keys: list[Any] | None,
        headers: object,
        partition: int | None,
        timestamp_ms: int | None,
        start: int,
        stop: int,
    ) -> tuple[int, tuple[int, int] | None, list[tuple[object, int, int]]]:
        """Takes `values[start:stop]` as far as it goes: where it ended, why (as NotYet), and the runs taken.

        A run is (batch, index of its first record, number of records).
        """

    def send_table(
        self,
        topic: str,
        rows: ArrowBatch,
        headers: object,
        partition: int | None,
        timestamp_ms: int | None,
        start: int,
        stop: int,
    ) -> tuple[int, tuple[int, int] | None, list[tuple[object, int, int]]]:
        """The same for rows of a table; those without a partition or a time of their own have the given ones.

        Raises ValueError for a row that cannot be read.
        """

    def set_topic(self, topic: str, partitions: int, available: list[int]) -> None:
        """The number of partitions, and those that records without a key go to. Open batches stay."""

    def put(self, topic: str, partition: int, batch: RecordBatch) -> None:
        """The batch that takes a partition's records from now on."""

    def left(self, topic: str, partition: int) -> None:
        """A batch is on its way: records without a key go elsewhere."""

    def release(self, size: int) -> None:
        """Gives bytes of the buffer back."""

    def block(self, blocked: bool) -> None:
        """While blocked only queued records are taken."""

    def start(self, wake: Callable[[], object], own_thread: bool) -> None:
        """`wake` is called when a batch is full."""

    def shut(self, shut: bool) -> None:
        """While shut no records are taken."""

    def close(self) -> None:
        """Takes no more records, and lets go of all batches."""

    @property
    def used(self) -> int:
        """Bytes of records that are not acknowledged."""

@final
class Record:
    """One record. `timestamp` is in ms since the epoch, -1 for none; header names may repeat."""

    __match_args__: ClassVar[tuple[str, str, str, str, str, str]]

    def __new__(
        cls,
        topic: str,
        partition: int,
        offset: int,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]] | None = None,
        is_append_time: bool = False,
        leader_epoch: int = ...,
    ) -> Record: ...
    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> list[tuple[str, bytes | None]]: ...
    @property
    def is_append_time(self) -> bool:
        """Whether the broker set `timestamp` (LogAppendTime), not the producer."""

    @property
    def leader_epoch(self) -> int:
        """Epoch of the leader that appended it, -1 unknown."""

    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class FetchedRecords:
    """The records of one partition in the answer to a fetch; they are read when they are taken.

    What is below `position` or from `until` on, markers, and aborted transactions (producer id, first offset)
    are left out. `data` is kept alive.
    """

    def __new__(
        cls,
        topic: str,
        partition: int,
        data: Buffer,
        position: int,
        until: int | None,
        aborted: list[tuple[int, int]],
    ) -> FetchedRecords: ...
    def has_records(self) -> bool:
        """Whether there is a batch with records to take; moves `position` over what comes before it."""

    def take(self, most: int) -> list[Record]:
        """At most so many records, in order."""

    def take_into(self, table: TableBuilder, most: int, most_bytes: int) -> int:
        """Adds at most so many records to a table, none once its size has reached `most_bytes`; how many."""

    @property
    def position(self) -> int:
        """The offset to go on from, behind all that was taken or passed over."""

    @property
    def leader_epoch(self) -> int:
        """Of the last batch that was looked at, -1 before the first."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""

    @property
    def damage(self) -> tuple[int, int, str] | None:
        """The batch that ended the reading, if it was damage: its offset, the next one's, what is wrong."""

@final
class TablePool:
    """The memory of a reader's tables that nobody has any more, two at most and 64 MiB, for its next ones."""

    def __new__(cls) -> TablePool: ...

@final
class TableBuilder:
    """Collects the records of several partitions in columns, in memory of the pool if there is some."""

    def __new__(cls, pool: TablePool | None = None) -> TableBuilder: ...
    def __len__(self) -> int: ...
    @property
    def size(self) -> int:
        """Bytes of keys, values and headers, and 32 for each record and each header."""

    def finish(self) -> Table:
        """The table. Raises RuntimeError when it was finished before, as every use does then."""

@final
class Table:
    """Records as columns. Its memory lives as long as it, a buffer of it, or what Arrow made of it."""

    def __len__(self) -> int: ...
    @property
    def parts(self) -> list[tuple[str, int, int, int, int]]:
        """(topic, partition, first row, one more than the last, offset to go on from) for each partition."""

    def buffer(self, name: str) -> TableBuffer:
        """A column, or a part of one. Raises KeyError.

        int64 "offsets", "timestamps" (ms, -1 for none) and "header_offsets" (one more than rows); int32
        "partitions"; and for "key", "value", "header_name" and "header_value": bytes "..._data", int64
        "..._offsets" (one more than rows) and bool "..._validity" (False for null).
        """

    def record(self, row: int) -> Record:
        """A row as a record. Raises IndexError."""

    def headers(self, row: int) -> list[tuple[str, bytes | None]]:
        """The headers of a row. Raises IndexError."""

    def __arrow_c_schema__(self) -> object:
        """A PyCapsule "arrow_schema" of topic, partition, offset, timestamp, key, value and headers."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """PyCapsules of the type and of one struct array; what is requested is not regarded."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A PyCapsule "arrow_array_stream" of that one array; another one each time."""

@final
class TableBuffer:
    """A column of a table: a read-only buffer of one dimension, with format."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class LogReader:
    """The log of a partition that somebody else writes. Opens nothing for writing, maps nothing.

    Thread-safe.
    """

    @staticmethod
    def open(path: str, *, to_committed_end: bool = True, read_committed: bool = False) -> LogReader:
        """Opens a directory `<topic>-<partition>`; without `to_committed_end` it ends where its files end.

        Raises ValueError when it is none, and StorageError.
        """
    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def start_offset(self) -> int:
        """The first offset that may be read, now."""

    @property
    def end_offset(self) -> int:
        """The offset behind the last one that may be read, now."""

    def read_into(
        self, table: TableBuilder, position: int, until: int | None, most_rows: int, most_bytes: int
    ) -> tuple[int, bool, tuple[int, int, str] | None]:
        """Adds records from `position` on to a table: where to go on, whether there is nothing more, damage.

        Damage is (offset of the batch, that of the next one, what is wrong), at the place to go on from.
        Raises OffsetOutOfRange, CorruptLog for a checkpoint or a marker that is damaged, and StorageError.
        """

    def stream(self, position: int, until: int, most_bytes: int) -> object:
        """All records of [position, until) as a PyCapsule "arrow_array_stream": tables of about `most_bytes`.

        Each is read when it is asked for, without the GIL. Damage is an error behind the good records.
        """

@final
class ArrowReader:
    """Takes records out of whatever has `__arrow_c_stream__`.

    Raises TypeError when that gives no such capsule, ValueError for a table that is none of records.
    """

    def __new__(cls, offered: object) -> ArrowReader: ...
    def next(self) -> ArrowBatch | None:
        """The next records, None at the end; without the GIL. Raises ValueError."""

@final
class ArrowBatch:
    """Some records of a stream."""

    def __len__(self) -> int: ...
    @property
    def columns(self) -> tuple[bool, bool, bool]:
        """Whether there are columns of headers, of times and of partitions."""

    def row(
        self, row: int
    ) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]] | None, int | None, int | None]:
        """Value, key, headers, partition and timestamp (ms) of a row. Raises ValueError."""
