"""Offsets of one group that were committed in transactions which have not ended yet (KIP-98, KIP-447).

They count when the transaction's commit marker is in the log; an abort marker drops them. What counts in the
end is what is last in the log: a transaction that commits takes nothing back that was committed behind its
own record, be it from outside or by another transaction (Kafka: `OffsetMetadataManager`, by the offset of the
record). A tombstone also drops what is open. Until the marker comes the partition's offset is unstable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from fastlog.coordination.groups.weight import Weighed, offset_weight

if TYPE_CHECKING:
    from fastlog.coordination.groups.committed_offsets import CommittedOffset, TopicPartition

Placed = tuple["CommittedOffset", int]
"""An offset, and the place of its record: a number that rises along the log. Below 0: overtaken."""


def _weight(partition: TopicPartition, placed: Placed) -> int:
    return offset_weight(partition, placed[0])


class PendingOffsets:
    """By producer id. Used on the event loop; changes come in the order of the log."""

    __slots__ = ("_arriving", "_latest", "_next", "_open")

    def __init__(self) -> None:
        self._open: dict[int, Weighed[TopicPartition, Placed]] = {}
        self._arriving: list[Collection[TopicPartition]] = []
        """What is on its way to the log."""
        self._next = 0
        self._latest: dict[TopicPartition, int] = {}
        """Places of what was committed since the oldest of these transactions has begun."""

    def __bool__(self) -> bool:
        """Whether there are any, in the log or on the way there."""
        return bool(self._open or self._arriving)

    @property
    def weight(self) -> int:
        """Bytes of memory that they are reckoned with."""
        return sum([offsets.weight for offsets in self._open.values()]) if self._open else 0

    @property
    def producers(self) -> Iterable[int]:
        """Producers with a transaction that is open."""
        return self._open.keys()

    def partitions(self) -> set[TopicPartition]:
        """Partitions whose offset is unstable."""
        return set().union(*self._open.values(), *self._arriving)

    def begin(self, partitions: Collection[TopicPartition]) -> None:
        """Commits of a transaction are on their way to the log."""
        self._arriving.append(partitions)

    def end(
        self,
        partitions: Collection[TopicPartition],
        producer_id: int,
        offsets: Mapping[TopicPartition, CommittedOffset] | None,
    ) -> None:
        """What was begun is in the log, or (None) is not."""
        for index, arriving in enumerate(self._arriving):
            if arriving is partitions:
                del self._arriving[index]
                break
        if offsets:
            self._next += 1
            self.restore(producer_id, {key: (offset, self._next) for key, offset in offsets.items()})

    def restore(self, producer_id: int, offsets: Mapping[TopicPartition, Placed]) -> None:
        """They are in the log."""
        self._open.setdefault(producer_id, Weighed(_weight)).update(offsets)
        self._next = max(self._next, *(place for _, place in offsets.values()))

    def settle(self, producer_id: int, *, commits: bool) -> dict[TopicPartition, CommittedOffset]:
        """The marker is in the log. Returns the offsets that count from now on."""
        ended = self._open.pop(producer_id, None)
        counting: dict[TopicPartition, CommittedOffset] = {}
        if ended is not None and commits and not self._latest:
            counting = {partition: offset for partition, (offset, place) in ended.items() if place >= 0}
            if self._open:
                self._latest.update({partition: place for partition, (_, place) in ended.items()})
        elif ended is not None and commits:
            for partition, (offset, place) in ended.items():
                if place > self._latest.get(partition, -1):
                    counting[partition] = offset
                    self._latest[partition] = place
        self._tidy()
        return counting

    def overtake(self, partitions: Iterable[TopicPartition]) -> None:
        """Commits from outside of any transaction are in the log."""
        if self._open:
            self._next += 1
            self._latest.update(dict.fromkeys(partitions, self._next))

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Tombstones are in the log."""
        if not self._open:
            return
        for partition in partitions:
            for offsets in self._open.values():
                offsets.pop(partition, None)
        self._open = {producer: offsets for producer, offsets in self._open.items() if offsets}
        self._tidy()

    def inherit(self, former: PendingOffsets) -> None:
        """Takes over what a group of the same name keeps."""
        for producer_id, offsets in former._open.items():
            mine = self._open.setdefault(producer_id, Weighed(_weight))
            mine.update({key: (offset, 0) for key, (offset, _) in offsets.items() if key not in mine})

    def _tidy(self) -> None:
        if not self._open:
            self._latest.clear()
