"""Members of the consumer protocol: joining, moving partitions, lost answers, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastlog.coordination.groups.classic.state import GroupState
from fastlog.coordination.groups.consumer import leaving, member_heartbeat
from fastlog.coordination.groups.consumer.members import MemberState
from fastlog.coordination.groups.consumer.records import encode_key
from fastlog.coordination.groups.consumer.results import ConsumerLimits, HeartbeatRequest
from fastlog.coordination.groups.consumer.state import Deadline, Kind
from fastlog.errors import ErrorCode
from tests.unit.coordination.groups.consumer.world import (
    REBALANCE_MS,
    SESSION_MS,
    Client,
    ConsumerWorld,
    converge,
)


def test_first_member_gets_everything_at_once() -> None:
    world = ConsumerWorld(t=4)
    one = Client(world, "a")
    assert one.beat().epoch == 1
    assert one.numbers() == [0, 1, 2, 3]
    assert world.group.state is GroupState.STABLE
    assert one.beat().assignment is None


def test_partitions_move_only_when_they_were_given_up() -> None:
    world = ConsumerWorld(t=4)
    one, two = Client(world, "a"), Client(world, "b")
    one.beat()
    assert two.beat().epoch == 2
    assert two.owned == set()
    assert world.group.members["b"].position.state is MemberState.UNRELEASED
    asked = world.send(one.request())
    assert (asked.epoch, len(asked.assignment or ())) == (1, 2)
    two.beat()
    assert two.owned == set(), "the first one still has them"
    assert world.group.state is GroupState.RECONCILING
    one.take(asked)
    assert one.beat().epoch == 2
    two.beat()
    assert sorted(one.numbers() + two.numbers()) == [0, 1, 2, 3]
    assert world.group.state is GroupState.STABLE


def test_a_member_that_leaves_frees_its_partitions() -> None:
    world = ConsumerWorld(t=4)
    one, two = Client(world, "a"), Client(world, "b")
    converge(one, two)
    epoch = world.group.epoch
    two.leave()
    assert world.group.state is GroupState.ASSIGNING
    assert world.group.epoch == epoch + 1
    one.beat()
    assert one.numbers() == [0, 1, 2, 3]
    one.leave()
    assert world.group.state is GroupState.EMPTY
    assert world.group.owners == {}


def test_a_static_member_that_restarts_keeps_the_topics_of_its_pattern() -> None:
    world = ConsumerWorld(t=3, u=2)
    one, two = Client(world, "a", ("u",), regex="[tu]", instance_id="i"), Client(world, "b")
    converge(one)
    world.resolve_regexes()
    converge(one, two)
    two.leave()
    one.leave(-2)
    one.member_id = "c"
    converge(one)
    assert set(world.group.subscribed_topics()) == {"t", "u"}
    world.resolve_regexes()
    converge(one)
    assert len(one.owned) == 5


def test_names_of_others_that_are_no_topics_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each member may name thousands of topics that do not exist; all of them were looked at."""
    world = ConsumerWorld(t=2, u=2, v=2)
    for number in range(4):
        names = tuple(f"{number}-{index}" for index in range(400))
        Client(world, f"m{number}", topics=(*names, "t")).beat()
    one = Client(world, "a", topics=("t",))
    converge(one)
    looked: list[str] = []
    find = world.topics.find

    def look(_: object, name: str) -> tuple[bytes, int] | None:
        looked.append(name)
        return find(name)

    monkeypatch.setattr(type(world.topics), "find", look)
    monkeypatch.setattr(member_heartbeat, "update_targets", lambda *_: None)
    epoch = world.group.epoch
    one.topics, one.is_unsure = ("u",), True
    one.beat()
    assert world.group.epoch == epoch + 1
    assert sorted(looked) == ["t", "u"]
    subscribed = world.group.subscribed_topics()
    assert "t" in subscribed and "3-399" in subscribed and "v" not in subscribed
    assert len(set(subscribed)) == 1602
    looked.clear()
    one.leave()
    assert looked == ["t"] and "u" not in world.group.subscribed_topics()


def test_topics_that_grow_or_go() -> None:
    world = ConsumerWorld(t=2)
    one = Client(world, "a", topics=("t", "later"))
    one.beat()
    world.topics.put("other", 9)
    assert one.beat().epoch == 1, "a topic that nobody wants"
    world.topics.put("t", 3)
    assert one.beat().epoch == 2
    assert one.numbers() == [0, 1, 2]
    world.topics.put("later", 1)
    one.beat()
    assert len(one.owned) == 4
    world.topics.drop("t")
    converge(one)
    assert len(one.owned) == 1


def test_a_lost_answer_is_sent_again() -> None:
    world = ConsumerWorld(t=2)
    one = Client(world, "a")
    one.lose_answer()
    one.lose_answer()
    assert one.beat().epoch == 1
    assert one.numbers() == [0, 1]


def test_epochs_that_are_not_those_of_the_member() -> None:
    world = ConsumerWorld(t=2)
    one, two = Client(world, "a"), Client(world, "b")
    converge(one, two)
    request = one.request()
    assert world.refusal(replace(request, epoch=one.epoch + 1)) is ErrorCode.FENCED_MEMBER_EPOCH
    assert world.refusal(replace(request, epoch=0, owned=())) is ErrorCode.INVALID_REQUEST
    joining = replace(request, epoch=0, owned=(), topics=("t",), rebalance_timeout_ms=1)
    assert world.refusal(joining) is ErrorCode.FENCED_MEMBER_EPOCH
    assert world.refusal(replace(request, member_id="c")) is ErrorCode.UNKNOWN_MEMBER_ID
    # The epoch before counts, with partitions that it has been given.
    previous = world.group.members["a"].position.previous_epoch
    mine, others = frozenset(one.owned), frozenset(two.owned)
    assert world.refusal(replace(request, epoch=previous, owned=others)) is ErrorCode.FENCED_MEMBER_EPOCH
    assert world.refusal(replace(request, epoch=previous, owned=None)) is ErrorCode.FENCED_MEMBER_EPOCH
    assert world.send(replace(request, epoch=previous, owned=mine)).epoch == one.epoch


JOIN = HeartbeatRequest(
    member_id="a", epoch=0, topics=("t",), rebalance_timeout_ms=REBALANCE_MS, owned=frozenset()
)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (replace(JOIN, topics=("t",) * 10_001), ErrorCode.INVALID_REQUEST),
        (replace(JOIN, instance_id=""), ErrorCode.INVALID_REQUEST),
        (replace(JOIN, rack_id=""), ErrorCode.INVALID_REQUEST),
        (replace(JOIN, member_id=""), ErrorCode.INVALID_REQUEST),
        (replace(JOIN, epoch=-3), ErrorCode.INVALID_REQUEST),
        (replace(JOIN, epoch=-2), ErrorCode.INVALID_REQUEST),
        (replace(JOIN, epoch=1, member_id="", brings_id=False), ErrorCode.INVALID_REQUEST),
        (replace(JOIN, rebalance_timeout_ms=-1), ErrorCode.INVALID_REQUEST),
        (replace(JOIN, owned=None), ErrorCode.INVALID_REQUEST),
        (replace(JOIN, owned=[(b"i" * 16, 0)]), ErrorCode.INVALID_REQUEST),
        (replace(JOIN, topics=None), ErrorCode.INVALID_REQUEST),
        (replace(JOIN, assignor="sticky"), ErrorCode.UNSUPPORTED_ASSIGNOR),
        (replace(JOIN, regex="("), ErrorCode.INVALID_REGULAR_EXPRESSION),
        (replace(JOIN, regex="a" * 2000), ErrorCode.INVALID_REGULAR_EXPRESSION),
        (replace(JOIN, epoch=-1), ErrorCode.UNKNOWN_MEMBER_ID),
        (replace(JOIN, epoch=-2, instance_id="i"), ErrorCode.UNKNOWN_MEMBER_ID),
        (replace(JOIN, epoch=3, instance_id="i"), ErrorCode.UNKNOWN_MEMBER_ID),
    ],
)
def test_refused(request_: HeartbeatRequest, code: ErrorCode) -> None:
    assert ConsumerWorld(t=1).refusal(request_) is code


def test_a_full_group_takes_nobody_new() -> None:
    world = ConsumerWorld(limits=ConsumerLimits(max_size=2), t=1)
    one, two = Client(world, "a"), Client(world, "b", instance_id="i")
    converge(one, two)
    assert world.refusal(replace(JOIN, member_id="c")) is ErrorCode.GROUP_MAX_SIZE_REACHED
    one.beat()
    two.leave(-2)
    two.member_id = "b2"
    assert two.beat().member_id == "b2"


def test_the_assignor_that_most_members_want() -> None:
    world = ConsumerWorld(t=4, u=4)
    both = ("t", "u")
    one, two = Client(world, "a", both), Client(world, "b", both, assignor="range")
    converge(one, two)
    assert one.numbers() == [0, 0, 1, 1]
    assert two.numbers() == [2, 2, 3, 3]


def test_a_silent_member_is_fenced() -> None:
    world = ConsumerWorld(t=2)
    one, two = Client(world, "a"), Client(world, "b")
    converge(one, two)
    assert world.pass_time(SESSION_MS - 1) == {}
    one.beat()
    assert world.pass_time(1) == {"b": Deadline.SESSION}
    one.beat()
    assert one.numbers() == [0, 1]
    assert world.refusal(two.request()) is ErrorCode.UNKNOWN_MEMBER_ID


def test_members_that_are_silent_together_are_fenced_in_lots_that_can_be_stored() -> None:
    world = ConsumerWorld(t=4)
    names = [f"{number:03}" + "m" * 1000 for number in range(100)]
    for name in names:
        Client(world, name).beat()
    before, lots = len(world.log), []
    world.clock.advance(SESSION_MS)
    while fenced := world.pass_time(0):
        lots.append(set(fenced))
        assert sum(len(name) * 3 for name in fenced) < 64 << 10
        if world.group.members:
            assert world.group.next_deadline() == world.clock.monotonic() + 1
            assert leaving.is_more_due(world.group, world.now())
    assert len(lots) > 3
    assert set().union(*lots) == set(names)
    assert len(world.log) < before and world.group.next_deadline() is None


def test_a_member_that_does_not_give_up_in_time_is_fenced() -> None:
    world = ConsumerWorld(limits=ConsumerLimits(session_timeout_ms=10 * REBALANCE_MS), t=2)
    one, two = Client(world, "a"), Client(world, "b")
    one.beat()
    two.beat()
    held = set(one.owned)
    world.send(one.request())
    assert world.pass_time(REBALANCE_MS - 1) == {}
    assert world.send(replace(one.request(), owned=held)).epoch == 1, "heartbeats do not help"
    two.beat()
    assert two.owned == set()
    assert world.pass_time(1) == {"a": Deadline.REVOCATION}
    two.beat()
    assert two.numbers() == [0, 1]


def test_giving_up_in_time_ends_the_wait() -> None:
    world = ConsumerWorld(limits=ConsumerLimits(session_timeout_ms=10 * REBALANCE_MS), t=2)
    one, two = Client(world, "a"), Client(world, "b")
    converge(one, two)
    assert world.pass_time(2 * REBALANCE_MS) == {}


def test_static_members_come_back_to_what_they_had() -> None:
    world = ConsumerWorld(t=4)
    one, two = Client(world, "a"), Client(world, "b", instance_id="i")
    converge(one, two)
    had, epoch = set(two.owned), world.group.epoch
    other = Client(world, "b2", instance_id="i")
    assert world.refusal(other.request()) is ErrorCode.UNRELEASED_INSTANCE_ID
    assert two.leave(-2).epoch == -2
    assert world.refusal(replace(two.request(), epoch=epoch)) is ErrorCode.FENCED_MEMBER_EPOCH
    one.beat()
    assert len(one.owned) == 2, "its place is kept"
    other.beat()
    assert other.owned == had
    assert (other.epoch, world.group.epoch) == (epoch, epoch)
    late = replace(two.request(), epoch=epoch, instance_id="i")
    assert world.refusal(late) is ErrorCode.FENCED_INSTANCE_ID
    assert world.refusal(replace(late, epoch=-1)) is ErrorCode.FENCED_INSTANCE_ID
    # The same client may come back too, under its own id.
    other.leave(-2)
    other.beat()
    assert other.owned == had
    other.leave(-1)
    one.beat()
    assert len(one.owned) == 4


def test_a_static_member_that_left_for_a_while_cannot_go_on_with_its_old_epoch() -> None:
    world = ConsumerWorld(t=1)
    one = Client(world, "a", instance_id="i")
    one.beat()
    world.topics.put("t", 2)
    assert one.beat().epoch == 2
    late = replace(one.request(), owned=frozenset())
    one.leave(-2)
    for epoch in (1, 2):
        assert world.refusal(replace(late, epoch=epoch)) is ErrorCode.FENCED_MEMBER_EPOCH


def test_a_static_member_that_stays_away_loses_its_place() -> None:
    world = ConsumerWorld(t=2)
    one, two = Client(world, "a"), Client(world, "b", instance_id="i")
    converge(one, two)
    two.leave(-2)
    world.clock.advance(SESSION_MS // 2)
    one.beat()
    assert world.pass_time(SESSION_MS // 2 + 1) == {"b": Deadline.SESSION}
    assert world.group.static == {}


def test_regular_expressions() -> None:
    world = ConsumerWorld(orders=1, orders_eu=1, audit=1)
    one = Client(world, "a", topics=(), regex="orders.*")
    one.beat()
    assert (one.owned, world.group.wants_regexes) == (set(), True)
    world.resolve_regexes()
    one.beat()
    assert len(one.owned) == 2
    assert not world.group.wants_regexes
    world.topics.put("orders_us", 2)
    one.beat()
    assert world.group.wants_regexes
    world.resolve_regexes()
    one.beat()
    assert len(one.owned) == 4
    epoch = one.epoch
    world.restart()
    one.beat()
    assert one.epoch == epoch
    world.resolve_regexes()
    assert one.beat().epoch == epoch
    one.regex, one.topics, one.is_unsure = "", ("audit",), True
    converge(one)
    assert len(one.owned) == 1
    assert world.group.regexes == {}


def test_a_deleted_group_leaves_nothing_behind() -> None:
    world = ConsumerWorld(t=2)
    one, two = Client(world, "a"), Client(world, "b", topics=(), regex="t")
    converge(one, two)
    world.resolve_regexes()
    converge(one, two)
    one.leave()
    two.leave()
    assert len(world.log) == 2, "the epochs"
    world.group.die()
    world.store()
    assert world.log == {}


def test_a_static_member_that_leaves_for_a_while_gives_up_what_it_had_to() -> None:
    world = ConsumerWorld(limits=ConsumerLimits(session_timeout_ms=2 * REBALANCE_MS), t=2)
    away, other = Client(world, "a", instance_id="i"), Client(world, "b")
    away.beat()
    other.beat()
    away.beat()
    assert world.group.members["a"].position.revoking
    away.leave(-2)
    assert world.group.owners == dict.fromkeys(world.group.members["a"].position.assigned, "a")
    other.beat()
    assert len(other.owned) == 1
    # What it did not do in time before does not matter any more.
    assert world.pass_time(REBALANCE_MS) == {}
    assert set(world.pass_time(REBALANCE_MS).values()) == {Deadline.SESSION}


def test_a_member_in_a_state_of_a_later_release_has_to_give_up_everything() -> None:
    world = ConsumerWorld(t=2)
    one = Client(world, "a")
    one.beat()
    key = encode_key("g", (Kind.POSITION, "a"))
    stored = world.log[key]
    # version, epoch and previous epoch are before it
    world.log[key] = stored[:10] + b"\x07" + stored[11:]
    world.restart()
    assert world.refusal(one.request()) is ErrorCode.FENCED_MEMBER_EPOCH
    one.owned = set()
    one.is_unsure = True
    one.beat()
    assert one.numbers() == [0, 1]


def test_a_member_that_takes_another_instance_id_leaves_the_first_to_others() -> None:
    world = ConsumerWorld(t=2)
    one = Client(world, "a", instance_id="i")
    one.beat()
    one.instance_id, one.epoch, one.owned = "j", 0, set()
    one.beat()
    assert world.group.static == {"j": "a"}
    Client(world, "b", instance_id="i").beat()
    one.leave()
    assert world.group.static == {"i": "b"}


def test_what_is_to_be_given_up_is_due_after_a_restart_too() -> None:
    world = ConsumerWorld(limits=ConsumerLimits(session_timeout_ms=2 * REBALANCE_MS), t=2)
    slow, other = Client(world, "a"), Client(world, "b")
    slow.beat()
    other.beat()
    slow.beat()
    world.restart()
    assert world.pass_time(REBALANCE_MS - 1) == {}
    assert world.pass_time(1) == {"a": Deadline.REVOCATION}
