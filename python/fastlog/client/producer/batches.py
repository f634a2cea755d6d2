"""A batch on its way: its identity, its tries, and who waits for its outcome.

A batch gets its sequence numbers when it is first sent and keeps them in every later try, so that the broker
recognizes it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastlog.client.errors import ClientError, RequestTimedOut
from fastlog.client.metadata import TopicPartition
from fastlog.native import RecordBatch, RecordMetadata

if TYPE_CHECKING:
    from fastlog.native import Chunk, Delivery

__all__ = ["BATCH_OVERHEAD", "SEQUENCE_MASK", "Batch", "Identity", "Outcome"]

BATCH_OVERHEAD: Final = 61
SEQUENCE_MASK: Final = 0x7FFFFFFF

_LOG: Final = logging.getLogger("fastlog.client")
_LOCK: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Identity:
    """Producer id and epoch, given by a broker (InitProducerId)."""

    producer_id: int
    epoch: int


class Outcome:
    """Whoever waits for something to be over: coroutines of any event loop, threads, and callbacks."""

    __slots__ = ("_event", "_futures", "_later", "asked", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self.asked = False
        """Whether anybody has waited or looked."""
        self._futures: list[asyncio.Future[None]] = []
        self._later: list[Callable[[], object]] = []
        self._event: threading.Event | None = None

    def over(self) -> None:
        """It is over now."""
        with _LOCK:
            self.is_over = True
            futures, self._futures = self._futures, []
            later, self._later = self._later, []
            event = self._event
        if event is not None:
            event.set()
        for future in futures:
            _wake(future)
        for call in later:
            call()

    def wait_here(self) -> Generator[Any, None, None]:
        """Waits on the running event loop."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with _LOCK:
            if self.is_over:
                return
            self.asked = True
            self._futures.append(future)
        yield from future.__await__()

    __await__ = wait_here

    def wait(self, timeout: float | None, *, anywhere: bool = False) -> bool:
        """Waits in this thread; whether it is over. Not on an event loop, unless `anywhere`."""
        with _LOCK:
            if self.is_over:
                return True
            self.asked = True
            event = self._event = self._event or threading.Event()
        if not anywhere and _is_on_a_loop():
            raise RuntimeError("result() would stop the event loop: await the delivery instead")
        return event.wait(timeout)

    def then(self, call: Callable[[], object]) -> None:
        """Calls when it is over, or now."""
        with _LOCK:
            if not self.is_over:
                self.asked = True
                self._later.append(call)
                return
        call()


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _wake(future: asyncio.Future[None]) -> None:
    loop = future.get_loop()
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is loop:
        _set(future)
    elif not loop.is_closed():
        loop.call_soon_threadsafe(_set, future)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Batch(RecordBatch):
    """Records of one partition that are sent, acknowledged or refused together.

    `created` is a moment of `time.monotonic`, `order` its place in the queue of its partition.
    """

    __slots__ = (
        "attempts",
        "created",
        "data",
        "identity",
        "last_error",
        "name",
        "order",
        "outcome",
        "parts",
        "reserved",
        "sequence",
    )

    def __new__(cls, name: TopicPartition, created: float, order: int, capacity: int = 0) -> Batch:
        """An empty batch."""
        return super().__new__(cls, name.topic, name.partition, capacity)

    def __init__(self, name: TopicPartition, created: float, order: int, capacity: int = 0) -> None:
        self.name: Final = name
        self.created: Final = created
        self.order: Final = order
        self.attempts = 0
        self.identity: Identity | None = None
        self.sequence = -1
        self.data: Chunk | None = None
        self.last_error: ClientError | None = None
        self.outcome: Final = Outcome()
        self.parts: tuple[Batch, Batch, int] | None = None
        self.reserved: int | None = None

    @property
    def memory(self) -> int:
        """What it takes of the buffer."""
        return self.size - BATCH_OVERHEAD if self.reserved is None else self.reserved

    def encode(self, codec: str, level: int | None, *, transactional: bool) -> Chunk:
        """The batch's bytes, made once: a later try sends the same."""
        if self.data is None:
            identity = self.identity or Identity(-1, -1)
            self.data = self.seal(
                codec=codec,
                level=level,
                producer_id=identity.producer_id,
                producer_epoch=identity.epoch,
                base_sequence=self.sequence,
                transactional=transactional,
            )
        return self.data

    def identify(self, identity: Identity, sequence: int) -> None:
        """Gives it its place in the sequence of a producer."""
        self.identity = identity
        self.sequence = sequence
        if self.data is not None:
            self.data = self.restamped(self.data, identity.producer_id, identity.epoch, sequence)

    def forget_identity(self) -> None:
        """The broker has not written it and will not under this identity: it may go under another one."""
        self.identity = None
        self.sequence = -1

    def written(self, base_offset: int, log_append_time_ms: int) -> None:
        """Tells where the records are."""
        self.succeed(base_offset, log_append_time_ms)
        self.outcome.over()

    def failed(self, error: ClientError, of_records: dict[int, ClientError] | None = None) -> None:
        """Tells the records' error."""
        had_callbacks = self.fail(error, of_records)
        if not (had_callbacks or self.outcome.asked):
            _LOG.warning("%d records are not written, and nobody waits for them: %s", self.count, error)
        self.outcome.over()

    def halves(self) -> tuple[Batch, Batch]:
        """Two batches with half of the records each, in the same place of the sequence."""
        assert self.data is not None, "only what was sent is too large"  # noqa: S101
        first, second = (Batch(self.name, self.created, self.order) for _ in range(2))
        middle = self.split(self.data, first, second)
        first.reserved = self.memory // 2
        second.reserved = self.memory - first.reserved
        for half, start in ((first, 0), (second, middle)):
            half.attempts = self.attempts
            half.identity = self.identity
            half.sequence = -1 if self.identity is None else (self.sequence + start) & SEQUENCE_MASK
            half.outcome.asked = self.outcome.asked
        self.parts = (first, second, middle)
        self.outcome.over()
        return first, second

    # -- what a Delivery asks --------------------

    def find(self, index: int) -> tuple[Batch, int]:
        """Where a record is after splits."""
        batch = self
        while batch.parts is not None:
            first, second, middle = batch.parts
            batch, index = (first, index) if index < middle else (second, index - middle)
        return batch, index

    def done_at(self, index: int) -> bool:
        """Whether the fate of a record is known."""
        batch, _ = self.find(index)
        batch.outcome.asked = True
        return batch.is_done

    def result_at(self, index: int, timeout: float | None) -> RecordMetadata:
        """Waits in this thread, and raises what the record failed with."""
        batch, index = self._wait(index, timeout)
        return batch.metadata_at(index)

    def exception_at(self, index: int, timeout: float | None) -> BaseException | None:
        """The same, for its error."""
        batch, index = self._wait(index, timeout)
        return batch.error_at(index)

    def wait_at(self, index: int) -> Generator[Any, None, RecordMetadata]:
        """Waits on the running event loop."""
        batch, at = self.find(index)
        while not batch.is_done:
            yield from batch.outcome.wait_here()
            batch, at = self.find(index)
        return batch.metadata_at(at)

    def call_at(self, index: int, callback: Callable[[Delivery], object], delivery: Delivery) -> None:
        """Calls `callback(delivery)` when the fate of a record is known."""
        batch, at = self.find(index)
        if batch.is_done:
            callback(delivery)
        else:
            batch.outcome.then(lambda: batch.call_at(at, callback, delivery))

    def _wait(self, index: int, timeout: float | None) -> tuple[Batch, int]:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            batch, at = self.find(index)
            if batch.is_done:
                return batch, at
            left = None if end is None else max(end - time.monotonic(), 0)
            if not batch.outcome.wait(left):
                raise RequestTimedOut(f"partition {self.name}: not acknowledged within {timeout} s so far")
