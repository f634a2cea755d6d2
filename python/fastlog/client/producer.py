"""Sends records: batched per partition, in order, and with idempotence each of them once.

    async with Producer(cluster, ProducerConfig(compression_type="zstd")) as producer:
        delivery = await producer.send("clicks", b"value", key=b"user 7")
        where = await delivery  # topic, partition, offset

`send` returns when the record is in its batch, and waits while too much is unacknowledged. What becomes of
the record is in the future that it returns: a RecordMetadata, or a ClientError.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicInfo, TopicPartition
from fastlog.client.partitioner import StickyPartitions, partition_of_key
from fastlog.client.producer_batches import BATCH_OVERHEAD, RecordMetadata, record_size
from fastlog.client.producer_config import ProducerConfig
from fastlog.client.producer_sender import Sender
from fastlog.client.topic_cache import TopicCache
from fastlog.errors import ErrorCode

__all__ = ["Producer", "ProducerConfig", "RecordMetadata"]


class Producer:
    """A producer on a cluster that the caller opened; an async context manager. Belongs to one event loop.

    Leaving the context flushes; leaving it by an exception drops what is not written yet. Transactions are
    not supported so far.
    """

    def __init__(self, cluster: Cluster, config: ProducerConfig | None = None) -> None:
        self._config = config or ProducerConfig()
        self._topics = TopicCache(cluster, allow_auto_create=self._config.allow_auto_create_topics)
        self._sender = Sender(
            cluster, self._topics, self._config, released=self._release, left=self._batch_left
        )
        self._sticky = StickyPartitions()
        self._available: dict[str, tuple[TopicInfo, list[int]]] = {}
        self._used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    async def __aenter__(self) -> Self:
        self._sender.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(flush=error is None)

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Iterable[tuple[str, bytes | None]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> asyncio.Future[RecordMetadata]:
        """Puts a record into its batch. A null value is a tombstone in compacted topics.

        The partition: the given one, else by the key, else by turns. The time: the given one, else now.
        Raises ClientError when the topic cannot be had within `max_block_ms`, the partition does not exist
        or the record is larger than `max_request_size`; RuntimeError after `close`.
        """
        self._check_open()
        known = self._topics.known(topic) or await self._topics.get(
            topic, timeout_ms=self._config.max_block_ms
        )
        names = list(headers)
        size = record_size(key, value, names)
        if size + BATCH_OVERHEAD > self._config.max_request_size:
            text = (
                f"a record of {size} bytes does not fit into max_request_size={self._config.max_request_size}"
            )
            raise ClientError(ErrorCode.MESSAGE_TOO_LARGE, text)
        index = await self._partition(known, key, partition)
        await self._reserve(size)
        try:
            queue = self._sender.queue(TopicPartition(topic, index))
        except ClientError:
            self._release(size)
            raise
        batch = queue.open_batch
        # A new batch starts a linger time, a full one may go: only then there is something to look at.
        if batch is None or batch.size + size > self._config.batch_size:
            batch = queue.new_batch(asyncio.get_running_loop().time())
            self._sender.wake()
        if timestamp_ms is None:
            timestamp_ms = time.time_ns() // 1_000_000
        future = batch.append((key, value, names, timestamp_ms), size)
        if batch.size >= self._config.batch_size:
            self._sender.wake()
        return future

    async def flush(self) -> None:
        """Sends everything at once and waits until each record so far is written or has failed."""
        await self._sender.settled()

    async def close(self, *, flush: bool = True) -> None:
        """Flushes (unless told not to) and stops. May be called more than once."""
        if self._closed:
            return
        self._closed = True
        try:
            if flush:
                await self._sender.settled()
        finally:
            text = "the producer was closed before the record was acknowledged"
            await self._sender.stop(ClientError(ErrorCode.OPERATION_NOT_ATTEMPTED, text))

    # -- inside --------------------

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the producer is closed")

    async def _partition(self, topic: TopicInfo, key: bytes | None, partition: int | None) -> int:
        if partition is not None:
            if not 0 <= partition < len(topic.partitions):
                await self._topics.refresh(topic.name)
                count = len((self._topics.known(topic.name) or topic).partitions)
                if not 0 <= partition < count:
                    text = f"topic {topic.name!r} has no partition {partition}, it has {count}"
                    raise ClientError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, text)
            return partition
        if key is not None:
            return partition_of_key(key, len(topic.partitions))
        return self._sticky.choose(topic.name, self._available_in(topic))

    def _available_in(self, topic: TopicInfo) -> list[int]:
        known = self._available.get(topic.name)
        if known is not None and known[0] is topic:
            return known[1]
        led = [partition.index for partition in topic.partitions if partition.leader >= 0]
        available = led or [partition.index for partition in topic.partitions]
        self._available[topic.name] = (topic, available)
        return available

    def _batch_left(self, name: TopicPartition) -> None:
        topic = self._topics.known(name.topic)
        if topic is not None:
            self._sticky.batch_done(name.topic, name.partition, self._available_in(topic))

    async def _reserve(self, size: int) -> None:
        if self._used and self._used + size > self._config.buffer_memory:
            self._sender.hurry += 1
            self._sender.wake()
            try:
                while self._used and self._used + size > self._config.buffer_memory:
                    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting.append(turn)
                    await turn
            finally:
                self._sender.hurry -= 1
            self._check_open()
        self._used += size

    def _release(self, size: int) -> None:
        self._used -= size
        waiting, self._waiting = self._waiting, deque()
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)
