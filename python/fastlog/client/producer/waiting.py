"""Records that cannot go into a batch yet: their topic is not known, or the buffer is full.

They are served in the order in which they came, each as soon as it fits, and refused when they have waited
for `max_block_ms`. While one waits for room all later ones wait behind it, so nobody is overtaken, and a
wake-up costs the same however many wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Generator
from typing import TYPE_CHECKING, Any, Final

from fastlog.client.errors import ClientError, RequestTimedOut
from fastlog.client.producer.batches import Outcome
from fastlog.client.topic_cache import TopicCache
from fastlog.native import Delivery, NotYet

if TYPE_CHECKING:
    from fastlog.native import RecordMetadata

__all__ = ["Line", "Outgoing", "WaitingRecord"]

Outgoing = tuple[
    str,
    "bytes | None",
    "bytes | None",
    object,
    "int | None",
    "int | None",
    "Callable[[RecordMetadata | None, BaseException | None], object] | None",
]
"""What `Accumulator.send` takes: topic, value, key, headers, partition, time, callback."""

_AT_A_TIME: Final = 200
_LOG: Final = logging.getLogger("fastlog.client")


class WaitingRecord:
    """A record in the line; a Delivery of it asks this object as it would a batch."""

    __slots__ = ("admitted", "delivery", "error", "is_placed", "record", "until")

    def __init__(self, record: Outgoing, until: float) -> None:
        self.record = record
        self.is_placed = False
        """Whether the user's partitioner was asked."""
        self.until: Final = until
        self.admitted: Final = Outcome()
        self.delivery: Delivery | None = None
        self.error: BaseException | None = None

    def admit(self, delivery: Delivery) -> None:
        """It is in a batch."""
        self.delivery = delivery
        self.admitted.over()

    def refuse(self, error: BaseException) -> None:
        """It will not be in one."""
        self.error = error
        self.admitted.over()
        callback = self.record[6]
        if callback is not None:
            callback(None, error)

    def done_at(self, _index: int) -> bool:
        """Whether the fate of the record is known."""
        return self.error is not None or (self.delivery is not None and self.delivery.done())

    def result_at(self, _index: int, timeout: float | None) -> RecordMetadata:
        """Waits in this thread, and raises what the record failed with."""
        delivery, left = self._wait(timeout)
        return delivery.result(left)

    def exception_at(self, _index: int, timeout: float | None) -> BaseException | None:
        """The same, for its error."""
        try:
            delivery, left = self._wait(timeout)
        except BaseException as error:
            if error is self.error:
                return error
            raise
        return delivery.exception(left)

    def wait_at(self, _index: int) -> Generator[Any, None, RecordMetadata]:
        """Waits on the running event loop."""
        while not self.admitted.is_over:
            yield from self.admitted.wait_here()
        return (yield from self.found().__await__())

    def call_at(self, _index: int, callback: Callable[[Delivery], object], delivery: Delivery) -> None:
        """Calls `callback(delivery)` when the fate of the record is known."""

        def admitted() -> None:
            if self.delivery is None:
                callback(delivery)
            else:
                self.delivery.add_done_callback(lambda _: callback(delivery))

        self.admitted.then(admitted)

    def _wait(self, timeout: float | None) -> tuple[Delivery, float | None]:
        end = None if timeout is None else time.monotonic() + timeout
        if not self.admitted.wait(timeout):
            raise RequestTimedOut(f"the record has waited {timeout} s for its topic or for room so far")
        return self.found(), None if end is None else max(end - time.monotonic(), 0)

    def found(self) -> Delivery:
        """Its handle in its batch, once it is admitted. Raises what it was refused with."""
        if self.error is not None:
            raise self.error.with_traceback(None)
        assert self.delivery is not None  # noqa: S101
        return self.delivery


class Line:
    """The records that wait. Belongs to the producer's event loop.

    `take(record)` puts one into a batch in spite of those that wait, or raises NotYet; `known(topic)` tells
    the accumulator of a topic, `block(whether)` keeps others from overtaking.
    """

    def __init__(
        self,
        topics: TopicCache,
        *,
        opened: Callable[[], Any],
        take: Callable[[Outgoing], Delivery],
        place: Callable[[Outgoing], Outgoing],
        known: Callable[[str], None],
        block: Callable[[bool], None],
        hurry: Callable[[int], None],
        refused: Callable[[BaseException], None],
        max_block_ms: int,
        most: int,
    ) -> None:
        self._topics = topics
        self._opened = opened
        self._take = take
        self._place = place
        self._known = known
        self._block = block
        self._hurry = hurry
        self._refused = refused
        self._max_block_ms = max_block_ms
        self._most = most
        self._size = 0
        self._for_topic: dict[str, deque[WaitingRecord]] = {}
        self._for_room: deque[WaitingRecord] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self.is_aborted = False
        """Whether the caller wants none of those that wait to be sent: no log tells it."""

    def join(self, waiting: WaitingRecord, *, bounded: bool) -> None:
        """Takes a record into the line. `bounded`: raises BufferError when too much waits already."""
        topic, value, key = waiting.record[:3]
        size = len(value or b"") + len(key or b"")
        if bounded and self._size and self._size + size > self._most:
            text = (
                "the buffer is full and as much again waits for room: await deliveries, or drain(), "
                "before more is sent"
            )
            raise BufferError(text)
        self._size += size
        queue = self._for_topic.get(topic)
        if queue is not None:
            queue.append(waiting)
        elif self._topics.known(topic) is None:
            self._for_topic[topic] = deque([waiting])
            self._start(self._find(topic))
        else:
            self._block(True)
            self._known(topic)
            self._for_room.append(waiting)
            self._serve()

    def join_any(self, waiting: WaitingRecord) -> None:
        """`join` for whoever waits himself until it is admitted."""
        self.join(waiting, bounded=False)

    def room(self) -> None:
        """Memory was given back."""
        self._room.set()

    @property
    def has_some(self) -> bool:
        """Whether anybody waits."""
        return bool(self._for_room or self._for_topic)

    @property
    def is_half_full(self) -> bool:
        """Whether half of what may wait does."""
        return self._size * 2 > self._most

    async def drained(self) -> None:
        """Waits until all that waits now is in a batch, or refused."""
        waiting = [record for queue in self._for_topic.values() for record in queue]
        for record in (*waiting, *self._for_room):
            if not record.admitted.is_over:
                await record.admitted

    async def served(self) -> None:
        """Waits until all that waits for room now is in a batch, or refused."""
        last = self._for_room[-1] if self._for_room else None
        if last is not None and not last.admitted.is_over:
            await last.admitted

    async def stop(self, error: ClientError) -> None:
        """Refuses all that waits."""
        tasks = [*self._tasks, *([self._serving] if self._serving else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        waiting = [record for queue in self._for_topic.values() for record in queue]
        self._for_topic.clear()
        waiting += self._for_room
        self._for_room.clear()
        self._refuse(waiting, error)

    # -- inside --------------------

    async def _find(self, topic: str) -> None:
        queue = self._for_topic[topic]
        try:
            await self._opened()
            await self._topics.get(topic, timeout_ms=self._max_block_ms)
        except Exception as error:  # noqa: BLE001 - whoever sent is told
            del self._for_topic[topic]
            self._refuse(queue, error)
        else:
            del self._for_topic[topic]
            # First, so that nobody overtakes.
            self._block(True)
            self._known(topic)
            self._for_room.extend(queue)
            self._serve()

    def _serve(self) -> None:
        if self._serving is None:
            self._block(True)
            self._serving = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        hurries = False
        try:
            await self._opened()
            count = 0
            while self._for_room:
                head = self._for_room[0]
                self._room.clear()
                if await self._serve_one(head):
                    count += 1
                    if count % _AT_A_TIME == 0:
                        await asyncio.sleep(0)
                    continue
                if not hurries:
                    hurries = True
                    self._hurry(1)
                await self._wait(head)
        except Exception as error:  # noqa: BLE001 - the cluster cannot be reached
            waiting, self._for_room = self._for_room, deque()
            self._refuse(waiting, error)
        finally:
            if hurries:
                self._hurry(-1)
            self._serving = None
            self._block(False)

    async def _serve_one(self, head: WaitingRecord) -> bool:
        """Admits or refuses the first in the line. False when there is no room for it."""
        try:
            if not head.is_placed:
                head.record = self._place(head.record)
                head.is_placed = True
            await self._look_for_partition(head)
            delivery = self._take(head.record)
        except NotYet:
            return False
        except Exception as error:  # noqa: BLE001 - of this record
            self._refuse([self._for_room.popleft()], error)
        else:
            self._for_room.popleft()
            self._gone(head)
            head.admit(delivery)
        return True

    async def _look_for_partition(self, head: WaitingRecord) -> None:
        """A partition that is not known may be new."""
        topic, partition = head.record[0], head.record[4]
        known = self._topics.known(topic)
        if partition is None or known is None or 0 <= partition < len(known.partitions):
            return
        with contextlib.suppress(ClientError):
            await self._topics.refresh(topic)

    async def _wait(self, head: WaitingRecord) -> None:
        left = head.until - time.monotonic()
        try:
            async with asyncio.timeout(max(left, 0)):
                await self._room.wait()
        except TimeoutError:
            text = f"no room in the buffer within max_block_ms={self._max_block_ms}"
            self._refuse([self._for_room.popleft()], RequestTimedOut(text))

    def _refuse(self, records: Collection[WaitingRecord], error: BaseException) -> None:
        """These will not be sent."""
        unseen = sum(not (record.admitted.asked or record.record[6]) for record in records)
        if unseen and not self.is_aborted:
            _LOG.warning("%d records are not sent, and nobody waits for them: %s", unseen, error)
        if records:
            self._refused(error)
        for record in records:
            self._gone(record)
            record.refuse(error)

    def _gone(self, waiting: WaitingRecord) -> None:
        self._size -= len(waiting.record[1] or b"") + len(waiting.record[2] or b"")

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
