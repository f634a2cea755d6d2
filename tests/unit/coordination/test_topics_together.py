"""Changes of many topics at once: stored and shown together, and each on its own merits."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from fastlog.base.files import write_atomically
from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.topic_plan import NewTopic
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.world import World, code_of, fail_with


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_topics_of_one_change_are_stored_and_shown_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change rewrites all topics: one by one, the time to make them would grow with their square."""
    broker = await world.start()
    await broker.topics.create("there", 1)
    writes: list[Path] = []

    def write(path: Path, *rest: Any) -> None:
        writes.append(path)
        write_atomically(path, *rest)

    monkeypatch.setattr(broker.store, "write_file", write)
    generation = broker.view.generation
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
    assert len(writes) == 2
    assert broker.view.generation == generation + 1
    await broker.stop()
    again = await world.start()
    assert set(again.view.topics) == {"there", "t.0", *(topic.name for topic in asked)}
    await again.stop()


async def test_topics_of_one_deletion_go_together_and_each_on_its_own_merits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = await world.start()
    made = [await broker.topics.create(f"t{number}", 1) for number in range(20)]
    told: list[tuple[str, bool]] = []
    writes: list[Path] = []

    class Observer:
        def on_partition_led(self, topic: str, partition: int) -> None:
            """Nothing is led here."""

        async def on_topic_deleted(self, topic: TopicState) -> None:
            told.append((topic.name, topic.name in broker.view.topics))
            if topic.name == "t3" and told.count(("t3", False)) == 1:
                raise KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE, "no")

    def write(path: Path, *rest: Any) -> None:
        writes.append(path)
        write_atomically(path, *rest)

    def refuse(step: str, topic: str, partition: int) -> None:
        if topic == "t5":
            raise OSError(errno.EIO, "no")

    broker.topics.observe(Observer())
    broker.lifecycle.before = refuse
    monkeypatch.setattr(broker.store, "write_file", write)
    generation = broker.view.generation
    asked = [state.name if number % 2 else state.topic_id for number, state in enumerate(made)]
    outcomes = await broker.topics.delete_all([*asked, "none", "t1", b"?" * 16])
    codes = [outcome.code if isinstance(outcome, KafkaError) else 0 for outcome in outcomes]
    unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    expected = [0] * 20 + [unknown, unknown, ErrorCode.UNKNOWN_TOPIC_ID]
    expected[3] = ErrorCode.REQUEST_TIMED_OUT
    assert codes == expected
    assert told == [(state.name, False) for state in made]
    assert (len(writes), broker.view.generation, broker.view.topics) == (2, generation + 1, {})
    # What met an obstacle is decided all the same, and has cost the others nothing.
    assert sorted(broker.store.read().topics) == ["t3", "t5"]
    assert await code_of(broker.topics.create("t3")) is ErrorCode.TOPIC_ALREADY_EXISTS
    broker.lifecycle.before = None
    assert await broker.topics.finish_changes() == 0
    assert sorted(name for name, _ in told[20:]) == ["t3", "t5"]
    await broker.stop()
    assert broker.store.read().topics == {}


async def test_deletions_that_cannot_be_stored_leave_all_topics(world: World) -> None:
    broker = await world.start()
    for name in "ab":
        await broker.topics.create(name, 1)
    broker.store.write_file = fail_with(errno.ENOSPC)
    assert await code_of(broker.topics.delete_all(["a", "b"])) is ErrorCode.KAFKA_STORAGE_ERROR
    assert set(broker.view.topics) == {"a", "b"}
    assert world.directories() == ["a-0", "b-0"]
    await broker.crash()


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
