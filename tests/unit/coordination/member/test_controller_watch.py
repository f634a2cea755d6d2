"""A dead controller is replaced at once, one that lives is not: with sockets and a keeper."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastlog.base.tasks import Supervisor
from fastlog.coordination.controller.settings import ControllerSettings
from fastlog.coordination.member.controller_watch import ControllerWatch
from fastlog.coordination.member.view_waits import ViewWaits
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.codes import CreateMode
from tests.unit.coordination.controller.tree_world import World, register, until


@dataclass
class Here:
    """The controller of this process."""

    seat: tuple[int, int] = (-1, 0)
    suspected: list[int] = field(default_factory=list)

    def suspect(self, broker_id: int) -> None:
        self.suspected.append(broker_id)


class Port:
    """Where the controller listens."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.number = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.number)
        self.number = self._server.sockets[0].getsockname()[1]

    async def _take(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)

    async def connected(self) -> None:
        await until(lambda: bool(self._writers))

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


@dataclass
class Watching:
    port: Port
    client: ZkClient
    controller: ZkClient
    waits: ViewWaits
    here: Here

    def elected(self, broker_id: int) -> None:
        """This broker sees who has the seat."""
        self.here.seat = (broker_id, 1)
        self.waits.changed()

    async def is_there(self) -> bool:
        return await self.client.exists(paths.CONTROLLER) is not None


@asynccontextmanager
async def watching(directory: Path, settings: ControllerSettings) -> AsyncIterator[Watching]:
    """Broker 1 watches broker 2, which is the controller."""
    async with World(directory) as world:
        client, controller = await world.client(), await world.client()
        await controller.ensure("/brokers")
        await controller.create(paths.CONTROLLER_EPOCH, b"1")
        await controller.create(
            paths.CONTROLLER, node_json.encode_controller(2, 0), mode=CreateMode.EPHEMERAL
        )
        port = Port()
        await port.open()
        await register(controller, 2, port=port.number, host="127.0.0.1")
        waits, here = ViewWaits(), Here((2, controller.session.session_id))
        tasks = Supervisor()
        watch = ControllerWatch(client, 1, waits, here, lambda: settings, tasks)
        watch.start()
        try:
            yield Watching(port, client, controller, waits, here)
        finally:
            await watch.stop()
            port.cut()
            port.close()


async def test_a_dead_controller_is_replaced_and_its_port_looked_at(tmp_path: Path) -> None:
    async with watching(tmp_path, ControllerSettings()) as it:
        await it.port.connected()
        it.port.close()
        it.port.cut()
        while await it.is_there():  # noqa: ASYNC110 - the tree is asked
            await asyncio.sleep(0.01)
        assert it.here.suspected == [2]
        it.elected(1)


async def test_who_is_elected_looks_at_the_port_whoever_has_removed_the_node(tmp_path: Path) -> None:
    async with watching(tmp_path, ControllerSettings()) as it:
        await it.port.connected()
        await it.controller.delete(paths.CONTROLLER)
        it.port.close()
        it.port.cut()
        it.elected(1)
        await until(lambda: it.here.suspected == [2])


async def test_a_connection_that_breaks_says_nothing_of_a_port_that_answers(tmp_path: Path) -> None:
    async with watching(tmp_path, ControllerSettings()) as it:
        await it.port.connected()
        it.port.cut()
        # It is watched again.
        await it.port.connected()
        assert await it.is_there()


async def test_another_controller_is_left_alone(tmp_path: Path) -> None:
    async with watching(tmp_path, ControllerSettings()) as it:
        await it.port.connected()
        await it.controller.set(paths.CONTROLLER, node_json.encode_controller(3, 0))
        it.port.close()
        it.port.cut()
        await asyncio.sleep(0.5)
        assert await it.is_there()


async def test_it_can_be_turned_off(tmp_path: Path) -> None:
    async with watching(tmp_path, ControllerSettings(fast_failover=False)) as it:
        it.port.close()
        await asyncio.sleep(0.5)
        assert await it.is_there()
