"""What a client in the keeper's process learns of children: who came or went, and all when in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fastlog.base.clock import SystemClock
from fastlog.base.tasks import Supervisor
from fastlog.coordination.keeper import child_news
from fastlog.coordination.keeper.keeper import Keeper, KeeperSettings
from fastlog.coordination.keeper.local import local_connector
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.errors import NoNode, ZkError
from fastlog.coordination.zookeeper.replies import Event
from fastlog.coordination.zookeeper.requests import Check, Create

Connect = Callable[..., Awaitable[ZkClient]]


@pytest.fixture
async def connect(tmp_path: Path) -> AsyncIterator[Connect]:
    clock = SystemClock()
    keeper = Keeper(tmp_path, clock, KeeperSettings(tick_ms=100))
    await keeper.start()
    clients: list[ZkClient] = []

    async def connected(*, by_packets: bool = False) -> ZkClient:
        connector = local_connector(keeper, outlives=by_packets)
        session = ZkSession([connector], clock, timeout_ms=2000, tasks=Supervisor(clock.monotonic))
        session.start()
        await session.connected()
        clients.append(ZkClient(session))
        return clients[-1]

    yield connected
    for client in clients:
        await client.session.close()
    await keeper.stop()


class Watched:
    """Asks for news of /t, and counts how often the watch has told of any."""

    def __init__(self, client: ZkClient) -> None:
        self.client = client
        self.told = 0

    def tell(self, _: Event) -> None:
        self.told += 1

    async def news(self) -> tuple[list[str], list[str] | None]:
        came, gone = await self.client.child_news("/t", self.tell)
        return sorted(came), None if gone is None else sorted(gone)


async def test_what_came_and_went_is_told_once(connect: Connect) -> None:
    client, other = await connect(), await connect()
    await client.ensure("/t/a", "/t/b", "/u")
    watched = Watched(client)
    assert await watched.news() == (["a", "b"], None)
    assert await watched.news() == ([], [])
    await other.ensure("/t/c", "/t/c/below", "/u/d")
    await other.delete("/t/a")
    assert watched.told == 1
    assert await watched.news() == (["c"], ["a"])
    assert await watched.news() == ([], [])
    # Both in one look: what counts is what is there now.
    await other.create("/t/d")
    await other.delete("/t/d")
    await other.delete("/t/b")
    await other.create("/t/b")
    await other.set("/t/b", b"data")
    assert await watched.news() == (["b"], ["d"])
    assert watched.told == 2


async def test_changes_of_a_multi_that_fails_are_no_news(connect: Connect) -> None:
    client = await connect()
    await client.ensure("/t")
    watched = Watched(client)
    await watched.news()
    with pytest.raises(ZkError):
        await client.multi([Create("/t/a"), Check("/t", 7)])
    assert await watched.news() == ([], [])
    await client.multi([Create("/t/a"), Create("/t/b")])
    assert await watched.news() == (["a", "b"], [])


async def test_in_doubt_all_are_told(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await connect()
    await client.ensure("/t/a")
    watched = Watched(client)
    await watched.news()
    # Another reader in the same session has the watch, and the next one may be another than before.
    await client.children("/t", watched.tell)
    assert await watched.news() == (["a"], None)
    # More than are kept.
    monkeypatch.setattr(child_news, "_MOST", 3)
    await client.ensure(*(f"/t/b{number}" for number in range(3)))
    assert await watched.news() == (["b0", "b1", "b2"], [])
    await client.ensure(*(f"/t/c{number}" for number in range(4)))
    assert (await watched.news())[1] is None
    assert await watched.news() == ([], [])


async def test_a_node_that_is_removed_and_made_anew_has_news_as_well(connect: Connect) -> None:
    client = await connect()
    await client.ensure("/t/a", "/t/b")
    watched = Watched(client)
    await watched.news()
    for path in ("/t/a", "/t/b", "/t"):
        await client.delete(path)
    with pytest.raises(NoNode):
        await watched.news()
    await client.ensure("/t/b", "/t/z")
    assert await watched.news() == (["b", "z"], ["a"])


async def test_each_connection_has_its_own_news(connect: Connect) -> None:
    client, other = await connect(), await connect()
    await client.ensure("/t/a")
    one, two = Watched(client), Watched(other)
    await one.news()
    await client.ensure("/t/b")
    assert await two.news() == (["a", "b"], None)
    assert await one.news() == (["b"], [])
    assert await two.news() == ([], [])
    await other.session.close()
    await client.ensure("/t/c")
    assert await one.news() == (["c"], [])


async def test_after_a_broken_connection_all_are_told(connect: Connect) -> None:
    client = await connect()
    await client.ensure("/t/a")
    watched = Watched(client)
    await watched.news()
    link = client.session._link
    assert link is not None
    link.end("cut")
    while client.session._link is link:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.001)
    await client.session.connected()
    assert await watched.news() == (["a"], None)


async def test_over_packets_all_are_told(connect: Connect) -> None:
    client = await connect(by_packets=True)
    await client.ensure("/t/a")
    watched = Watched(client)
    assert await watched.news() == (["a"], None)
    await client.ensure("/t/b")
    assert await watched.news() == (["a", "b"], None)
    assert watched.told == 1
