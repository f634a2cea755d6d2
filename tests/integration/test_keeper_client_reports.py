"""What users of ZooKeeper's clients have reported, asked of our own: over sockets that somebody cuts."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fastlog.base.clock import SystemClock
from fastlog.coordination.znodes import paths
from fastlog.coordination.znodes.fenced_tree import FencedTree
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import SessionState, ZkSession
from fastlog.coordination.zookeeper.codes import CreateMode, EventType, KeeperState
from fastlog.coordination.zookeeper.errors import BadVersion, ConnectionLoss, NodeExists
from fastlog.coordination.zookeeper.replies import Event
from fastlog.coordination.zookeeper.requests import Create, Delete, SetData
from fastlog.coordination.zookeeper.transport import socket_connector
from tests.harness.cutting_proxy import CuttingProxy
from tests.harness.keeper_link import word
from tests.harness.keeper_process import KeeperProcess

JUTE_MAXBUFFER = 1024 * 1024
EPHEMERAL = CreateMode.EPHEMERAL


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[KeeperProcess]:
    with KeeperProcess(tmp_path, tick_ms=500) as process:
        yield process


@pytest.fixture
def proxy(keeper: KeeperProcess) -> Iterator[CuttingProxy]:
    with CuttingProxy(keeper.port) as made:
        yield made


class Client(ZkClient):
    """Notes the states of its session, and what its watches are told."""

    def __init__(self, port: int, timeout_ms: int) -> None:
        super().__init__(
            ZkSession(
                [socket_connector("127.0.0.1", port)],
                SystemClock(),
                timeout_ms=timeout_ms,
                on_state=self._entered,
            )
        )
        self.states: list[SessionState] = []
        self.told: list[Event] = []
        self.changed = asyncio.Event()

    def note(self, event: Event) -> None:
        self.told.append(event)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something was noted that makes it true."""
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def state(self, state: SessionState) -> None:
        await self.until(lambda: self.session.state is state)

    def _entered(self, state: SessionState) -> None:
        self.states.append(state)
        self.changed.set()


@asynccontextmanager
async def client(port: int, timeout_ms: int = 10_000) -> AsyncIterator[Client]:
    made = Client(port, timeout_ms)
    made.session.start()
    try:
        await asyncio.wait_for(made.session.connected(), 30)
        yield made
    finally:
        await made.session.close()


async def test_watches_live_through_reconnects(keeper: KeeperProcess, proxy: CuttingProxy) -> None:
    """kazoo #151, rust-zookeeper #97, and kazoo pull 305: data and children of one path."""
    async with client(proxy.port) as mine, client(keeper.port) as other:
        await other.ensure("/a", "/b")
        session_id = mine.session.session_id
        await mine.create("/mine", mode=EPHEMERAL)
        await mine.get("/a", mine.note)
        await mine.children("/a", mine.note)
        await mine.exists("/new", mine.note)
        await mine.get("/b", mine.note)
        for _ in range(3):
            proxy.cut()
            await mine.state(SessionState.CONNECTING)
            await mine.state(SessionState.CONNECTED)
        assert (mine.session.session_id, mine.told) == (session_id, [])
        proxy.refuse(True)
        await mine.state(SessionState.CONNECTING)
        await other.set("/b", b"while it was away")
        proxy.refuse(False)
        await mine.until(lambda: len(mine.told) == 1)
        await other.set("/a", b"1")
        await other.create("/a/child")
        await other.create("/new")
        await other.set("/b", b"told already")
        await mine.sync("/")
        assert [(event.type, event.path) for event in mine.told] == [
            (EventType.DATA_CHANGED, "/b"),
            (EventType.DATA_CHANGED, "/a"),
            (EventType.CHILDREN_CHANGED, "/a"),
            (EventType.CREATED, "/new"),
        ]
        assert await other.exists("/mine") is not None
        assert SessionState.EXPIRED not in mine.states


async def test_a_keeper_that_has_lost_its_data_is_begun_with_anew(
    keeper: KeeperProcess, proxy: CuttingProxy
) -> None:
    """kazoo #42: the session is unknown, and its last zxid is ahead of the server."""
    async with client(proxy.port) as mine:
        await asyncio.gather(*(mine.create(f"/n{number}") for number in range(100)))
        await mine.create("/mine", mode=EPHEMERAL)
        await mine.get("/mine", mine.note)
        first, seen = mine.session.session_id, mine.session.last_zxid
        await asyncio.to_thread(keeper.kill)
        await asyncio.to_thread(shutil.rmtree, keeper.directory / "data")
        await asyncio.to_thread(keeper.start)
        await mine.until(lambda: SessionState.EXPIRED in mine.states)
        await mine.state(SessionState.CONNECTED)
        assert mine.session.session_id != first
        assert mine.told == [Event(EventType.NONE, KeeperState.EXPIRED, "")]
        assert await mine.exists("/mine") is None
        await mine.create("/mine", mode=EPHEMERAL)
        assert mine.session.last_zxid < seen
        # The same session goes on after that.
        second = mine.session.session_id
        proxy.cut()
        await mine.state(SessionState.CONNECTING)
        await mine.state(SessionState.CONNECTED)
        assert mine.session.session_id == second


async def test_a_session_is_given_up_when_no_server_is_reached_for_long(
    keeper: KeeperProcess, proxy: CuttingProxy
) -> None:
    """ZOOKEEPER-4508. The keeper is down meanwhile, so that it still has the session when it is back."""
    async with client(proxy.port, timeout_ms=1500) as mine:
        await mine.create("/mine", b"first", mode=EPHEMERAL)
        await mine.exists("/mine", mine.note)
        first = mine.session.session_id
        await asyncio.to_thread(keeper.kill)
        await mine.state(SessionState.EXPIRED)
        assert [event.state for event in mine.told] == [KeeperState.EXPIRED]
        assert mine.session.session_id == 0
        with pytest.raises(ConnectionLoss):
            await mine.exists("/mine")
        await asyncio.to_thread(keeper.start)
        await mine.state(SessionState.CONNECTED)
        assert mine.session.session_id not in (0, first)
        # Not there to be waited for: it was ended before the new session began.
        await mine.create("/mine", b"second", mode=EPHEMERAL)
        assert f"{first:#x}" not in await asyncio.to_thread(word, keeper.port, b"dump")
        assert mine.states.count(SessionState.EXPIRED) == 1


async def test_many_watches_are_armed_again_in_packets_that_every_server_takes(
    keeper: KeeperProcess, proxy: CuttingProxy
) -> None:
    """open-io #873: 10,000 watches in one packet are more than `jute.maxbuffer`."""
    async with client(proxy.port) as mine, client(keeper.port) as other:
        names = [f"/{number:05}-{'é' * 90}" for number in range(10_000)]
        for start in range(0, len(names), 500):
            await asyncio.gather(*(mine.exists(name, mine.note) for name in names[start : start + 500]))
        proxy.largest_request = 0
        proxy.cut()
        await mine.state(SessionState.CONNECTING)
        await mine.state(SessionState.CONNECTED)
        await mine.sync("/")
        assert 64 * 1024 < proxy.largest_request < JUTE_MAXBUFFER
        assert "Total watches:10000" in await asyncio.to_thread(word, keeper.port, b"wchs")
        await other.create(names[-1])
        await mine.until(lambda: [event.path for event in mine.told] == [names[-1]])


class _Seat:
    """Of a controller that is one as long as there is a connection."""

    def __init__(self, of: Client, version: int) -> None:
        self._of = of
        self._version = version

    async def taken(self) -> int:
        await self._of.state(SessionState.CONNECTED)
        return self._version

    def lost(self) -> None:
        raise AssertionError("nobody else is the controller")


@pytest.mark.parametrize("lost", ["answer", "request"])
async def test_a_multi_without_an_answer_is_found_out_as_done_or_not(
    keeper: KeeperProcess, proxy: CuttingProxy, lost: str
) -> None:
    """FLINK-24543: a write that was done is not tried again, and one that was not done is."""
    async with client(proxy.port) as mine, client(keeper.port) as other:
        await mine.create(paths.CONTROLLER_EPOCH, b"1")
        await mine.ensure("/old", "/config")
        tree = FencedTree(mine, _Seat(mine, 0))
        proxy.lose(lost)
        versions = await tree.commit(
            [Create("/new", b"x"), SetData("/config", b"changed", 0), Delete("/old", 0)]
        )
        assert versions[:2] == [0, 1]
        assert SessionState.CONNECTING in mine.states
        assert (await other.get("/new"))[0] == b"x"
        data, stat = await other.get("/config")
        assert (data, stat.version) == (b"changed", 1)
        assert await other.exists("/old") is None
        # What somebody else did meanwhile is not taken for one's own.
        await other.create("/theirs", b"another")
        proxy.lose(lost)
        with pytest.raises(NodeExists):
            await tree.commit([Create("/theirs", b"mine")])
        await other.set("/config", b"theirs")
        proxy.lose(lost)
        with pytest.raises(BadVersion):
            await tree.commit([SetData("/config", b"mine", 1)])
        assert (await other.get("/config"))[0] == b"theirs"
