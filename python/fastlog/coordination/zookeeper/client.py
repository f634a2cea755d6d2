"""The asyncio client: one method for each thing that can be asked of a tree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.client_watches import Watch
from fastlog.coordination.zookeeper.codes import CreateMode, OpCode
from fastlog.coordination.zookeeper.errors import NodeExists, NoNode
from fastlog.coordination.zookeeper.replies import Event, Result, failure_of
from fastlog.coordination.zookeeper.requests import (
    Check,
    Create,
    Delete,
    Multi,
    OfPath,
    Read,
    Request,
    SetAcl,
    SetData,
)
from fastlog.coordination.zookeeper.structures import OPEN, Acl, Stat


@dataclass(frozen=True, slots=True)
class _WatchBelow:
    """A watch whose paths are below a root. Those of one callback are equal: a table of watches has one."""

    chroot: str
    watch: Watch

    def __call__(self, event: Event) -> None:
        self.watch(event._replace(path=_inner(self.chroot, event.path)))


class ZkClient:
    """A tree over a session, below `chroot`. Every method raises ZkError.

    `acls_of` gives the access rules of nodes that are made here, unless somebody names others for one.
    `submit` sends without waiting: many requests may be under way at once, and are carried out in order.
    """

    def __init__(
        self, session: ZkSession, chroot: str = "", *, acls_of: Callable[[str], tuple[Acl, ...]] | None = None
    ) -> None:
        self.session: Final = session
        self.chroot: Final = chroot
        self.acls_of: Final = acls_of

    async def create(
        self,
        path: str,
        data: bytes | None = None,
        *,
        acls: Sequence[Acl] = OPEN,
        mode: CreateMode = CreateMode.PERSISTENT,
    ) -> tuple[str, Stat]:
        """Makes a node; gives its path (with its number, if sequential) and Stat."""
        op = OpCode.CREATE_CONTAINER if mode is CreateMode.CONTAINER else OpCode.CREATE2
        result = await self.submit(Create(path, data, tuple(acls), mode, 0, op))
        return self._inner(result.path), _stat(result)

    async def delete(self, path: str, version: int = -1) -> None:
        """Removes a node."""
        await self.submit(Delete(path, version))

    async def exists(self, path: str, watch: Watch | None = None) -> Stat | None:
        """The Stat of a node, or None; the watch fires when the node is made, changed or removed."""
        try:
            return _stat(await self.submit(Read(OpCode.EXISTS, path, watch is not None), watch))
        except NoNode:
            return None

    async def get(self, path: str, watch: Watch | None = None) -> tuple[bytes | None, Stat]:
        """Data and Stat; the watch fires when the node is changed or removed."""
        result = await self.submit(Read(OpCode.GET_DATA, path, watch is not None), watch)
        return result.data, _stat(result)

    async def set(self, path: str, data: bytes | None, version: int = -1) -> Stat:
        """Replaces the data."""
        return _stat(await self.submit(SetData(path, data, version)))

    async def children(self, path: str, watch: Watch | None = None) -> tuple[list[str], Stat]:
        """Names of the children and Stat; the watch fires when a child comes or goes, or the node goes."""
        result = await self.submit(Read(OpCode.GET_CHILDREN2, path, watch is not None), watch)
        return result.names, _stat(result)

    async def child_news(self, path: str, watch: Watch) -> tuple[list[str], list[str] | None]:
        """Names of children that have come, and that have gone, since the last call: see `Read.news`.

        The first time on a connection, and always on a keeper elsewhere, all that there are, and None. One
        caller for each node. The watch fires as that of `children`.
        """
        request = Read(OpCode.GET_CHILDREN2, path, watch=True, news=True)
        result = await self.submit(request, watch)
        return result.names, result.gone

    async def acls(self, path: str) -> tuple[tuple[Acl, ...], Stat]:
        """The access rules."""
        result = await self.submit(OfPath(OpCode.GET_ACL, path))
        return result.acls, _stat(result)

    async def set_acls(self, path: str, acls: Sequence[Acl], version: int = -1) -> Stat:
        """Replaces the access rules."""
        return _stat(await self.submit(SetAcl(path, tuple(acls), version)))

    async def sync(self, path: str) -> None:
        """Lets the server that is asked catch up with the ensemble's leader."""
        await self.submit(OfPath(OpCode.SYNC, path))

    async def multi(self, parts: Sequence[Create | Delete | Check | SetData]) -> list[Result]:
        """All parts, or none: the error of the part that failed is raised then."""
        request = Multi(OpCode.MULTI, tuple(parts))
        result = await self.submit(request)
        failure = failure_of(request, result)
        if failure is not None:
            raise failure
        return [self._inner_result(part) for _, part in result.parts if isinstance(part, Result)]

    async def ensure(self, *paths: str) -> None:
        """Makes nodes and all above them, with null data, unless they are there."""
        wanted: dict[str, None] = {}
        for path in paths:
            names = path.strip("/").split("/")
            wanted |= dict.fromkeys("/" + "/".join(names[: count + 1]) for count in range(len(names)))
        answers = [self.submit(Create(each)) for each in wanted]
        for outcome in await asyncio.gather(*answers, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, NodeExists):
                raise outcome

    def submit(self, request: Request, watch: Watch | None = None) -> asyncio.Future[Result]:
        """Sends a request whose paths are below `chroot`; those of its result still have it."""
        if self.acls_of is not None:
            request = self._with_acls(request)
        if not self.chroot:
            return self.session.submit(request, watch)
        inner = None if watch is None else self._watch_below(watch)
        return self.session.submit(self._outer_request(request), inner)

    def _with_acls(self, request: Request) -> Request:
        if isinstance(request, Create) and self.acls_of is not None and request.acls is OPEN:
            return request._replace(acls=self.acls_of(request.path))
        if isinstance(request, Multi):
            return request._replace(parts=tuple(self._with_acls(part) for part in request.parts))
        return request

    def _outer_request(self, request: Request) -> Request:
        if isinstance(request, Multi):
            return request._replace(parts=tuple(self._outer_request(part) for part in request.parts))
        if isinstance(request, (Create, Delete, Check, SetData, SetAcl, Read, OfPath)):
            path = request.path
            return request._replace(path=self.chroot if path == "/" else self.chroot + path)
        return request

    def _inner(self, path: str) -> str:
        return _inner(self.chroot, path)

    def _inner_result(self, result: Result) -> Result:
        return result._replace(path=self._inner(result.path)) if self.chroot else result

    def _watch_below(self, watch: Watch) -> Watch:
        return _WatchBelow(self.chroot, watch)


def _inner(chroot: str, path: str) -> str:
    return path[len(chroot) :] or "/" if chroot and path.startswith(chroot) else path


def _stat(result: Result) -> Stat:
    if result.stat is None:
        raise TypeError("an answer without the Stat that it must have")
    return result.stat
