"""Changes of what Kafka does not have are followed before their node is there."""

from __future__ import annotations

from pathlib import Path

from fastlog.coordination.member.config_notifications import ConfigNotifications, Entity
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.zookeeper.codes import CreateMode
from tests.unit.coordination.controller.tree_world import World, until


async def test_a_node_that_is_made_later(tmp_path: Path) -> None:
    taken: list[set[Entity]] = []

    async def take(entities: set[Entity]) -> None:
        taken.append(entities)

    async with World(tmp_path) as world:
        client, other = await world.client(), await world.client()
        await client.ensure("/config")
        tree = MemberTree(client, wait_seconds=5)
        parent = paths.GROUP_CONFIG_CHANGES
        notifications = ConfigNotifications(tree, parent, take, world.clock, world.tasks)
        await notifications.start()
        try:
            assert await other.exists(parent) is None
            for group in ("g1", "g2"):
                await other.ensure(parent)
                await other.create(
                    paths.GROUP_CONFIG_CHANGE,
                    node_json.encode_config_change(f"groups/{group}"),
                    mode=CreateMode.PERSISTENT_SEQUENTIAL,
                )
                await until(lambda group=group: {("groups", group)} in taken)  # type: ignore[misc]
        finally:
            await notifications.stop()
