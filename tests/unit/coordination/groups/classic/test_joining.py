"""JoinGroup against the state machine: new members, generations, protocols, limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastlog.coordination.groups.classic.rebalance import NEW_MEMBER_JOIN_TIMEOUT_MS
from fastlog.coordination.groups.classic.state import GroupState
from fastlog.coordination.groups.results import NO_GENERATION
from fastlog.errors import ErrorCode
from tests.unit.coordination.groups.world import DELAY_MS, RANGE, REBALANCE_MS, SESSION_MS, GroupWorld


def test_a_new_group_waits_for_others_and_the_first_leads() -> None:
    world = GroupWorld()
    first, second = world.join(), world.join()
    assert world.group.state is GroupState.PREPARING_REBALANCE
    assert not world.joins
    world.pass_time(DELAY_MS)
    # The second one came during the wait, so the group waits once more.
    assert not world.joins
    world.pass_time(DELAY_MS)
    one, two = world.joins[first], world.joins[second]
    assert (one.error, one.generation, one.leader, one.protocol_name) == (0, 1, "m1", "range")
    assert [member.member_id for member in one.members] == ["m1", "m2"]
    assert [member.metadata for member in one.members] == [b"topics", b"topics"]
    assert (two.generation, two.leader, two.member_id, two.members) == (1, "m1", "m2", ())
    assert world.group.state is GroupState.COMPLETING_REBALANCE


def test_the_initial_wait_ends_with_the_rebalance_timeout() -> None:
    world = GroupWorld()
    tickets = [world.join()]
    for _ in range(REBALANCE_MS // DELAY_MS):
        assert not world.joins
        world.pass_time(DELAY_MS - 1)
        tickets.append(world.join())
        world.pass_time(1)
    assert set(world.joins) == set(tickets)


def test_a_member_without_an_id_gets_one_first() -> None:
    world = GroupWorld()
    ticket = world.join(requires_known_id=True)
    answer = world.joins[ticket]
    assert (answer.error, answer.member_id, answer.generation) == (
        ErrorCode.MEMBER_ID_REQUIRED,
        "m1",
        NO_GENERATION,
    )
    assert world.group.state is GroupState.EMPTY
    again = world.join("m1", requires_known_id=True)
    world.pass_time(DELAY_MS)
    assert world.joins[again].error is ErrorCode.NONE
    assert world.joins[again].member_id == "m1"


def test_an_id_that_is_not_used_is_forgotten_after_the_session_timeout() -> None:
    world = GroupWorld()
    world.join(requires_known_id=True)
    world.pass_time(SESSION_MS - 1)
    assert world.group.pending
    world.pass_time(1)
    assert not world.group.pending
    assert world.joins[world.join("m1")].error is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_rebalance_waits_for_ids_that_were_given_out() -> None:
    world = GroupWorld()
    (leader,) = world.stable(1)
    world.join(requires_known_id=True)
    waiting = world.join(leader)
    assert waiting not in world.joins
    world.pass_time(SESSION_MS)
    assert world.joins[waiting].generation == 2


@pytest.mark.parametrize(
    ("protocol_type", "protocols"),
    [("", RANGE), ("consumer", ()), ("connect", RANGE), ("consumer", (("sticky", b""),))],
    ids=["no type", "no protocols", "another type", "nothing in common"],
)
def test_protocols_must_fit(protocol_type: str, protocols: tuple[tuple[str, bytes], ...]) -> None:
    world = GroupWorld()
    world.stable(1)
    ticket = world.join(protocol_type=protocol_type, protocols=protocols)
    assert world.joins[ticket].error is ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert world.group.state is GroupState.STABLE


def test_the_protocol_that_all_support_and_most_prefer_wins() -> None:
    world = GroupWorld()
    world.join(protocols=(("range", b""), ("sticky", b"")))
    world.join(protocols=(("sticky", b""), ("range", b"")))
    world.join(protocols=(("fancy", b""), ("sticky", b""), ("range", b"")))
    world.pass_time(2 * DELAY_MS)
    assert world.group.protocol_name == "sticky"


def test_a_full_group_takes_nobody_in() -> None:
    world = GroupWorld(max_size=2)
    world.stable(2)
    answer = world.joins[world.join()]
    assert (answer.error, answer.member_id) == (ErrorCode.GROUP_MAX_SIZE_REACHED, "")
    assert world.group.state is GroupState.STABLE


def test_a_member_that_lost_its_answer_gets_it_again() -> None:
    world = GroupWorld()
    first = world.join()
    second = world.join()
    world.pass_time(2 * DELAY_MS)
    assert world.joins[world.join("m2")] == world.joins[second]
    assert world.joins[world.join("m1")] == world.joins[first]
    assert world.group.generation == 1


def test_a_follower_with_the_same_subscription_does_not_disturb_a_stable_group() -> None:
    world = GroupWorld()
    world.stable(2)
    answer = world.joins[world.join("m2")]
    assert (answer.error, answer.generation) == (ErrorCode.NONE, 1)
    assert world.group.state is GroupState.STABLE


@pytest.mark.parametrize(
    ("member", "protocols"),
    [("m1", RANGE), ("m2", (("range", b"more topics"),))],
    ids=["the leader", "a new subscription"],
)
def test_a_rebalance_begins(member: str, protocols: tuple[tuple[str, bytes], ...]) -> None:
    world = GroupWorld()
    world.stable(2)
    ticket = world.join(member, protocols=protocols)
    assert world.group.state is GroupState.PREPARING_REBALANCE
    other = "m2" if member == "m1" else "m1"
    assert world.heartbeat(other) is ErrorCode.REBALANCE_IN_PROGRESS
    assert ticket not in world.joins
    second = world.join(other)
    # No initial delay here: everybody is known, and has come.
    assert world.joins[ticket].generation == world.joins[second].generation == 2
    assert world.group.members.leader == "m1"


def test_who_does_not_join_again_is_out() -> None:
    world = GroupWorld()
    world.stable(2)
    ticket = world.join("m2", protocols=(("range", b"new"),))
    for _ in range(REBALANCE_MS // 5000):
        world.pass_time(5000)
        if world.group.state is GroupState.PREPARING_REBALANCE:
            world.heartbeat("m1")
    answer = world.joins[ticket]
    assert (answer.generation, answer.leader) == (2, "m2")
    assert world.heartbeat("m1") is ErrorCode.UNKNOWN_MEMBER_ID


def test_an_unknown_member_cannot_join() -> None:
    world = GroupWorld()
    world.stable(1)
    assert world.joins[world.join("nobody")].error is ErrorCode.UNKNOWN_MEMBER_ID
    assert world.joins[world.join("m1", instance_id="i9")].error is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_limit_that_was_lowered_holds_for_the_next_generation() -> None:
    world = GroupWorld(max_size=3)
    world.stable(3)
    world.group.limits = replace(world.group.limits, max_size=2)
    world.join("m1")
    world.join("m2")
    assert world.joins[world.join("m3")].error is ErrorCode.GROUP_MAX_SIZE_REACHED
    again = world.join("m2")
    world.pass_time(SESSION_MS)
    assert world.joins[again].generation == 2
    assert [member.member_id for member in world.group.members] == ["m1", "m2"]


def test_a_new_member_is_given_up_when_its_generation_does_not_come() -> None:
    world = GroupWorld()
    world.stable(1)
    (old,) = world.group.members
    old.rebalance_timeout_ms = 2 * NEW_MEMBER_JOIN_TIMEOUT_MS
    ticket = world.join()
    for _ in range(NEW_MEMBER_JOIN_TIMEOUT_MS // 5000):
        assert ticket not in world.joins
        world.heartbeat("m1")
        world.pass_time(5000)
    assert world.joins[ticket].error is ErrorCode.UNKNOWN_MEMBER_ID
