"""Sends records from threads; the work is done on an event loop in a thread of the producer's own.

with Producer("127.0.0.1:9092") as producer:
    where = producer.send("clicks", b"value", key=b"user 7").result(timeout=10)
"""

from __future__ import annotations

import sys
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self, Unpack, cast

from fastlog.client.errors import RequestTimedOut
from fastlog.client.loop_thread import LoopThread
from fastlog.client.offset_values import GroupMetadata, Offsets
from fastlog.client.producer.asynchronous import (
    MANY_AT_A_TIME,
    Callback,
    HeadersLike,
    as_lists,
    check_keys,
)
from fastlog.client.producer.batches import Batch
from fastlog.client.producer.config import ProducerConfig, ProducerOptions
from fastlog.client.producer.deliveries import Deliveries, Run
from fastlog.client.producer.engine import Partitioner, ProducerEngine
from fastlog.client.producer.tables import ArrowTable, Given, check_given, is_table, outgoing
from fastlog.native import ArrowReader, Delivery, NotYet

__all__ = ["Producer"]

_EXIT_SECONDS: Final = 5.0


class Producer:
    """A producer for any number of threads; a context manager, but it starts by itself, too.

    Arguments, options and records are those of `AsyncProducer`. It may not be used in a child of a fork:
    make one there. One that is not closed is closed when nobody knows it any more, with a ResourceWarning.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        config: Mapping[str, object] | None = None,
        partitioner: Partitioner | None = None,
        **options: Unpack[ProducerOptions],
    ) -> None:
        given: dict[str, object] = dict(options)
        if bootstrap_servers is not None:
            given["bootstrap_servers"] = bootstrap_servers
        engine = self._engine = ProducerEngine(
            ProducerConfig.of(given, config), None, partitioner, threads=True
        )
        self._send = engine.accumulator.send if partitioner is None else engine.send
        thread = self._thread = LoopThread("producer")
        engine.later = lambda record: engine.wait_in_thread(thread, record)
        self._abandoned = weakref.finalize(self, _abandon, engine, thread)

    def __enter__(self) -> Self:
        try:
            self._thread.run(self._engine.opened())
        except BaseException:
            self.close(flush=False)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(flush=error is None)

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
        Waits for the topic and for room in the buffer, `max_block_ms` at most. The handle has `result`, may
        be awaited by a coroutine, or ignored; `on_delivery` is called in the producer's own thread, which
        must not be kept waiting.

        Raises TypeError for what is no record, ClientError when the topic or room cannot be had or the
        record is too large, and RuntimeError after `close` and in a child of a fork.
        """
        try:
            return self._send(topic, value, key, headers, partition, timestamp_ms, on_delivery)
        except NotYet:
            record = (topic, value, key, headers, partition, timestamp_ms, on_delivery)
            return self._engine.wait_in_thread(self._thread, record)

    def send_many(
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
        Returns when all are in a batch; what becomes of them is in the result. Raises as `send`; records
        before the one that failed are sent.
        """
        if is_table(values):
            check_keys(keys)
            return self._send_table(topic, values, (headers, partition, timestamp_ms))
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
                key = None if names is None else names[at]
                delivery = self.send(
                    topic, rows[at], key=key, headers=headers, partition=partition, timestamp_ms=timestamp_ms
                )
                found.append((cast("Batch", delivery.batch), delivery.index, 1))
                at += 1
        return Deliveries(found)

    def _send_table(self, topic: str, table: ArrowTable, given: Given) -> Deliveries:
        engine = self._engine
        found: list[Run] = []
        reader = ArrowReader(table)
        while (batch := reader.next()) is not None:
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
                    try:
                        delivery = self._send(*record)
                    except NotYet:
                        delivery = engine.wait_in_thread(self._thread, record)
                    found.append((cast("Batch", delivery.batch), delivery.index, 1))
                    at += 1
        return Deliveries(found)

    def flush(self, timeout: float | None = None) -> None:
        """Sends everything at once and waits until each record so far is written or has failed.

        Raises RequestTimedOut after `timeout` seconds; everything goes on then.
        """
        try:
            self._thread.run(self._engine.flush(), timeout)
        except TimeoutError:
            raise RequestTimedOut(f"not all records are acknowledged after {timeout} s") from None

    def close(self, *, flush: bool = True) -> None:
        """Flushes (unless told not to) and stops. May be called more than once."""
        if self._abandoned.detach() is None:
            return
        try:
            self._thread.run(self._engine.close(flush=flush))
        finally:
            self._thread.stop()

    # -- transactions --------------------

    def init_transactions(self) -> None:
        """Gets the identity, and ends what was left open; `begin_transaction` does it, too."""
        self._thread.run(self._engine.of_transactions().init())

    def begin_transaction(self) -> None:
        """Begins a transaction; records may be sent only in one. Raises ClientError."""
        self._thread.run(self._engine.of_transactions().begin())

    def commit_transaction(self) -> None:
        """Writes all that was sent, and commits. Raises ClientError: then the transaction must be aborted."""
        self._thread.run(self._engine.of_transactions().commit())

    def abort_transaction(self) -> None:
        """Drops what is not sent, and has readers of committed records skip the rest. Raises ClientError."""
        self._thread.run(self._engine.of_transactions().abort())

    def send_offsets_to_transaction(self, offsets: Offsets, group: GroupMetadata | str) -> None:
        """Commits positions of a consumer group together with the transaction. Raises ClientError."""
        self._thread.run(self._engine.of_transactions().send_offsets(offsets, group))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Begins a transaction, and commits it at the end; aborts it when that or the body raises."""
        self.begin_transaction()
        try:
            yield
            self.commit_transaction()
        except BaseException:
            self._thread.run(self._engine.of_transactions().abort_quietly())
            raise


def _abandon(engine: ProducerEngine, thread: LoopThread) -> None:
    """What becomes of a producer that nobody closed: what it was given is sent, for a while."""
    if thread.loop.is_closed() or thread.is_here:
        thread.stop()
        return
    if not sys.is_finalizing():
        warnings.warn("a Producer was not closed", ResourceWarning, stacklevel=1)
    try:
        thread.run(engine.close(flush=True), _EXIT_SECONDS)
    except (TimeoutError, RuntimeError):
        pass
    finally:
        thread.stop()
