"""What a member looks for in the tree at its start."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.coordination.controller.data import Assignment, Leadership
from fastlog.coordination.member import joining
from fastlog.coordination.member.tree import MemberTree
from fastlog.coordination.znodes import controller_json, paths
from tests.unit.coordination.controller.tree_world import World

STATE = controller_json.encode_state(Leadership(7, 1, (7,)), 1)


async def make_topic(world: World, name: str, state: bytes | None) -> None:
    await world.admin.create(
        paths.topic(name), controller_json.encode_topic(b"i" * 16, {0: Assignment((7,))})
    )
    if state is not None:
        await world.admin.ensure(paths.partition(name, 0))
        await world.admin.create(paths.state(name, 0), state)


@pytest.mark.parametrize(("state", "is_doomed"), [(None, False), (b"no JSON", False), (STATE, True)])
async def test_of_some_topics_no_controller_tells(
    tmp_path: Path, state: bytes | None, is_doomed: bool
) -> None:
    """Those that never had a leader, or whose state cannot be read, and those that are being deleted."""
    async with World(tmp_path) as world:
        tree = MemberTree(await world.client(), wait_seconds=5)
        assert not await joining.has_led_partitions(tree)
        for number in range(joining._FIRST_LOOK + 1):
            await make_topic(world, f"t{number:02}", state)
            if is_doomed:
                await world.admin.create(paths.deletion(f"t{number:02}"))
        assert not await joining.has_led_partitions(tree)
        # It is found also behind those that are looked at first.
        await make_topic(world, "z", STATE)
        assert await joining.has_led_partitions(tree)
