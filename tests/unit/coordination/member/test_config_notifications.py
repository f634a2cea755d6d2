"""Notifications of changed configs from the keeper in this process: taken until it works, gone when old."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlog.base.clock import ManualClock
from fastlog.coordination.keeper.local import local_connector
from fastlog.coordination.member import config_notifications
from fastlog.coordination.member.config_notifications import ConfigNotifications, Entity
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.store import StoreError
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.codes import CreateMode
from tests.unit.coordination.controller.tree_world import World, until

QUARTER_MS = 15 * 60 * 1000


class Following:
    """Follows /config/changes over a direct link; so many `failures` are still to come."""

    def __init__(self, world: World) -> None:
        self.clock = ManualClock(world.clock.now_ms())
        self.failures = 0
        self.taken: list[set[Entity]] = []
        self._world = world
        self._session = ZkSession([local_connector(world.keeper)], world.clock, tasks=world.tasks)
        tree = MemberTree(ZkClient(self._session), wait_seconds=5)
        self._notifications = ConfigNotifications(
            tree, paths.CONFIG_CHANGES, self._take, self.clock, world.tasks
        )

    async def _take(self, changed: set[Entity]) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError("not now")
        self.taken.append(changed)

    async def notify(self, name: str) -> str:
        """A topic has other configs: the node that says so."""
        path, _ = await self._world.admin.create(
            paths.CONFIG_CHANGE,
            node_json.encode_config_change(f"topics/{name}"),
            mode=CreateMode.PERSISTENT_SEQUENTIAL,
        )
        return path

    async def seen(self, name: str) -> None:
        """Waits until it is taken."""
        await until(lambda: any(("topics", name) in some for some in self.taken))

    async def start(self) -> None:
        self._session.start()
        await self._notifications.start()

    async def stop(self) -> None:
        await self._notifications.stop()
        await self._session.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


@pytest.fixture
async def following(world: World) -> AsyncIterator[Following]:
    following = Following(world)
    await following.start()
    yield following
    await following.stop()


async def test_what_could_not_be_taken_is_taken_later_without_another_change(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_notifications, "_PAUSE_SECONDS", 0.001)
    await following.notify("a")
    await following.seen("a")
    following.failures = 2
    await following.notify("b")
    await following.seen("b")
    assert following.taken == [{("topics", "a")}, {("topics", "b")}]


async def test_who_sees_old_ones_removes_them_and_no_others(world: World, following: Following) -> None:
    old = [await following.notify(name) for name in ("a", "b", "c")]
    await following.seen("c")
    assert all(world.has(path) for path in old)
    # Somebody else was first with one of them.
    await world.admin.delete(old[1])
    following.clock.advance(QUARTER_MS // 2)
    young = await following.notify("d")
    await following.seen("d")
    assert [world.has(path) for path in (*old, young)] == [True, False, True, True]
    following.clock.advance(2 * QUARTER_MS)
    last = await following.notify("e")
    # By this clock it is old as well.
    await until(lambda: not any(world.has(path) for path in (*old, young, last)))
    await following.seen("e")
