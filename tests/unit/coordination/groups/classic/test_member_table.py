"""What the table of members keeps up to date is what looking at all members would find."""

from __future__ import annotations

import math
import random
import sys
from types import FrameType

import pytest

from fastlog.coordination.groups.classic.state import Group, GroupState
from tests.unit.coordination.groups.world import DELAY_MS, RANGE, SESSION_MS, GroupWorld

STICKY = (*RANGE, ("sticky", b"more"), ("sticky", b"named twice"))


def check(group: Group) -> None:
    members = list(group.members)
    waiting = sum(member.join_ticket is not None for member in members)
    assert group.members.waiting_to_join() == waiting
    assert group.members.all_joined() == (waiting == len(members))
    names = [{name for name, _ in member.protocols} for member in members]
    assert group.members.common_protocols() == (set.intersection(*names) if names else set())
    deadlines = [member.deadline for member in members if member.deadline is not None]
    assert group.members.soonest <= min([*deadlines, *group.pending.values()], default=math.inf)


@pytest.mark.parametrize("seed", range(8))
def test_the_counts_hold_whatever_happens(seed: int) -> None:
    world, chance = GroupWorld(max_size=12), random.Random(seed)
    for _ in range(400):
        names = [member.member_id for member in world.group.members]
        member = chance.choice(names) if names else ""
        protocols = chance.choice((RANGE, STICKY))
        match chance.randrange(8):
            case 0:
                world.join(protocols=protocols, requires_known_id=chance.random() < 0.5)
            case 1:
                world.join(instance_id=chance.choice("ab"), protocols=protocols)
            case 2 | 3 if member:
                world.join(member, protocols=protocols)
            case 4 if world.group.pending:
                world.join(chance.choice(list(world.group.pending)))
            case 5 if member:
                world.sync(member, dict.fromkeys(names, b"all"))
            case 6 if member:
                world.leave(member)
            case _:
                world.pass_time(chance.choice((1, DELAY_MS, SESSION_MS)))
        check(world.group)
    assert world.group.generation > 5


def test_the_next_deadline_moves_on_when_time_passes() -> None:
    world = GroupWorld()
    (leader,) = world.stable(1)
    world.pass_time(SESSION_MS - 1)
    world.heartbeat(leader)
    expected = world.clock.monotonic() + SESSION_MS / 1000
    # It may still be the former one: then it comes early, and finds this one.
    world.pass_time(1)
    assert world.group.next_deadline() == pytest.approx(expected)
    world.pass_time(SESSION_MS)
    assert world.group.state is GroupState.EMPTY
    assert world.group.next_deadline() is None


def test_a_request_does_not_look_at_all_members() -> None:
    """Calls of functions in a rebalance: linear to the members, as time is."""
    small, large = calls_of_a_rebalance(20), calls_of_a_rebalance(200)
    assert large < 11 * small, (small, large)


def calls_of_a_rebalance(count: int) -> int:
    world = GroupWorld(max_size=count)
    leader, *others = world.stable(count)
    calls = 0

    def on_event(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    former = sys.getprofile()
    sys.setprofile(on_event)
    try:
        for member in (leader, *others):
            world.join(member)
            world.group.next_deadline()
        for member in (*others, leader):
            world.sync(member, {leader: b"all"})
            world.group.next_deadline()
    finally:
        sys.setprofile(former)
    assert world.group.state is GroupState.STABLE
    assert world.group.generation == 2
    return calls
