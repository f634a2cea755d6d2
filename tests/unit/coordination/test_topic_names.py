"""Topic names."""

from __future__ import annotations

import pytest

from fastlog.coordination.topic_names import (
    by_collision_key,
    colliding_topic,
    is_internal,
    topic_name_problem,
)


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "...", "x" * 249, "__consumer_offsets", "-"])
def test_legal_names(name: str) -> None:
    assert topic_name_problem(name) is None


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "x" * 250, "a b", "a/b", "ä", "a\n", "\n", "a\x00", "٣", "__cluster_metadata", "../x"],
)
def test_illegal_names(name: str) -> None:
    assert topic_name_problem(name) is not None


def test_dots_and_underscores_collide() -> None:
    assert colliding_topic("a.b", by_collision_key(["x", "a_b"])) == "a_b"
    assert colliding_topic("a_b.c", by_collision_key(["a.b_c"])) == "a.b_c"
    assert colliding_topic("a.b", by_collision_key(["a.b", "ab", "a-b"])) is None


def test_internal_topics() -> None:
    assert is_internal("__consumer_offsets")
    assert is_internal("__transaction_state")
    assert not is_internal("__other")
