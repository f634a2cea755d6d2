"""Requests of ZooKeeper's protocol, each with how it is written and read.

A packet of a client is xid, op code and one of these. `Multi` and `MultiRead` hold others of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from fastlog.coordination.zookeeper.codes import ERROR, OpCode
from fastlog.coordination.zookeeper.jute import MalformedPacket, Reader, Writer
from fastlog.coordination.zookeeper.structures import OPEN, Acl, read_acls, write_acls


class Create(NamedTuple):
    """Makes a node. `flags` is a `CreateMode`; `ttl` (ms) counts only with those that have one.

    With `with_stat` the answer has the Stat too. Ops 1, 15, 19 and 21 are all this.
    """

    path: str
    data: bytes | None = None
    acls: tuple[Acl, ...] = OPEN
    flags: int = 0
    ttl: int = 0
    op: OpCode = OpCode.CREATE

    def write(self, out: Writer) -> None:
        """Appends the body."""
        out.string(self.path)
        out.buffer(self.data)
        write_acls(out, self.acls)
        out.int32(self.flags)
        if self.op is OpCode.CREATE_TTL:
            out.int64(self.ttl)

    @property
    def with_stat(self) -> bool:
        """Whether the answer has the Stat of the new node."""
        return self.op is not OpCode.CREATE


class Delete(NamedTuple):
    """Removes a node without children; `version` -1 removes any."""

    path: str
    version: int = -1

    @property
    def op(self) -> OpCode:
        """DELETE."""
        return OpCode.DELETE

    def write(self, out: Writer) -> None:
        """Appends the body."""
        out.string(self.path)
        out.int32(self.version)


class Check(NamedTuple):
    """Part of a multi: fails it unless the node has this version of its data (-1: unless it is there)."""

    path: str
    version: int = -1

    @property
    def op(self) -> OpCode:
        """CHECK."""
        return OpCode.CHECK

    def write(self, out: Writer) -> None:
        """Appends the body."""
        out.string(self.path)
        out.int32(self.version)


class SetData(NamedTuple):
    """Replaces the data of a node at `version` (-1: at any)."""

    path: str
    data: bytes | None
    version: int = -1

    @property
    def op(self) -> OpCode:
        """SET_DATA."""
        return OpCode.SET_DATA

    def write(self, out: Writer) -> None:
        """Appends the body."""
        out.string(self.path)
        out.buffer(self.data)
        out.int32(self.version)


class SetAcl(NamedTuple):
    """Replaces the access rules of a node at this version of them (-1: at any)."""

    path: str
    acls: tuple[Acl, ...]
    version: int = -1

    @property
    def op(self) -> OpCode:
        """SET_ACL."""
        return OpCode.SET_ACL

    def write(self, out: Writer) -> None:
        """Appends the body."""
        out.string(self.path)
        write_acls(out, self.acls)
        out.int32(self.version)


class Read(NamedTuple):
    """One of the reads that can leave a watch: EXISTS, GET_DATA, GET_CHILDREN, GET_CHILDREN2.

    `news` asks GET_CHILDREN2 for no more than what has changed since this connection asked so for the last
    time. No packet says it: only a keeper in this process knows of it, all others list all children.
    """

    op: OpCode
    path: str
    watch: bool = False
    news: bool = False

    def write(self, out: Writer) -> None:
        """Appends the body."""
        out.string(self.path)
        out.boolean(self.watch)


class OfPath(NamedTuple):
    """One of those that have nothing but a path: GET_ACL, SYNC, GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER."""

    op: OpCode
    path: str

    def write(self, out: Writer) -> None:
        """Appends the body."""
        out.string(self.path)


class OfWatch(NamedTuple):
    """ADD_WATCH (`kind` is an `AddWatchMode`); CHECK_WATCHES, REMOVE_WATCHES.

    In these two it is 1 for children, 2 data, 3 any, 4 persistent, 5 persistent and recursive.
    """

    op: OpCode
    path: str
    kind: int

    def write(self, out: Writer) -> None:
        """Appends the body."""
        out.string(self.path)
        out.int32(self.kind)


class SetWatches(NamedTuple):
    """Arms watches again after a reconnect: what changed after `zxid` fires at once.

    Op 101 has the first three lists, op 105 all five.
    """

    op: OpCode
    zxid: int
    data: list[str]
    exist: list[str]
    child: list[str]
    persistent: list[str] = []  # noqa: RUF012 - never changed
    recursive: list[str] = []  # noqa: RUF012

    def write(self, out: Writer) -> None:
        """Appends the body."""
        out.int64(self.zxid)
        lists = [self.data, self.exist, self.child]
        if self.op is OpCode.SET_WATCHES2:
            lists += [self.persistent, self.recursive]
        for paths in lists:
            out.strings(paths)


class Auth(NamedTuple):
    """Tells the server who the client is."""

    scheme: str
    auth: bytes

    @property
    def op(self) -> OpCode:
        """AUTH."""
        return OpCode.AUTH

    def write(self, out: Writer) -> None:
        """Appends the body."""
        out.int32(0)
        out.string(self.scheme)
        out.buffer(self.auth)


class Sasl(NamedTuple):
    """A step of SASL; the answer's data is the server's."""

    token: bytes

    @property
    def op(self) -> OpCode:
        """SASL."""
        return OpCode.SASL

    def write(self, out: Writer) -> None:
        """Appends the body."""
        out.buffer(self.token)


class Bare(NamedTuple):
    """Those that are an op code and nothing else: PING, CLOSE_SESSION, WHO_AM_I."""

    op: OpCode

    def write(self, out: Writer) -> None:
        """Appends nothing."""


class Multi(NamedTuple):
    """Several writes (or, as MULTI_READ, reads) in one: all writes happen, or none."""

    op: OpCode
    parts: tuple[Request, ...]

    def write(self, out: Writer) -> None:
        """Appends the body."""
        for part in self.parts:
            _write_multi_header(out, part.op, done=False)
            part.write(out)
        _write_multi_header(out, ERROR, done=True)


Request: TypeAlias = (
    Create
    | Delete
    | Check
    | SetData
    | SetAcl
    | Read
    | OfPath
    | OfWatch
    | SetWatches
    | Auth
    | Sasl
    | Bare
    | Multi
)

MAX_PARTS: Final = 10_000
"""Most parts of a multi."""


def write_request(xid: int, request: Request) -> bytearray:
    """The packet of a request, without its length."""
    out = Writer()
    out.int32(xid)
    out.int32(request.op)
    request.write(out)
    return out


def read_request(op: int, reader: Reader) -> Request | None:
    """The request after xid and op code; None when there is no such op. Raises MalformedPacket."""
    read = _READERS.get(op)
    return None if read is None else read(OpCode(op), reader)


def _create(op: OpCode, reader: Reader) -> Create:
    path, data, acls, flags = reader.string(), reader.buffer(), read_acls(reader), reader.int32()
    return Create(path, data, acls, flags, reader.int64() if op is OpCode.CREATE_TTL else 0, op)


def _delete(_: OpCode, reader: Reader) -> Delete:
    return Delete(reader.string(), reader.int32())


def _check(_: OpCode, reader: Reader) -> Check:
    return Check(reader.string(), reader.int32())


def _set_data(_: OpCode, reader: Reader) -> SetData:
    return SetData(reader.string(), reader.buffer(), reader.int32())


def _set_acl(_: OpCode, reader: Reader) -> SetAcl:
    return SetAcl(reader.string(), read_acls(reader), reader.int32())


def _read(op: OpCode, reader: Reader) -> Read:
    return Read(op, reader.string(), reader.boolean())


def _of_path(op: OpCode, reader: Reader) -> OfPath:
    return OfPath(op, reader.string())


def _of_watch(op: OpCode, reader: Reader) -> OfWatch:
    return OfWatch(op, reader.string(), reader.int32())


def _set_watches(op: OpCode, reader: Reader) -> SetWatches:
    zxid = reader.int64()
    lists = [reader.strings() for _ in range(3 if op is OpCode.SET_WATCHES else 5)]
    return SetWatches(op, zxid, *lists)


def _auth(_: OpCode, reader: Reader) -> Auth:
    reader.int32()
    return Auth(reader.string(), reader.buffer() or b"")


def _sasl(_: OpCode, reader: Reader) -> Sasl:
    return Sasl(reader.buffer() or b"")


def _bare(op: OpCode, _: Reader) -> Bare:
    return Bare(op)


def _multi(op: OpCode, reader: Reader) -> Multi:
    allowed = _PARTS[op]
    parts: list[Request] = []
    while True:
        kind, done, _ = reader.int32(), reader.boolean(), reader.int32()
        if done:
            return Multi(op, tuple(parts))
        if kind not in allowed:
            raise MalformedPacket(f"op {kind} cannot be part of op {op}")
        if len(parts) == MAX_PARTS:
            raise MalformedPacket(f"more than {MAX_PARTS} parts of a multi")
        parts.append(_READERS[kind](OpCode(kind), reader))


def _write_multi_header(out: Writer, kind: int, *, done: bool) -> None:
    out.int32(kind)
    out.boolean(done)
    out.int32(-1)


_PARTS: Final = {
    OpCode.MULTI: frozenset(
        (
            OpCode.CREATE,
            OpCode.CREATE2,
            OpCode.CREATE_CONTAINER,
            OpCode.CREATE_TTL,
            OpCode.DELETE,
            OpCode.SET_DATA,
            OpCode.CHECK,
        )
    ),
    OpCode.MULTI_READ: frozenset((OpCode.GET_DATA, OpCode.GET_CHILDREN)),
}

_READERS: Final[dict[int, Callable[[OpCode, Reader], Request]]] = {
    **dict.fromkeys((OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER, OpCode.CREATE_TTL), _create),
    OpCode.DELETE: _delete,
    OpCode.CHECK: _check,
    OpCode.SET_DATA: _set_data,
    OpCode.SET_ACL: _set_acl,
    **dict.fromkeys((OpCode.EXISTS, OpCode.GET_DATA, OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2), _read),
    **dict.fromkeys(
        (OpCode.GET_ACL, OpCode.SYNC, OpCode.GET_EPHEMERALS, OpCode.GET_ALL_CHILDREN_NUMBER), _of_path
    ),
    **dict.fromkeys((OpCode.ADD_WATCH, OpCode.CHECK_WATCHES, OpCode.REMOVE_WATCHES), _of_watch),
    **dict.fromkeys((OpCode.SET_WATCHES, OpCode.SET_WATCHES2), _set_watches),
    OpCode.AUTH: _auth,
    OpCode.SASL: _sasl,
    **dict.fromkeys((OpCode.PING, OpCode.CLOSE_SESSION, OpCode.WHO_AM_I), _bare),
    **dict.fromkeys((OpCode.MULTI, OpCode.MULTI_READ), _multi),
}
