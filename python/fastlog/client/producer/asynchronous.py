"""Sends records from coroutines: batched per partition, in order, and with idempotence each of them once.

async with AsyncProducer("127.0.0.1:9092", compression_type="zstd") as producer:
    where = await producer.send("clicks", b"value", key=b"user 7")  # topic, partition, offset
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, Unpack, cast

from fastlog.client.cluster import Cluster
from fastlog.client.offset_values import GroupMetadata, Offsets
from fastlog.client.producer.batches import Batch
from fastlog.client.producer.config import ProducerConfig, ProducerOptions
from fastlog.client.producer.deliveries import Deliveries, Run
from fastlog.client.producer.engine import Partitioner, ProducerEngine
from fastlog.client.producer.tables import ArrowTable, Given, check_given, is_table, outgoing
from fastlog.native import ArrowReader, Delivery, NotYet, RecordMetadata

__all__ = ["AsyncProducer", "Callback", "HeadersLike"]

HeadersLike = Sequence[tuple[str, "bytes | None"]] | Mapping[str, "bytes | None"]
Callback = Callable[["RecordMetadata | None", "BaseException | None"], object]
"""What `on_delivery` is: called with where the record is, or with its error."""

MANY_AT_A_TIME = 8192


class AsyncProducer:
    """A producer for one event loop; an async context manager, but it starts by itself, too.

    `bootstrap_servers` are addresses (`host:port`), `options` those of `ProducerConfig`; `config` takes
    Kafka's dotted names. A `cluster` that the caller has opened is used instead of an own one. `partitioner`
    chooses for records without a partition: (topic, key, number of partitions) -> partition.

    Leaving the context flushes; leaving it by an exception drops what is not written yet, and aborts an open
    transaction. Raises ConfigError.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        cluster: Cluster | None = None,
        config: Mapping[str, object] | None = None,
        partitioner: Partitioner | None = None,
        **options: Unpack[ProducerOptions],
    ) -> None:
        given: dict[str, object] = dict(options)
        if bootstrap_servers is not None:
            given["bootstrap_servers"] = bootstrap_servers
        self._engine = ProducerEngine(ProducerConfig.of(given, config), cluster, partitioner, threads=False)
        self._send = self._engine.accumulator.send if partitioner is None else self._engine.send

    @classmethod
    def of(cls, config: ProducerConfig, cluster: Cluster | None = None) -> Self:
        """A producer with options that are made already."""
        made = cls.__new__(cls)
        made._engine = ProducerEngine(config, cluster, None, threads=False)
        made._send = made._engine.accumulator.send
        return made

    async def __aenter__(self) -> Self:
        try:
            await self._engine.opened()
        except BaseException:
            await self._engine.close(flush=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(flush=error is None)

    def send(
        self,
        topic: str,
        value: bytes | None = None,
        *,
        key: bytes | None = None,
        headers: HeadersLike | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        on_delivery: Callback | None = None,
    ) -> Delivery:
        """Puts a record into its batch. A null value is a tombstone in compacted topics.

        The partition: the given one, else by the key, else by turns. The time: the given one, else now.
        The handle may be awaited for the RecordMetadata, or ignored; `on_delivery` is called on the event
        loop. What waits for its topic or for room (`max_block_ms` at most) is told by the handle as well.

        Raises TypeError for what is no record, MessageTooLarge, BufferError when the buffer is full and
        records for another `buffer_memory` wait already (`drain` waits for room), and RuntimeError after
        `close`.
        """
        try:
            return self._send(topic, value, key, headers, partition, timestamp_ms, on_delivery)
        except NotYet:
            return self._engine.wait_in_line(
                (topic, value, key, headers, partition, timestamp_ms, on_delivery)
            )

    async def enqueue(
        self,
        topic: str,
        value: bytes | None = None,
        *,
        key: bytes | None = None,
        headers: HeadersLike | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        on_delivery: Callback | None = None,
    ) -> Delivery:
        """`send`, but waits until the record is in a batch, and raises what stands in the way.

        For whoever does not await each delivery and is to be held back when brokers are slow.
        """
        try:
            sent = self._send(topic, value, key, headers, partition, timestamp_ms, on_delivery)
        except NotYet:
            record = (topic, value, key, headers, partition, timestamp_ms, on_delivery)
            sent = self._engine.wait_in_line(record, bounded=False)
        return await self._engine.admitted(sent)

    async def send_and_wait(
        self,
        topic: str,
        value: bytes | None = None,
        *,
        key: bytes | None = None,
        headers: HeadersLike | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> RecordMetadata:
        """`await send(...)`, under the name that aiokafka gives it."""
        return await self.send(
            topic, value, key=key, headers=headers, partition=partition, timestamp_ms=timestamp_ms
        )

    async def send_many(
        self,
        topic: str,
        values: Sequence[bytes | None] | ArrowTable,
        *,
        keys: Sequence[bytes | None] | None = None,
        headers: HeadersLike | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Deliveries:
        """Puts many records into batches, in native code; all have the same headers and time.

        Instead of values anything with `__arrow_c_stream__` may be given: see `ArrowTable` for its columns.
        Returns when all are in a batch: what becomes of them is in the result, which may be awaited. Raises
        as `send`, and ClientError when the topic or room cannot be had; records before the one that failed
        are sent.
        """
        if is_table(values):
            check_keys(keys)
            return await self._send_table(topic, values, (headers, partition, timestamp_ms))
        rows, names = as_lists(values, keys)
        engine = self._engine
        found: list[Run] = []
        at = 0
        while at < len(rows):
            why: tuple[int, int] | None = (-1, -1)
            if engine.takes_many:
                at, why, runs = engine.accumulator.send_many(
                    topic, rows, names, headers, partition, timestamp_ms, at, at + MANY_AT_A_TIME
                )
                found += cast("list[Run]", runs)
            if why is not None:
                record = (
                    topic,
                    rows[at],
                    None if names is None else names[at],
                    headers,
                    partition,
                    timestamp_ms,
                    None,
                )
                sent = (
                    engine.send(*record)
                    if not engine.takes_many
                    else engine.wait_in_line(record, bounded=False)
                )
                placed = await engine.admitted(sent)
                found.append((cast("Batch", placed.batch), placed.index, 1))
                at += 1
            await asyncio.sleep(0)
        return Deliveries(found)

    async def _send_table(self, topic: str, table: ArrowTable, given: Given) -> Deliveries:
        engine = self._engine
        found: list[Run] = []
        # Whoever makes the rows may take long over them.
        reader = await asyncio.to_thread(ArrowReader, table)
        while (batch := await asyncio.to_thread(reader.next)) is not None:
            check_given(batch, given)
            at = 0
            while at < len(batch):
                why: tuple[int, int] | None = (-1, -1)
                if engine.takes_many:
                    at, why, runs = engine.accumulator.send_table(
                        topic, batch, *given, at, at + MANY_AT_A_TIME
                    )
                    found += cast("list[Run]", runs)
                if why is not None:
                    record = outgoing(topic, batch, at, given)
                    sent = (
                        engine.send(*record)
                        if not engine.takes_many
                        else engine.wait_in_line(record, bounded=False)
                    )
                    placed = await engine.admitted(sent)
                    found.append((cast("Batch", placed.batch), placed.index, 1))
                    at += 1
                await asyncio.sleep(0)
        return Deliveries(found)

    async def drain(self) -> None:
        """Waits while more than half of the buffer is taken, or as much waits for its topic or for room.

        What records fail with is told by their handles, not here.
        """
        await self._engine.drain()

    async def flush(self) -> None:
        """Sends everything at once and waits until each record so far is written or has failed."""
        await self._engine.flush()

    async def close(self, *, flush: bool = True) -> None:
        """Flushes (unless told not to) and stops. May be called more than once."""
        await self._engine.close(flush=flush)

    # -- transactions --------------------

    async def init_transactions(self) -> None:
        """Gets the identity, and ends what was left open; `begin_transaction` does it, too."""
        await self._engine.of_transactions().init()

    async def begin_transaction(self) -> None:
        """Begins a transaction; records may be sent only in one. Raises ClientError."""
        await self._engine.of_transactions().begin()

    async def commit_transaction(self) -> None:
        """Writes all that was sent, and commits. Raises ClientError: then the transaction must be aborted."""
        await self._engine.of_transactions().commit()

    async def abort_transaction(self) -> None:
        """Drops what is not sent, and has readers of committed records skip the rest. Raises ClientError."""
        await self._engine.of_transactions().abort()

    async def send_offsets_to_transaction(self, offsets: Offsets, group: GroupMetadata | str) -> None:
        """Commits positions of a consumer group together with the transaction. Raises ClientError."""
        await self._engine.of_transactions().send_offsets(offsets, group)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Begins a transaction, and commits it at the end; aborts it when that or the body raises."""
        await self.begin_transaction()
        try:
            yield
            await self.commit_transaction()
        except BaseException:
            await self._engine.of_transactions().abort_quietly()
            raise


def check_keys(keys: Sequence[bytes | None] | None) -> None:
    """Raises TypeError for keys beside a table, which has them in a column."""
    if keys is not None:
        raise TypeError("the keys of a table are its column key")


def as_lists(
    values: Sequence[bytes | None], keys: Sequence[bytes | None] | None
) -> tuple[list[bytes | None], list[bytes | None] | None]:
    """Both as lists. Raises ValueError when they are not of one length."""
    rows = values if isinstance(values, list) else list(values)
    names = keys if keys is None or isinstance(keys, list) else list(keys)
    if names is not None and len(names) != len(rows):
        raise ValueError(f"there are {len(rows)} values and {len(names)} keys")
    return rows, names
