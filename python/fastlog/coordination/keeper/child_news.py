"""Which children of a node have come or gone since a connection last asked.

ZooKeeper has nothing like it: whoever learns there that a child has come lists them all. A client in the
keeper's own process may ask for what is new (`Read.news`), so that one topic more costs the same however many
there are. What is kept is a connection's own, and goes with it: on another one it begins with a whole list.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Generic, TypeVar

from fastlog.coordination.zookeeper.structures import parent_of

W = TypeVar("W")
_MOST: Final = 1000
"""Names that are kept for one who does not ask: beyond them a whole list is no dearer."""


class ChildNews(Generic[W]):
    """Names by node and connection."""

    def __init__(self) -> None:
        self._touched: dict[str, dict[W, dict[str, None]]] = {}

    def take(self, path: str, watcher: W) -> Collection[str] | None:
        """Names of children that were made or removed since the last call, as often as may be.

        None when that is not known: the first time, or when there were too many.
        """
        of_path = self._touched.setdefault(path, {})
        touched = of_path.get(watcher)
        of_path[watcher] = {}
        return touched

    def forget(self, path: str, watcher: W) -> None:
        """The connection has listed all children, and may ask for news as from another moment: not known."""
        of_path = self._touched.get(path)
        if of_path is not None:
            of_path.pop(watcher, None)
            if not of_path:
                del self._touched[path]

    def touched(self, path: str) -> None:
        """A node was made or removed."""
        if not self._touched:
            return
        of_parent = self._touched.get(parent_of(path))
        if of_parent:
            name = path[path.rfind("/") + 1 :]
            for watcher, names in list(of_parent.items()):
                names[name] = None
                if len(names) > _MOST:
                    del of_parent[watcher]

    def drop(self, watcher: W) -> None:
        """The connection is gone."""
        for path in [path for path, of_path in self._touched.items() if watcher in of_path]:
            self.forget(path, watcher)
