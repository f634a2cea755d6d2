"""Offsets of one group that were committed in transactions which have not ended yet (KIP-98, KIP-447).

They count when the transaction's commit marker is in the log; an abort marker drops them. What counts in the
end is what is last in the log: a transaction that commits takes nothing back that was committed behind its
own record, be it from outside or by another transaction (Kafka: `OffsetMetadataManager`, by the offset of the
record). A tombstone also drops what is open. Until the marker comes the partition's offset is unstable.

A request may bring tens of thousands of offsets: what is done with all of them at once is left to methods of
dicts and sets, which take a tenth of the time of a loop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.weight import commit_weight, most_commit_weight, offset_weight

if TYPE_CHECKING:
    from fastlog.coordination.groups.committed_offsets import CommittedOffset, TopicPartition

_FEWER: Final = 4
"""Where so many times as many are known, what comes is weighed, and not all of it."""

Placed = tuple["CommittedOffset", int]
"""An offset, and the place of its record: a number that rises along the log. Below 0: overtaken."""


class _Open:
    """What one transaction has committed."""

    __slots__ = ("offsets", "place", "places", "weight")

    def __init__(self) -> None:
        self.offsets: dict[TopicPartition, CommittedOffset] = {}
        self.place = -1
        """Of those that are not in `places`."""
        self.places: dict[TopicPartition, int] = {}
        self.weight = 0

    def add(self, offsets: Mapping[TopicPartition, CommittedOffset], place: int, weight: int | None) -> None:
        """They are in the log. `weight`: see `PendingOffsets.end`."""
        known = self.offsets
        if not known:
            self.place = place
            known.update(offsets)
            self.weight = most_commit_weight(offsets) if weight is None else weight
            return
        self.places.update(dict.fromkeys(offsets, place))
        if _FEWER * len(offsets) < len(known):
            self.weight += commit_weight(known, offsets)
            known.update(offsets)
        else:
            known.update(offsets)
            self.weight = most_commit_weight(known)

    def pop(self, partition: TopicPartition) -> None:
        """It does not count any more; harmless when there is none."""
        former = self.offsets.pop(partition, None)
        if former is not None:
            self.weight -= offset_weight(partition, former)
            self.places.pop(partition, None)

    def counting(self, latest: Mapping[TopicPartition, int]) -> dict[TopicPartition, CommittedOffset]:
        """Those that nothing has overtaken."""
        if not latest and min(self.places.values(), default=0) >= 0:
            return self.offsets
        place, place_of, last = self.place, self.places.get, latest.get
        return {key: offset for key, offset in self.offsets.items() if place_of(key, place) > last(key, -1)}

    def places_of(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The places of some of them."""
        places = dict.fromkeys(partitions, self.place)
        if self.places:
            places.update({key: self.places[key] for key in places if key in self.places})
        return places


class PendingOffsets:
    """By producer id. Used on the event loop; changes come in the order of the log."""

    __slots__ = ("_arriving", "_latest", "_next", "_open")

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
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
        return sum([open_.weight for open_ in self._open.values()]) if self._open else 0

    @property
    def producers(self) -> Iterable[int]:
        """Producers with a transaction that is open."""
        return self._open.keys()

    def partitions(self) -> set[TopicPartition]:
        """Partitions whose offset is unstable."""
        return set().union(*[open_.offsets for open_ in self._open.values()], *self._arriving)

    def among(self, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        """Those of a few partitions whose offset is unstable."""
        places = [*[open_.offsets for open_ in self._open.values()], *self._arriving]
        return {key for key in partitions if any(key in place for place in places)}

    def begin(self, partitions: Collection[TopicPartition]) -> None:
        """Commits of a transaction are on their way to the log."""
        self._arriving.append(partitions)

    def end(
        self,
        partitions: Collection[TopicPartition],
        producer_id: int,
        offsets: Mapping[TopicPartition, CommittedOffset] | None,
        weight: int | None = None,
    ) -> None:
        """What was begun is in the log, or (None) is not. `weight`: what the offsets weigh, or more, by
        callers that know."""
        for index, arriving in enumerate(self._arriving):
            if arriving is partitions:
                del self._arriving[index]
                break
        if offsets:
            self._next += 1
            self._of(producer_id).add(offsets, self._next, weight)

    def restore(self, producer_id: int, offsets: Mapping[TopicPartition, Placed]) -> None:
        """They are in the log."""
        open_ = self._of(producer_id)
        open_.add({key: offset for key, (offset, _) in offsets.items()}, -1, None)
        open_.places.update({key: place for key, (_, place) in offsets.items()})
        self._next = max(self._next, max(place for _, place in offsets.values()))

    def settle(self, producer_id: int, *, commits: bool) -> dict[TopicPartition, CommittedOffset]:
        """The marker is in the log. Returns the offsets that count from now on."""
        ended = self._open.pop(producer_id, None)
        counting: dict[TopicPartition, CommittedOffset] = {}
        if ended is not None and commits:
            counting = ended.counting(self._latest)
            if self._open:
                self._latest.update(ended.places_of(counting))
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
            for open_ in self._open.values():
                open_.pop(partition)
        self._open = {producer: open_ for producer, open_ in self._open.items() if open_.offsets}
        self._tidy()

    def inherit(self, former: PendingOffsets) -> None:
        """Takes over what a group of the same name keeps."""
        for producer_id, theirs in former._open.items():
            mine, counting = self._of(producer_id), theirs.counting(former._latest)
            new = {key: offset for key, offset in theirs.offsets.items() if key not in mine.offsets}
            mine.add(new, 0, None)
            mine.places.update({key: -1 for key in new if key not in counting})

    def _of(self, producer_id: int) -> _Open:
        found = self._open.get(producer_id)
        if found is None:
            found = self._open[producer_id] = _Open()
        return found

    def _tidy(self) -> None:
        if not self._open:
            self._latest.clear()
