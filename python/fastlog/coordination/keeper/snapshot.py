"""Snapshots: the whole state at one moment, so that a start need not replay all that ever happened.

| field          | type                                                                             |
|----------------|----------------------------------------------------------------------------------|
| magic, version | 8 bytes "FLKEEPER", int32 1                                                      |
| zxid           | int64, of the last change that is in it                                          |
| offset         | int64, of the first entry of the journal that is not                             |
| sessions       | count int32; each id int64, time-out int32 (ms), password                        |
| nodes          | count int32; each path, data, access rules, then 3 int64 zxids (czxid, mzxid, pzxid), 2 int64 times (ctime, mtime, in ms), int64 owner, 3 int32 (version, aversion, creates) |
| checksum       | uint32, CRC-32C of all before it                                                 |

Strings, buffers and rules are encoded as `jute` does. The file is replaced as a whole, atomically.
"""  # noqa: E501 - a table

from __future__ import annotations

from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from fastlog.base.files import write_atomically
from fastlog.base.regular_file import GIBIBYTE, read_regular_file
from fastlog.coordination.keeper.journal import KeeperDamaged
from fastlog.coordination.keeper.nodes import Node
from fastlog.coordination.keeper.session_expiry import Session
from fastlog.coordination.keeper.tree import Tree
from fastlog.coordination.zookeeper.jute import MalformedPacket, Reader, Writer
from fastlog.coordination.zookeeper.structures import read_acls, write_acls
from fastlog.native import crc32c

FILE_NAME: Final = "snapshot"
_MAGIC: Final = b"FLKEEPER"
_VERSION: Final = 1
_HEAD: Final = Struct(">8siqq")
_COUNTERS: Final = Struct(">qqqqqqiii")
_CHECKSUM: Final = Struct(">I")
_LEAST_SESSION: Final = 16
_LEAST_NODE: Final = 72
_NODES_PER_TURN: Final = 500


class SnapshotBuilder:
    """Takes the state of one moment while the tree goes on changing.

    Made at that moment; then `take_some` until it says that all is taken. A node that is about to change
    before its turn has come is taken first, as it was.
    """

    def __init__(self, tree: Tree, sessions: dict[int, Session], zxid: int, offset: int) -> None:
        self._tree = tree
        self._waiting = dict(tree.nodes)
        self._out = Writer(_HEAD.pack(_MAGIC, _VERSION, zxid, offset))
        self._out.int32(len(sessions))
        for session in sessions.values():
            self._out.int64(session.id)
            self._out.int32(session.timeout_ms)
            self._out.buffer(session.password)
        self._out.int32(len(self._waiting))
        tree.before_change = self._before_change

    def take_some(self) -> bool:
        """A turn's worth of nodes; whether there are more."""
        for _ in range(min(_NODES_PER_TURN, len(self._waiting))):
            self._take(*self._waiting.popitem())
        if self._waiting:
            return True
        self.abandon()
        return False

    def abandon(self) -> None:
        """No more nodes are taken."""
        if self._tree.before_change == self._before_change:
            self._tree.before_change = None

    def finish(self) -> bytearray:
        """The file. May be called in a thread."""
        self._out += _CHECKSUM.pack(crc32c(self._out))
        return self._out

    def _before_change(self, path: str, node: Node) -> None:
        if self._waiting.pop(path, None) is not None:
            self._take(path, node)

    def _take(self, path: str, node: Node) -> None:
        out = self._out
        out.string(path)
        out.buffer(node.data)
        write_acls(out, node.acls)
        out += _COUNTERS.pack(
            node.czxid,
            node.mzxid,
            node.pzxid,
            node.ctime,
            node.mtime,
            node.owner,
            node.version,
            node.aversion,
            node.creates,
        )


class Snapshot(NamedTuple):
    """What was read."""

    tree: Tree
    sessions: dict[int, Session]
    zxid: int
    offset: int


def write(directory: Path, builder: SnapshotBuilder) -> None:
    """Replaces the snapshot. Blocks. Raises OSError; the old one is then still there."""
    write_atomically(directory / FILE_NAME, bytes(builder.finish()))


def read(directory: Path) -> Snapshot | None:
    """The snapshot; None when there is none. Blocks. Raises KeeperDamaged."""
    path = directory / FILE_NAME
    try:
        data = read_regular_file(path, 64 * GIBIBYTE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeeperDamaged(f"the keeper's snapshot {path} cannot be read: {error}") from error
    try:
        return decode(data)
    except (MalformedPacket, KeyError) as error:
        raise KeeperDamaged(f"the keeper's snapshot {path} is damaged: {error}") from error


def decode(data: bytes) -> Snapshot:
    """Reads the bytes of a file. Raises MalformedPacket or KeyError."""
    body, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if len(data) < _HEAD.size + _CHECKSUM.size or _CHECKSUM.unpack(checksum)[0] != crc32c(body):
        raise MalformedPacket("the checksum is wrong")
    magic, version, zxid, offset = _HEAD.unpack_from(body)
    if magic != _MAGIC or version != _VERSION:
        raise MalformedPacket(f"version {version}, which this program does not know")
    reader = Reader(body, _HEAD.size)
    sessions = reader.vector(_session, _LEAST_SESSION)
    tree = Tree()
    for path, node in reader.vector(_node, _LEAST_NODE):
        tree.restore(path, node)
    tree.relink()
    return Snapshot(tree, {session.id: session for session in sessions}, zxid, offset)


def _session(reader: Reader) -> Session:
    return Session(reader.int64(), reader.int32(), reader.buffer() or b"")


def _node(reader: Reader) -> tuple[str, Node]:
    path, data, acls = reader.string(), reader.buffer(), read_acls(reader)
    czxid, mzxid, pzxid, ctime, mtime, owner, version, aversion, creates = reader.take(_COUNTERS)
    node = Node(data, acls, owner, czxid, ctime)
    node.mzxid, node.pzxid, node.mtime = mzxid, pzxid, mtime
    node.version, node.aversion, node.creates = version, aversion, creates
    return path, node
