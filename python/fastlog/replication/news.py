"""Who is to be told that a partition is not what it was: fetches that wait, and sessions between two fetches.

News are all that can change what a reader gets: high watermark, last stable offset, log start offset, leader
and epoch, settings, the loss of the log. All of it comes through `Partition`, which calls `on_advance`. For
followers, who read up to the log's end, appends are news as well (`on_append`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fastlog.replication.partition import PartitionKey


class Watcher(Protocol):
    """Somebody who has looked at a partition, and looks again when it is not what it was."""

    def moved(self) -> None:
        """The partition moved. Must not raise, and leaves all but notes to others."""
        ...


class PartitionNews:
    """The watchers of all partitions of a broker. Used on the event loop only.

    A watch ends when it is told. Whoever has not looked since is not told again, so that readers which fell
    behind, and sessions whose client has gone, cost an append nothing.
    """

    def __init__(self) -> None:
        self._watchers: dict[PartitionKey, dict[Watcher, None]] = {}
        self._of_appends: dict[PartitionKey, dict[Watcher, None]] = {}

    def __len__(self) -> int:
        return sum(len(found) for all_of in (self._watchers, self._of_appends) for found in all_of.values())

    def watch(self, key: PartitionKey, watcher: Watcher, *, appends: bool = False) -> None:
        """Has `watcher` told when the partition moves next; with `appends` also of records alone.

        One that watches already goes on with that.
        """
        place = self._of_appends if appends else self._watchers
        watchers = place.get(key)
        if watchers is None:
            place[key] = {watcher: None}
        else:
            watchers[watcher] = None

    def unwatch(self, key: PartitionKey, watcher: Watcher) -> None:
        """Ends a watch; one that is over already is ignored."""
        for place in (self._watchers, self._of_appends):
            watchers = place.get(key)
            if watchers is not None and watcher in watchers:
                del watchers[watcher]
                if not watchers:
                    del place[key]

    def tell(self, key: PartitionKey) -> None:
        """The partition moved: tells its watchers, in the order in which they began to watch."""
        for watcher in self._watchers.pop(key, ()):
            watcher.moved()
        if self._of_appends:
            self.tell_append(key)

    def tell_append(self, key: PartitionKey) -> None:
        """Records were appended, which followers may read already: tells them."""
        for watcher in self._of_appends.pop(key, ()):
            watcher.moved()
