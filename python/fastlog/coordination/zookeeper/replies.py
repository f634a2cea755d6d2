"""Results of requests, the packets that carry them, and the packets that begin a session.

A packet of a server is xid, zxid and error code, then the result if there is no error.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from fastlog.coordination.zookeeper.codes import ERROR, EventType, KeeperState, OpCode, Xid, ZkCode
from fastlog.coordination.zookeeper.errors import ZkError, error_of
from fastlog.coordination.zookeeper.jute import MalformedPacket, Reader, Writer
from fastlog.coordination.zookeeper.requests import Multi, Request
from fastlog.coordination.zookeeper.structures import Acl, Stat, read_acls, write_acls

_HEADER: Final = Struct(">iqi")
_EVENT_HEADER: Final = _HEADER.pack(Xid.EVENT, -1, ZkCode.OK)
_LEAST_IDENTITY: Final = 8
_MAX_RESULTS: Final = 10_000


class Result(NamedTuple):
    """What a request gives; which fields are set follows from its op.

    | op                                  | fields                      |
    |-------------------------------------|-----------------------------|
    | CREATE, SYNC                        | path                        |
    | CREATE2, CREATE_CONTAINER, CREATE_TTL | path, stat                |
    | EXISTS, SET_DATA, SET_ACL           | stat                        |
    | GET_DATA                            | data, stat                  |
    | GET_ACL                             | acls, stat                  |
    | GET_CHILDREN, GET_EPHEMERALS        | names                       |
    | GET_CHILDREN2                       | names, stat; see `gone`     |
    | GET_ALL_CHILDREN_NUMBER             | number                      |
    | WHO_AM_I                            | identities (scheme, name)   |
    | MULTI, MULTI_READ                   | parts: results, or ZkErrors |
    """

    path: str = ""
    stat: Stat | None = None
    data: bytes | None = None
    names: list[str] = []  # noqa: RUF012 - never changed
    acls: tuple[Acl, ...] = ()
    number: int = 0
    identities: list[tuple[str, str]] = []  # noqa: RUF012
    parts: list[tuple[int, Result | ZkError]] = []  # noqa: RUF012
    gone: list[str] | None = None
    """With `Read.news`: these are no children any more, and `names` those that have come. None: `names` are
    all that there are."""


NOTHING: Final = Result()


class Event(NamedTuple):
    """A watch that fired, or (NONE) a change of the session's state."""

    type: EventType
    state: KeeperState
    path: str


def _path(out: Writer, result: Result) -> None:
    out.string(result.path)


def _stat(out: Writer, result: Result) -> None:
    if result.stat is None:
        raise TypeError("a result without the Stat that its op has")
    result.stat.write(out)


def _data(out: Writer, result: Result) -> None:
    out.buffer(result.data)


def _names(out: Writer, result: Result) -> None:
    out.strings(result.names)


def _acls(out: Writer, result: Result) -> None:
    write_acls(out, result.acls)


def _number(out: Writer, result: Result) -> None:
    out.int32(result.number)


def _no_error(out: Writer, _: Result) -> None:
    # The one result that is an error code, besides the one in the head.
    out.int32(ZkCode.OK)


def _identities(out: Writer, result: Result) -> None:
    out.int32(len(result.identities))
    for scheme, name in result.identities:
        out.string(scheme)
        out.string(name)


_WRITERS: Final[dict[int, tuple[Callable[[Writer, Result], None], ...]]] = {
    OpCode.CREATE: (_path,),
    OpCode.SYNC: (_path,),
    OpCode.CREATE2: (_path, _stat),
    OpCode.CREATE_CONTAINER: (_path, _stat),
    OpCode.CREATE_TTL: (_path, _stat),
    OpCode.EXISTS: (_stat,),
    OpCode.SET_DATA: (_stat,),
    OpCode.SET_ACL: (_stat,),
    OpCode.GET_DATA: (_data, _stat),
    OpCode.SASL: (_data,),
    OpCode.GET_ACL: (_acls, _stat),
    OpCode.GET_CHILDREN: (_names,),
    OpCode.GET_EPHEMERALS: (_names,),
    OpCode.GET_CHILDREN2: (_names, _stat),
    OpCode.GET_ALL_CHILDREN_NUMBER: (_number,),
    OpCode.WHO_AM_I: (_identities,),
    OpCode.ADD_WATCH: (_no_error,),
}


def write_reply(xid: int, zxid: int, op: int, outcome: Result | ZkError) -> Writer:
    """The packet of an answer, without its length.

    A multi that failed has error 0 all the same: what failed is in its parts.
    """
    failed = isinstance(outcome, ZkError)
    out = Writer(_HEADER.pack(xid, zxid, outcome.code if isinstance(outcome, ZkError) else ZkCode.OK))
    if not failed:
        _write_result(out, op, outcome)
    return out


def _write_result(out: Writer, op: int, result: Result | ZkError) -> None:
    if isinstance(result, ZkError):
        raise TypeError("an error has no result")
    if op in (OpCode.MULTI, OpCode.MULTI_READ):
        for kind, part in result.parts:
            _write_part(out, kind, part)
        _write_part_header(out, ERROR, done=True, code=-1)
    for write in _WRITERS.get(op, ()):
        write(out, result)


def _write_part(out: Writer, kind: int, part: Result | ZkError) -> None:
    if isinstance(part, ZkError):
        _write_part_header(out, ERROR, done=False, code=part.code)
        out.int32(part.code)
    else:
        _write_part_header(out, kind, done=False, code=ZkCode.OK)
        _write_result(out, kind, part)


def _write_part_header(out: Writer, kind: int, *, done: bool, code: int) -> None:
    out.int32(kind)
    out.boolean(done)
    out.int32(code)


def write_event(event: Event) -> Writer:
    """The packet of an event, without its length."""
    out = Writer(_EVENT_HEADER)
    out.int32(event.type)
    out.int32(event.state)
    out.string(event.path)
    return out


Header: TypeAlias = tuple[int, int, int]
"""(xid, zxid, error code)."""


def read_header(reader: Reader) -> Header:
    """Takes the head of a server's packet."""
    xid, zxid, code = reader.take(_HEADER)
    return xid, zxid, code


def read_event(reader: Reader) -> Event:
    """Takes an event, after the head."""
    kind, state, path = reader.int32(), reader.int32(), reader.string()
    try:
        return Event(EventType(kind), KeeperState(state), path)
    except ValueError:
        raise MalformedPacket(f"an event of type {kind} in state {state}") from None


def read_result(request: Request, reader: Reader) -> Result:
    """Takes the result of `request`, after a head without an error."""
    return _read_result(request.op, reader)


def _read_result(op: int, reader: Reader) -> Result:
    read = _READERS.get(op)
    return NOTHING if read is None else read(reader)


def _read_parts(reader: Reader) -> list[tuple[int, Result | ZkError]]:
    parts: list[tuple[int, Result | ZkError]] = []
    while len(parts) <= _MAX_RESULTS:
        kind, done = reader.int32(), reader.boolean()
        reader.int32()
        if done:
            return parts
        parts.append((kind, error_of(reader.int32()) if kind == ERROR else _read_result(kind, reader)))
    raise MalformedPacket("a multi with too many results")


_READERS: Final[dict[int, Callable[[Reader], Result]]] = {
    OpCode.CREATE: lambda r: Result(path=r.string()),
    OpCode.SYNC: lambda r: Result(path=r.string()),
    OpCode.CREATE2: lambda r: Result(path=r.string(), stat=Stat.read(r)),
    OpCode.CREATE_CONTAINER: lambda r: Result(path=r.string(), stat=Stat.read(r)),
    OpCode.CREATE_TTL: lambda r: Result(path=r.string(), stat=Stat.read(r)),
    OpCode.EXISTS: lambda r: Result(stat=Stat.read(r)),
    OpCode.SET_DATA: lambda r: Result(stat=Stat.read(r)),
    OpCode.SET_ACL: lambda r: Result(stat=Stat.read(r)),
    OpCode.GET_DATA: lambda r: Result(data=r.buffer(), stat=Stat.read(r)),
    OpCode.SASL: lambda r: Result(data=r.buffer()),
    OpCode.GET_ACL: lambda r: Result(acls=read_acls(r), stat=Stat.read(r)),
    OpCode.GET_CHILDREN: lambda r: Result(names=r.strings()),
    OpCode.GET_EPHEMERALS: lambda r: Result(names=r.strings()),
    OpCode.GET_CHILDREN2: lambda r: Result(names=r.strings(), stat=Stat.read(r)),
    OpCode.GET_ALL_CHILDREN_NUMBER: lambda r: Result(number=r.int32()),
    OpCode.WHO_AM_I: lambda r: Result(identities=r.vector(_identity, _LEAST_IDENTITY)),
    OpCode.ADD_WATCH: lambda r: Result(number=r.int32()),
    OpCode.MULTI: lambda r: Result(parts=_read_parts(r)),
    OpCode.MULTI_READ: lambda r: Result(parts=_read_parts(r)),
}


def _identity(reader: Reader) -> tuple[str, str]:
    return reader.string(), reader.string()


def failure_of(request: Multi, result: Result) -> ZkError | None:
    """Why a multi failed: the error of the part that did it, its path in the text; None when all is done."""
    for part, (_, outcome) in zip(request.parts, result.parts, strict=False):
        if isinstance(outcome, ZkError) and outcome.code not in (ZkCode.OK, ZkCode.RUNTIME_INCONSISTENCY):
            return error_of(
                outcome.code, f"{part.op.name} {getattr(part, 'path', '')}: {type(outcome).__name__}"
            )
    return None


class ConnectRequest(NamedTuple):
    """The first packet of a client. A session id of 0 asks for a new session. Time-outs are in ms."""

    last_zxid: int
    timeout_ms: int
    session_id: int
    password: bytes
    read_only: bool | None = False
    protocol_version: int = 0

    def write(self) -> Writer:
        """The packet, without its length."""
        out = Writer()
        out.int32(self.protocol_version)
        out.int64(self.last_zxid)
        out.int32(self.timeout_ms)
        out.int64(self.session_id)
        out.buffer(self.password)
        if self.read_only is not None:
            out.boolean(self.read_only)
        return out

    @classmethod
    def read(cls, reader: Reader) -> ConnectRequest:
        """Clients before ZooKeeper 3.4 say nothing of read-only: None."""
        version, last_zxid, timeout_ms = reader.int32(), reader.int64(), reader.int32()
        session_id, password = reader.int64(), reader.buffer() or b""
        read_only = reader.boolean() if reader.left else None
        return cls(last_zxid, timeout_ms, session_id, password, read_only, version)


class ConnectReply(NamedTuple):
    """The answer to it. A session id of 0 says that the session has expired, or never was."""

    timeout_ms: int
    session_id: int
    password: bytes
    read_only: bool | None = False

    def write(self) -> Writer:
        """The packet, without its length."""
        out = Writer()
        out.int32(0)
        out.int32(self.timeout_ms)
        out.int64(self.session_id)
        out.buffer(self.password)
        if self.read_only is not None:
            out.boolean(self.read_only)
        return out

    @classmethod
    def read(cls, reader: Reader) -> ConnectReply:
        """Takes the packet."""
        reader.int32()
        timeout_ms, session_id, password = reader.int32(), reader.int64(), reader.buffer() or b""
        return cls(timeout_ms, session_id, password, reader.boolean() if reader.left else None)
