"""What a session, or one request without a session, fetches, and which of it is to be looked at.

A partition is *due* from the time when the client or the partition itself changed until a look finds that it
adds nothing to an incremental answer: no error, no records, nothing to tell. After that it is watched
(`PartitionNews`), and costs nothing until it moves. So the work for a poll follows what changed, not how much
the session has:

    asked for, changed, moved --> due --look--> nothing to add: watched --moves--> due
                                   ^----------- readable, untold, in error: stays due

Followers watch appends, too, and what they have of a partition counts: where one is not in sync the partition
stays due until it is, as each of its fetches may be the one with which it joins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from fastlog.replication.news import PartitionNews
from fastlog.replication.progress import NEVER
from fastlog.server.fetch.fetched_partition import FetchKey, FetchPartition, row_key

if TYPE_CHECKING:
    from fastlog.native.shapes import FetchPlanRow
    from fastlog.replication.partition import PartitionKey
    from fastlog.wire import Steps

_BY_PLACE: Final = attrgetter("place")
_PER_STEP: Final = 128


class FetchInterest:
    """Partitions of one client. Used on the event loop only."""

    __slots__ = ("_due", "_last_place", "_news", "asked_ms", "by_key", "moved", "of_follower", "on_moved")

    def __init__(self, news: PartitionNews) -> None:
        self._news: PartitionNews | None = news
        self.by_key: dict[FetchKey, FetchPartition] = {}
        """All of them. Changed here only."""
        self._due: dict[FetchPartition, None] = {}
        self._last_place = 0
        self.moved: list[FetchPartition] = []
        """Those that have moved since the last look began, or the fetch that waits took note of them."""
        self.on_moved: Callable[[PartitionKey], object] | None = None
        """Told of the first one that moves while a fetch waits."""
        self.of_follower = False
        """Whether it is a follower who asks."""
        self.asked_ms = NEVER
        """When a follower last asked."""

    def __len__(self) -> int:
        return len(self.by_key)

    def all(self) -> list[FetchPartition]:
        """All of them, in their order."""
        return _in_order(self.by_key.values())

    def due(self) -> list[FetchPartition]:
        """Those that are due, in their order."""
        return _in_order(self._due)

    # -- what the client says --------------------

    def put(self, row: FetchPlanRow) -> None:
        """Adds a partition, as the last one, or takes over what is asked of one that is known."""
        key = row_key(row)
        entry = self.by_key.get(key)
        if entry is None:
            self._last_place += 1
            entry = self.by_key[key] = FetchPartition(row, self._last_place)
        else:
            entry.update(row)
        self._due[entry] = None

    def take_over(self, gathered: FetchInterest) -> None:
        """As `put` for each row of a long request, of which `gathered` was made: nobody else has that."""
        for key, entry in gathered.by_key.items():
            known = self.by_key.get(key)
            if known is None:
                self._last_place += 1
                entry.place = self._last_place
                self.by_key[key] = known = entry
            else:
                known.ask_as(entry)
            self._due[known] = None

    def forget(self, key: FetchKey) -> None:
        """Drops a partition; an unknown one is ignored."""
        entry = self.by_key.pop(key, None)
        if entry is not None:
            self._due.pop(entry, None)
            self._leave(entry)

    def make_all_due(self) -> None:
        """What the client asks of all of them has changed."""
        self._due = dict.fromkeys(self.by_key.values())

    def close(self) -> None:
        """Watches nothing any more. What it has can be read by those who still hold it."""
        for entry in self.by_key.values():
            self._leave(entry)
        self._news = self.on_moved = None
        self.asked_ms = NEVER

    def close_in_steps(self) -> Steps[None]:
        """The same for many that nobody else has: they are gone afterwards."""
        self.on_moved = None
        while self.by_key:
            for _ in range(min(_PER_STEP, len(self.by_key))):
                self._leave(self.by_key.popitem()[1])
            yield
        self.close()

    # -- what a look finds --------------------

    def found(self, entry: FetchPartition, key: PartitionKey, *, watch: bool, settled: bool) -> None:
        """A partition is there. `watch`: its next move is noted. `settled`: it is not due before that."""
        if self._news is None:
            return
        entry.found = key
        if watch:
            entry.interest = self
            self._news.watch(key, entry, appends=self.of_follower)
        if settled:
            self._due.pop(entry, None)

    def lost(self, entry: FetchPartition) -> bool:
        """There was an error, so it stays due. Whether the look before had found the partition."""
        key, entry.found = entry.found, None
        if key is None:
            return False
        if self._news is not None:
            self._news.unwatch(key, entry)
        return True

    def overlook(self, entry: FetchPartition) -> None:
        """What moves the partition next is brought about by the look at it, and no news."""
        if entry.found is not None and self._news is not None:
            self._news.unwatch(entry.found, entry)

    def put_last(self, entry: FetchPartition) -> None:
        """A partition has got bytes: the others come first the next time."""
        self._last_place += 1
        entry.place = self._last_place

    def trim(self) -> None:
        """Gives back the room of those that were due, after a look at many."""
        self._due = dict(self._due)

    # -- what happens to the partitions --------------------

    def note(self, entry: FetchPartition) -> None:
        """A partition moved, and is not watched any more."""
        self._due[entry] = None
        self.moved.append(entry)
        if self.on_moved is not None and len(self.moved) == 1 and entry.found is not None:
            self.on_moved(entry.found)

    def take_moved(self) -> list[FetchPartition]:
        """Those that have moved, which are watched again."""
        moved, self.moved = self.moved, []
        for entry in moved:
            if entry.found is not None and self._news is not None:
                self._news.watch(entry.found, entry, appends=self.of_follower)
        return moved

    def _leave(self, entry: FetchPartition) -> None:
        if entry.found is not None and self._news is not None:
            self._news.unwatch(entry.found, entry)
        entry.found = entry.interest = None


def _in_order(entries: Collection[FetchPartition]) -> list[FetchPartition]:
    return sorted(entries, key=_BY_PLACE) if len(entries) > 1 else list(entries)
