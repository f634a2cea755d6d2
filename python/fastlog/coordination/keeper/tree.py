"""The tree of nodes: plain changes without any check, each of which can be taken back within a multi."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from fastlog.coordination.keeper.nodes import CONTAINER, Node, ttl_of
from fastlog.coordination.zookeeper.structures import OPEN, Acl, parent_of

SYSTEM: Final = ("/zookeeper", "/zookeeper/config", "/zookeeper/quota")
"""What every server has, and nobody removes."""

BeforeChange = Callable[[str, Node], None]


class Tree:
    """All nodes by path. `bytes` is what paths and data weigh, roughly.

    `before_change` is called with a node that is about to change or to go: a snapshot saves it as it was.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {"/": Node(b"", OPEN, 0, 0, 0)}
        self.ephemerals: dict[int, dict[str, None]] = {}
        """Paths by session."""
        self.transients: dict[str, None] = {}
        """Paths of containers and of nodes with a time to live."""
        self.bytes = 0
        self.before_change: BeforeChange | None = None
        self._undo: list[Callable[[], None]] | None = None
        self._acls: dict[tuple[Acl, ...], tuple[tuple[Acl, ...], int]] = {}
        """Rules that nodes share, and how many do. `OPEN` is always there."""
        for path in SYSTEM:
            self.create(path, b"", OPEN, 0, 0, 0)
        # As in ZooKeeper they count as children, but not among those that were made.
        for path in ("/", "/zookeeper"):
            self.nodes[path].creates = 0

    def get(self, path: str) -> Node | None:
        """The node, or None."""
        return self.nodes.get(path)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """What was changed inside is taken back when an exception leaves it."""
        undo = self._undo = []
        try:
            yield
        except BaseException:
            self._undo = None
            for step in reversed(undo):
                step()
            raise
        finally:
            self._undo = None

    def create(
        self, path: str, data: bytes | None, acls: tuple[Acl, ...], owner: int, zxid: int, time_ms: int
    ) -> Node:
        """Adds a node, whose parent is there, and counts it in the parent."""
        parent = self._about_to_change(parent_of(path))
        node = Node(data, acls, owner, zxid, time_ms)
        before = parent.creates, parent.pzxid
        self._enter(path, node, parent)
        parent.creates += 1
        parent.pzxid = zxid
        if self._undo is not None:
            self._undo.append(lambda: self._take_back_create(path, parent, before))
        return node

    def delete(self, path: str, zxid: int) -> None:
        """Removes a node without children."""
        node = self._about_to_change(path)
        parent = self._about_to_change(parent_of(path))
        before = parent.pzxid
        self._leave(path, node, parent)
        parent.pzxid = zxid
        if self._undo is not None:
            self._undo.append(lambda: self._take_back_delete(path, node, parent, before))

    def set_data(self, path: str, data: bytes | None, zxid: int, time_ms: int) -> Node:
        """Replaces the data of a node."""
        node = self._about_to_change(path)
        before = node.data, node.mzxid, node.mtime, node.version
        self.bytes += len(data or b"") - len(node.data or b"")
        node.data, node.mzxid, node.mtime = data, zxid, time_ms
        node.version += 1
        if self._undo is not None:
            self._undo.append(lambda: self._take_back_data(node, before))
        return node

    def set_acls(self, path: str, acls: tuple[Acl, ...]) -> Node:
        """Replaces the access rules of a node. Not for use inside `all_or_nothing`."""
        node = self._about_to_change(path)
        before, node.acls = node.acls, self._share(acls)
        self._unshare(before)
        node.aversion += 1
        return node

    def restore(self, path: str, node: Node) -> None:
        """Puts a node of a snapshot in its place, whatever was there; `relink` when all are."""
        before = self.nodes.get(path)
        if before is not None:
            self._unshare(before.acls)
        self.nodes[path] = node
        node.acls = self._share(node.acls)

    def relink(self) -> None:
        """Works out all that follows from the nodes. Raises KeyError with the path of a missing parent."""
        self.ephemerals.clear()
        self.transients.clear()
        self.bytes = 0
        for path, node in self.nodes.items():
            if path != "/":
                self._index(path, node, self.nodes[parent_of(path)])

    def _about_to_change(self, path: str) -> Node:
        node = self.nodes[path]
        if self.before_change is not None:
            self.before_change(path, node)
        return node

    def _share(self, acls: tuple[Acl, ...]) -> tuple[Acl, ...]:
        """The same rules as other nodes have them, with one node more."""
        if acls == OPEN:
            return OPEN
        shared, count = self._acls.get(acls, (acls, 0))
        self._acls[shared] = shared, count + 1
        return shared

    def _unshare(self, acls: tuple[Acl, ...]) -> None:
        if acls is OPEN:
            return
        shared, count = self._acls[acls]
        if count == 1:
            del self._acls[acls]
        else:
            self._acls[acls] = shared, count - 1

    def _enter(self, path: str, node: Node, parent: Node) -> None:
        self.nodes[path] = node
        node.acls = self._share(node.acls)
        self._index(path, node, parent)

    def _index(self, path: str, node: Node, parent: Node) -> None:
        if parent.children is None:
            parent.children = {}
        parent.children[path[path.rfind("/") + 1 :]] = None
        self.bytes += len(path) + len(node.data or b"")
        if node.owner > 0:
            self.ephemerals.setdefault(node.owner, {})[path] = None
        elif node.owner == CONTAINER or ttl_of(node.owner) is not None:
            self.transients[path] = None

    def _leave(self, path: str, node: Node, parent: Node) -> None:
        del self.nodes[path]
        self._unshare(node.acls)
        if parent.children is not None:
            del parent.children[path[path.rfind("/") + 1 :]]
            if not parent.children:
                parent.children = None
        self.bytes -= len(path) + len(node.data or b"")
        self.transients.pop(path, None)
        owned = self.ephemerals.get(node.owner)
        if owned is not None:
            owned.pop(path, None)
            if not owned:
                del self.ephemerals[node.owner]

    def _take_back_create(self, path: str, parent: Node, before: tuple[int, int]) -> None:
        self._leave(path, self.nodes[path], parent)
        parent.creates, parent.pzxid = before

    def _take_back_delete(self, path: str, node: Node, parent: Node, before: int) -> None:
        self._enter(path, node, parent)
        parent.pzxid = before

    def _take_back_data(self, node: Node, before: tuple[bytes | None, int, int, int]) -> None:
        self.bytes += len(before[0] or b"") - len(node.data or b"")
        node.data, node.mzxid, node.mtime, node.version = before
