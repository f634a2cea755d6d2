"""Structures that several requests share: Stat, access rules, and paths."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final, NamedTuple

from fastlog.coordination.zookeeper.codes import Permission
from fastlog.coordination.zookeeper.errors import BadArguments
from fastlog.coordination.zookeeper.jute import Reader, Writer

_STAT: Final = Struct(">qqqqiiiqiiq")
_LEAST_ACL: Final = 12
_SURROGATES: Final = range(0xD800, 0xF900)
_SPECIALS: Final = range(0xFFF0, 0x10000)


class Stat(NamedTuple):
    """What is known of a node besides its data. Times in ms since the Unix epoch, zxids of changes."""

    czxid: int
    """Change that made the node; rises for ever, so that Kafka takes it for a broker's epoch."""
    mzxid: int
    """Last change of the data."""
    ctime: int
    mtime: int
    version: int
    """Changes of the data."""
    cversion: int
    """Changes of the children."""
    aversion: int
    """Changes of the access rules."""
    ephemeral_owner: int
    """Session that the node goes with, 0 for none; see `keeper.nodes` for containers and TTLs."""
    data_length: int
    children: int
    pzxid: int
    """Last change of the children."""

    def write(self, out: Writer) -> None:
        """Appends it to a packet."""
        out.extend(_STAT.pack(*self))

    @classmethod
    def read(cls, reader: Reader) -> Stat:
        """Takes it from a packet."""
        return cls(*reader.take(_STAT))


class Acl(NamedTuple):
    """One access rule: who (`scheme`, `id`) may do what (bits of `Permission`)."""

    permissions: int
    scheme: str
    id: str


OPEN: Final = (Acl(Permission.ALL, "world", "anyone"),)
"""Anybody may do anything: Kafka's rules unless `zookeeper.set.acl` is on."""


def write_acls(out: Writer, acls: Iterable[Acl]) -> None:
    """Appends access rules to a packet."""
    rules = list(acls)
    out.int32(len(rules))
    for rule in rules:
        out.int32(rule.permissions)
        out.string(rule.scheme)
        out.string(rule.id)


def read_acls(reader: Reader) -> tuple[Acl, ...]:
    """Takes access rules from a packet."""
    return tuple(reader.vector(lambda r: Acl(r.int32(), r.string(), r.string()), _LEAST_ACL))


def check_path(path: str) -> None:
    """Raises BadArguments unless `path` can name a node (`PathUtils.validatePath`)."""
    if path == "/":
        return
    if not path.startswith("/") or path.endswith("/"):
        raise BadArguments(f"path {path[:200]!r} must begin with / and not end with it")
    for name in path.split("/")[1:]:
        if name in ("", ".", ".."):
            raise BadArguments(f"path {path[:200]!r} has an empty or relative name")
    if path.isascii() and path.isprintable():
        return
    for character in path:
        code = ord(character)
        if code <= 0x1F or 0x7F <= code <= 0x9F or code in _SURROGATES or code in _SPECIALS:
            raise BadArguments(f"path {path[:200]!r} has a character that paths cannot have")


def parent_of(path: str) -> str:
    """The path of the parent; that of the root is the root."""
    return path[: path.rfind("/")] or "/"


def child_of(path: str, name: str) -> str:
    """The path of a child."""
    return f"/{name}" if path == "/" else f"{path}/{name}"
