"""Reads records in a thread; the work is done on an event loop in a thread of the consumer's own.

with Consumer("127.0.0.1:9092", group_id="etl") as consumer:
    consumer.subscribe(["clicks"])
    for partition, records in consumer.poll(timeout_ms=1000).items():
        ...
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import re
import warnings
import weakref
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from fastlog.client.columns import RecordColumns
from fastlog.client.consumer.asynchronous import AsyncConsumer
from fastlog.client.consumer.config import ConsumerOptions
from fastlog.client.consumer.engine import CLOSE_SECONDS, Polled
from fastlog.client.consumer.listener import Happening, RebalanceListener
from fastlog.client.leaders import OffsetAt
from fastlog.client.loop_thread import LoopThread
from fastlog.client.metadata import TopicPartition
from fastlog.client.offset_values import GroupMetadata, OffsetAndMetadata, Offsets
from fastlog.client.positions import Position
from fastlog.native import Record

__all__ = ["Consumer"]

T = TypeVar("T")

Call = tuple[Happening, frozenset[TopicPartition], "asyncio.Future[None]"]


class _Inner(AsyncConsumer):
    """The consumer on the other thread; its listener is called in the thread of the caller."""

    calls: queue.SimpleQueue[Call | None]

    async def _call(self, what: Happening, partitions: frozenset[TopicPartition]) -> None:
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.calls.put((what, partitions, called))
        await called

    def answer(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        """Calls the listener here, and tells the other thread of the outcome."""
        what, partitions, called = call
        try:
            getattr(self._listener, f"on_{what}")(sorted(partitions))
        except BaseException as error:  # noqa: BLE001 - it comes out of the poll
            loop.call_soon_threadsafe(_fail, called, error)
        else:
            loop.call_soon_threadsafe(_succeed, called)


def _succeed(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


class Consumer:
    """A consumer for one thread at a time; a context manager, but it starts by itself, too.

    Arguments are those of `AsyncConsumer`. A `listener` is called in the thread that polls. It may not be
    used in a child of a fork. One that is not closed is closed when nobody knows it any more, with a
    ResourceWarning.
    """

    def __init__(
        self,
        *address_and_topics: str,
        bootstrap_servers: str | Sequence[str] | None = None,
        config: Mapping[str, object] | None = None,
        listener: RebalanceListener | None = None,
        **options: Unpack[ConsumerOptions],
    ) -> None:
        inner = self._inner = _Inner(
            *address_and_topics,
            bootstrap_servers=bootstrap_servers,
            config=config,
            listener=listener,
            **options,
        )
        inner.calls = queue.SimpleQueue()
        self._thread = LoopThread("consumer")
        self._abandoned = weakref.finalize(self, _abandon, inner, self._thread)

    def __enter__(self) -> Self:
        try:
            self._run(self._inner._started())
        except BaseException:
            self._close(commit=False, timeout=CLOSE_SECONDS)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(commit=error is None, timeout=CLOSE_SECONDS)

    def close(self, timeout: float | None = CLOSE_SECONDS) -> None:
        """Commits (with auto commit), leaves the group, ends all requests. May be called more than once.

        After `timeout` seconds (None: no limit) a group that does not answer is not waited for any more. At
        the end of a `with` that an exception leaves nothing is committed: what was handed out last may not be
        done.
        """
        self._close(commit=True, timeout=timeout)

    def _close(self, *, commit: bool, timeout: float | None) -> None:
        if self._abandoned.detach() is None:
            return
        try:
            self._run(self._inner._engine.close(commit=commit, timeout=timeout))
        finally:
            self._thread.stop()

    # -- what is read --------------------

    def subscribe(
        self,
        topics: Iterable[str] = (),
        *,
        pattern: str | re.Pattern[str] | None = None,
        listener: RebalanceListener | None = None,
    ) -> None:
        """Shares out partitions in the group: those of topics, or of all topics that `pattern` is found in.

        Takes the place of an earlier subscription. The group is joined in the next poll. Raises ValueError,
        and RuntimeError without a `group_id` or when partitions are assigned.
        """
        self._run(self._inner.subscribe(topics, pattern=pattern, listener=listener))

    def assign(self, partitions: Collection[TopicPartition | tuple[str, int]]) -> None:
        """Reads these partitions, without sharing them out; takes the place of an earlier assignment.

        They start where the group is, if there is a `group_id`, else by `auto_offset_reset`.
        """
        self._run(self._inner.assign(partitions))

    def unsubscribe(self) -> None:
        """Reads nothing any more, and leaves the group."""
        self._run(self._inner.unsubscribe())

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that are read now."""
        return self._inner.assignment

    def pause(self, *partitions: TopicPartition) -> None:
        """Hands nothing out of these until `resume`. Raises ValueError when one is not assigned."""
        self._inner.pause(*partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Goes on with these. Raises ValueError when one is not assigned."""

        async def go_on() -> None:
            self._inner.resume(*partitions)

        self._run(go_on())

    def paused(self) -> frozenset[TopicPartition]:
        """Those that are paused."""
        return self._inner.paused()

    def seek(self, partition: TopicPartition, position: int | Position) -> None:
        """Goes on from an offset, or from a `Position`, and forgets an error of that partition."""
        self._run(self._inner.seek(partition, position))

    def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        """Goes on from the first record of these, or of all."""
        self._run(self._inner.seek_to_beginning(*partitions))

    def seek_to_end(self, *partitions: TopicPartition) -> None:
        """Goes on behind the last record of these, or of all."""
        self._run(self._inner.seek_to_end(*partitions))

    def position(self, partition: TopicPartition) -> int:
        """The offset that comes next. Raises ValueError when the partition is not assigned."""
        return self._run(self._inner.position(partition))

    # -- records --------------------

    def poll(self, timeout_ms: float | None = 0, max_records: int | None = None) -> Polled:
        """Records that have come, by partition and in order; waits for some for at most `timeout_ms`.

        None waits without a limit. At most `max_records`, or `max_poll_records`. Partitions are served in
        turn. Raises ClientError: that of a partition that cannot go on (in every call until it is sought
        elsewhere; CorruptBatch says where), or of the group; and what a listener raises.
        """
        return self._run(self._inner.poll(timeout_ms, max_records))

    def poll_columns(
        self,
        timeout_ms: float | None = 0,
        max_records: int | None = None,
        *,
        max_bytes: int | None = None,
    ) -> RecordColumns:
        """`poll` as columns, for numpy and Arrow: all that has come, at most `max_records`.

        No more are taken once they take `max_bytes` (16 MiB by default; decompressed, and 32 for each
        record). Empty when nothing came in time. Raises as `poll`; a damaged batch is also `damage` of the
        result that has the records before it.
        """
        return self._run(self._inner.poll_columns(timeout_ms, max_records, max_bytes=max_bytes))

    def consume(self, num_messages: int = 1, timeout: float | None = None) -> list[Record]:
        """At most so many records in one list, as confluent-kafka has it; `timeout` in seconds.

        Unlike there it returns as soon as there are some.
        """
        return self._run(self._inner.consume(num_messages, timeout))

    def __iter__(self) -> Iterator[Record]:
        while True:
            yield from self._inner._engine.each(self.poll(None))

    # -- offsets --------------------

    def commit(self, offsets: Offsets | None = None) -> None:
        """Commits these, or the positions of all partitions, and waits. Raises ClientError."""
        self._run(self._inner.commit(offsets))

    def commit_async(self, offsets: Offsets | None = None) -> concurrent.futures.Future[None]:
        """The same without waiting; the future may be ignored."""
        self._thread.check()
        return asyncio.run_coroutine_threadsafe(self._inner.commit(offsets), self._thread.loop)

    def committed(self, *partitions: TopicPartition) -> dict[TopicPartition, OffsetAndMetadata | None]:
        """What the group has committed for these, or for all that are assigned; None for nothing."""
        return self._run(self._inner.committed(*partitions))

    @property
    def group_metadata(self) -> GroupMetadata:
        """Who commits, for `send_offsets_to_transaction`. Raises RuntimeError without a group."""
        return self._inner.group_metadata

    def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset of each. Raises ClientError."""
        return self._run(self._inner.beginning_offsets(partitions))

    def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset behind the last record of each that may be read. Raises ClientError."""
        return self._run(self._inner.end_offsets(partitions))

    def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, OffsetAt | None]:
        """The first record at or after a time (ms since 1970) of each; None where there is none."""
        return self._run(self._inner.offsets_for_times(times))

    def partitions_for_topic(self, topic: str) -> frozenset[int]:
        """The partitions of a topic; none when it does not exist."""
        return self._run(self._inner.partitions_for_topic(topic))

    def topics(self) -> frozenset[str]:
        """All topics that may be seen."""
        return self._run(self._inner.topics())

    # -- inside --------------------

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs it in the other thread; meanwhile the listener is called here."""
        try:
            self._thread.check()
        except BaseException:
            work.close()
            raise
        calls = self._inner.calls
        future = asyncio.run_coroutine_threadsafe(work, self._thread.loop)
        future.add_done_callback(lambda _: calls.put(None))
        try:
            while True:
                call = calls.get()
                if call is not None:
                    self._inner.answer(call, self._thread.loop)
                elif future.done():
                    return future.result()
        except concurrent.futures.CancelledError:
            raise RuntimeError("the consumer was closed") from None
        except BaseException:
            future.cancel()
            raise


def _abandon(inner: _Inner, thread: LoopThread) -> None:
    """What becomes of a consumer that nobody closed: its group need not wait for its session to end."""
    if thread.loop.is_closed() or thread.is_here:
        thread.stop()
        return
    warnings.warn("a Consumer was not closed", ResourceWarning, stacklevel=1)
    try:
        thread.run(inner._engine.close(commit=False, tell=False), 5.0)
    except (TimeoutError, RuntimeError):
        pass
    finally:
        thread.stop()
