"""Reads: what a request sees of the tree, and the watch that it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from fastlog.coordination.keeper import access
from fastlog.coordination.keeper.machine import Caller
from fastlog.coordination.keeper.nodes import Node
from fastlog.coordination.keeper.tree import Tree
from fastlog.coordination.keeper.watches import Watcher, Watches
from fastlog.coordination.zookeeper.codes import AddWatchMode, OpCode, Permission, ZkCode
from fastlog.coordination.zookeeper.errors import NoNode, NoWatcher, Unimplemented, ZkError
from fastlog.coordination.zookeeper.replies import NOTHING, Result
from fastlog.coordination.zookeeper.requests import Bare, Multi, OfPath, OfWatch, Read, Request

W = TypeVar("W", bound=Watcher)
# Kind, code and, mostly, a Stat; the length of a name.
_PART_HEAD: Final = 16
_NAME_HEAD: Final = 4


class Reads:
    """Answers reads. Every method raises ZkError."""

    def __init__(self, tree: Tree, max_answer_bytes: int) -> None:
        """Bounds an answer to many reads together: one node may be read thousands of times."""
        self._tree = tree
        self._max_answer_bytes = max_answer_bytes

    def answer(self, request: Request, caller: Caller, watches: Watches[W], watcher: W) -> Result:
        """The result of anything that changes nothing."""
        match request:
            case Read():
                return self._read(request, caller, watches, watcher)
            case OfPath():
                return self._of_path(request, caller)
            case OfWatch():
                return self._of_watch(request, watches, watcher)
            case Multi():
                return Result(parts=self._parts(request, caller))
            case Bare(OpCode.WHO_AM_I):
                # A digest is as good as a password for whoever can read it: only the user is shown.
                return Result(
                    identities=[(scheme, name.partition(":")[0]) for scheme, name in caller.identities]
                )
            case _:
                raise Unimplemented(f"op {request.op} reads nothing")

    def _read(self, request: Read, caller: Caller, watches: Watches[W], watcher: W) -> Result:
        path = request.path
        node = self._tree.get(path)
        if request.op is OpCode.EXISTS:
            # A node that is missing can be watched: for its creation.
            if request.watch:
                watches.watch_data(path, watcher)
            if node is None:
                raise NoNode(path)
            return Result(stat=node.stat())
        readable = self._readable(path, caller)
        if request.news and request.op is OpCode.GET_CHILDREN2:
            result = self._news(path, readable, watches, watcher)
        else:
            result = self._look(request.op, readable)
            if request.watch and request.op is not OpCode.GET_DATA:
                # Whoever lists them with a watch may be another one than who has asked for news so far.
                watches.news.forget(path, watcher)
        if request.watch:
            watch = watches.watch_data if request.op is OpCode.GET_DATA else watches.watch_children
            watch(path, watcher)
        return result

    def _parts(self, request: Multi, caller: Caller) -> list[tuple[int, Result | ZkError]]:
        parts: list[tuple[int, Result | ZkError]] = []
        size = 0
        for part in request.parts:
            kind, result = self._part(part, caller)
            if isinstance(result, Result):
                size += len(result.data or b"") + sum([_NAME_HEAD + len(name) for name in result.names or ()])
            size += _PART_HEAD
            if size > self._max_answer_bytes:
                raise ZkError(
                    f"many reads, of more than {self._max_answer_bytes} bytes", ZkCode.MARSHALLING_ERROR
                )
            parts.append((kind, result))
        return parts

    def _part(self, part: Request, caller: Caller) -> tuple[int, Result | ZkError]:
        try:
            return part.op, self._look(part.op, self._readable(getattr(part, "path", ""), caller))
        except ZkError as error:
            return -1, error

    @staticmethod
    def _look(op: int, node: Node) -> Result:
        if op == OpCode.GET_DATA:
            return Result(data=node.data, stat=node.stat())
        return Result(names=list(node.children or ()), stat=node.stat())

    @staticmethod
    def _news(path: str, node: Node, watches: Watches[W], watcher: W) -> Result:
        touched = watches.news.take(path, watcher)
        there = node.children or {}
        if touched is None:
            return Result(names=list(there), stat=node.stat())
        came: list[str] = []
        gone: list[str] = []
        for name in touched:
            (came if name in there else gone).append(name)
        return Result(names=came, stat=node.stat(), gone=gone)

    def _of_path(self, request: OfPath, caller: Caller) -> Result:
        path = request.path
        match request.op:
            case OpCode.SYNC:
                return Result(path=path)
            case OpCode.GET_EPHEMERALS:
                own = self._tree.ephemerals.get(caller.session_id, {})
                return Result(names=[name for name in own if name.startswith(path)])
            case OpCode.GET_ACL:
                node = self._readable(path, caller, Permission.READ | Permission.ADMIN)
                return Result(acls=access.shown(node.acls, caller.identities), stat=node.stat())
            case _:
                self._readable(path, caller)
                return Result(number=sum(1 for _ in self._below(path)))

    def _below(self, path: str) -> Iterator[Node]:
        prefix = path if path == "/" else path + "/"
        waiting = [prefix + name for name in self._tree.nodes[path].children or ()]
        while waiting:
            below = waiting.pop()
            node = self._tree.nodes[below]
            waiting += [f"{below}/{name}" for name in node.children or ()]
            yield node

    @staticmethod
    def _of_watch(request: OfWatch, watches: Watches[W], watcher: W) -> Result:
        if request.op is OpCode.ADD_WATCH:
            if request.kind not in AddWatchMode.__members__.values():
                raise ZkError(f"a watch of mode {request.kind}", ZkCode.MARSHALLING_ERROR)
            recursive = request.kind == AddWatchMode.PERSISTENT_RECURSIVE
            watches.watch_always(request.path, watcher, recursive=recursive)
            return NOTHING
        look = watches.has if request.op is OpCode.CHECK_WATCHES else watches.remove
        try:
            found = look(request.path, watcher, request.kind)
        except KeyError:
            raise ZkError(f"watches of kind {request.kind}", ZkCode.MARSHALLING_ERROR) from None
        if not found:
            raise NoWatcher(request.path)
        return NOTHING

    def _readable(self, path: str, caller: Caller, permission: int = Permission.READ) -> Node:
        node = self._tree.get(path)
        if node is None:
            raise NoNode(path)
        access.require(node.acls, permission, caller.identities, path)
        return node
