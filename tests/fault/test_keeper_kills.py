"""kill -9 of a keeper under load: no answered write is lost, no session ends, czxids rise for ever."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from fastlog.base.clock import SystemClock
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import SessionState, ZkSession
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.errors import ConnectionLoss, ZkError
from fastlog.coordination.zookeeper.requests import Create, SetData
from fastlog.coordination.zookeeper.transport import socket_connector
from tests.harness.keeper_process import KeeperProcess

WRITERS = 4
KILLS = 6


class Writer:
    """Writes pairs of nodes that must always be equal, and knows what was answered."""

    def __init__(self, number: int, client: ZkClient) -> None:
        self.number = number
        self.client = client
        self.answered = 0
        self.czxids: list[int] = []
        self.done = False

    async def run(self) -> None:
        left, right = f"/left-{self.number}", f"/right-{self.number}"
        value = 0
        while not self.done:
            value += 1
            data = str(value).encode()
            try:
                await self.client.session.connected()
                if value == 1:
                    await self.client.multi([Create(left, data), Create(right, data)])
                else:
                    await self.client.multi([SetData(left, data), SetData(right, data)])
                self.answered = value
                path, stat = await self.client.create(
                    f"/s-{self.number}-", mode=CreateMode.EPHEMERAL_SEQUENTIAL
                )
                self.czxids.append(stat.czxid)
                if len(self.czxids) % 3:
                    await self.client.delete(path)
            except ConnectionLoss:
                if value == 1 and await self._first_is_there(left):
                    self.answered = 1
                elif value == 1:
                    value = 0

    async def _first_is_there(self, left: str) -> bool:
        while True:
            await self.client.session.connected()
            try:
                return await self.client.exists(left) is not None
            except ConnectionLoss:
                continue


@pytest.mark.timeout(180)
async def test_nothing_that_was_answered_is_lost(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    states: list[SessionState] = []
    with KeeperProcess(tmp_path) as keeper:
        sessions = [
            ZkSession(
                [socket_connector("127.0.0.1", keeper.port)],
                SystemClock(),
                timeout_ms=40_000,
                on_state=states.append,
            )
            for _ in range(WRITERS)
        ]
        for session in sessions:
            session.start()
        writers = [Writer(number, ZkClient(session)) for number, session in enumerate(sessions)]
        running = [asyncio.ensure_future(writer.run()) for writer in writers]
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.1, 0.6))
            keeper.kill()
            await asyncio.to_thread(keeper.start)
            for writer in writers:
                before = writer.answered
                while writer.answered == before:  # noqa: ASYNC110 - a count of another task
                    await asyncio.sleep(0.01)
        for writer in writers:
            writer.done = True
        await asyncio.gather(*running)
        assert SessionState.EXPIRED not in states
        for writer in writers:
            number = writer.number
            left = await writer.client.get(f"/left-{number}")
            right = await writer.client.get(f"/right-{number}")
            assert left[0] == right[0]
            assert left[0] is not None
            # One write may have been carried out although its answer was lost.
            assert int(left[0]) >= writer.answered > 0
            assert writer.czxids == sorted(set(writer.czxids))
        for session in sessions:
            await session.close()
        left_over = await _children(keeper.port)
        assert not [name for name in left_over if name.startswith("s-")]


async def _children(port: int) -> list[str]:
    session = ZkSession([socket_connector("127.0.0.1", port)], SystemClock())
    session.start()
    await session.connected()
    names, _ = await ZkClient(session).children("/")
    await session.close()
    with pytest.raises(ZkError):
        await ZkClient(session).children("/")
    return names
