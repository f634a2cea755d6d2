"""Types of the plain tuples and dictionaries that cross the boundary to the native module.

Tuples, not classes: they are made once per partition row of every produce and fetch request.
Offsets, sizes and error codes are plain `int`; -1 stands for "none" exactly where Kafka's protocol says so.
"""

from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastlog.native._core import Chunk, FastlogNativeError, FetchedRows, FileResponse, Log

Cause: TypeAlias = Literal["full", "shortage", "file", "disk"]
"""What a failed system call is about: a full disk and a shortage of the process pass, a file costs its
partition, a disk its log directory. A failed fsync of what was promised is always about the disk."""

RecordErrors: TypeAlias = list[tuple[int, str | None]]
"""Rejected records of one batch: (index inside the batch, text)."""

NodeEndpoint: TypeAlias = tuple[int, str, int, str | None]
"""Where a current leader listens (KIP-951): (node id, host, port, rack)."""

ProducePlanRow: TypeAlias = tuple[str, int, int]
"""One partition of a Produce request: (topic, partition, record bytes; -1 when the records field is null)."""

ProduceResponseRow: TypeAlias = tuple[
    int, int, int, int, RecordErrors | None, str | None, tuple[int, int] | None
]
"""What `ProducePlan.encode_response` takes per row, in row order:
(error code, base offset, log append time in ms, log start offset, record errors, message,
current leader as (id, epoch))."""

KeyValue: TypeAlias = tuple[bytes | None, bytes | None]
"""Key and value of one record."""

TransactionalBatch: TypeAlias = tuple[int, int, int, int]
"""The first batch of a row of a Produce request that belongs to a transaction: (row, producer id, producer
epoch, base sequence)."""

AppendTransaction: TypeAlias = tuple[int, int, int | tuple[bool, int, int] | None]
"""The transaction of a batch of the broker's own: (producer id, producer epoch, what the batch is to it).

Either its records are part of it, with the guard that `Log.begin_verification` gave (0 for none, None where
nobody verifies); or it is the marker that ends it: (whether it commits, epoch of its coordinator,
`transaction.version`), and there are no records."""

AppendRow: TypeAlias = "tuple[Log, int, Sequence[KeyValue], AppendTransaction | None]"
"""What `IoEngine.append` takes per batch: (log, leader epoch, records, transaction)."""

ProduceResult: TypeAlias = tuple[int, int, int, int, RecordErrors | None, str | None, int]
"""What `IoEngine.produce` and `append` report per row, in row order:
(error code, base offset, log append time in ms, log start offset, record errors, message, offset after the
last record).
On an error the four offsets and times are -1, but for the last one of records that are in the log and could
not be made durable where `flush.messages` promises that."""

FetchPlanRow: TypeAlias = tuple[str | None, bytes | None, int, int, int, int, int, int]
"""One partition of a Fetch request:
(topic name up to version 12, topic id of 16 bytes from version 13, partition, current leader epoch,
fetch offset, last fetched epoch, log start offset of the follower, partition max bytes)."""

ForgottenPartition: TypeAlias = tuple[str | None, bytes | None, int]
"""One partition to drop from a fetch session: (topic name, topic id, partition)."""

FetchRow: TypeAlias = tuple[
    str,
    bytes,
    int,
    int,
    int,
    int,
    int,
    tuple[int, int] | None,
    tuple[int, int] | None,
    bool,
    int,
    "Log | None",
    int,
    int,
    int,
    bool,
]
"""One partition that `IoEngine.fetch` reads and answers:
(topic, topic id of 16 bytes, partition, error code, high watermark, last stable offset, log start offset,
diverging epoch as (epoch, end offset), current leader as (id, epoch),
whether aborted transactions are told, preferred read replica or -1,
log or None when there is nothing to read, fetch offset, exclusive upper offset, partition max bytes,
keep the row in the answer although it is empty)."""

FetchOutcomes: TypeAlias = "list[tuple[int, int, int]] | FetchedRows"
"""Per row of a fetch, in row order: (row, error code, record bytes). FetchedRows when there are many."""

FetchResult: TypeAlias = "tuple[int, Chunk | FileResponse | None, FetchOutcomes]"
"""What `IoEngine.fetch` reports: (record bytes in all, the finished response or None when fewer than
min_bytes are there, what became of the rows)."""

FetchReplyRow: TypeAlias = tuple[
    str | None, bytes | None, int, int, int, int, tuple[int, int] | None, tuple[int, int] | None, int
]
"""One partition of a leader's answer to a follower:
(topic name in version 12, topic id of 16 bytes from version 13, partition, error code, high watermark,
log start offset, diverging epoch as (epoch, end offset), current leader as (id, epoch), record bytes)."""

ReplicateRow: TypeAlias = "tuple[int, Log, int, int]"
"""What `IoEngine.replicate` takes over: (row of the answer, log, epoch of the leader, offset that was asked
for)."""

ReplicaTrouble: TypeAlias = Literal["damaged", "order", "fenced", "storage"]
"""Why records of a leader are not in the log: a damaged batch, offsets or epochs that do not go on where the
log ends, another leader epoch, the disk."""

ReplicateResult: TypeAlias = tuple[int, int, ReplicaTrouble | None, str | None]
"""What `IoEngine.replicate` reports per row: (log end offset, log start offset, trouble, the same in
words)."""

IoResult: TypeAlias = "list[ProduceResult] | list[ReplicateResult] | FetchResult | int | FastlogNativeError"
"""Result of one token: of produce and append, of replicate, of fetch, an offset of flush, commit, lead and
truncate, a position of send; or why the job failed."""

ScrubPosition: TypeAlias = tuple[int, int, int]
"""Where a scrub goes on: (offset of the next batch, base offset of its segment, byte position in that)."""

TimestampOffset: TypeAlias = tuple[int, int, int]
"""Answer of a search by time: (timestamp in ms, offset, leader epoch)."""

ActiveProducer: TypeAlias = tuple[int, int, int, int, int, int]
"""One producer known to a log: (producer id, epoch, last sequence, last timestamp in ms,
coordinator epoch, first offset of the open transaction or -1)."""

SegmentRow: TypeAlias = tuple[int, int, int]
"""One segment of a log: (base offset, size in bytes, largest timestamp in ms)."""

BuildRecord: TypeAlias = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int]
"""One record to put in a batch: (key, value, headers, timestamp in ms)."""

ReadRecord: TypeAlias = tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
"""One record out of a batch: (offset, timestamp in ms, key, value, headers)."""


class RecoveryReport(TypedDict):
    """What opening a log had to do."""

    segments_scanned: int
    bytes_scanned: int
    truncated_bytes: int
    indexes_rebuilt: int
    warnings: list[str]


BatchRow: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, tuple[int, int, int], int]
"""One batch of a segment file: (position, bytes, base offset, last offset, records, leader epoch, attributes,
base timestamp, max timestamp in ms, (producer id, producer epoch, base sequence), CRC-32C)."""

BatchProblem: TypeAlias = tuple[int, str, tuple[int, int] | None, bool]
"""Where a segment file is not sound: (position, reason, (position, base offset) of a sound batch further on,
whether nothing but zeros follows)."""
