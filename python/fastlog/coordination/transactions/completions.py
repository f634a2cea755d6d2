"""What leaders are told of a decided transaction, and who of them has not been told yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from fastlog.coordination.transactions.state import TopicPartition, Transaction, TransactionState, by_topic
from fastlog.errors import ErrorCode

if TYPE_CHECKING:
    from fastlog.coordination.transactions.table import Coordinated


@dataclass(frozen=True, slots=True)
class Marker:
    """How one transaction has ended, for some partitions of one broker."""

    producer_id: int
    epoch: int
    commits: bool
    coordinator_epoch: int
    partitions: tuple[TopicPartition, ...]
    version: int = 0
    """`transaction.version` of the transaction (KIP-1228): from 2 on its epoch was raised for this end."""


Outcomes = Mapping[TopicPartition, ErrorCode]


class MarkerWriter(Protocol):
    """The leader's side of markers (WriteTxnMarkers), in this process."""

    async def write(self, markers: Sequence[Marker]) -> list[Outcomes]:
        """Appends each marker to each of its partitions, with a code for each.

        Returns when all of them are replicated, and offsets of groups that they commit can be seen.
        """
        ...


class MarkerTarget(Protocol):
    """A broker that takes markers."""

    async def write(self, markers: Sequence[Marker]) -> list[Outcomes]:
        """Outcomes of each marker, in their order. Raises OSError or FastlogError when they are not known."""
        ...

    async def close(self) -> None:
        """Nothing is sent any more."""
        ...


class Completion:
    """A decided transaction and the partitions that have no marker yet."""

    __slots__ = ("is_told", "left", "looks", "marker", "place", "transaction")

    def __init__(self, place: Coordinated, transaction: Transaction) -> None:
        entry = transaction.entry
        self.place: Final = place
        self.transaction: Final = transaction
        self.left = set(entry.partitions)
        self.looks = 0
        """How often a leader was looked for."""
        self.is_told = False
        """Whether the log has told of what keeps a marker from being written."""
        self.marker: Final = Marker(
            producer_id=entry.producer_id,
            epoch=entry.epoch,
            commits=entry.state is TransactionState.PREPARE_COMMIT,
            coordinator_epoch=place.election.epoch,
            partitions=(),
            version=entry.client_version,
        )

    def marker_for(self, partitions: set[TopicPartition]) -> Marker:
        """The marker for some of them."""
        mine = self.marker
        return Marker(
            mine.producer_id,
            mine.epoch,
            mine.commits,
            mine.coordinator_epoch,
            tuple((topic, at) for topic, numbers in by_topic(partitions).items() for at in numbers),
            mine.version,
        )
