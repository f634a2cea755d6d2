"""A look into, and a hand in, the tree of a ZooKeeper or a keeper that a broker under test uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

from fastlog.base.clock import SystemClock
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.connect_string import parse
from fastlog.coordination.zookeeper.errors import NoNode
from fastlog.coordination.zookeeper.structures import Stat, child_of
from fastlog.coordination.zookeeper.transport import socket_connector

T = TypeVar("T")


class Node(NamedTuple):
    """What there is at one path."""

    data: bytes | None
    stat: Stat


@asynccontextmanager
async def connected(connect: str) -> AsyncIterator[ZkClient]:
    """A client of its own at a connect string."""
    address = parse(connect)
    session = ZkSession([socket_connector(host, port) for host, port in address.servers], SystemClock())
    session.start()
    try:
        await asyncio.wait_for(session.connected(), 30)
        yield ZkClient(session, address.chroot)
    finally:
        await session.close()


def at(connect: str, work: Callable[[ZkClient], Awaitable[T]]) -> T:
    """Does some work with such a client, where no event loop runs."""

    async def run() -> T:
        async with connected(connect) as client:
            return await work(client)

    return asyncio.run(run())


async def nodes_below(client: ZkClient, top: str = "/") -> dict[str, Node]:
    """All nodes at `top` and below, with what was there when each was read."""
    found: dict[str, Node] = {}
    waiting = [top]
    while waiting:
        level, waiting = waiting, []
        for path in level:
            try:
                found[path] = Node(*await client.get(path))
                names, _ = await client.children(path)
            except NoNode:
                found.pop(path, None)
                continue
            waiting += [child_of(path, name) for name in sorted(names)]
    return found


def tree_at(connect: str, top: str = "/") -> dict[str, Node]:
    """The same, where no event loop runs."""
    return at(connect, lambda client: nodes_below(client, top))
