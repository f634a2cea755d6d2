"""The batches of one partition, oldest first, and those of them that are on the way.

The queue decides what may be sent: with idempotence up to five batches at a time, otherwise one, and after a
failure one by one until the failed ones are through. That keeps the order of the records.
"""

from __future__ import annotations

from bisect import insort
from operator import attrgetter
from typing import Final

from fastlog.client.metadata import TopicPartition
from fastlog.client.producer.batches import BATCH_OVERHEAD, SEQUENCE_MASK, Batch, Identity

__all__ = ["PartitionQueue"]


class PartitionQueue:
    """The batches of one partition. `new_batch` may be called from any thread."""

    def __init__(self, name: TopicPartition, max_in_flight: int, capacity: int) -> None:
        self.name: Final = name
        self.waiting: list[Batch] = []
        self.in_flight: list[Batch] = []
        self.retry_at = 0.0
        self.failures = 0
        self._known_to_broker = False
        self._max_in_flight = max_in_flight
        self._next_sequence = 0
        self._next_order = 0
        self._most = capacity
        self._capacity = 0

    def new_batch(self, now: float) -> Batch:
        """Closes the open batch and opens another one."""
        try:
            last = self.waiting[-1]
        except IndexError:
            pass
        else:
            last.close()
            self._capacity = min(last.size - BATCH_OVERHEAD, self._most)
        self._next_order += 1
        batch = Batch(self.name, now, self._next_order, self._capacity)
        self.waiting.append(batch)
        return batch

    def next(self, now: float, *, draining: bool) -> Batch | None:
        """The batch that may be sent now, ready or not. It stays in the queue until `take`.

        `draining`: only batches that have an identity, whose fate must be known before it is replaced.
        """
        # A broker that does not know the producer yet takes any sequence number for the first, so a second
        # batch must not get ahead of the first one.
        most = self._max_in_flight if self._known_to_broker else 1
        if now < self.retry_at or len(self.in_flight) >= most:
            return None
        while self.waiting and self.waiting[0].closed and not self.waiting[0].count:
            del self.waiting[0]  # two threads have opened one, and only the other was used
        if not self.waiting:
            return None
        head = self.waiting[0]
        if draining:
            head = next((batch for batch in self.waiting if batch.identity is not None), None) or head
            if head.identity is None:
                return None
        retrying = head.attempts > 0 or any(batch.attempts > 1 for batch in self.in_flight)
        return None if (retrying and self.in_flight) or not head.count else head

    def take(self, batch: Batch, identity: Identity | None) -> None:
        """The batch goes out; it gets its place in the sequence with the first try."""
        batch.close()
        self.waiting.remove(batch)
        batch.attempts += 1
        if identity is not None and batch.identity is None:
            batch.identify(identity, self._next_sequence)
            self._next_sequence = (self._next_sequence + batch.count) & SEQUENCE_MASK
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
        """Whether a batch with records that existed at `moment` is not done yet."""
        return any(batch.created <= moment and batch.count > 0 for batch in (*self.waiting, *self.in_flight))

    def restart_sequence(self) -> None:
        """A new identity counts from 0."""
        self._next_sequence = 0
        self._known_to_broker = False
