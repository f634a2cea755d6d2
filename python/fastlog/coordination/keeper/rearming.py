"""SetWatches: what a client watched over its last connection is armed again, or fires at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from fastlog.coordination.keeper.tree import Tree
from fastlog.coordination.keeper.watches import Watcher, Watches
from fastlog.coordination.zookeeper.codes import EventType, KeeperState
from fastlog.coordination.zookeeper.replies import Event
from fastlog.coordination.zookeeper.requests import SetWatches

W = TypeVar("W", bound=Watcher)


def rearm(request: SetWatches, tree: Tree, watches: Watches[W], watcher: W) -> None:
    """Arms the watches whose nodes have not changed since `request.zxid`; tells of the others' changes."""
    for path in request.data:
        kind = _of_data(tree, path, request.zxid)
        if kind is None:
            watches.watch_data(path, watcher)
        else:
            watcher.notify(Event(kind, KeeperState.CONNECTED, path))
    for path in request.exist:
        if tree.get(path) is None:
            watches.watch_data(path, watcher)
        else:
            watcher.notify(Event(EventType.CREATED, KeeperState.CONNECTED, path))
    for path in request.child:
        kind = _of_children(tree, path, request.zxid)
        if kind is None:
            watches.watch_children(path, watcher)
        else:
            watcher.notify(Event(kind, KeeperState.CONNECTED, path))
    for path, recursive in _lasting(request):
        watches.watch_always(path, watcher, recursive=recursive)


def _of_data(tree: Tree, path: str, zxid: int) -> EventType | None:
    node = tree.get(path)
    if node is None:
        return EventType.DELETED
    return EventType.DATA_CHANGED if node.mzxid > zxid else None


def _of_children(tree: Tree, path: str, zxid: int) -> EventType | None:
    node = tree.get(path)
    if node is None:
        return EventType.DELETED
    return EventType.CHILDREN_CHANGED if node.pzxid > zxid else None


def _lasting(request: SetWatches) -> Iterator[tuple[str, bool]]:
    for path in request.persistent:
        yield path, False
    for path in request.recursive:
        yield path, True
