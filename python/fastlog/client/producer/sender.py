"""The producer's other half: one task that sends batches that are ready, and one per request on the way."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from fastlog.client.cluster import Cluster
from fastlog.client.errors import BadResponse, ClientError, RequestTimedOut, Unreachable
from fastlog.client.metadata import TopicPartition
from fastlog.client.producer.batches import Batch, Identity
from fastlog.client.producer.config import ProducerConfig
from fastlog.client.producer.queues import PartitionQueue
from fastlog.client.producer.requests import Item, errors_of, produce_request
from fastlog.client.topic_cache import TopicCache
from fastlog.errors import ErrorCode, FastlogError
from fastlog.wire import ApiKey
from fastlog.wire.messages.produce import PartitionProduceResponse, ProduceResponse

__all__ = ["LANE", "METADATA_MAX_AGE", "IdentitySource", "Sender"]

LANE: Final = "produce"
METADATA_MAX_AGE: Final = 300.0
"""Seconds after which topics are looked at again, to see new partitions."""

_BETWEEN_REFRESHES: Final = 0.05
_SEQUENCE_LOST: Final = frozenset({ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, ErrorCode.UNKNOWN_PRODUCER_ID})


class IdentitySource(Protocol):
    """Where producer ids come from, and when batches may go out under them."""

    @property
    def renews(self) -> bool:
        """Whether another identity may be had at any time."""
        ...

    @property
    def usable(self) -> Identity | None:
        """What new batches are sent with; None when an identity must be had first."""
        ...

    @property
    def is_stale(self) -> bool:
        """Whether batches with the old identity must be settled before there is a new one."""
        ...

    def retire(self, error: ClientError | None) -> None:
        """The sequence has a gap, because of `error` or because the broker lost it."""
        ...

    async def renew(self, timeout_ms: int) -> None:
        """Gets an identity. Raises ClientError when that fails within `timeout_ms`."""
        ...

    @property
    def produce_versions(self) -> tuple[int, int | None]:
        """Lowest and highest version of Produce in which batches may go out."""
        ...

    def admits(self, name: TopicPartition) -> bool:
        """Whether batches of a partition may go out; if not, it is seen to that they soon may."""
        ...


class Sender:
    """Takes batches out of the partitions' queues and sees them through.

    `released(bytes)` is called when a batch is done, `left(partition)` when one goes out for the first time,
    `ended(error)` when nothing can be sent any more.
    """

    def __init__(
        self,
        cluster: Cluster,
        topics: TopicCache,
        config: ProducerConfig,
        identity: IdentitySource,
        *,
        released: Callable[[int], None],
        left: Callable[[TopicPartition], None],
        ended: Callable[[ClientError], None],
    ) -> None:
        self.hurry = 0
        """While positive, batches go out at once: somebody flushes or waits for memory."""
        self._cluster = cluster
        self._topics = topics
        self._config = config
        self._released = released
        self._left = left
        self._ended = ended
        self._identity = identity
        self._queues: dict[TopicPartition, PartitionQueue] = {}
        self._lock = threading.Lock()
        self._on_the_way: defaultdict[int, int] = defaultdict(int)
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._singles: dict[str, asyncio.Task[None]] = {}
        self._watchers: list[tuple[float, asyncio.Future[None]]] = []
        self._delivered = False
        self._refreshed = -math.inf
        self._failure: ClientError | None = None
        self._stopping = False

    # -- called by the producer --------------------

    def start(self) -> None:
        """Starts the sending task."""
        self._refreshed = time.monotonic()
        self._single("run", self._run)

    def new_batch(self, name: TopicPartition) -> Batch:
        """Opens another batch for a partition, from any thread; somebody has to `wake`.

        Raises the error that ended the sender, if one did.
        """
        if self._failure is not None:
            raise self._failure
        with self._lock:
            queue = self._queues.get(name)
            if queue is None:
                most = 5 if self._config.idempotent else 1
                queue = self._queues[name] = PartitionQueue(name, most, self._config.batch_size)
            return queue.new_batch(time.monotonic())

    @property
    def failure(self) -> ClientError | None:
        """What ended the sender, if something did."""
        return self._failure

    def wake(self) -> None:
        """Something may be ready."""
        self._wake.set()

    async def settled(self) -> None:
        """Waits until every batch that exists now is written or has failed."""
        moment = time.monotonic()
        self.hurry += 1
        self.wake()
        try:
            if self._unfinished_since(moment):
                watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._watchers.append((moment, watcher))
                await watcher
        finally:
            self.hurry -= 1

    def restart_sequences(self) -> None:
        """A new identity counts from 0."""
        for queue in list(self._queues.values()):
            queue.restart_sequence()

    def drop(self, error: ClientError, *, wanted: bool = False) -> None:
        """All that is not on its way fails with `error`. `wanted`: by the caller, so that no log tells it."""
        for queue in list(self._queues.values()):
            batches, queue.waiting = queue.waiting, []
            for batch in batches:
                batch.close()
                batch.outcome.asked |= wanted
                self._finish(queue, batch, error)

    def drop_soon(self, error: ClientError) -> None:
        """The same, in a round of the event loop of its own."""
        asyncio.get_running_loop().call_soon(self.drop, error)

    async def stop(self, error: ClientError) -> None:
        """Ends all tasks; what is not written yet fails with `error`."""
        self._stopping = True
        tasks = [*self._tasks, *self._singles.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail_everything(error)

    # -- the sending task --------------------

    async def _run(self) -> None:
        try:
            await self._send_on()
        except asyncio.CancelledError:
            if not self._stopping:
                # Whoever ends an event loop cancels all that runs on it: nobody will send any more.
                text = "the event loop of the producer has ended, and the producer was not closed before"
                self._fail_everything(ClientError(ErrorCode.OPERATION_NOT_ATTEMPTED, text))
                self._cluster.abort()
            raise

    async def _send_on(self) -> None:
        while True:
            self._wake.clear()
            now = time.monotonic()
            self._expire(now)
            self._look_after_identity()
            if now - self._refreshed > METADATA_MAX_AGE:
                self._single("refresh", self._refresh)
            until = min(self._dispatch(now), self._refreshed + METADATA_MAX_AGE + 1)
            timer = asyncio.get_running_loop().call_at(until, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()

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
        for queue in list(self._queues.values()):
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
            if not self._identity.admits(queue.name):
                continue
            sizes[node] += batch.size
            requests[node].append((queue, batch))
        return requests, until

    def _candidate(self, queue: PartitionQueue, now: float) -> tuple[Batch | None, float]:
        """The batch of a queue that can go now, or None and when to look again."""
        if not queue.waiting:
            return None, math.inf
        head = queue.waiting[0]
        until = head.created + self._config.delivery_timeout_ms / 1000 + 0.001
        if queue.retry_at > now:
            return None, min(until, queue.retry_at)
        batch = queue.next(now, draining=self._identity.is_stale)
        if batch is None:
            # A batch that was opened just now, and has no record yet.
            return None, until if head.count else max(
                now, head.created + self._config.linger_ms / 1000
            ) + 0.001
        if self._config.idempotent and batch.identity is None and self._identity.usable is None:
            return None, until
        ready_at = batch.created + self._config.linger_ms / 1000
        if batch.closed or batch.size >= self._config.batch_size or self.hurry or now >= ready_at:
            return batch, until
        return None, min(until, ready_at)

    def _expire(self, now: float) -> None:
        limit = self._config.delivery_timeout_ms / 1000
        for queue in list(self._queues.values()):
            if queue.waiting and now >= queue.waiting[0].created + limit:
                for batch in [batch for batch in queue.waiting if now >= batch.created + limit]:
                    batch.close()
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
            answer = await self._talk(node, items)
        except ClientError as error:
            for queue, batch in items:
                if queue.settle(batch):
                    self._handle(queue, batch, error)
        except FastlogError as error:  # the request cannot be put on the wire
            for queue, batch in items:
                if queue.settle(batch):
                    self._finish(queue, batch, ClientError(ErrorCode.INVALID_REQUEST, str(error)))
        else:
            self._take_answer(items, answer)
        finally:
            self._on_the_way[node] -= 1
            self.wake()

    async def _talk(self, node: int, items: list[Item]) -> ProduceResponse | None:
        config = self._config
        # In turns: batches of a partition must reach the socket in the order of their sequence numbers.
        async with self._locks[node]:
            request, broken = await produce_request(config, items)
            for queue, batch, error in broken:
                items.remove((queue, batch))
                if queue.settle(batch):
                    self._finish(queue, batch, error)
            if not items:
                return None
            link = await self._cluster.link(node, lane=LANE, timeout_ms=config.request_timeout_ms)
            lowest, highest = self._identity.produce_versions
            if config.compression_type == "zstd":
                lowest = max(lowest, 7)
            version = link.versions.pick(ApiKey.PRODUCE, lowest, highest)
            if config.acks_number == 0:
                await link.connection.send(request, version)
                return None
            # Somewhat more than the broker was given, so that its own answer about the timeout can come.
            timeout = config.request_timeout_ms / 1000 + 1
            future = link.connection.start(request, version, timeout=timeout)
        answer = link.connection.decode(ApiKey.PRODUCE, version, await future)
        assert isinstance(answer, ProduceResponse)  # noqa: S101
        return answer

    def _take_answer(self, items: list[Item], answer: ProduceResponse | None) -> None:
        rows: dict[TopicPartition, PartitionProduceResponse] = {}
        for topic in () if answer is None else answer.responses:
            rows |= {TopicPartition(topic.name, row.index): row for row in topic.partition_responses}
        for queue, batch in items:
            if not queue.settle(batch):
                continue
            row = rows.get(batch.name)
            if answer is None:
                self._succeed(queue, batch, -1, -1)
            elif row is None:
                text = f"the answer leaves partition {batch.name} out"
                self._handle(queue, batch, BadResponse(text, api=ApiKey.PRODUCE, broker=answer.broker))
            elif row.error_code == ErrorCode.NONE:
                self._succeed(queue, batch, row.base_offset, row.log_append_time_ms)
            elif row.error_code == ErrorCode.DUPLICATE_SEQUENCE_NUMBER:
                # Written by an earlier try, too long ago for the broker to know where.
                self._succeed(queue, batch, -1, -1)
            else:
                code = ErrorCode.of(row.error_code)
                self._handle(queue, batch, *errors_of(row, code, batch, answer))

    # -- outcomes --------------------

    def _succeed(self, queue: PartitionQueue, batch: Batch, offset: int, time_ms: int) -> None:
        self._delivered = True
        queue.succeeded()
        batch.written(offset, time_ms)
        self._done(batch)

    def _handle(
        self,
        queue: PartitionQueue,
        batch: Batch,
        error: ClientError,
        of_records: dict[int, ClientError] | None = None,
    ) -> None:
        """A try has failed; the batch is in no list now. Puts it back or gives it up."""
        now = time.monotonic()
        batch.last_error = error
        if error.code is ErrorCode.MESSAGE_TOO_LARGE and batch.count > 1 and batch.data is not None:
            queue.put_back(*batch.halves())
        elif batch.identity is not None and error.code in _SEQUENCE_LOST:
            # It is not written, and while an older batch is under way that is just the order of things.
            if queue.is_first(batch):
                batch.forget_identity()
                self._identity.retire(None)
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
            self._identity.retire(error)
        batch.failed(error, of_records)
        self._done(batch)

    def _done(self, batch: Batch) -> None:
        self._released(batch.memory)
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
        return any(queue.unfinished_since(moment) for queue in list(self._queues.values()))

    def _fail_everything(self, error: ClientError) -> None:
        self._failure = error
        self._ended(error)
        for queue in list(self._queues.values()):
            batches = [*queue.in_flight, *queue.waiting]
            queue.in_flight.clear()
            queue.waiting.clear()
            for batch in batches:
                batch.close()
                self._finish(queue, batch, error)

    # -- helpers that run beside --------------------

    def _look_after_identity(self) -> None:
        if not (self._config.idempotent and self._identity.renews) or self._identity.usable is not None:
            return
        waiting = any(queue.waiting for queue in list(self._queues.values()))
        if waiting and not any(queue.has_identity for queue in list(self._queues.values())):
            self._single("identity", self._renew)

    async def _renew(self) -> None:
        try:
            await self._identity.renew(self._config.delivery_timeout_ms)
        except ClientError as error:
            self._fail_everything(error)
            return
        self.restart_sequences()

    async def _refresh(self) -> None:
        try:
            await self._topics.refresh(timeout_ms=self._config.request_timeout_ms)
        except ClientError:
            # The batches' own tries and deadlines decide when it is enough.
            await asyncio.sleep(self._config.retry_backoff_max_ms / 1000)
        else:
            self._refreshed = time.monotonic()
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
