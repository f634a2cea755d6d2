"""Patterns that stand for many topics: what they share, and what there is no memory for."""

from __future__ import annotations

from fastlog.coordination.groups.consumer import member_heartbeat
from fastlog.coordination.groups.consumer.resolving import ResolvedPatterns
from fastlog.coordination.groups.weight import resolved_weight
from tests.unit.coordination.groups.consumer.world import Client, ConsumerWorld

TOPICS = tuple(f"t{number}" for number in range(100))


def test_patterns_that_stand_for_the_same_topics_share_them() -> None:
    resolved = ResolvedPatterns(ConsumerWorld().group, lambda _: True)
    for text in ("a", "b"):
        resolved.add(text, frozenset(TOPICS))
    assert resolved.found["a"] is resolved.found["b"]


def test_a_pattern_without_memory_stands_for_no_topic() -> None:
    world = ConsumerWorld(t=1)
    for text in ("a", "b"):
        Client(world, text, (), regex=text).beat()
    room = resolved_weight(TOPICS)
    resolved = ResolvedPatterns(world.group, lambda more: more <= room)
    for text in ("a", "b"):
        resolved.add(text, frozenset(TOPICS))
    assert resolved.found == {"a": frozenset(TOPICS), "b": frozenset()}
    member_heartbeat.on_regexes(world.group, resolved.found, world.topics.generation, world.now())
    # What it has already is no growth.
    again = ResolvedPatterns(world.group, lambda more: more <= 0)
    again.add("a", frozenset(TOPICS))
    again.add("b", frozenset(TOPICS))
    assert again.found == resolved.found
    assert again.found["a"] is resolved.found["a"]
