"""A keeper in this process, sessions of several brokers over it, and brokers that obey a controller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Self

from fastlog.base.clock import SystemClock
from fastlog.base.tasks import Supervisor
from fastlog.coordination.keeper.keeper import Keeper, KeeperSettings
from fastlog.coordination.keeper.local import local_connector
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.requests import Create, SetData
from tests.unit.coordination.znodes.world import Cutter


class World:
    """One keeper, `async with`."""

    def __init__(self, directory: Path) -> None:
        self.clock = SystemClock()
        self.tasks = Supervisor(self.clock.monotonic)
        self.keeper = Keeper(directory / "keeper", self.clock, KeeperSettings(tick_ms=100))
        self.clients: list[ZkClient] = []

    async def __aenter__(self) -> Self:
        await self.keeper.start()
        self.admin = await self.client()
        await self.admin.ensure(*paths.PERSISTENT)
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self.clients:
            await client.session.close()
        await self.keeper.stop()

    async def client(self, cutter: Cutter | None = None) -> ZkClient:
        """A session of its own."""
        connector = cutter or local_connector(self.keeper, outlives=True)
        session = ZkSession([connector], self.clock, timeout_ms=2000, tasks=Supervisor(self.clock.monotonic))
        session.start()
        await session.connected()
        client = ZkClient(session)
        self.clients.append(client)
        return client

    def data(self, path: str) -> bytes | None:
        """The data of a node, as the keeper has it."""
        node = self.keeper.machine.tree.nodes.get(path)
        return None if node is None else node.data

    def has(self, path: str) -> bool:
        """Whether there is a node."""
        return path in self.keeper.machine.tree.nodes


async def register(
    client: ZkClient,
    node_id: int,
    *,
    port: int = 1,
    host: str | None = None,
    rack: str | None = None,
    features: dict[str, dict[str, int]] | None = None,
) -> int:
    """Makes a broker known; its epoch."""
    path = paths.broker_id(node_id)
    data = node_json.encode_broker(
        [("PLAINTEXT", host or f"host{node_id}", port, "PLAINTEXT")], rack, 0, features
    )
    results = await client.multi([Create(path, None, flags=CreateMode.EPHEMERAL), SetData(path, data, 0)])
    stat = results[1].stat
    assert stat is not None
    return stat.czxid


async def until(condition: Callable[[], object]) -> None:
    """Waits for something to come true."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.002)
