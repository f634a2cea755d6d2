"""Static members (KIP-345) come back under a new id without a rebalance, and fence their former self."""

from __future__ import annotations

import pytest

from fastlog.coordination.groups.results import StoreReason
from fastlog.coordination.groups.state import GroupState
from fastlog.errors import ErrorCode
from tests.unit.coordination.groups.world import SESSION_MS, GroupWorld


def test_a_follower_that_restarts_keeps_its_assignment() -> None:
    world = GroupWorld()
    world.stable(2, instances=True)
    ticket = world.join(instance_id="i2")
    answer = world.joins[ticket]
    assert (answer.error, answer.generation, answer.member_id, answer.leader) == (
        ErrorCode.NONE,
        1,
        "m3",
        "m1",
    )
    assert world.group.state is GroupState.STABLE
    assert world.syncs[world.sync("m3", instance_id="i2")].assignment == b"m2"
    assert world.heartbeat("m2", instance_id="i2") is ErrorCode.FENCED_INSTANCE_ID
    assert world.syncs[world.sync("m2", instance_id="i2")].error is ErrorCode.FENCED_INSTANCE_ID
    assert world.joins[world.join("m2", instance_id="i2")].error is ErrorCode.FENCED_INSTANCE_ID
    assert world.leave("m2", "i2") is ErrorCode.FENCED_INSTANCE_ID
    assert world.group.commit_error("m2", "i2", 1, world.now()) is ErrorCode.FENCED_INSTANCE_ID


@pytest.mark.parametrize(("can_skip", "leader", "members"), [(True, "m3", 2), (False, "m1", 0)])
def test_a_leader_that_restarts_does_not_assign_anew(can_skip: bool, leader: str, members: int) -> None:
    world = GroupWorld()
    world.stable(2, instances=True)
    answer = world.joins[world.join(instance_id="i1", can_skip=can_skip)]
    assert (answer.leader, answer.skip_assignment, len(answer.members)) == (leader, can_skip, members)
    assert world.group.members.leader == "m3"
    assert world.group.state is GroupState.STABLE


def test_the_new_id_counts_when_it_is_stored() -> None:
    world = GroupWorld(store_by_hand=True)
    world.join(instance_id="i1")
    world.pass_time(6000)
    world.sync("m1", {"m1": b"mine"}, instance_id="i1")
    world.finish_store()
    ticket = world.join(instance_id="i1")
    assert ticket not in world.joins
    assert world.stores[0].reason is StoreReason.REPLACEMENT
    assert [member.member_id for member in world.stores[0].record.members] == ["m2"]
    world.finish_store(ErrorCode.NOT_COORDINATOR)
    assert world.joins[ticket].error is ErrorCode.NOT_COORDINATOR
    assert world.heartbeat("m1", instance_id="i1") is ErrorCode.NONE


def test_another_protocol_makes_a_rebalance() -> None:
    world = GroupWorld()
    world.join(instance_id="i1", protocols=(("range", b""), ("sticky", b"")))
    world.pass_time(6000)
    world.sync("m1", {}, instance_id="i1")
    ticket = world.join(instance_id="i1", protocols=(("sticky", b""),))
    assert world.joins[ticket].generation == 2
    assert world.group.protocol_name == "sticky"


def test_a_wait_of_the_former_self_is_fenced() -> None:
    world = GroupWorld()
    first = world.join(instance_id="i1")
    second = world.join(instance_id="i1")
    assert world.joins[first].error is ErrorCode.FENCED_INSTANCE_ID
    world.pass_time(6000)
    assert (world.joins[second].error, world.joins[second].generation) == (ErrorCode.NONE, 1)


def test_a_restart_before_the_assignment_makes_another_generation() -> None:
    world = GroupWorld()
    tickets = [world.join(instance_id="i1"), world.join(instance_id="i2")]
    world.pass_time(6000)
    assert all(world.joins[ticket].generation == 1 for ticket in tickets)
    waiting = world.sync("m1", instance_id="i1", generation=1)
    assert world.syncs[waiting].error is ErrorCode.NONE
    world.leave("m2", "i2")
    world.join("m1", instance_id="i1")
    ticket = world.join(instance_id="i2")
    assert ticket not in world.joins
    assert world.group.state is GroupState.PREPARING_REBALANCE
    world.join("m1", instance_id="i1")
    assert world.joins[ticket].generation == 3


def test_an_administrator_removes_an_instance() -> None:
    world = GroupWorld()
    world.stable(2, instances=True)
    assert world.leave("", "i9") is ErrorCode.UNKNOWN_MEMBER_ID
    assert world.leave("", "i2") is ErrorCode.NONE
    assert world.group.members.static_id("i2") is None
    assert world.group.state is GroupState.PREPARING_REBALANCE


def test_a_static_member_that_is_away_stays_until_its_session_ends() -> None:
    world = GroupWorld()
    world.stable(2, instances=True)
    world.pass_time(SESSION_MS - 1)
    assert world.group.state is GroupState.STABLE
    assert len(world.group.members) == 2
    world.heartbeat("m1", instance_id="i1")
    world.pass_time(1)
    assert world.group.members.static_id("i2") is None
