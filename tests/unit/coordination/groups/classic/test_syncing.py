"""SyncGroup, heartbeats, leaving and commits against the state machine."""

from __future__ import annotations

import pytest

from fastlog.coordination.groups.classic.state import Group, GroupState
from fastlog.coordination.groups.results import StoreReason
from fastlog.errors import ErrorCode
from tests.unit.coordination.groups.world import DELAY_MS, REBALANCE_MS, SESSION_MS, GroupWorld


def _completing(world: GroupWorld, count: int = 2) -> None:
    for _ in range(count):
        world.join()
    world.pass_time(2 * DELAY_MS)
    assert world.group.state is GroupState.COMPLETING_REBALANCE


def test_assignments_go_out_when_they_are_stored() -> None:
    world = GroupWorld(store_by_hand=True)
    _completing(world)
    follower = world.sync("m2")
    leader = world.sync("m1", {"m1": b"one", "m2": b"two"})
    assert not world.syncs
    (store,) = world.stores
    assert (store.reason, store.generation, store.record.leader) == (StoreReason.ASSIGNMENT, 1, "m1")
    assert [(item.member_id, item.assignment) for item in store.record.members] == [
        ("m1", b"one"),
        ("m2", b"two"),
    ]
    world.finish_store()
    assert world.group.state is GroupState.STABLE
    assert (world.syncs[leader].assignment, world.syncs[follower].assignment) == (b"one", b"two")
    assert world.syncs[follower].protocol_type == "consumer"
    assert world.syncs[follower].protocol_name == "range"
    assert world.syncs[world.sync("m2")].assignment == b"two"


def test_an_assignment_that_cannot_be_stored_is_an_error_for_all() -> None:
    world = GroupWorld(store_by_hand=True)
    _completing(world)
    follower, leader = world.sync("m2"), world.sync("m1", {"m1": b"1"})
    world.finish_store(ErrorCode.NOT_COORDINATOR)
    assert {world.syncs[follower].error, world.syncs[leader].error} == {ErrorCode.NOT_COORDINATOR}
    assert world.group.state is GroupState.PREPARING_REBALANCE


def test_an_assignment_of_a_former_generation_has_no_effect() -> None:
    world = GroupWorld(store_by_hand=True)
    _completing(world)
    ticket = world.sync("m1", {"m1": b"old"})
    world.leave("m2")
    assert world.syncs[ticket].error is ErrorCode.REBALANCE_IN_PROGRESS
    world.join("m1")
    assert world.group.generation == 2
    world.finish_store()
    assert world.group.state is GroupState.COMPLETING_REBALANCE


def test_nobody_gets_an_assignment_while_a_rebalance_is_prepared() -> None:
    world = GroupWorld()
    world.stable(2)
    world.join()
    assert world.syncs[world.sync("m2")].error is ErrorCode.REBALANCE_IN_PROGRESS


def test_a_member_that_asks_twice_gets_its_assignment_once() -> None:
    world = GroupWorld()
    _completing(world)
    first, second = world.sync("m2"), world.sync("m2")
    assert world.syncs[first].error is ErrorCode.REBALANCE_IN_PROGRESS
    world.sync("m1", {"m2": b"2"})
    assert world.syncs[second].assignment == b"2"


@pytest.mark.parametrize(
    ("member", "generation", "protocol", "error"),
    [
        ("m9", 1, (None, None), ErrorCode.UNKNOWN_MEMBER_ID),
        ("m1", 0, (None, None), ErrorCode.ILLEGAL_GENERATION),
        ("m1", 1, ("connect", "range"), ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        ("m1", 1, ("consumer", "sticky"), ErrorCode.INCONSISTENT_GROUP_PROTOCOL),
        ("m1", 1, ("consumer", "range"), ErrorCode.NONE),
    ],
)
def test_who_may_sync(
    member: str, generation: int, protocol: tuple[str | None, str | None], error: ErrorCode
) -> None:
    world = GroupWorld()
    world.stable(1)
    assert world.syncs[world.sync(member, generation=generation, protocol=protocol)].error is error


def test_members_that_do_not_sync_are_out_after_the_rebalance_timeout() -> None:
    world = GroupWorld()
    _completing(world)
    world.sync("m1", {"m1": b"1", "m2": b"2"})
    assert world.group.state is GroupState.STABLE
    for _ in range(REBALANCE_MS // 5000):
        world.heartbeat("m1")
        world.heartbeat("m2")
        world.pass_time(5000)
    assert world.group.state is GroupState.PREPARING_REBALANCE
    assert world.heartbeat("m2") is ErrorCode.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize(
    ("member", "generation", "error"),
    [
        ("m1", 1, ErrorCode.NONE),
        ("m1", 2, ErrorCode.ILLEGAL_GENERATION),
        ("m9", 1, ErrorCode.UNKNOWN_MEMBER_ID),
    ],
)
def test_heartbeats(member: str, generation: int, error: ErrorCode) -> None:
    world = GroupWorld()
    world.stable(1)
    assert world.heartbeat(member, generation) is error


def test_a_silent_member_is_out_after_its_session_timeout() -> None:
    world = GroupWorld()
    world.stable(2)
    world.pass_time(SESSION_MS - 1)
    world.heartbeat("m1")
    assert world.group.state is GroupState.STABLE
    world.pass_time(1)
    assert world.group.state is GroupState.PREPARING_REBALANCE
    assert world.heartbeat("m1") is ErrorCode.REBALANCE_IN_PROGRESS
    assert world.heartbeat("m2") is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_wall_clock_that_jumps_changes_nothing() -> None:
    world = GroupWorld()
    world.stable(1)
    world.clock.jump_wall(10 * 365 * 24 * 3600 * 1000)
    world.pass_time(SESSION_MS - 1)
    assert world.heartbeat("m1") is ErrorCode.NONE


def test_a_group_that_lost_everybody_is_empty_and_stored() -> None:
    world = GroupWorld(store_by_hand=True)
    _completing(world, 1)
    world.sync("m1", {})
    world.finish_store()
    world.pass_time(SESSION_MS)
    assert world.group.state is GroupState.EMPTY
    (store,) = world.stores
    assert (store.reason, store.record.members, store.record.leader) == (StoreReason.EMPTY, (), None)
    assert (store.record.generation, store.record.protocol_name) == (2, None)


def test_leaving_starts_a_rebalance_for_the_others() -> None:
    world = GroupWorld()
    world.stable(2)
    assert world.leave("m1") is ErrorCode.NONE
    assert world.group.state is GroupState.PREPARING_REBALANCE
    ticket = world.join("m2")
    assert (world.joins[ticket].leader, world.joins[ticket].generation) == ("m2", 2)
    assert world.leave("m1") is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_member_that_is_taken_out_while_it_waits_for_its_assignment() -> None:
    world = GroupWorld()
    _completing(world)
    ticket = world.sync("m2")
    assert world.leave("m2") is ErrorCode.NONE
    assert world.syncs[ticket].error is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_pending_member_may_leave() -> None:
    world = GroupWorld()
    world.join(requires_known_id=True)
    assert world.leave("m1") is ErrorCode.NONE
    assert not world.group.pending


@pytest.mark.parametrize(
    ("state", "member", "generation", "error"),
    [
        ("empty", "", -1, ErrorCode.NONE),
        ("stable", "", -1, ErrorCode.UNKNOWN_MEMBER_ID),
        ("stable", "m1", 1, ErrorCode.NONE),
        ("stable", "m1", 0, ErrorCode.ILLEGAL_GENERATION),
        ("stable", "m2", 1, ErrorCode.UNKNOWN_MEMBER_ID),
        ("preparing", "m1", 1, ErrorCode.NONE),
        ("completing", "m1", 1, ErrorCode.REBALANCE_IN_PROGRESS),
    ],
)
def test_who_may_commit(state: str, member: str, generation: int, error: ErrorCode) -> None:
    world = GroupWorld()
    if state == "completing":
        _completing(world, 1)
    elif state != "empty":
        world.stable(1)
    if state == "preparing":
        world.join()
    assert world.group.commit_error(member, None, generation, world.now()) is error


def test_who_waits_is_answered_when_the_broker_stops() -> None:
    world = GroupWorld()
    world.stable(2)
    ticket = world.join("m1")
    world.group.resign(world.now())
    assert world.group.take_effects()
    assert ticket not in world.joins
    assert world.heartbeat("m2") is ErrorCode.COORDINATOR_NOT_AVAILABLE


def test_a_loaded_group_waits_one_session_for_its_members() -> None:
    before = GroupWorld()
    before.stable(2)
    world = GroupWorld()
    world.group = Group.load("g", before.group.limits, before.group.stored(), world.now())
    assert world.group.state is GroupState.STABLE
    assert world.heartbeat("m1") is ErrorCode.NONE
    assert world.syncs[world.sync("m2")].assignment == b"m2"
    world.pass_time(SESSION_MS)
    assert world.group.state is GroupState.EMPTY
