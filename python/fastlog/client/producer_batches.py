"""Batches on their way: what belongs to one batch, and the queue of one partition.

A batch gets its sequence numbers when it is first sent and keeps them in every later try, so that the broker
recognizes it. The queue decides what may be sent: with idempotence up to five batches at a time, otherwise
one, and after a failure one by one until the failed ones are through. That keeps the order of the records.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.native import build_batch
from fastlog.native.shapes import BuildRecord

__all__ = ["Batch", "Identity", "PartitionQueue", "RecordMetadata", "record_size"]

BATCH_OVERHEAD: Final = 61
_RECORD_OVERHEAD: Final = 21
"""Most that the lengths and deltas of a record's own fields take."""
_SEQUENCE_MASK: Final = 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class RecordMetadata:
    """Where a record has gone. `offset` is -1 with acks=0; `timestamp` is what the log holds, in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Producer id and epoch, given by a broker (InitProducerId)."""

    producer_id: int
    epoch: int


def record_size(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]) -> int:
    """Upper estimate of a record's bytes in a batch."""
    size = _RECORD_OVERHEAD + len(key or b"") + len(value or b"")
    for name, content in headers:
        size += 10 + 4 * len(name) + len(content or b"")
    return size


class Batch:
    """Records of one partition that are sent, acknowledged or refused together."""

    __slots__ = (
        "attempts",
        "closed",
        "created",
        "data",
        "futures",
        "identity",
        "last_error",
        "name",
        "order",
        "records",
        "sequence",
        "size",
    )

    def __init__(self, name: TopicPartition, created: float, order: float) -> None:
        self.name: Final = name
        self.created: Final = created
        self.order: Final = order
        self.records: list[BuildRecord] = []
        self.futures: list[asyncio.Future[RecordMetadata]] = []
        self.size = BATCH_OVERHEAD
        self.closed = False
        self.attempts = 0
        self.identity: Identity | None = None
        self.sequence = -1
        self.data: bytes | None = None
        self.last_error: ClientError | None = None

    def append(self, record: BuildRecord, size: int) -> asyncio.Future[RecordMetadata]:
        """Takes a record in."""
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        self.records.append(record)
        self.futures.append(future)
        self.size += size
        return future

    def encode(self, codec: str, level: int | None) -> bytes:
        """The batch's bytes, made once: a later try sends the same."""
        if self.data is None:
            identity = self.identity or Identity(-1, -1)
            self.data = build_batch(
                self.records,
                codec=codec,
                level=level,
                producer_id=identity.producer_id,
                producer_epoch=identity.epoch,
                base_sequence=self.sequence,
            )
        return self.data

    def forget_identity(self) -> None:
        """The broker has not written it and will not under this identity: it may go under another one."""
        self.identity = None
        self.sequence = -1
        self.data = None

    def succeed(self, base_offset: int, log_append_time_ms: int) -> None:
        """Tells every record's future its offset (none for -1) and time."""
        topic, partition = self.name
        for index, future in enumerate(self.futures):
            if not future.done():
                timestamp = self.records[index][3] if log_append_time_ms < 0 else log_append_time_ms
                offset = -1 if base_offset < 0 else base_offset + index
                future.set_result(RecordMetadata(topic, partition, offset, timestamp))

    def fail(self, error: ClientError, of_records: dict[int, ClientError] | None = None) -> None:
        """Tells every record's future its error."""
        for index, future in enumerate(self.futures):
            if not future.done():
                future.set_exception((of_records or {}).get(index, error))

    def split(self) -> list[Batch]:
        """Two batches with half of the records each, in the same place of the sequence."""
        middle = len(self.records) // 2
        halves = []
        for start, end, order in ((0, middle, self.order), (middle, len(self.records), self.order)):
            half = Batch(self.name, self.created, order)
            half.records = self.records[start:end]
            half.futures = self.futures[start:end]
            half.size = BATCH_OVERHEAD + sum(record_size(*record[:3]) for record in half.records)
            half.closed = True
            half.attempts = self.attempts
            half.identity = self.identity
            half.sequence = (
                self.sequence if self.identity is None else (self.sequence + start) & _SEQUENCE_MASK
            )
            halves.append(half)
        return halves


class PartitionQueue:
    """The batches of one partition, oldest first, and those of them that are on the way."""

    def __init__(self, name: TopicPartition, max_in_flight: int) -> None:
        self.name: Final = name
        self.waiting: list[Batch] = []
        self.in_flight: list[Batch] = []
        self.retry_at = 0.0
        self.failures = 0
        self._known_to_broker = False
        self._max_in_flight = max_in_flight
        self._next_sequence = 0
        self._next_order = 0

    @property
    def open_batch(self) -> Batch | None:
        """The batch that still takes records."""
        last = self.waiting[-1] if self.waiting else None
        return None if last is None or last.closed else last

    def new_batch(self, now: float) -> Batch:
        """Closes the open batch and opens another one."""
        if self.waiting:
            self.waiting[-1].closed = True
        self._next_order += 1
        batch = Batch(self.name, now, self._next_order)
        self.waiting.append(batch)
        return batch

    def next(self, now: float, *, draining: bool) -> Batch | None:
        """The batch that may be sent now, ready or not. It stays in the queue until `take`.

        `draining`: only batches that have an identity, whose fate must be known before it is replaced.
        """
        # A broker that does not know the producer yet takes any sequence number for the first, so a second
        # batch must not get ahead of the first one.
        most = self._max_in_flight if self._known_to_broker else 1
        if not self.waiting or now < self.retry_at or len(self.in_flight) >= most:
            return None
        head = self.waiting[0]
        if draining:
            head = next((batch for batch in self.waiting if batch.identity is not None), None) or head
            if head.identity is None:
                return None
        retrying = head.attempts > 0 or any(batch.attempts > 1 for batch in self.in_flight)
        return None if retrying and self.in_flight else head

    def take(self, batch: Batch, identity: Identity | None) -> None:
        """The batch goes out; it gets its place in the sequence with the first try."""
        self.waiting.remove(batch)
        batch.closed = True
        batch.attempts += 1
        if identity is not None and batch.identity is None:
            batch.identity = identity
            batch.sequence = self._next_sequence
            self._next_sequence = (self._next_sequence + len(batch.records)) & _SEQUENCE_MASK
        self.in_flight.append(batch)

    def settle(self, batch: Batch) -> bool:
        """The batch is not on the way any more. False: it was given up in the meantime."""
        if batch not in self.in_flight:
            return False
        self.in_flight.remove(batch)
        return True

    def succeeded(self) -> None:
        """The broker has written a batch of this identity."""
        self.failures = 0
        self._known_to_broker = True

    def put_back(self, *batches: Batch) -> None:
        """Batches to be sent again, before everything that came after them."""
        for batch in batches:
            insort(self.waiting, batch, key=attrgetter("order"))

    def is_first(self, batch: Batch) -> bool:
        """Whether no older batch with an identity is still to be acknowledged."""
        others = (other for other in (*self.waiting, *self.in_flight) if other.identity is not None)
        return all(other.order >= batch.order for other in others)

    @property
    def has_identity(self) -> bool:
        """Whether a batch was given an identity and is not done."""
        return bool(self.in_flight) or any(batch.identity is not None for batch in self.waiting)

    def unfinished_since(self, moment: float) -> bool:
        """Whether a batch that existed at `moment` is not done yet."""
        return any(batch.created <= moment for batch in (*self.waiting, *self.in_flight))

    def restart_sequence(self) -> None:
        """A new identity counts from 0."""
        self._next_sequence = 0
        self._known_to_broker = False
