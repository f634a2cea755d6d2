"""Who is to be told that a partition is not what it was: fetches that wait, and sessions between two fetches.

News are all that can change what a reader gets: high watermark, last stable offset, log start offset, leader
and epoch, settings, the loss of the log. All of it comes through `Partition`, which calls `on_advance`.
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

    def __len__(self) -> int:
        return sum(len(watchers) for watchers in self._watchers.values())

    def watch(self, key: PartitionKey, watcher: Watcher) -> None:
        """Has `watcher` told when the partition moves next. One that watches already goes on with that."""
        watchers = self._watchers.get(key)
        if watchers is None:
            self._watchers[key] = {watcher: None}
        else:
            watchers[watcher] = None

    def unwatch(self, key: PartitionKey, watcher: Watcher) -> None:
        """Ends a watch; one that is over already is ignored."""
        watchers = self._watchers.get(key)
        if watchers is not None and watcher in watchers:
            del watchers[watcher]
            if not watchers:
                del self._watchers[key]

    def tell(self, key: PartitionKey) -> None:
        """The partition moved: tells its watchers, in the order in which they began to watch."""
        for watcher in self._watchers.pop(key, ()):
            watcher.moved()
