"""Changes: what the journal keeps, with everything decided, so that a replay needs no check.

| kind | body                                                    |
|------|---------------------------------------------------------|
| 1    | path, data, access rules, owner: a node was made        |
| 2    | path: a node was removed                                |
| 3    | path, data                                              |
| 4    | path, access rules                                      |
| 5    | id, time-out in ms, password: a session began           |
| 6    | id: a session ended, and its nodes with it              |
| 7    | count, then kinds and bodies: a multi                   |
| 8    | nothing: the keeper was started, a new epoch begins     |

Before it stand zxid (int64), time (int64, ms since the Unix epoch) and kind (int32), encoded as `jute` does.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from fastlog.coordination.zookeeper.jute import MalformedPacket, Reader, Writer
from fastlog.coordination.zookeeper.structures import Acl, read_acls, write_acls

_HEAD: Final = Struct(">qq")
# Kind, lengths and owner; permissions and lengths.
_FIELDS: Final = 32
_RULE: Final = 12
_LEAST_CHANGE: Final = 4
MAX_BYTES: Final = 48 * 1024 * 1024
"""Of a change. It may be many times as large as the packet that asks for it, through rules `auth`."""


class Created(NamedTuple):
    """A node was made. `owner` is that of `Node`."""

    path: str
    data: bytes | None
    acls: tuple[Acl, ...]
    owner: int

    def write(self, out: Writer) -> None:
        """Appends kind and body."""
        out.int32(1)
        out.string(self.path)
        out.buffer(self.data)
        write_acls(out, self.acls)
        out.int64(self.owner)


class Deleted(NamedTuple):
    """A node was removed."""

    path: str

    def write(self, out: Writer) -> None:
        """Appends kind and body."""
        out.int32(2)
        out.string(self.path)


class DataSet(NamedTuple):
    """The data of a node was replaced."""

    path: str
    data: bytes | None

    def write(self, out: Writer) -> None:
        """Appends kind and body."""
        out.int32(3)
        out.string(self.path)
        out.buffer(self.data)


class AclsSet(NamedTuple):
    """The access rules of a node were replaced."""

    path: str
    acls: tuple[Acl, ...]

    def write(self, out: Writer) -> None:
        """Appends kind and body."""
        out.int32(4)
        out.string(self.path)
        write_acls(out, self.acls)


class SessionOpened(NamedTuple):
    """A session began."""

    session_id: int
    timeout_ms: int
    password: bytes

    def write(self, out: Writer) -> None:
        """Appends kind and body."""
        out.int32(5)
        out.int64(self.session_id)
        out.int32(self.timeout_ms)
        out.buffer(self.password)


class SessionClosed(NamedTuple):
    """A session ended, and its ephemeral nodes with it."""

    session_id: int

    def write(self, out: Writer) -> None:
        """Appends kind and body."""
        out.int32(6)
        out.int64(self.session_id)


class Many(NamedTuple):
    """A multi: all of it has one zxid."""

    parts: tuple[Change, ...]

    def write(self, out: Writer) -> None:
        """Appends kind and body."""
        out.int32(7)
        out.int32(len(self.parts))
        for part in self.parts:
            part.write(out)


class Started(NamedTuple):
    """The keeper was started: zxids go on from here."""

    def write(self, out: Writer) -> None:
        """Appends kind and body."""
        out.int32(8)


Change: TypeAlias = Created | Deleted | DataSet | AclsSet | SessionOpened | SessionClosed | Many | Started


def size_of(change: Change | None) -> int:
    """Bytes that the journal keeps of a change of nodes, or a few more."""
    match change:
        case Created(path, data, acls):
            return _FIELDS + _text(path) + len(data or b"") + _rules(acls)
        case DataSet(path, data):
            return _FIELDS + _text(path) + len(data or b"")
        case AclsSet(path, acls):
            return _FIELDS + _text(path) + _rules(acls)
        case Deleted(path):
            return _FIELDS + _text(path)
        case Many(parts):
            return _FIELDS + sum(map(size_of, parts))
        case _:
            return _FIELDS


def _rules(acls: tuple[Acl, ...]) -> int:
    return sum([_RULE + _text(rule.scheme) + _text(rule.id) for rule in acls])


def _text(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


class Entry(NamedTuple):
    """A change with its place in history."""

    zxid: int
    time_ms: int
    change: Change

    def encode(self) -> bytes:
        """As the journal keeps it."""
        out = Writer(_HEAD.pack(self.zxid, self.time_ms))
        self.change.write(out)
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes) -> Entry:
        """Raises MalformedPacket."""
        reader = Reader(data)
        zxid, time_ms = reader.take(_HEAD)
        entry = cls(zxid, time_ms, _read(reader))
        if reader.left:
            raise MalformedPacket(f"{reader.left} bytes after the change {zxid:#x}")
        return entry


def _read(reader: Reader) -> Change:
    kind = reader.int32()
    read = _READERS.get(kind)
    if read is None:
        raise MalformedPacket(f"a change of kind {kind}, which this version does not know")
    return read(reader)


_READERS: Final[dict[int, Callable[[Reader], Change]]] = {
    1: lambda r: Created(r.string(), r.buffer(), read_acls(r), r.int64()),
    2: lambda r: Deleted(r.string()),
    3: lambda r: DataSet(r.string(), r.buffer()),
    4: lambda r: AclsSet(r.string(), read_acls(r)),
    5: lambda r: SessionOpened(r.int64(), r.int32(), r.buffer() or b""),
    6: lambda r: SessionClosed(r.int64()),
    7: lambda r: Many(tuple(r.vector(_read, _LEAST_CHANGE))),
    8: lambda _: Started(),
}
