"""Plans of reassignments: nothing lost, racks respected, loads even, and little moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.cli.tool.reassign.planning import plan_replicas
from fastlog.client.metadata import TopicPartition
from fastlog.coordination.assignment import assign_replicas

NO_RACKS: dict[int, str | None] = dict.fromkeys((1, 2, 3))


def placed(*rows: Sequence[int], topic: str = "t") -> dict[TopicPartition, Sequence[int]]:
    return {TopicPartition(topic, index): nodes for index, nodes in enumerate(rows)}


def moved(old: Mapping[TopicPartition, Sequence[int]], new: Mapping[TopicPartition, Sequence[int]]) -> int:
    return sum(len(set(new[name]) - set(old[name])) for name in old)


def loads(plan: Mapping[TopicPartition, Sequence[int]]) -> Counter[int]:
    return Counter(node for nodes in plan.values() for node in nodes)


def leaders(plan: Mapping[TopicPartition, Sequence[int]]) -> Counter[int]:
    return Counter(nodes[0] for nodes in plan.values())


def test_what_is_even_stays_as_it_is() -> None:
    current = placed(*assign_replicas([1, 2, 3], 6, 2))
    assert plan_replicas(current, NO_RACKS) == current


def test_a_broker_is_emptied_and_nothing_else_moves() -> None:
    current = placed((1, 2), (2, 3), (3, 1), (1, 2))
    plan = plan_replicas(current, {2: None, 3: None})
    assert set(loads(plan)) == {2, 3}
    assert moved(current, plan) == 3
    assert leaders(plan) == {2: 2, 3: 2}


def test_a_new_broker_gets_its_share_and_no_more() -> None:
    current = placed(*assign_replicas([1, 2, 3], 12, 3))
    plan = plan_replicas(current, {1: None, 2: None, 3: None, 4: None})
    assert set(loads(plan).values()) == {9}
    assert moved(current, plan) == 9
    assert set(leaders(plan).values()) == {3}


def test_more_and_fewer_replicas() -> None:
    current = placed((1,), (2,), (3,))
    more = plan_replicas(current, NO_RACKS, replication=2)
    assert moved(current, more) == 3
    assert set(loads(more).values()) == {2}
    fewer = plan_replicas(placed((1, 2, 3), (2, 3, 1), (3, 1, 2)), NO_RACKS, replication=1)
    assert fewer == current


def test_the_order_alone_changes_who_leads() -> None:
    current = placed((1, 2, 3), (1, 2, 3), (1, 3, 2))
    plan = plan_replicas(current, NO_RACKS)
    assert moved(current, plan) == 0
    assert set(leaders(plan).values()) == {1}


def test_leaders_are_found_by_way_of_others() -> None:
    """Broker 1 shares no partition with 3: what 3 gets comes from 2, which gets one of 1's."""
    current = placed((1, 2), (1, 2), (2, 3))
    plan = plan_replicas(current, NO_RACKS)
    assert set(leaders(plan).values()) == {1}


def test_each_rack_has_a_replica() -> None:
    racks: dict[int, str | None] = {1: "a", 2: "a", 3: "b", 4: "b", 5: "c", 6: "c"}
    current = placed((1, 2, 3), (1, 2, 5), (3, 4, 5), (5, 6, 1))
    plan = plan_replicas(current, racks)
    assert all({racks[node] for node in nodes} == {"a", "b", "c"} for nodes in plan.values())
    assert set(loads(plan).values()) == {2}
    assert moved(current, plan) == 4


def test_a_broker_without_a_rack_turns_racks_off() -> None:
    current = placed((1, 2), (2, 1))
    assert plan_replicas(current, {1: "a", 2: "a", 3: "b"}) != current
    assert all(set(nodes) <= {1, 2} for nodes in plan_replicas(current, {1: "a", 2: None}).values())


def test_too_few_brokers() -> None:
    with pytest.raises(ValueError, match="3 replicas need as many brokers, and there are 2"):
        plan_replicas(placed((1, 2, 3)), {1: None, 2: None})
    with pytest.raises(ValueError, match="2 replicas"):
        plan_replicas(placed((1,)), {1: None}, replication=2)


@st.composite
def clusters(
    draw: st.DrawFn,
) -> tuple[dict[TopicPartition, Sequence[int]], dict[int, str | None], int | None]:
    everyone = range(1, draw(st.integers(2, 8)) + 1)
    targets = draw(st.lists(st.sampled_from(everyone), min_size=1, unique=True))
    racks = {node: draw(st.sampled_from("abc")) for node in targets}
    without = draw(st.booleans())
    brokers: dict[int, str | None] = {node: None if without else rack for node, rack in racks.items()}
    most = min(4, len(targets))
    nodes = st.lists(st.sampled_from(everyone), min_size=1, max_size=most, unique=True)
    current = {
        TopicPartition(topic, index): draw(nodes)
        for topic in ("a", "b")
        for index in range(draw(st.integers(0, 6)))
    }
    return current, brokers, draw(st.none() | st.integers(1, most))


@given(clusters())
def test_every_plan(
    cluster: tuple[dict[TopicPartition, Sequence[int]], dict[int, str | None], int | None],
) -> None:
    current, brokers, replication = cluster
    plan = plan_replicas(current, brokers, replication=replication)
    assert plan.keys() == current.keys()
    for name, nodes in plan.items():
        assert len(nodes) == len(set(nodes)) == (replication or len(current[name]))
        assert set(nodes) <= set(brokers)
        # No rack has two more than another that has a broker left.
        usage = Counter(brokers[node] for node in nodes)
        free = {brokers[node] for node in brokers if node not in nodes}
        assert not any(usage[rack] >= usage[other] + 2 for rack in usage for other in free)
    if None in brokers.values():
        counts = [loads(plan)[node] for node in brokers]
        assert max(counts) - min(counts) <= 1
    # A plan leaves nothing to be planned.
    assert plan_replicas(plan, brokers) == plan
