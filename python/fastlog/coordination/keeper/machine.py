"""The state machine: decides what a request does, and does it. Pure: no clock, no disk, no connection.

A write is first checked (`_plan`), which gives a change with nothing left open, then applied; `apply` replays
the journal after a start in the same way. Parts of a multi are checked against what those before have done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from fastlog.coordination.keeper import access
from fastlog.coordination.keeper.access import Identity
from fastlog.coordination.keeper.changes import (
    MAX_BYTES,
    AclsSet,
    Change,
    Created,
    DataSet,
    Deleted,
    Entry,
    Many,
    SessionClosed,
    SessionOpened,
    size_of,
)
from fastlog.coordination.keeper.nodes import CONTAINER, MAX_TTL_MS, Node, ttl_of, ttl_owner
from fastlog.coordination.keeper.session_expiry import Session
from fastlog.coordination.keeper.tree import SYSTEM, Tree
from fastlog.coordination.zookeeper.codes import CreateMode, OpCode, Permission, ZkCode
from fastlog.coordination.zookeeper.errors import (
    BadArguments,
    BadVersion,
    NoChildrenForEphemerals,
    NodeExists,
    NoNode,
    NotEmpty,
    RuntimeInconsistency,
    Unimplemented,
    ZkError,
)
from fastlog.coordination.zookeeper.replies import NOTHING, Result
from fastlog.coordination.zookeeper.requests import Check, Create, Delete, Multi, Request, SetAcl, SetData
from fastlog.coordination.zookeeper.structures import Acl, check_path, parent_of

EPOCH_BITS: Final = 32
"""The upper half of a zxid counts starts of the keeper, the lower half changes since."""


class Caller(NamedTuple):
    """Who asks."""

    session_id: int
    identities: Sequence[Identity] = ()


Fire: TypeAlias = Callable[[], None]
"""Fires the watches of one change."""


class Observer(Protocol):
    """Told of each node that an applied change touched (`Watches` is one)."""

    def created(self, path: str, acls: Sequence[Acl], parent_acls: Sequence[Acl]) -> None:
        """A node was made."""
        ...

    def deleted(self, path: str, acls: Sequence[Acl], parent_acls: Sequence[Acl]) -> None:
        """A node was removed."""
        ...

    def data_changed(self, path: str, acls: Sequence[Acl]) -> None:
        """Data was replaced."""
        ...


class Machine:
    """Tree, sessions and the last zxid.

    `journal` gets every change that a write makes, before `observer` is told of it: in that order, so that
    what the observer passes on can wait for the journal.
    """

    def __init__(self, observer: Observer, journal: Callable[[Entry], None]) -> None:
        self.tree = Tree()
        self.sessions: dict[int, Session] = {}
        self.zxid = 0
        self.observer = observer
        self._journal = journal

    @property
    def next_epoch(self) -> int:
        """The first zxid of the next epoch: larger than any that was ever told to anybody."""
        return ((self.zxid >> EPOCH_BITS) + 1) << EPOCH_BITS

    def write(self, request: Request, caller: Caller, time_ms: int) -> Result:
        """Carries out a write.

        Raises ZkError when it is refused; nothing has changed then. A multi that is refused raises nothing:
        what is wrong stands in its parts.
        """
        if isinstance(request, Multi):
            return self._write_multi(request, caller, time_ms)
        # As in ZooKeeper a write has a zxid even if it fails.
        self.zxid += 1
        change = self._plan(request, caller)
        _check_size(size_of(change))
        fire: list[Fire] = []
        node = self._apply(change, self.zxid, time_ms, fire)
        if change is not None:
            self._conclude(change, time_ms, fire)
        return self._result(request, change, node)

    def apply(self, entry: Entry) -> None:
        """Carries out a change that was decided: of the journal, or of a session."""
        fire: list[Fire] = []
        self._apply(entry.change, entry.zxid, entry.time_ms, fire)
        self.zxid = max(self.zxid, entry.zxid)
        for tell in fire:
            tell()

    def expired_nodes(self, now_ms: int) -> list[str]:
        """Containers that lost their last child, nodes past their time to live (`ContainerManager`)."""
        found = []
        for path in self.tree.transients:
            node = self.tree.nodes[path]
            ttl = ttl_of(node.owner)
            if node.child_count:
                continue
            if ttl is None:
                if node.creates:
                    found.append(path)
            elif now_ms - max(node.mtime, node.ctime) > ttl:
                found.append(path)
        return found

    def _write_multi(self, request: Multi, caller: Caller, time_ms: int) -> Result:
        self.zxid += 1
        changes: list[Change] = []
        results: list[tuple[int, Result | ZkError]] = []
        fire: list[Fire] = []
        size = 0
        try:
            with self.tree.all_or_nothing():
                for part in request.parts:
                    change = self._plan(part, caller)
                    size += size_of(change)
                    _check_size(size)
                    node = self._apply(change, self.zxid, time_ms, fire)
                    results.append((part.op, self._result(part, change, node)))
                    if change is not None:
                        changes.append(change)
        except ZkError as error:
            return Result(parts=_failed(len(request.parts), len(results), error))
        if changes:
            self._conclude(Many(tuple(changes)), time_ms, fire)
        return Result(parts=results)

    def _conclude(self, change: Change, time_ms: int, fire: Sequence[Fire]) -> None:
        self._journal(Entry(self.zxid, time_ms, change))
        for tell in fire:
            tell()

    def _plan(self, request: Request, caller: Caller) -> Change | None:
        """The change that a request means now; None for one that changes nothing. Raises ZkError."""
        match request:
            case Create():
                return self._plan_create(request, caller)
            case Delete():
                return self._plan_delete(request, caller)
            case SetData():
                node = self._node(request.path)
                access.require(node.acls, Permission.WRITE, caller.identities, request.path)
                _check_version(request.version, node.version, request.path)
                return DataSet(request.path, request.data)
            case SetAcl():
                node = self._node(request.path)
                access.require(node.acls, Permission.ADMIN, caller.identities, request.path)
                _check_version(request.version, node.aversion, request.path)
                return AclsSet(request.path, access.resolve(request.acls, caller.identities))
            case Check():
                node = self._node(request.path)
                access.require(node.acls, Permission.READ, caller.identities, request.path)
                _check_version(request.version, node.version, request.path)
                return None
            case _:
                raise Unimplemented(f"op {request.op} writes nothing")

    def _plan_create(self, request: Create, caller: Caller) -> Created:
        try:
            mode = CreateMode(request.flags)
        except ValueError:
            raise BadArguments(f"create with flags {request.flags}") from None
        owner = _owner(request, mode, caller)
        path = request.path
        if "/" not in path or "\0" in path:
            raise BadArguments(f"no path: {path[:200]!r}")
        acls = access.resolve(request.acls, caller.identities)
        above = parent_of(path)
        parent = self.tree.get(above)
        if path == "/":
            raise NodeExists(path)
        if parent is None:
            raise NoNode(above)
        access.require(parent.acls, Permission.CREATE, caller.identities, above)
        if mode.is_sequential:
            path = f"{path}{parent.creates:010d}"
        check_path(path)
        if path in self.tree.nodes:
            raise NodeExists(path)
        if parent.is_ephemeral:
            raise NoChildrenForEphemerals(path)
        return Created(path, request.data, acls, owner)

    def _plan_delete(self, request: Delete, caller: Caller) -> Deleted:
        path = request.path
        if "/" not in path or path == "/" or path in SYSTEM:
            raise BadArguments(f"{path} cannot be removed")
        node = self.tree.get(path)
        parent = self.tree.get(parent_of(path))
        if node is None or parent is None:
            raise NoNode(path)
        access.require(parent.acls, Permission.DELETE, caller.identities, path)
        _check_version(request.version, node.version, path)
        if node.child_count:
            raise NotEmpty(path)
        return Deleted(path)

    def _node(self, path: str) -> Node:
        check_path(path)
        node = self.tree.get(path)
        if node is None:
            raise NoNode(path)
        return node

    def _apply(self, change: Change | None, zxid: int, time_ms: int, fire: list[Fire]) -> Node | None:
        """Changes tree and sessions; what watches are to hear goes to `fire`. Gives the node that is left."""
        tree, observer = self.tree, self.observer
        match change:
            case Created(path, data, acls, owner):
                node = tree.create(path, data, acls, owner, zxid, time_ms)
                parent_acls = tree.nodes[parent_of(path)].acls
                fire.append(lambda: observer.created(path, node.acls, parent_acls))
                return node
            case Deleted(path):
                self._delete(path, zxid, fire)
            case DataSet(path, data):
                node = tree.set_data(path, data, zxid, time_ms)
                fire.append(lambda: observer.data_changed(path, node.acls))
                return node
            case AclsSet(path, acls):
                return tree.set_acls(path, acls)
            case SessionOpened(session_id, timeout_ms, password):
                self.sessions[session_id] = Session(session_id, timeout_ms, password)
            case SessionClosed(session_id):
                self._close_session(session_id, zxid, fire)
            case Many(parts):
                for part in parts:
                    self._apply(part, zxid, time_ms, fire)
        return None

    def _close_session(self, session_id: int, zxid: int, fire: list[Fire]) -> None:
        self.sessions.pop(session_id, None)
        for path in list(self.tree.ephemerals.get(session_id, ())):
            self._delete(path, zxid, fire)

    def _delete(self, path: str, zxid: int, fire: list[Fire]) -> None:
        observer = self.observer
        acls = self.tree.nodes[path].acls
        parent_acls = self.tree.nodes[parent_of(path)].acls
        self.tree.delete(path, zxid)
        fire.append(lambda: observer.deleted(path, acls, parent_acls))

    @staticmethod
    def _result(request: Request, change: Change | None, node: Node | None) -> Result:
        match change:
            case Created(path) if node is not None:
                with_stat = isinstance(request, Create) and request.with_stat
                return Result(path=path, stat=node.stat() if with_stat else None)
            case DataSet() | AclsSet() if node is not None:
                return Result(stat=node.stat())
            case _:
                return NOTHING


def _owner(request: Create, mode: CreateMode, caller: Caller) -> int:
    if mode.has_ttl is not (request.op is OpCode.CREATE_TTL):
        raise BadArguments(f"op {request.op} with flags {request.flags}")
    if mode.has_ttl:
        if not 0 < request.ttl <= MAX_TTL_MS:
            raise BadArguments(f"a time to live of {request.ttl} ms")
        return ttl_owner(request.ttl)
    if mode is CreateMode.CONTAINER or request.op is OpCode.CREATE_CONTAINER:
        return CONTAINER
    return caller.session_id if mode.is_ephemeral else 0


def _check_size(size: int) -> None:
    """What the journal cannot keep must not be done: it would end the keeper for all."""
    if size > MAX_BYTES:
        raise BadArguments(f"a change of {size} bytes: there may be {MAX_BYTES}")


def _check_version(expected: int, version: int, path: str) -> None:
    if expected not in (-1, version):
        raise BadVersion(f"{path} is at version {version}, not {expected}")


def _failed(count: int, culprit: int, error: ZkError) -> list[tuple[int, Result | ZkError]]:
    """What a multi says that failed at its part `culprit`: 0 before it, "not tried" after it."""
    before = ZkError("taken back", ZkCode.OK)
    after = RuntimeInconsistency()
    parts = [before] * culprit + [error] + [after] * (count - culprit - 1)
    return [(-1, part) for part in parts]
