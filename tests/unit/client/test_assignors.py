"""Assignors: everything is read once, evenly, and stays where it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.client.consumer.group.assignors import (
    ASSIGNORS,
    assign_cooperative,
    assign_range,
    assign_round_robin,
    assign_sticky,
)
from fastlog.client.consumer.group.messages import (
    Subscription,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    encode_subscription,
)
from fastlog.client.metadata import TopicPartition


def names(topic: str, *indexes: int) -> set[TopicPartition]:
    return {TopicPartition(topic, index) for index in indexes}


def of(*topics: str, owned: set[TopicPartition] | None = None, generation: int = -1) -> Subscription:
    return Subscription(topics, frozenset(owned or ()), generation)


def test_range_cuts_each_topic_alike() -> None:
    found = assign_range({"b": of("x", "y"), "a": of("x", "y")}, {"x": 3, "y": 3})
    assert found == {
        "a": names("x", 0, 1) | names("y", 0, 1),
        "b": names("x", 2) | names("y", 2),
    }


def test_round_robin_deals_all_topics_in_turns() -> None:
    found = assign_round_robin({"a": of("x", "y"), "b": of("x", "y")}, {"x": 3, "y": 3})
    assert found == {"a": names("x", 0, 2) | names("y", 1), "b": names("x", 1) | names("y", 0, 2)}


def test_static_members_keep_their_place_under_other_ids() -> None:
    first = {"id-9": Subscription(("x",), instance_id="one"), "id-1": Subscription(("x",), instance_id="two")}
    later = {"id-0": Subscription(("x",), instance_id="two"), "id-5": Subscription(("x",), instance_id="one")}
    assert assign_range(first, {"x": 2})["id-9"] == assign_range(later, {"x": 2})["id-5"] == names("x", 0)


def test_sticky_moves_no_more_than_it_must() -> None:
    before = assign_sticky({member: of("x") for member in "abc"}, {"x": 10})
    with_d = {member: of("x", owned=owned, generation=1) for member, owned in before.items()}
    after = assign_sticky({**with_d, "d": of("x")}, {"x": 10})
    assert sorted(len(owned) for owned in after.values()) == [2, 2, 3, 3]
    assert sum(len(before[member] - after[member]) for member in "abc") == len(after["d"]) == 2
    without_b = {member: of("x", owned=after[member], generation=2) for member in "acd"}
    last = assign_sticky(without_b, {"x": 10})
    assert all(after[member] <= last[member] for member in "acd")


def test_of_two_who_claim_a_partition_the_later_generation_has_it() -> None:
    members = {
        "a": of("x", owned=names("x", 0, 1), generation=3),
        "b": of("x", owned=names("x", 0, 1), generation=4),
    }
    found = assign_sticky(members, {"x": 4})
    assert names("x", 0, 1) == found["b"]


def test_cooperatively_what_moves_is_free_for_one_generation() -> None:
    members = {"a": of("x", owned=names("x", 0, 1, 2, 3), generation=1), "b": of("x")}
    first = assign_cooperative(members, {"x": 4})
    assert len(first["a"]) == 2
    assert first["b"] == set()
    members = {"a": of("x", owned=first["a"], generation=2), "b": of("x", generation=2)}
    second = assign_cooperative(members, {"x": 4})
    assert second["a"] == first["a"]
    assert second["b"] == names("x", 0, 1, 2, 3) - first["a"]


@st.composite
def groups(draw: st.DrawFn) -> tuple[dict[str, Subscription], dict[str, int]]:
    counts = {topic: draw(st.integers(0, 7)) for topic in "wxyz"}
    members = {}
    for number in range(draw(st.integers(1, 6))):
        topics = draw(st.lists(st.sampled_from("vwxyz"), unique=True))
        owned = draw(st.sets(st.tuples(st.sampled_from("wxyz"), st.integers(0, 9)), max_size=6))
        claims = {TopicPartition(*name) for name in owned}
        members[f"m{number}"] = of(*topics, owned=claims, generation=draw(st.integers(-1, 3)))
    return members, counts


@pytest.mark.parametrize("assignor", sorted(ASSIGNORS))
@given(group=groups())
def test_each_partition_goes_to_one_member_that_wants_it(
    assignor: str, group: tuple[dict[str, Subscription], dict[str, int]]
) -> None:
    members, counts = group
    found = ASSIGNORS[assignor](members, counts)
    assert set(found) == set(members)
    given_out = [name for owned in found.values() for name in owned]
    assert len(given_out) == len(set(given_out))
    for member, owned in found.items():
        assert all(name.topic in members[member].topics for name in owned)
        assert all(name.partition < counts.get(name.topic, 0) for name in owned)
    wanted = {
        TopicPartition(topic, index)
        for row in members.values()
        for topic in row.topics
        for index in range(counts.get(topic, 0))
    }
    if assignor == "cooperative-sticky":
        owned_before = {name for row in members.values() for name in row.owned}
        assert wanted - set(given_out) <= owned_before
    else:
        assert set(given_out) == wanted


@given(group=groups())
def test_sticky_is_even(group: tuple[dict[str, Subscription], dict[str, int]]) -> None:
    """Nobody has two more than another one who could have one of them."""
    members, counts = group
    found = assign_sticky(members, counts)
    for giver, owned in found.items():
        for name in owned:
            for taker, row in members.items():
                if name.topic in row.topics:
                    assert len(found[giver]) - len(found[taker]) <= 1 or taker == giver


@pytest.mark.parametrize("assignor", sorted(ASSIGNORS))
def test_messages_of_members_come_back(assignor: str) -> None:
    row = Subscription(("x", "y"), frozenset(names("x", 2, 0)), 7, "rack")
    assert decode_subscription(encode_subscription(row, assignor), assignor, None) == row
    assert decode_assignment(encode_assignment(row.owned)) == row.owned
    assert decode_assignment(b"") == set()
    with pytest.raises(ValueError, match="longer than the data"):
        decode_subscription(encode_subscription(row, assignor)[:9], assignor, None)


def test_messages_are_those_of_kafka_python() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from kafka.protocol.consumer.metadata import ConsumerProtocolSubscription

    row = Subscription(("x", "y"), frozenset(names("x", 2, 0)), 7)
    data = encode_subscription(row, "range")
    theirs = ConsumerProtocolSubscription.decode(data)
    assert theirs.topics == ["x", "y"]
