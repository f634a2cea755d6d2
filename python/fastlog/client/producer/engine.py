"""What Producer and AsyncProducer have in common: the open batches, those who wait, and who sends."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final

from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.client.loop_thread import LoopThread
from fastlog.client.metadata import TopicInfo, TopicPartition
from fastlog.client.producer.config import ProducerConfig
from fastlog.client.producer.identity import ProducerIdentity
from fastlog.client.producer.sender import Sender
from fastlog.client.producer.transactions import Transactions
from fastlog.client.producer.waiting import Line, Outgoing, WaitingRecord
from fastlog.client.topic_cache import TopicCache
from fastlog.errors import ErrorCode
from fastlog.native import Accumulator, Delivery, NotYet

__all__ = ["Partitioner", "ProducerEngine"]

Partitioner = Callable[[str, "bytes | None", int], int]
"""A way to choose partitions: (topic, key, number of partitions) -> partition."""

_TURN_SECONDS: Final = 0.002
_FORKED: Final = "the producer was made before a fork: make another one in the child process"


class ProducerEngine:
    """The engine of one producer, on one event loop. With `threads` records may come from any thread.

    Without a `cluster` it has one of its own, which it opens when the first record comes, and closes.
    """

    def __init__(
        self,
        config: ProducerConfig,
        cluster: Cluster | None,
        partitioner: Partitioner | None,
        *,
        threads: bool,
    ) -> None:
        self.config: Final = config
        self.accumulator: Final = Accumulator(
            batch_size=config.batch_size,
            max_record=config.max_request_size,
            buffer_memory=config.buffer_memory,
            seed=random.getrandbits(64),
        )
        self._cluster: Final = cluster or Cluster.of(config)
        self._owns_cluster = cluster is None
        self._partitioner = partitioner
        self._threads = threads
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._opening: asyncio.Task[None] | None = None
        self._known: set[str] = set()
        self.later: Callable[[Outgoing], Delivery] = self.wait_in_line
        """Where records go that must wait."""
        self._woken = False
        self._closed = False
        self._forked = False
        self._drainers: list[asyncio.Future[None]] = []
        self._had_turn = 0.0
        self._topics = TopicCache(
            self._cluster, allow_auto_create=config.allow_auto_create_topics, learned=self._learned
        )
        self.transactions: Transactions | None = None
        if config.transactional_id is not None:
            self.transactions = Transactions(self._cluster, config)
            self.accumulator.shut(True)
        self.sender: Final = Sender(
            self._cluster,
            self._topics,
            config,
            self.transactions or ProducerIdentity(self._cluster),
            released=self._released,
            left=lambda name: self.accumulator.left(name.topic, name.partition),
            ended=lambda _: self.accumulator.shut(True),
        )
        self.line: Final = Line(
            self._topics,
            opened=self.opened,
            take=self._take_queued,
            place=self._placed,
            known=self._register,
            block=self.accumulator.block,
            hurry=self._hurry,
            refused=self._refused,
            max_block_ms=config.max_block_ms,
            most=config.buffer_memory,
        )
        if self.transactions is not None:
            self.transactions.attach(self.sender, self.line, self.accumulator, self.opened)
        _ENGINES.add(self)

    # -- life --------------------

    async def opened(self) -> None:
        """Returns when the cluster can be asked; the first caller opens it. Raises ClientError."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self._thread = threading.get_ident()
        elif self._loop is not loop:
            raise RuntimeError("the producer belongs to another event loop")
        if self._closed:
            raise RuntimeError("the producer is closed")
        if self._opening is None or (self._opening.done() and _has_failed(self._opening)):
            self._opening = asyncio.ensure_future(self._open())
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        if self._owns_cluster:
            await self._cluster.open()
        self.sender.start()
        self.accumulator.start(self.wake, not self._threads)

    async def flush(self) -> None:
        """Sends everything at once and waits until each record so far is written or has failed."""
        await self.line.drained()
        await self.sender.settled()

    async def drain(self) -> None:
        """Waits while more than half of the buffer is taken, or as much waits for topics or for room.

        Else it lets others have their turn at times: a loop of `send` and `drain` would else keep the first
        batches, and the search for the topic, waiting for as long.
        """
        while self.line.is_half_full and self.sender.failure is None:
            await self.line.drained()
        # Whoever comes while they are served has to wait behind them, which costs more than to wait here.
        await self.line.served()
        loop = asyncio.get_running_loop()
        if self.line.has_some or loop.time() - self._had_turn > _TURN_SECONDS:
            await asyncio.sleep(0)
            self._had_turn = loop.time()
        while self.accumulator.used * 2 > self.config.buffer_memory and self.sender.failure is None:
            turn: asyncio.Future[None] = loop.create_future()
            self._drainers.append(turn)
            self._hurry(1)
            try:
                await turn
            finally:
                self._hurry(-1)

    async def close(self, *, flush: bool) -> None:
        """Flushes (unless told not to) and stops. May be called more than once."""
        if self._closed:
            return
        if self._loop is not None and self._loop.is_closed():
            self._closed = True  # its sockets and tasks went with it
            self.accumulator.close()
            return
        if flush:
            # What waits for its topic or for room was given before.
            await self.line.drained()
        self.accumulator.shut(True)
        try:
            if self.transactions is not None:
                await self.transactions.close()
            if flush:
                await self.flush()
        finally:
            self._closed = True
            error = ClientError(
                ErrorCode.OPERATION_NOT_ATTEMPTED,
                "the producer was closed before the record was acknowledged",
            )
            if self._opening is not None:
                self._opening.cancel()
            await self.line.stop(error)
            await self.sender.stop(error)
            self.accumulator.close()
            self._wake_drainers()
            if self._owns_cluster:
                await self._cluster.close()

    def forked(self) -> None:
        """This is a copy in the child of a fork: its sockets are the parent's."""
        self._forked = True
        self.accumulator.shut(True)

    # -- records --------------------

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: object,
        partition: int | None,
        timestamp_ms: int | None,
        on_delivery: Any,
    ) -> Delivery:
        """`Accumulator.send` where there is a partitioner of the user's, which is asked once."""
        record = self._placed((topic, value, key, headers, partition, timestamp_ms, on_delivery))
        try:
            return self.take(record)
        except NotYet:
            return self.later(record)

    def take(self, record: Outgoing, *, queued: bool = False) -> Delivery:
        """Puts a record into a batch, and opens one where there is none. Raises NotYet when it must wait.

        From any thread. Raises MessageTooLarge, RuntimeError when the producer is closed or no transaction
        is open, and the error that ended the producer.
        """
        while True:
            try:
                return self.accumulator.send(*record, queued)
            except NotYet as why:
                reason, partition = why.args
                if reason == Accumulator.BATCH:
                    self.open_batch(record[0], partition)
                elif reason == Accumulator.CLOSED:
                    raise self.refusal() from None
                elif reason == Accumulator.TOO_LARGE:
                    raise self.too_large(partition) from None
                elif reason == Accumulator.PARTITION and queued:
                    raise self._no_partition(record[0], partition) from None
                else:
                    raise

    def too_large(self, size: int) -> ClientError:
        """Why a record of so many bytes is refused."""
        most = self.config.max_request_size
        text = f"a record of {size} bytes does not fit into max_request_size={most}"
        return ClientError(ErrorCode.MESSAGE_TOO_LARGE, text)

    def refusal(self) -> Exception:
        """Why no records are taken."""
        if self._forked:
            return RuntimeError(_FORKED)
        if self.sender.failure is not None and not self._closed:
            return self.sender.failure.with_traceback(None)
        if self.transactions is not None and not self._closed:
            return self.transactions.refusal()
        return RuntimeError("the producer is closed")

    def open_batch(self, topic: str, partition: int) -> None:
        """Another batch for a partition, from any thread."""
        batch = self.sender.new_batch(TopicPartition(topic, partition))
        self.accumulator.put(topic, partition, batch)
        self.wake()

    def of_transactions(self) -> Transactions:
        """The transactions. Raises RuntimeError when there are none."""
        if self.transactions is None:
            raise RuntimeError("transactions need a transactional_id")
        return self.transactions

    @property
    def takes_many(self) -> bool:
        """Whether many records can be taken at once."""
        return self._partitioner is None

    def wait_in_line(self, record: Outgoing, *, bounded: bool = True) -> Delivery:
        """The handle of a record that is not taken at once. Raises as `take`, and BufferError."""
        try:
            return self.take(record)
        except NotYet:
            pass
        if self._forked or self._closed:
            raise self.refusal()
        asyncio.get_running_loop()
        waiting = self.waiting(record)
        self.line.join(waiting, bounded=bounded)
        return Delivery(waiting, 0)

    async def admitted(self, delivery: Delivery) -> Delivery:
        """Waits until a record is in a batch. Raises what stands in the way."""
        waiting = delivery.batch
        if not isinstance(waiting, WaitingRecord):
            return delivery
        if not waiting.admitted.is_over:
            await waiting.admitted
        return waiting.found()

    def wait_in_thread(self, thread: LoopThread, record: Outgoing) -> Delivery:
        """The same as `wait_in_line` in any thread: waits, and raises what stands in the way."""
        thread.check()
        try:
            return self.take(record)
        except NotYet:
            pass
        waiting = self.waiting(record)
        if thread.is_here:
            # A callback must not wait for itself.
            self.line.join(waiting, bounded=True)
            return Delivery(waiting, 0)
        thread.loop.call_soon_threadsafe(self.line.join_any, waiting)
        while not waiting.admitted.wait(1.0, anywhere=True):
            thread.check()
        return waiting.found()

    def waiting(self, record: Outgoing) -> WaitingRecord:
        """A record as it waits: with the time of its `send`, and bytes that nobody changes."""
        topic, value, key, headers, partition, timestamp_ms, on_delivery = record
        if timestamp_ms is None:
            timestamp_ms = time.time_ns() // 1_000_000
        kept = (
            topic,
            None if value is None else bytes(value),
            None if key is None else bytes(key),
            list(headers.items() if isinstance(headers, dict) else headers) if headers else None,  # type: ignore[call-overload]
            partition,
            timestamp_ms,
            on_delivery,
        )
        return WaitingRecord(kept, time.monotonic() + self.config.max_block_ms / 1000)

    def wake(self) -> None:
        """The sender has something to look at."""
        loop = self._loop
        if loop is None:
            return
        if not self._threads or threading.get_ident() == self._thread:
            self.sender.wake()
        elif not self._woken:
            self._woken = True
            loop.call_soon_threadsafe(self._awake)

    # -- inside --------------------

    def _awake(self) -> None:
        self._woken = False
        self.sender.wake()

    def _placed(self, record: Outgoing) -> Outgoing:
        if self._partitioner is None or record[4] is not None:
            return record
        known = self._topics.known(record[0])
        if known is None:
            return record
        chosen = self._partitioner(record[0], record[2], len(known.partitions))
        return (*record[:4], chosen, *record[5:])

    def _take_queued(self, record: Outgoing) -> Delivery:
        return self.take(record, queued=True)

    def _no_partition(self, topic: str, partition: int) -> Exception:
        known = self._topics.known(topic)
        count = 0 if known is None else len(known.partitions)
        text = f"topic {topic!r} has no partition {partition}, it has {count}"
        return ClientError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, text)

    def _register(self, topic: str) -> None:
        self._known.add(topic)
        known = self._topics.known(topic)
        assert known is not None  # noqa: S101
        self._learned(known)

    def _learned(self, topic: TopicInfo) -> None:
        if topic.name in self._known:
            led = [partition.index for partition in topic.partitions if partition.leader >= 0]
            available = led or [partition.index for partition in topic.partitions]
            self.accumulator.set_topic(topic.name, len(topic.partitions), available)

    def _refused(self, error: BaseException) -> None:
        if self.transactions is not None:
            self.transactions.refused(error)

    def _released(self, size: int) -> None:
        self.accumulator.release(size)
        self.line.room()
        if self._drainers and self.accumulator.used * 2 <= self.config.buffer_memory:
            self._wake_drainers()

    def _wake_drainers(self) -> None:
        drainers, self._drainers = self._drainers, []
        for turn in drainers:
            if not turn.done():
                turn.set_result(None)

    def _hurry(self, more: int) -> None:
        self.sender.hurry += more
        self.sender.wake()


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None


_ENGINES: Final[weakref.WeakSet[ProducerEngine]] = weakref.WeakSet()


def _after_fork() -> None:
    for engine in list(_ENGINES):
        engine.forked()


os.register_at_fork(after_in_child=_after_fork)
