"""Partitions go back to their preferred leaders; ElectLeaders says why not."""

from __future__ import annotations

import pytest

from fastlog.coordination.controller.balance import imbalanced, why_not_elect
from fastlog.errors import ErrorCode
from tests.unit.coordination.controller.world import World


@pytest.fixture
def world() -> World:
    """Broker 1 is preferred by ten partitions, broker 2 by one."""
    made = World([1, 2, 3])
    made.create("t", *([1, 2] for _ in range(10)), [2, 3])
    return made


def led_by_two(world: World, *numbers: int) -> None:
    for number in numbers:
        world.put_state(("t", number), 2, (2, 1))


def test_a_tenth_is_let_be_and_more_is_not(world: World) -> None:
    assert imbalanced(world.context, 10) == []
    led_by_two(world, 0)
    assert imbalanced(world.context, 10) == []
    led_by_two(world, 1)
    assert imbalanced(world.context, 10) == [("t", 0), ("t", 1)]
    assert imbalanced(world.context, 20) == []


def test_brokers_are_looked_at_one_by_one(world: World) -> None:
    world.put_state(("t", 10), 3, (3, 2))
    led_by_two(world, 0)
    assert imbalanced(world.context, 10) == [("t", 10)]


def test_only_what_the_preferred_leader_can_take(world: World) -> None:
    led_by_two(world, 0, 1)
    world.put_state(("t", 0), 2, (2,))
    assert imbalanced(world.context, 10) == [("t", 1)]
    world.context.begin_shutdown(1)
    assert imbalanced(world.context, 10) == []


def test_not_while_partitions_move_or_topics_go(world: World) -> None:
    led_by_two(world, 0, 1)
    world.context.reassigning.add(("t", 5))
    assert imbalanced(world.context, 10) == []
    world.context.reassigning.clear()
    world.context.deleting.add("t")
    assert imbalanced(world.context, 10) == []


def test_why_no_leader_is_elected(world: World) -> None:
    key = ("t", 0)
    assert why_not_elect(world.context, ("u", 0), unclean=False) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    for unclean in (False, True):
        assert why_not_elect(world.context, key, unclean=unclean) is ErrorCode.ELECTION_NOT_NEEDED
    led_by_two(world, 0)
    assert why_not_elect(world.context, key, unclean=False) is None
    assert why_not_elect(world.context, key, unclean=True) is ErrorCode.ELECTION_NOT_NEEDED
    world.context.remove_broker(2)
    assert why_not_elect(world.context, key, unclean=True) is None
    world.context.deleting.add("t")
    assert why_not_elect(world.context, key, unclean=True) is ErrorCode.INVALID_TOPIC_EXCEPTION
