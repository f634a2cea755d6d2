"""How soon a dead controller is missed, whatever goes wrong in that moment. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import pytest

from fastlog.base.tasks import Supervisor
from fastlog.coordination.controller.settings import ControllerSettings
from fastlog.coordination.controller.socket_link import Port
from fastlog.coordination.member.controller_watch import ControllerWatch, Target
from fastlog.coordination.member.view_waits import ViewWaits
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.errors import ConnectionLoss, NoNode
from fastlog.coordination.zookeeper.requests import Check, Delete
from fastlog.coordination.zookeeper.structures import Stat
from tests.unit.coordination.virtual import run_virtually

_SESSION = 77


class Kept:
    """A connection on which nothing is said."""

    def __init__(self) -> None:
        self.broken = asyncio.Event()

    async def lost(self) -> None:
        await self.broken.wait()

    async def close(self) -> None:
        self.broken.set()


class World:
    """Broker 1 watches, broker 2 is the controller: the tree, its port, and what broker 1 knows."""

    def __init__(self) -> None:
        self.port = 9
        self.nodes = {
            paths.CONTROLLER_EPOCH: (b"1", _stat(0)),
            paths.CONTROLLER: (node_json.encode_controller(2, 0), _stat(_SESSION)),
        }
        self.registered_at(9)
        self.listens = True
        self.last_looks: list[Port] = []
        """What the port says to those that come first when nobody listens any more."""
        self.failures = 0
        """So many writes fail."""
        self.elects_it_again = False
        self.removals = 0
        self.kept: list[Kept] = []
        self.tries: list[float] = []
        self.suspected: list[int] = []
        self.served: set[int] = set()
        """Of whom broker 1 was told."""
        self.seat = (2, _SESSION)
        self.waits = ViewWaits()
        self.removed_at: float | None = None

    def registered_at(self, port: int) -> None:
        data = node_json.encode_broker([("PLAINTEXT", "h", port, "PLAINTEXT")], None, 0)
        self.nodes[paths.broker_id(2)] = (data, _stat(_SESSION))

    # -- the controller --------------------

    def die(self) -> None:
        self.listens = False
        self.cut()

    def cut(self) -> None:
        for connection in self.kept:
            connection.broken.set()
        self.kept.clear()

    # -- what the watch uses --------------------

    def suspect(self, broker_id: int) -> None:
        self.suspected.append(broker_id)

    async def connect(self, to: Target) -> Kept:
        self.tries.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        if not self.listens or to.port != self.port:
            raise ConnectionRefusedError
        self.kept.append(Kept())
        return self.kept[-1]

    async def knock(self, host: str, port: int) -> Port:
        await asyncio.sleep(0)
        if self.listens and port == self.port:
            return Port.OPEN
        said = self.last_looks.pop(0) if self.last_looks else Port.REFUSED
        if said is Port.UNKNOWN:
            await asyncio.sleep(1)
        return said

    async def get(self, path: str) -> tuple[bytes, Stat]:
        await asyncio.sleep(0)
        if path not in self.nodes:
            raise NoNode(path)
        return self.nodes[path]

    async def multi(self, steps: Sequence[object]) -> None:
        assert [type(step) for step in steps] == [Check, Delete]
        if self.failures:
            self.failures -= 1
            raise ConnectionLoss
        del self.nodes[paths.CONTROLLER]
        self.removed_at = asyncio.get_running_loop().time()
        self.removals += 1
        self.elected(*(self.seat if self.elects_it_again else (self.seat[0] + 1, 5)))

    def elected(self, broker_id: int, session: int) -> None:
        self.seat = (broker_id, session)
        self.nodes[paths.CONTROLLER] = (node_json.encode_controller(broker_id, 0), _stat(session))
        self.waits.changed()


def _stat(owner: int) -> Stat:
    return Stat(1, 1, 0, 0, 0, 0, 0, owner, 0, 0, 1)


def watched(story: Callable[[World], Awaitable[None]]) -> World:
    """What becomes of a story while broker 1 watches."""

    async def run() -> World:
        world = World()
        client = cast("ZkClient", world)
        tasks = Supervisor()
        watch = ControllerWatch(
            *(client, 1, world.waits, world, ControllerSettings, tasks),
            has_served=lambda broker_id: broker_id in world.served,
            knock=world.knock,
            connect=world.connect,
        )
        watch.start()
        try:
            await story(world)
        finally:
            await watch.stop()
        assert not any(tasks.failures.values())
        return world

    return run_virtually(run())


@pytest.mark.parametrize(
    "last_looks", [[Port.OPEN], [Port.OPEN] * 4, [Port.UNKNOWN], [Port.REFUSED, Port.OPEN]]
)
def test_a_port_that_does_not_refuse_at_once_is_looked_at_again(last_looks: list[Port]) -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(4)
        world.last_looks = list(last_looks)
        world.die()
        await asyncio.sleep(3)

    world = watched(story)
    assert world.removed_at is not None
    assert world.removed_at < 4 + 2
    assert world.suspected == [2]


def test_a_death_just_after_its_connection_was_closed_for_idleness_is_noticed() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(600)
        world.cut()
        await asyncio.sleep(0.01)
        world.die()
        await asyncio.sleep(1)

    assert watched(story).removed_at is not None


def test_a_connection_that_was_closed_for_idleness_is_made_again() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(600)
        world.cut()
        await asyncio.sleep(1)
        assert len(world.kept) == 1
        await asyncio.sleep(500)
        assert len(world.tries) == 2

    assert watched(story).removed_at is None


def test_a_removal_that_fails_is_tried_again() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(1)
        world.failures = 2
        world.die()
        await asyncio.sleep(1.5)

    assert watched(story).removed_at is not None


def test_a_controller_is_met_soon_after_it_listens_and_not_missed_before() -> None:
    async def story(world: World) -> None:
        world.listens = False
        await asyncio.sleep(30)
        assert world.removed_at is None
        assert world.suspected == []
        world.listens = True
        await asyncio.sleep(1.3)
        world.die()
        await asyncio.sleep(0.2)

    world = watched(story)
    assert world.removed_at is not None
    # It is no burden, and soon there when a controller listens some ms after its election.
    assert world.tries[1] < 0.1
    assert len(world.tries) < 50


def test_the_same_broker_in_another_life_is_met_anew() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(1)
        world.listens = False
        world.elected(2, _SESSION + 1)
        world.cut()
        await asyncio.sleep(10)
        assert world.removed_at is None
        world.listens = True
        await asyncio.sleep(2)
        world.die()
        await asyncio.sleep(0.2)
        assert world.removed_at is not None

    watched(story)


def test_one_that_listens_elsewhere_now_is_followed_there() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(1)
        world.registered_at(10)
        world.port = 10
        world.cut()
        await asyncio.sleep(5)
        assert world.removed_at is None
        assert len(world.kept) == 1
        world.die()
        await asyncio.sleep(0.2)
        assert world.removed_at is not None

    watched(story)


def test_who_is_elected_first_looks_at_the_dead_one_too() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(1)
        world.die()
        await asyncio.sleep(0.01)
        # Another broker was quicker, and this one has won.
        world.elected(1, 8)
        await asyncio.sleep(1)
        assert world.suspected == [2]
        assert world.removed_at is None

    watched(story)


def test_the_next_one_is_watched_at_once() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(1)
        world.die()
        await asyncio.sleep(0.2)
        assert world.removed_at is not None
        data, stat = world.nodes[paths.broker_id(2)]
        world.nodes[paths.broker_id(3)] = (data, stat)
        world.listens, world.removed_at = True, None
        world.elected(3, 6)
        await asyncio.sleep(1.1)
        world.die()
        await asyncio.sleep(0.2)
        assert world.removed_at is not None

    watched(story)


def test_one_that_dies_as_soon_as_it_is_elected_is_missed_if_it_has_served_before() -> None:
    async def story(world: World) -> None:
        world.served = {2, 3}
        await asyncio.sleep(1)
        world.nodes[paths.broker_id(3)] = world.nodes[paths.broker_id(2)]
        world.die()
        # Nobody has a connection to the next one, which listens no more.
        await asyncio.sleep(0.2)
        assert world.suspected == [2, 3]
        assert world.seat[0] == 4

    watched(story)


def test_the_next_one_is_met_without_a_pause() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(1)
        world.nodes[paths.broker_id(3)] = world.nodes[paths.broker_id(2)]
        world.die()
        await asyncio.sleep(0.01)
        world.failures = 99
        await asyncio.sleep(0.08)
        assert world.suspected == [2]
        world.listens = True
        world.elected(3, 6)
        await asyncio.sleep(0.002)
        assert len(world.kept) == 1

    watched(story)


def test_one_that_this_broker_cannot_reach_is_replaced_once_only() -> None:
    """Everybody refuses who has a firewall in front, and lives."""

    async def story(world: World) -> None:
        world.served = {2, 3}
        world.nodes[paths.broker_id(3)] = world.nodes[paths.broker_id(2)]
        world.listens = False
        world.elected(3, 6)
        await asyncio.sleep(1)
        assert world.seat[0] == 4
        world.elected(3, 6)
        await asyncio.sleep(30)
        assert world.seat[0] == 3

    watched(story)


def test_one_that_is_elected_again_is_not_missed_before_it_was_reached_again() -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(1)
        world.elects_it_again = True
        world.die()
        await asyncio.sleep(30)
        assert world.removals == 1
        world.listens = True
        await asyncio.sleep(2)
        world.die()
        await asyncio.sleep(1)
        assert world.removals == 2

    watched(story)
