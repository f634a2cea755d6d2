"""Watches of all connections (`WatchManager`): who is told when a node changes.

A watch belongs to a connection, not to a session: clients arm theirs again after a reconnect. Data and child
watches fire once; persistent ones stay (ZooKeeper 3.6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from fastlog.coordination.keeper.access import Identity, allowed
from fastlog.coordination.keeper.child_news import ChildNews
from fastlog.coordination.zookeeper.codes import EventType, KeeperState, Permission
from fastlog.coordination.zookeeper.replies import Event
from fastlog.coordination.zookeeper.structures import Acl, parent_of


class Watcher(Protocol):
    """A connection as watches see it."""

    identities: list[Identity]

    def notify(self, event: Event) -> None:
        """Tells the client."""
        ...


W = TypeVar("W", bound=Watcher)


_ORDINARY_PATH: Final = 256
"""Characters. A path may be as long as a packet."""


def _weight(path: str) -> int:
    return 1 + len(path) // _ORDINARY_PATH


class _Table(Generic[W]):
    """Watchers by path, and paths by watcher."""

    def __init__(self) -> None:
        self.by_path: dict[str, dict[W, None]] = {}
        self.by_watcher: dict[W, dict[str, None]] = {}
        self.weights: dict[W, int] = {}
        """What the paths of each watcher weigh, in watches of ordinary ones."""

    def add(self, path: str, watcher: W) -> None:
        self.by_path.setdefault(path, {})[watcher] = None
        paths = self.by_watcher.setdefault(watcher, {})
        if path not in paths:
            paths[path] = None
            self.weights[watcher] = self.weights.get(watcher, 0) + _weight(path)

    def has(self, path: str, watcher: W) -> bool:
        return watcher in self.by_path.get(path, ())

    def take(self, path: str) -> dict[W, None]:
        """Removes and returns the watchers of a path."""
        watchers = self.by_path.pop(path, {})
        for watcher in watchers:
            self._forget_path(watcher, path)
        return watchers

    def discard(self, path: str, watcher: W) -> bool:
        watchers = self.by_path.get(path)
        if watchers is None or watcher not in watchers:
            return False
        del watchers[watcher]
        if not watchers:
            del self.by_path[path]
        self._forget_path(watcher, path)
        return True

    def drop(self, watcher: W) -> None:
        self.weights.pop(watcher, None)
        for path in self.by_watcher.pop(watcher, {}):
            watchers = self.by_path[path]
            del watchers[watcher]
            if not watchers:
                del self.by_path[path]

    def _forget_path(self, watcher: W, path: str) -> None:
        paths = self.by_watcher[watcher]
        del paths[path]
        self.weights[watcher] -= _weight(path)
        if not paths:
            del self.by_watcher[watcher], self.weights[watcher]


class Watches(Generic[W]):
    """All watches of a keeper."""

    CHILDREN: Final = 1
    DATA: Final = 2
    ANY: Final = 3
    PERSISTENT: Final = 4
    RECURSIVE: Final = 5

    def __init__(self) -> None:
        self.news: Final[ChildNews[W]] = ChildNews()
        self._data: _Table[W] = _Table()
        self._child: _Table[W] = _Table()
        self._persistent: _Table[W] = _Table()
        self._recursive: _Table[W] = _Table()
        self._tables: Final = (self._data, self._child, self._persistent, self._recursive)
        self._kinds: Final[dict[int, tuple[_Table[W], ...]]] = {
            self.CHILDREN: (self._child,),
            self.DATA: (self._data,),
            self.ANY: self._tables,
            self.PERSISTENT: (self._persistent,),
            self.RECURSIVE: (self._recursive,),
        }

    def watch_data(self, path: str, watcher: W) -> None:
        """Fires when the node is made, changed or removed."""
        self._data.add(path, watcher)

    def watch_children(self, path: str, watcher: W) -> None:
        """Fires when a child is made or removed, or the node itself is removed."""
        self._child.add(path, watcher)

    def watch_always(self, path: str, watcher: W, *, recursive: bool) -> None:
        """The same for ever; recursive ones stand for all nodes below too, but say nothing of children."""
        (self._recursive if recursive else self._persistent).add(path, watcher)

    def weight_of(self, watcher: W) -> int:
        """Watches that a connection has; one of a long path counts as several."""
        return sum(table.weights.get(watcher, 0) for table in self._tables)

    def totals(self) -> tuple[int, int, int]:
        """(connections with watches, paths with watches, watches)."""
        watchers = {watcher for table in self._tables for watcher in table.by_watcher}
        paths = {path for table in self._tables for path in table.by_path}
        count = sum(len(paths) for table in self._tables for paths in table.by_watcher.values())
        return len(watchers), len(paths), count

    def has(self, path: str, watcher: W, kind: int) -> bool:
        """Whether the connection has a watch of that kind (`Watcher.WatcherType`). Raises KeyError."""
        return any(table.has(path, watcher) for table in self._kinds[kind])

    def remove(self, path: str, watcher: W, kind: int) -> bool:
        """Takes watches of that kind away; whether there were any. Raises KeyError."""
        found = [table.discard(path, watcher) for table in self._kinds[kind]]
        return any(found)

    def drop(self, watcher: W) -> None:
        """The connection is gone."""
        self.news.drop(watcher)
        for table in self._tables:
            table.drop(watcher)

    def created(self, path: str, acls: Sequence[Acl], parent_acls: Sequence[Acl]) -> None:
        """A node was made."""
        self.news.touched(path)
        self._fire(EventType.CREATED, path, acls, self._data.take(path))
        self._children_changed(parent_of(path), parent_acls)

    def deleted(self, path: str, acls: Sequence[Acl], parent_acls: Sequence[Acl]) -> None:
        """A node was removed. Who watched both data and children is told once."""
        self.news.touched(path)
        watchers = {**self._data.take(path), **self._child.take(path)}
        self._fire(EventType.DELETED, path, acls, watchers)
        self._children_changed(parent_of(path), parent_acls)

    def data_changed(self, path: str, acls: Sequence[Acl]) -> None:
        """Data was replaced."""
        self._fire(EventType.DATA_CHANGED, path, acls, self._data.take(path))

    def _children_changed(self, path: str, acls: Sequence[Acl]) -> None:
        watchers = {**self._child.take(path), **self._persistent.by_path.get(path, {})}
        _tell(EventType.CHILDREN_CHANGED, path, acls, watchers)

    def _fire(self, kind: EventType, path: str, acls: Sequence[Acl], watchers: dict[W, None]) -> None:
        everyone = {**watchers, **self._persistent.by_path.get(path, {})}
        if self._recursive.by_path:
            above = path
            while True:
                everyone.update(self._recursive.by_path.get(above, {}))
                if above == "/":
                    break
                above = parent_of(above)
        _tell(kind, path, acls, everyone)


def _tell(kind: EventType, path: str, acls: Sequence[Acl], watchers: Iterable[Watcher]) -> None:
    """Events say what exists: who may not read the node is not told (CVE-2024-23944)."""
    event = Event(kind, KeeperState.CONNECTED, path)
    for watcher in watchers:
        if allowed(acls, Permission.READ, watcher.identities):
            watcher.notify(event)
