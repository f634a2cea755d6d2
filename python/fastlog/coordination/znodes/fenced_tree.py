"""Writes to the tree that take effect once, and only while this broker is the controller.

Each is a multi that begins with a check of /controller_epoch, as each write of Kafka's controller is: one
that comes late, from a broker that is controller no more, changes nothing. When the connection breaks before
the answer comes, the tree is looked at to find out whether the write was carried out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

from fastlog.coordination.store import StoreError
from fastlog.coordination.znodes import paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_watches import Watch
from fastlog.coordination.zookeeper.codes import CreateMode, OpCode, ZkCode
from fastlog.coordination.zookeeper.errors import (
    BadVersion,
    ConnectionLoss,
    NoNode,
    RuntimeInconsistency,
    SessionExpired,
    ZkError,
)
from fastlog.coordination.zookeeper.replies import Result, failure_of
from fastlog.coordination.zookeeper.requests import Check, Create, Delete, Multi, Read, SetData

_LOG: Final = logging.getLogger(__name__)
# The servers of an ensemble take packets of 1 MiB unless they are told otherwise (`jute.maxbuffer`).
MOST_BYTES: Final = 768 * 1024
MOST_PARTS: Final = 1000
_LARGEST_BYTES: Final = 1_000_000
"""Of what cannot be divided."""
_PART_BYTES: Final = 96
"""What a part takes beside path and data, at most."""
_READS_AT_ONCE: Final = 500

_TRIES: Final = 5

T = TypeVar("T")
Part: TypeAlias = Create | Delete | SetData
_LOST: Final = (ConnectionLoss, SessionExpired)


class ControllerMoved(StoreError):
    """Another broker has become the controller: nothing was written."""


class Change(NamedTuple):
    """What a write has made of a node: the version of its data, and the zxid of that. 0 for one removed."""

    version: int
    zxid: int


class Seat(Protocol):
    """Whether this broker is the controller."""

    async def taken(self) -> int:
        """The version of /controller_epoch under which it is. Waits for a connection, but not for ever.

        Raises StoreError.
        """
        ...

    def lost(self) -> None:
        """A write has shown that it is the controller no more."""
        ...


class FencedTree:
    """A tree in which the controller writes. Used on the event loop."""

    def __init__(self, client: ZkClient, seat: Seat) -> None:
        self.client: Final = client
        self._seat = seat

    async def commit(self, parts: Sequence[Part]) -> list[int]:
        """All parts or none; gives the version of each node then (of no meaning for one that is removed).

        Raises as `change`.
        """
        return [change.version for change in await self.change(parts)]

    async def change(self, parts: Sequence[Part]) -> list[Change]:
        """The same, and tells which change of the tree it was.

        Raises ControllerMoved, StoreError when the servers cannot be reached, or the ZkError of a part.
        """
        check_size(parts)
        for attempt in range(_TRIES):
            version = await self._seat.taken()
            if attempt and (done := await self._look(parts)) is not None:
                return done
            request = Multi(OpCode.MULTI, (Check(paths.CONTROLLER_EPOCH, version), *parts))
            try:
                result = await self.client.submit(request)
            except _LOST as error:
                _LOG.info("a write has no answer, the tree will be looked at: %s", error)
                continue
            except ZkError as error:
                raise StoreError(f"the metadata cannot be written: {error}") from error
            failure = failure_of(request, result)
            if failure is None:
                return [_change(part) for _, part in result.parts[1:]]
            if _is_fence(result):
                self._seat.lost()
                raise ControllerMoved("another broker is the controller of this cluster now")
            raise failure
        raise StoreError("the metadata cannot be written: the connection breaks again and again")

    async def sync(self) -> None:
        """What is read afterwards is no older than this moment. Raises StoreError."""
        await self._again(lambda: self.client.sync("/"))

    async def ensure(self, *paths: str) -> None:
        """Makes nodes and all above them, with null data, unless they are there. Raises StoreError."""
        await self._again(lambda: self.client.ensure(*paths))

    async def read(self, path: str) -> tuple[bytes | None, int]:
        """Data and version of a node. Raises NoNode, StoreError."""
        (found,) = await self.read_all([path])
        if found is None:
            raise NoNode(path)
        return found

    async def read_all(self, wanted: Sequence[str]) -> list[tuple[bytes | None, int] | None]:
        """The same of many nodes; None for one that is missing."""
        return [
            None if found is None or found.stat is None else (found.data, found.stat.version)
            for found in await self.nodes(wanted)
        ]

    async def nodes(self, wanted: Sequence[str], watch: Watch | None = None) -> list[Result | None]:
        """The same with the whole Stat; `watch` is told of the next change of each that is there."""
        return await self._ask_all([Read(OpCode.GET_DATA, path, watch is not None) for path in wanted], watch)

    async def children(self, path: str, watch: Watch | None = None) -> list[str]:
        """Names of the children, in order; none of a node that is missing. Raises StoreError.

        `watch` is told when a child comes or goes, or the node itself.
        """
        found = await self._listed(Read(OpCode.GET_CHILDREN2, path, watch is not None), watch)
        return [] if found is None else sorted(found.names)

    async def child_news(self, path: str, watch: Watch) -> tuple[list[str], list[str] | None]:
        """Names of children that have come, and that have gone; None: the first are all that there are.

        See `Read.news`. Raises StoreError.
        """
        found = await self._listed(Read(OpCode.GET_CHILDREN2, path, watch=True, news=True), watch)
        return ([], None) if found is None else (found.names, found.gone)

    async def exists(self, path: str, watch: Watch) -> bool:
        """Whether a node is there; `watch` is told when it is made, changed or removed. Raises StoreError."""
        (found,) = await self._ask_all([Read(OpCode.EXISTS, path, watch=True)], watch)
        return found is not None

    async def children_of_all(self, wanted: Sequence[str]) -> list[list[str] | None]:
        """The same of many nodes; None for one that is missing."""
        requests = [Read(OpCode.GET_CHILDREN2, path) for path in wanted]
        return [None if found is None else sorted(found.names) for found in await self._ask_all(requests)]

    async def _listed(self, request: Read, watch: Watch | None) -> Result | None:
        while True:
            (found,) = await self._ask_all([request], watch)
            # Of a node that is missing, as when somebody has removed it, such a read leaves no watch.
            if found is not None or watch is None or not await self.exists(request.path, watch):
                return found

    async def _ask_all(self, requests: Sequence[Read], watch: Watch | None = None) -> list[Result | None]:
        found: list[Result | None] = []
        for start in range(0, len(requests), _READS_AT_ONCE):
            lot = requests[start : start + _READS_AT_ONCE]
            found.extend(await self._again(lambda lot=lot: self._ask_lot(lot, watch)))  # type: ignore[misc]
        return found

    async def _ask_lot(self, requests: Sequence[Read], watch: Watch | None) -> list[Result | None]:
        """None where there is no node."""
        asked = [self.client.submit(request, watch) for request in requests]
        # Answers come in the order of the requests: the last one is there when all are.
        await asyncio.wait(asked)
        errors = [answer.exception() for answer in asked]
        for error in errors:
            if error is not None and not isinstance(error, NoNode):
                raise error
        return [
            answer.result() if error is None else None for answer, error in zip(asked, errors, strict=True)
        ]

    async def _again(self, read: Callable[[], Awaitable[T]]) -> T:
        """Reads, again when the connection breaks meanwhile. Raises StoreError."""
        for _ in range(_TRIES):
            try:
                return await read()
            except _LOST:
                await self._seat.taken()
            except ZkError as error:
                raise StoreError(f"the metadata cannot be read: {error}") from error
        raise StoreError("the metadata cannot be read: the connection breaks again and again")

    async def _look(self, parts: Sequence[Part]) -> list[Change] | None:
        """What it has changed if the write was carried out; None if it was not, or if that is not known."""
        visible = [part for part in parts if not _is_sequential(part)]
        if not visible:
            return None
        try:
            await self.client.sync("/")
            found = await self.nodes([part.path for part in visible])
        except (ZkError, StoreError):
            return None
        changes: list[Change] = []
        for part, node in zip(visible, found, strict=True):
            stat = None if node is None else node.stat
            if isinstance(part, Delete):
                done = node is None
            elif isinstance(part, Create):
                done = node is not None and node.data == part.data
            else:
                done = (
                    node is not None
                    and stat is not None
                    and node.data == part.data
                    and stat.version != part.version
                )
            if not done:
                return None
            changes.append(Change(-1, 0) if stat is None else Change(stat.version, stat.mzxid))
        of = iter(changes)
        return [Change(0, 0) if _is_sequential(part) else next(of) for part in parts]


def check_size(parts: Sequence[Part | Check]) -> None:
    """Raises StoreError for what the servers would not take: they would break the connection, each time."""
    if (size := sum(map(_size, parts))) > _LARGEST_BYTES:
        raise StoreError(
            f"{parts[-1].path} and what goes with it takes {size} bytes, and ZooKeeper takes "
            f"{_LARGEST_BYTES} at once"
        )


def in_lots(groups: Iterable[Sequence[Part]]) -> list[list[Part]]:
    """Puts groups of parts together, as many as one request may have; each group stays in one lot."""
    lots: list[list[Part]] = []
    size = MOST_BYTES
    for group in groups:
        needed = sum(map(_size, group))
        if not lots or size + needed > MOST_BYTES or len(lots[-1]) + len(group) > MOST_PARTS:
            lots.append([])
            size = 0
        lots[-1].extend(group)
        size += needed
    return lots


def _size(part: Part | Check) -> int:
    data = part.data if isinstance(part, Create | SetData) else None
    return _PART_BYTES + len(part.path) + len(data or b"")


def _is_sequential(part: Part) -> bool:
    return isinstance(part, Create) and part.flags in (
        CreateMode.PERSISTENT_SEQUENTIAL,
        CreateMode.EPHEMERAL_SEQUENTIAL,
    )


def _is_fence(result: Result) -> bool:
    _, first = result.parts[0]
    return isinstance(first, BadVersion | NoNode) or (
        isinstance(first, ZkError) and not isinstance(first, RuntimeInconsistency) and first.code != ZkCode.OK
    )


def _change(outcome: Result | ZkError) -> Change:
    if isinstance(outcome, ZkError) or outcome.stat is None:
        return Change(0, 0)
    return Change(outcome.stat.version, outcome.stat.mzxid)
