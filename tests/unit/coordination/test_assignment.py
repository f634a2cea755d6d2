"""Replica assignment against the worked example in Kafka's AdminUtils, and its balance."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.coordination.assignment import (
    assign_replicas,
    assignment_problem,
    continue_assignment,
    rack_alternated,
)


def test_the_example_of_kafka() -> None:
    # 5 brokers, 10 partitions, 3 replicas, start index 0, shift 0.
    assert assign_replicas([0, 1, 2, 3, 4], 10, 3) == [
        (0, 1, 2),
        (1, 2, 3),
        (2, 3, 4),
        (3, 4, 0),
        (4, 0, 1),
        (0, 2, 3),
        (1, 3, 4),
        (2, 4, 0),
        (3, 0, 1),
        (4, 1, 2),
    ]


@given(st.integers(1, 8), st.integers(0, 40), st.data())
def test_replicas_are_distinct_and_leaders_even(brokers: int, partitions: int, data: st.DataObject) -> None:
    replication = data.draw(st.integers(1, brokers))
    start, shift = data.draw(st.integers(0, brokers - 1)), data.draw(st.integers(0, 10))
    ids = [10 * index for index in range(brokers)]
    assignment = assign_replicas(ids, partitions, replication, start=start, shift=shift)
    assert len(assignment) == partitions
    for replicas in assignment:
        assert len(set(replicas)) == replication
        assert set(replicas) <= set(ids)
    leaders = Counter(replicas[0] for replicas in assignment)
    if partitions:
        assert max(leaders.values()) - min(leaders.get(broker, 0) for broker in ids) <= 1


@given(st.integers(1, 6), st.integers(1, 10), st.integers(1, 10))
def test_added_partitions_carry_the_pattern_on(brokers: int, before: int, added: int) -> None:
    ids = list(range(brokers))
    replication = min(2, brokers)
    existing = assign_replicas(ids, before, replication)
    more = continue_assignment(ids, existing, added)
    assert len(more) == added
    assert [replicas[0] for replicas in [*existing, *more]] == [n % brokers for n in range(before + added)]


def test_added_partitions_when_the_first_leader_is_gone() -> None:
    assert continue_assignment([1, 3], [(2,), (3,)], 1) == [(3,)]


RACKS = {0: "rack1", 1: "rack3", 2: "rack3", 3: "rack2", 4: "rack2", 5: "rack1"}


def test_brokers_are_taken_from_each_rack_in_turn() -> None:
    # The values of Kafka's AdminRackAwareTest.
    assert rack_alternated(RACKS) == [0, 3, 1, 5, 4, 2]
    assert rack_alternated({broker: rack for broker, rack in RACKS.items() if broker != 5}) == [0, 3, 1, 4, 2]


def test_the_racks_of_kafkas_own_test() -> None:
    assert assign_replicas(range(6), 7, 3, racks=RACKS) == [
        (0, 3, 1),
        (3, 1, 5),
        (1, 5, 4),
        (5, 4, 2),
        (4, 2, 0),
        (2, 0, 3),
        (0, 4, 2),
    ]


@given(st.integers(1, 8), st.integers(1, 30), st.data())
def test_replicas_spread_over_racks(brokers: int, partitions: int, data: st.DataObject) -> None:
    replication = data.draw(st.integers(1, brokers))
    racks = {3 * index: data.draw(st.sampled_from("abc")) for index in range(brokers)}
    start, shift = data.draw(st.integers(0, brokers - 1)), data.draw(st.integers(0, 10))
    assignment = assign_replicas(
        sorted(racks), partitions, replication, start=start, shift=shift, racks=racks
    )
    for replicas in assignment:
        assert len(set(replicas)) == replication
        assert len({racks[replica] for replica in replicas}) == min(replication, len(set(racks.values())))
    leaders = Counter(replicas[0] for replicas in assignment)
    assert max(leaders.values()) - min(leaders.get(broker, 0) for broker in racks) <= 1


def test_partitions_are_added_in_the_pattern_of_racks() -> None:
    # Partition 0 begins at broker 0, the first in both orders: the rest is that of one assignment.
    whole = assign_replicas(range(6), 7, 3, racks=RACKS)
    assert continue_assignment(range(6), whole[:2], 5, racks=RACKS) == whole[2:]


def test_racks_are_named_by_all_brokers_or_by_none() -> None:
    assert assign_replicas([0, 1], 1, 2, racks={0: None, 1: None}) == [(0, 1)]
    with pytest.raises(ValueError, match=r"brokers \[1\] name no rack"):
        assign_replicas([0, 1], 1, 2, racks={0: "a", 1: None})


@pytest.mark.parametrize(("brokers", "replication"), [([], 1), ([1], 2), ([1], 0)])
def test_what_cannot_be_met_is_an_error(brokers: list[int], replication: int) -> None:
    with pytest.raises(ValueError, match="replication factor"):
        assign_replicas(brokers, 1, replication)


@pytest.mark.parametrize(
    ("replicas", "words"),
    [
        ([], "at least one"),
        ([1, 1], "twice"),
        ([1, -1], "negative"),
        ([1, 9], "unknown brokers"),
        ([1], "differ in number"),
    ],
)
def test_problems_of_a_manual_assignment(replicas: list[int], words: str) -> None:
    assert words in (assignment_problem(replicas, [1, 2, 3], 2) or "")
    assert assignment_problem([3, 1], [1, 2, 3], 2) is None
