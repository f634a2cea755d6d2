"""The server-side assignors: everything assigned once, to subscribers, evenly, with few moves."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlog.coordination.groups.consumer.assignors import ASSIGNORS, assignor_names
from fastlog.coordination.groups.consumer.assignors.spec import Assignment, MemberSpec

Partitions = Mapping[bytes, int]
Members = Mapping[str, MemberSpec]


def topic(number: int) -> bytes:
    return number.to_bytes(16, "big")


@st.composite
def groups(draw: st.DrawFn, *, same: bool = False) -> tuple[dict[str, MemberSpec], dict[bytes, int]]:
    """Members with subscriptions and any assignment from before, which may be uneven and out of date."""
    partitions = {topic(number): draw(st.integers(1, 12)) for number in range(draw(st.integers(1, 4)))}
    names = [f"m{number}" for number in range(draw(st.integers(1, 6)))]
    subscription = st.frozensets(st.sampled_from(sorted(partitions)))
    common = draw(subscription)
    # One topic is gone, and others may have lost partitions.
    stale = [*((key, number) for key in partitions for number in range(14)), (topic(99), 0)]
    owners = {key: draw(st.sampled_from([*names, None, None])) for key in stale}
    members = {
        name: MemberSpec(
            topics=common if same else draw(subscription),
            assignment=frozenset(key for key, owner in owners.items() if owner == name),
            instance_id=draw(st.sampled_from([None, f"i{name}"])),
        )
        for name in names
    }
    return members, partitions


def check_complete(members: Members, partitions: Partitions, result: Mapping[str, Assignment]) -> None:
    assert set(result) == set(members)
    wanted = {
        (topic_id, number)
        for topic_id in {topic_id for member in members.values() for topic_id in member.topics}
        for number in range(partitions[topic_id])
    }
    given_out = Counter(key for assignment in result.values() for key in assignment)
    assert given_out == Counter(wanted)
    for name, assignment in result.items():
        assert {key[0] for key in assignment} <= members[name].topics


@pytest.mark.parametrize("name", ASSIGNORS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_partition_goes_to_one_subscriber(name: str, data: st.DataObject) -> None:
    members, partitions = data.draw(groups())
    check_complete(members, partitions, ASSIGNORS[name](members, partitions))


@settings(max_examples=150, deadline=None)
@given(group=groups(same=True))
def test_uniform_with_equal_subscriptions(group: tuple[dict[str, MemberSpec], dict[bytes, int]]) -> None:
    """Within one of each other, and nobody loses a partition that the balance does not take."""
    members, partitions = group
    result = ASSIGNORS["uniform"](members, partitions)
    counts = [len(assignment) for assignment in result.values()]
    assert max(counts) - min(counts) <= 1
    valid = {
        name: {key for key in member.assignment if key[0] in member.topics and key[1] < partitions[key[0]]}
        for name, member in members.items()
    }
    least, odd = divmod(sum(counts), len(members))
    over = sorted((max(0, len(keys) - least) for keys in valid.values()), reverse=True)
    # At most `odd` members may have one above the least.
    needed = sum(over) - sum(count > 0 for count in over[:odd])
    lost = sum(len(keys - result[name]) for name, keys in valid.items())
    assert lost == needed


@settings(max_examples=150, deadline=None)
@given(group=groups())
def test_uniform_leaves_no_single_move_that_helps(
    group: tuple[dict[str, MemberSpec], dict[bytes, int]],
) -> None:
    members, partitions = group
    result = ASSIGNORS["uniform"](members, partitions)
    for giver, assignment in result.items():
        for topic_id, _ in assignment:
            for taker, member in members.items():
                if topic_id in member.topics:
                    assert len(assignment) - len(result[taker]) < 2, (giver, taker)


@pytest.mark.parametrize("name", ASSIGNORS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_nothing_moves_when_nothing_changed(name: str, data: st.DataObject) -> None:
    members, partitions = data.draw(groups())
    result = ASSIGNORS[name](members, partitions)
    again = {
        key: MemberSpec(member.topics, result[key], member.instance_id) for key, member in members.items()
    }
    assert ASSIGNORS[name](again, partitions) == result


def work_of_joins(topics: int) -> int:
    """Calls that are made while eight members with different subscriptions join one after the other."""
    chance = random.Random(7)
    partitions = {topic(number): 20 for number in range(topics)}
    subscriptions = [frozenset(chance.sample(sorted(partitions), topics * 9 // 10)) for _ in range(8)]
    owned: dict[str, Assignment] = {}
    calls = 0

    def count_call(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    for count in range(1, 9):
        members = {
            f"m{number}": MemberSpec(subscriptions[number], owned.get(f"m{number}", frozenset()))
            for number in range(count)
        }
        sys.setprofile(count_call)
        try:
            owned = ASSIGNORS["uniform"](members, partitions)
        finally:
            sys.setprofile(None)
    counts = [len(keys) for keys in owned.values()]
    assert max(counts) - min(counts) <= 1
    return calls


def test_uniform_takes_work_in_proportion_to_the_topics() -> None:
    assert work_of_joins(200) < 12 * work_of_joins(25), "eight times as much to do"


def test_range_gives_runs_and_divides_equal_topics_alike() -> None:
    both = frozenset({topic(1), topic(2)})
    members = {
        "b": MemberSpec(both),
        "a": MemberSpec(both),
        "z": MemberSpec(both, instance_id="first"),
    }
    result = ASSIGNORS["range"](members, {topic(1): 7, topic(2): 7})
    numbers = {
        name: sorted(number for key, number in keys if key == topic(1)) for name, keys in result.items()
    }
    assert numbers == {"z": [0, 1, 2], "a": [3, 4], "b": [5, 6]}
    for keys in result.values():
        assert {n for key, n in keys if key == topic(1)} == {n for key, n in keys if key == topic(2)}


def test_names_from_the_configuration() -> None:
    prefix = "org.apache.kafka.coordinator.group.assignor."
    assert assignor_names([f"{prefix}RangeAssignor", f"{prefix}UniformAssignor"]) == ("range", "uniform")
    assert assignor_names(["range"]) == ("range",)
    assert assignor_names(["com.example.Own", "uniform"]) == ("uniform",)
    assert assignor_names(["com.example.Own"]) == ("uniform", "range")
