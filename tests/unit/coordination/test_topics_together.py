"""Changes of many topics at once: stored and shown together, and each on its own merits."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.topic_plan import NewTopic
from fastlog.coordination.znodes import paths
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_topics_of_one_change_each_on_its_own_merits(world: World) -> None:
    broker = await world.start()
    await broker.topics.create("there", 1)
    asked = [NewTopic(f"t{number}", 1) for number in range(20)]
    bad = [NewTopic("there"), NewTopic("a b"), NewTopic("t.0"), NewTopic("t_0"), NewTopic("t0")]
    outcomes = await broker.topics.create_all([*asked, *bad])
    assert [state.name for state in outcomes[:20] if isinstance(state, TopicState)] == [
        topic.name for topic in asked
    ]
    assert [error.code for error in outcomes[20:] if isinstance(error, KafkaError)] == [
        ErrorCode.TOPIC_ALREADY_EXISTS,
        ErrorCode.INVALID_TOPIC_EXCEPTION,
        ErrorCode.INVALID_TOPIC_EXCEPTION,  # of t_0, beside t.0
        ErrorCode.TOPIC_ALREADY_EXISTS,
    ]
    await broker.stop()
    again = await world.start()
    assert set(again.view.topics) == {"there", "t.0", *(topic.name for topic in asked)}
    await again.stop()


async def test_topics_of_one_deletion_each_on_its_own_merits(world: World) -> None:
    broker = await world.start()
    made = [await broker.topics.create(f"t{number}", 1) for number in range(20)]
    told: list[tuple[str, bool]] = []

    class Observer:
        def on_partition_led(self, topic: str, partition: int) -> None:
            """Nothing is led here."""

        def on_partition_resigned(self, topic: str, partition: int) -> None:
            """The same."""

        async def on_topic_deleted(self, topic: TopicState) -> None:
            told.append((topic.name, topic.name in broker.view.topics))
            if topic.name == "t3":
                raise KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE, "no")

    def refuse(step: str, topic: str, partition: int) -> None:
        if topic == "t5":
            raise OSError(errno.EIO, "no")

    broker.topics.observe(Observer())
    broker.lifecycle.before = refuse
    asked = [state.name if number % 2 else state.topic_id for number, state in enumerate(made)]
    outcomes = await broker.topics.delete_all([*asked, "none", "t1", b"?" * 16])
    codes = [outcome.code if isinstance(outcome, KafkaError) else 0 for outcome in outcomes]
    unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert codes == [0] * 20 + [unknown, unknown, ErrorCode.UNKNOWN_TOPIC_ID]
    assert sorted(told) == sorted((state.name, False) for state in made)
    assert broker.view.topics == {}
    # What met an obstacle is decided all the same, and has cost the others nothing.
    assert [name for name in (state.name for state in made) if paths.topic(name) in broker.nodes] == ["t5"]
    await broker.stop()
    again = await world.start()
    assert not any(paths.topic(state.name) in again.nodes for state in made)
    await again.stop()


async def test_one_topic_that_cannot_be_had_does_not_cost_the_others(world: World) -> None:
    broker = await world.start()

    def fail(what: str, topic: str, partition: int) -> None:
        if what == "create" and topic == "b":
            raise OSError(errno.EIO, "no")

    broker.lifecycle.before = fail
    outcomes = await broker.topics.create_all([NewTopic(name, 2) for name in "abc"])
    assert [isinstance(outcome, KafkaError) for outcome in outcomes] == [False, True, False]
    assert set(broker.view.topics) == {"a", "c"}
    await broker.stop()
    again = await world.start()
    assert set(again.view.topics) == {"a", "c"}
    await again.stop()


async def test_nothing_is_made_when_topics_are_only_validated(world: World) -> None:
    broker = await world.start()
    outcomes = await broker.topics.create_all([NewTopic("a"), NewTopic("a")], validate_only=True)
    assert [isinstance(outcome, KafkaError) for outcome in outcomes] == [False, True]
    assert not broker.view.topics
    assert world.directories() == []
    await broker.stop()
