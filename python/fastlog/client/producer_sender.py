"""The producer's other half: one task that sends batches that are ready, and one per request on the way."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastlog.client.cluster import Cluster
from fastlog.client.errors import (
    BadResponse,
    BrokerError,
    ClientError,
    ConnectionFailed,
    RequestTimedOut,
    Unreachable,
)
from fastlog.client.metadata import TopicPartition
from fastlog.client.producer_batches import BATCH_OVERHEAD, Batch, PartitionQueue
from fastlog.client.producer_config import ProducerConfig
from fastlog.client.producer_identity import ProducerIdentity
from fastlog.client.topic_cache import TopicCache
from fastlog.errors import ErrorCode, FastlogError
from fastlog.net.link import Link
from fastlog.wire import ApiKey
from fastlog.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)

LANE: Final = "produce"
METADATA_MAX_AGE: Final = 300.0
"""Seconds after which topics are looked at again, to see new partitions."""

_BETWEEN_REFRESHES: Final = 0.05
_ENCODE_IN_A_THREAD: Final = 32 * 1024
"""Bytes from which on compression is kept off the event loop."""
_SEQUENCE_LOST: Final = frozenset({ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, ErrorCode.UNKNOWN_PRODUCER_ID})

Item = tuple[PartitionQueue, Batch]


class Sender:
    """Takes batches out of the partitions' queues and sees them through.

    `released(bytes)` is called when a batch is done, `left(partition)` when one goes out for the first time.
    """

    def __init__(
        self,
        cluster: Cluster,
        topics: TopicCache,
        config: ProducerConfig,
        *,
        released: Callable[[int], None],
        left: Callable[[TopicPartition], None],
    ) -> None:
        self.hurry = 0
        """While positive, batches go out at once: somebody flushes or waits for memory."""
        self._cluster = cluster
        self._topics = topics
        self._config = config
        self._released = released
        self._left = left
        self._identity = ProducerIdentity(cluster)
        self._queues: dict[TopicPartition, PartitionQueue] = {}
        self._on_the_way: defaultdict[int, int] = defaultdict(int)
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._singles: dict[str, asyncio.Task[None]] = {}
        self._watchers: list[tuple[float, asyncio.Future[None]]] = []
        self._delivered = False
        self._refreshed = -math.inf
        self._failure: ClientError | None = None

    # -- called by the producer --------------------

    def start(self) -> None:
        """Starts the sending task."""
        self._refreshed = asyncio.get_running_loop().time()
        self._single("run", self._run)

    def queue(self, name: TopicPartition) -> PartitionQueue:
        """The queue of a partition. Raises the error that ended the sender, if one did."""
        if self._failure is not None:
            raise self._failure
        found = self._queues.get(name)
        if found is None:
            found = self._queues[name] = PartitionQueue(name, 5 if self._config.idempotent else 1)
        return found

    def wake(self) -> None:
        """Something may be ready."""
        self._wake.set()

    async def settled(self) -> None:
        """Waits until every batch that exists now is written or has failed."""
        moment = asyncio.get_running_loop().time()
        self.hurry += 1
        self.wake()
        try:
            if self._unfinished_since(moment):
                watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._watchers.append((moment, watcher))
                await watcher
        finally:
            self.hurry -= 1

    async def stop(self, error: ClientError) -> None:
        """Ends all tasks; what is not written yet fails with `error`."""
        tasks = [*self._tasks, *self._singles.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail_everything(error)

    # -- the sending task --------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            now = loop.time()
            self._expire(now)
            self._look_after_identity()
            if now - self._refreshed > METADATA_MAX_AGE:
                self._single("refresh", self._refresh)
            until = min(self._dispatch(now), self._refreshed + METADATA_MAX_AGE + 1)
            try:
                async with asyncio.timeout_at(until):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _dispatch(self, now: float) -> float:
        """Sends what may go. Returns when to look again, if nothing happens before."""
        while True:
            requests, until = self._collect(now)
            if not requests:
                return until
            for node, items in requests.items():
                for queue, batch in items:
                    if not batch.attempts:
                        self._left(queue.name)
                    queue.take(batch, self._identity.usable)
                self._on_the_way[node] += 1
                self._spawn(self._exchange(node, items))

    def _collect(self, now: float) -> tuple[dict[int, list[Item]], float]:
        """At most one request per broker, with at most one batch per partition."""
        until = math.inf
        requests: defaultdict[int, list[Item]] = defaultdict(list)
        sizes: defaultdict[int, int] = defaultdict(int)
        for queue in self._queues.values():
            batch, wait_until = self._candidate(queue, now)
            until = min(until, wait_until)
            if batch is None:
                continue
            partition = self._topics.partition(queue.name)
            if partition is None:
                self._single("refresh", self._refresh)
                continue
            node = partition.leader
            if self._on_the_way[node] >= self._config.max_in_flight_requests_per_connection:
                continue
            if sizes[node] and sizes[node] + batch.size > self._config.max_request_size:
                continue
            sizes[node] += batch.size
            requests[node].append((queue, batch))
        return requests, until

    def _candidate(self, queue: PartitionQueue, now: float) -> tuple[Batch | None, float]:
        """The batch of a queue that can go now, or None and when to look again."""
        if not queue.waiting:
            return None, math.inf
        until = queue.waiting[0].created + self._config.delivery_timeout_ms / 1000 + 0.001
        if queue.retry_at > now:
            return None, min(until, queue.retry_at)
        batch = queue.next(now, draining=self._identity.is_stale)
        if batch is None:
            return None, until
        if self._config.idempotent and batch.identity is None and self._identity.usable is None:
            return None, until
        ready_at = batch.created + self._config.linger_ms / 1000
        if batch.closed or batch.size >= self._config.batch_size or self.hurry or now >= ready_at:
            return batch, until
        return None, min(until, ready_at)

    def _expire(self, now: float) -> None:
        limit = self._config.delivery_timeout_ms / 1000
        for queue in self._queues.values():
            for batch in [batch for batch in queue.waiting if now >= batch.created + limit]:
                queue.waiting.remove(batch)
                self._finish(queue, batch, self._too_late(batch))

    def _too_late(self, batch: Batch) -> ClientError:
        text = f"partition {batch.name}: not acknowledged within {self._config.delivery_timeout_ms} ms"
        last = batch.last_error
        if last is not None:
            text += f" ({batch.attempts} tries; the last: {last})"
        return RequestTimedOut(text, api=ApiKey.PRODUCE)

    # -- one request --------------------

    async def _exchange(self, node: int, items: list[Item]) -> None:
        try:
            link, answer = await self._talk(node, items)
        except ClientError as error:
            for queue, batch in items:
                if queue.settle(batch):
                    self._handle(queue, batch, error)
        except FastlogError as error:  # the request cannot be put on the wire
            for queue, batch in items:
                if queue.settle(batch):
                    self._finish(queue, batch, ClientError(ErrorCode.INVALID_REQUEST, str(error)))
        else:
            self._take_answer(link, items, answer)
        finally:
            self._on_the_way[node] -= 1
            self.wake()

    async def _talk(self, node: int, items: list[Item]) -> tuple[Link, ProduceResponse | None]:
        config = self._config
        # In turns: batches of a partition must reach the socket in the order of their sequence numbers.
        async with self._locks[node]:
            request = await self._request(items)
            link = await self._cluster.link(node, lane=LANE, timeout_ms=config.request_timeout_ms)
            version = link.versions.pick(ApiKey.PRODUCE, 7 if config.compression_type == "zstd" else 3)
            if config.acks == 0:
                await link.connection.send(request, version)
                return link, None
            # Somewhat more than the broker was given, so that its own answer about the timeout can come.
            timeout = config.request_timeout_ms / 1000 + 1
            future = link.connection.start(request, version, timeout=timeout)
        answer = link.connection.decode(ApiKey.PRODUCE, version, await future)
        assert isinstance(answer, ProduceResponse)  # noqa: S101
        return link, answer

    async def _request(self, items: list[Item]) -> ProduceRequest:
        config = self._config
        topics: defaultdict[str, list[PartitionProduceData]] = defaultdict(list)
        for _, batch in items:
            what = (config.compression_type, config.compression_level)
            if what[0] != "none" and batch.size >= _ENCODE_IN_A_THREAD:
                data = await asyncio.to_thread(batch.encode, *what)
            else:
                data = batch.encode(*what)
            topics[batch.name.topic].append(PartitionProduceData(batch.name.partition, data))
        return ProduceRequest(
            acks=config.acks,
            timeout_ms=config.request_timeout_ms,
            topic_data=[TopicProduceData(name, rows) for name, rows in topics.items()],
        )

    def _take_answer(self, link: Link, items: list[Item], answer: ProduceResponse | None) -> None:
        rows: dict[TopicPartition, PartitionProduceResponse] = {}
        for topic in () if answer is None else answer.responses:
            rows |= {TopicPartition(topic.name, row.index): row for row in topic.partition_responses}
        address = link.connection.address
        for queue, batch in items:
            if not queue.settle(batch):
                continue
            row = rows.get(batch.name)
            if answer is None:
                self._succeed(queue, batch, -1, -1)
            elif row is None:
                text = f"the answer leaves partition {batch.name} out"
                self._handle(queue, batch, BadResponse(text, api=ApiKey.PRODUCE, broker=address))
            elif row.error_code == ErrorCode.NONE:
                self._succeed(queue, batch, row.base_offset, row.log_append_time_ms)
            elif row.error_code == ErrorCode.DUPLICATE_SEQUENCE_NUMBER:
                # Written by an earlier try, too long ago for the broker to know where.
                self._succeed(queue, batch, -1, -1)
            else:
                code = ErrorCode.of(row.error_code)
                self._handle(queue, batch, *_errors_of(row, code, batch, address))

    # -- outcomes --------------------

    def _succeed(self, queue: PartitionQueue, batch: Batch, offset: int, time_ms: int) -> None:
        self._delivered = True
        queue.succeeded()
        batch.succeed(offset, time_ms)
        self._done(batch)

    def _handle(
        self,
        queue: PartitionQueue,
        batch: Batch,
        error: ClientError,
        of_records: dict[int, ClientError] | None = None,
    ) -> None:
        """A try has failed; the batch is in no list now. Puts it back or gives it up."""
        now = asyncio.get_running_loop().time()
        batch.last_error = error
        if error.code is ErrorCode.MESSAGE_TOO_LARGE and len(batch.records) > 1:
            queue.put_back(*batch.split())
        elif batch.identity is not None and error.code in _SEQUENCE_LOST:
            # It is not written, and while an older batch is under way that is just the order of things.
            if queue.is_first(batch):
                batch.forget_identity()
                self._identity.retire()
            queue.put_back(batch)
        elif self._is_hopeless(error):
            self._finish(queue, batch, error, of_records)
        elif now >= batch.created + self._config.delivery_timeout_ms / 1000:
            self._finish(queue, batch, self._too_late(batch))
        else:
            queue.put_back(batch)
            config = self._config
            wait_ms = min(config.retry_backoff_ms * 2**queue.failures, config.retry_backoff_max_ms)
            queue.retry_at = now + wait_ms / 1000
            queue.failures = min(queue.failures + 1, 20)
            self._single("refresh", self._refresh)

    def _is_hopeless(self, error: ClientError) -> bool:
        if isinstance(error, Unreachable):
            # A wrong advertised address stays wrong; a cluster that has worked may come back.
            return not self._delivered
        return not error.retriable

    def _finish(
        self,
        queue: PartitionQueue,
        batch: Batch,
        error: ClientError,
        of_records: dict[int, ClientError] | None = None,
    ) -> None:
        if batch.identity is not None:
            self._identity.retire()
        batch.fail(error, of_records)
        self._done(batch)

    def _done(self, batch: Batch) -> None:
        self._released(batch.size - BATCH_OVERHEAD)
        if self._watchers:
            left = []
            for moment, watcher in self._watchers:
                if watcher.done():
                    continue
                if self._unfinished_since(moment):
                    left.append((moment, watcher))
                else:
                    watcher.set_result(None)
            self._watchers = left

    def _unfinished_since(self, moment: float) -> bool:
        return any(queue.unfinished_since(moment) for queue in self._queues.values())

    def _fail_everything(self, error: ClientError) -> None:
        self._failure = error
        for queue in self._queues.values():
            batches = [*queue.in_flight, *queue.waiting]
            queue.in_flight.clear()
            queue.waiting.clear()
            for batch in batches:
                self._finish(queue, batch, error)

    # -- helpers that run beside --------------------

    def _look_after_identity(self) -> None:
        if not self._config.idempotent or self._identity.usable is not None:
            return
        waiting = any(queue.waiting for queue in self._queues.values())
        if waiting and not any(queue.has_identity for queue in self._queues.values()):
            self._single("identity", self._renew)

    async def _renew(self) -> None:
        try:
            await self._identity.renew(self._config.delivery_timeout_ms)
        except ClientError as error:
            self._fail_everything(error)
            return
        for queue in self._queues.values():
            queue.restart_sequence()

    async def _refresh(self) -> None:
        try:
            await self._topics.refresh(timeout_ms=self._config.request_timeout_ms)
        except ClientError:
            # The batches' own tries and deadlines decide when it is enough.
            await asyncio.sleep(self._config.retry_backoff_max_ms / 1000)
        else:
            self._refreshed = asyncio.get_running_loop().time()
            # Not more often, when a partition stays without a leader.
            await asyncio.sleep(_BETWEEN_REFRESHES)

    def _single(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Starts `work` unless it is running already."""
        if name not in self._singles:
            task = self._singles[name] = asyncio.ensure_future(work())
            task.add_done_callback(lambda task: self._single_done(name, task))

    def _single_done(self, name: str, task: asyncio.Task[None]) -> None:
        self._singles.pop(name, None)
        self._check(task)
        self.wake()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._check)

    def _check(self, task: asyncio.Task[None]) -> None:
        """A defect must not leave records waiting for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            found = ClientError(ErrorCode.UNKNOWN_SERVER_ERROR, f"the producer failed: {error!r}")
            found.__cause__ = error
            self._fail_everything(found)


def _errors_of(
    row: PartitionProduceResponse, code: ErrorCode, batch: Batch, address: str
) -> tuple[ClientError, dict[int, ClientError]]:
    def error(text: str) -> ClientError:
        return BrokerError(code, f"partition {batch.name}: {text}", api=ApiKey.PRODUCE, broker=address)

    bad = {
        entry.batch_index: error(entry.batch_index_error_message or row.error_message or code.text)
        for entry in row.record_errors
    }
    text = row.error_message or code.text
    if bad:
        text = f"refused together with a bad record of the same batch: {text}"
    return error(text), bad


__all__ = ["LANE", "METADATA_MAX_AGE", "ConnectionFailed", "Sender"]
