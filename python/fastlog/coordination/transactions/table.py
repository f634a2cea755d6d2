"""All transactional ids of this broker, by the partition of `__transaction_state` that has them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from fastlog.coordination.coordinator_partition import partition_of
from fastlog.coordination.topic_names import TRANSACTION_STATE_TOPIC
from fastlog.coordination.transactions.weight import weight_of
from fastlog.errors import ErrorCode

if TYPE_CHECKING:
    from fastlog.coordination.cluster_view import ClusterView
    from fastlog.coordination.transactions.log import Election
    from fastlog.coordination.transactions.state import Transaction


_hashed: Final = lru_cache(maxsize=4096)(partition_of)
"""Ids are asked about several times in each transaction."""
_SHORT: Final = 256
"""Characters of an id that is remembered there, whoever asks about it: one may have more than 100 KiB."""


class Coordinated:
    """The ids of one partition, for as long as this broker leads it in one epoch."""

    __slots__ = ("election", "has_failed", "is_loading", "transactions", "weight")

    def __init__(self, election: Election) -> None:
        self.election: Final = election
        self.is_loading = True
        """Whether its ids are not known yet."""
        self.has_failed = False
        """Whether its records could not be read: to take them for none would leave transactions open."""
        self.transactions: dict[str, Transaction] = {}
        self.weight = 0
        """Bytes of all of them, what is being written included."""

    def add(self, transaction: Transaction) -> None:
        """An id comes into being."""
        self.transactions[transaction.transactional_id] = transaction
        self.weight += weight_of(transaction.transactional_id, transaction.entry)

    def remove(self, transaction: Transaction) -> None:
        """It is forgotten, if it is still there."""
        if self.transactions.get(transaction.transactional_id) is transaction:
            del self.transactions[transaction.transactional_id]
            self.weight -= weight_of(transaction.transactional_id, transaction.entry)


class TransactionTable:
    """Used on the event loop only."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view
        self.partitions: dict[int, Coordinated] = {}
        """Those that this broker leads."""
        self.closed = False

    def __iter__(self) -> Iterator[tuple[Coordinated, Transaction]]:
        for place in list(self.partitions.values()):
            for transaction in list(place.transactions.values()):
                yield place, transaction

    def __len__(self) -> int:
        return sum([len(place.transactions) for place in self.partitions.values()])

    @property
    def weight(self) -> int:
        """Bytes of all ids."""
        return sum([place.weight for place in self.partitions.values()])

    @property
    def is_loading(self) -> bool:
        """Whether some partition is not read yet."""
        return any(place.is_loading for place in self.partitions.values())

    @property
    def count(self) -> int:
        """How many partitions the topic has, 0 while it is not there."""
        topic = self._view.topics.get(TRANSACTION_STATE_TOPIC)
        return 0 if topic is None else len(topic.partitions)

    def partition(self, transactional_id: str) -> int | None:
        """The partition of an id, or None while the topic is not there."""
        count = self.count
        if not count:
            return None
        find = _hashed if len(transactional_id) <= _SHORT else partition_of
        return find(transactional_id, count)

    def find(self, transactional_id: str) -> Coordinated | ErrorCode:
        """Where an id is coordinated, or why requests about it cannot be served here."""
        if self.closed:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        partition = self.partition(transactional_id)
        place = None if partition is None else self.partitions.get(partition)
        if place is None or place.has_failed or place.election.is_over:
            return ErrorCode.NOT_COORDINATOR
        return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS if place.is_loading else place

    def is_current(self, place: Coordinated) -> bool:
        """Whether that leadership has not ended."""
        return self.partitions.get(place.election.partition) is place and not place.election.is_over
