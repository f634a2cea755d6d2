"""Static members (KIP-345) come back under a new id without a rebalance, and fence their former self."""

from __future__ import annotations

import pytest

from fastlog.coordination.groups.classic.state import GroupState
from fastlog.coordination.groups.results import StoreReason
from fastlog.errors import ErrorCode
from tests.unit.coordination.groups.world import DELAY_MS, REBALANCE_MS, SESSION_MS, GroupWorld


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


def _completing(world: GroupWorld, count: int = 2) -> None:
    for index in range(count):
        world.join(instance_id=f"i{index + 1}")
    world.pass_time(2 * DELAY_MS)
    assert world.group.state is GroupState.COMPLETING_REBALANCE


def test_a_member_that_comes_back_has_a_session_from_then_on() -> None:
    world = GroupWorld()
    world.stable(2, instances=True)
    world.pass_time(SESSION_MS - 1)
    world.heartbeat("m1", instance_id="i1")
    back = world.joins[world.join(instance_id="i2")].member_id
    world.pass_time(SESSION_MS - 1)
    assert world.heartbeat(back, instance_id="i2") is ErrorCode.NONE


def test_a_member_that_comes_back_has_to_sync_in_time() -> None:
    world = GroupWorld()
    _completing(world)
    world.sync("m1", {"m1": b"1", "m2": b"2"})
    back = world.joins[world.join(instance_id="i2")].member_id
    assert back != "m2"
    for _ in range(REBALANCE_MS // 5000):
        world.heartbeat("m1", instance_id="i1")
        world.heartbeat(back, instance_id="i2")
        world.pass_time(5000)
    assert world.heartbeat(back, instance_id="i2") is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_leader_that_comes_back_before_its_assignment_is_there_starts_a_rebalance() -> None:
    world = GroupWorld()
    _completing(world)
    waits = world.sync("m2", instance_id="i2")
    world.join(instance_id="i1")
    assert world.group.state is GroupState.PREPARING_REBALANCE
    assert world.syncs[waits].error is ErrorCode.REBALANCE_IN_PROGRESS


def test_a_member_that_does_not_join_in_time_keeps_its_place() -> None:
    world = GroupWorld()
    world.stable(3, instances=True)
    world.join("m1", instance_id="i1")
    ticket = world.join("m2", instance_id="i2")
    for _ in range(REBALANCE_MS // 5000):
        assert ticket not in world.joins
        world.heartbeat("m3", instance_id="i3")
        world.pass_time(5000)
    assert world.joins[ticket].generation == 2
    assert [member.member_id for member in world.group.members] == ["m1", "m2", "m3"]


def test_a_rebalance_that_begins_while_the_new_id_is_stored_answers_the_member() -> None:
    world = GroupWorld(store_by_hand=True)
    _completing(world, 3)
    for member_id in ("m2", "m3"):
        world.sync(member_id)
    world.sync("m1", {})
    world.finish_store()
    ticket = world.join(instance_id="i2")
    world.join("m1", instance_id="i1")
    assert world.group.state is GroupState.PREPARING_REBALANCE
    world.finish_store()
    assert ticket not in world.joins
    world.join("m3", instance_id="i3")
    assert world.joins[ticket].generation == 2


def test_a_commit_that_names_an_instance_is_fenced_by_it() -> None:
    world = GroupWorld()
    world.stable(1, instances=True)
    for instance_id, error in (("i1", ErrorCode.FENCED_INSTANCE_ID), ("i9", ErrorCode.UNKNOWN_MEMBER_ID)):
        assert world.group.commit_error("", instance_id, -1, world.now()) is error
    assert world.group.commit_error("", None, -1, world.now()) is ErrorCode.UNKNOWN_MEMBER_ID
