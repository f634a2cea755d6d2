"""/controller is taken by one broker, whatever answers are lost; a former controller writes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlog.coordination.controller.election import Election
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.znodes.fenced_tree import ControllerMoved, FencedTree
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.replies import Event
from fastlog.coordination.zookeeper.requests import SetData
from tests.unit.coordination.controller.tree_world import World, until
from tests.unit.coordination.znodes.world import Cutter


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


def election(world: World, client: ZkClient, node_id: int) -> Election:
    made = Election(client, node_id, world.clock)
    client.session.on_state = made.on_session
    return made


def ignore(_: Event) -> None:
    pass


async def test_the_first_takes_the_seat_and_the_second_sees_it(world: World) -> None:
    one = election(world, await world.client(), 1)
    two = election(world, await world.client(), 2)
    assert await one.look(ignore) == -1
    assert await one.stand()
    assert not await two.stand()
    assert (one.epoch, two.controller_id, two.is_won) == (1, 1, False)
    assert world.data(paths.CONTROLLER_EPOCH) == b"1"
    assert node_json.decode_controller("", world.data(paths.CONTROLLER)) == 1


async def test_who_resigns_makes_room_and_is_fenced(world: World) -> None:
    one = election(world, await world.client(), 1)
    two = election(world, await world.client(), 2)
    await one.stand()
    tree = FencedTree(one.client, one)
    fence = await one.taken()
    await one.resign()
    assert not world.has(paths.CONTROLLER)
    assert await two.stand()
    assert two.epoch == 2
    # As if it had not heard of it: the fence alone holds.
    one._fence = fence
    with pytest.raises(ControllerMoved):
        await tree.commit([SetData("/brokers/seqid", b"x")])
    assert world.data("/brokers/seqid") is None
    assert not one.is_won


@pytest.mark.parametrize("lost", range(6))
@pytest.mark.parametrize("direction", ["requests", "answers"])
async def test_a_lost_packet_costs_neither_the_seat_nor_an_epoch_more_than_one(
    world: World, direction: str, lost: int
) -> None:
    cutter = Cutter(world.keeper)
    one = election(world, await world.client(cutter), 1)
    setattr(cutter, direction, lost)
    assert await one.stand()
    assert int(world.data(paths.CONTROLLER_EPOCH) or b"") == one.epoch <= 2
    await FencedTree(one.client, one).commit([SetData("/brokers/seqid", b"x")])
    assert world.data("/brokers/seqid") == b"x"


async def test_an_own_seat_of_before_is_removed_before_the_next_election(world: World) -> None:
    client = await world.client()
    one = election(world, client, 1)
    await one.stand()
    one.lost()
    fired: list[str] = []
    await one.look(lambda event: fired.append(event.path))
    assert not await one.stand()
    await until(lambda: fired)
    assert await one.stand()
    assert one.epoch == 2


async def test_a_seat_that_says_nothing_sensible_is_somebody_elses(world: World) -> None:
    await world.admin.create(paths.CONTROLLER, b"what?")
    one = election(world, await world.client(), 1)
    assert not await one.stand()
    assert not one.is_won
