"""Markers: sent again, given up, and to whoever leads."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from fastlog.coordination.topic_names import TRANSACTION_STATE_TOPIC
from fastlog.coordination.transactions.state import (
    MAX_EPOCH,
    TransactionState,
)
from fastlog.errors import ErrorCode
from tests.unit.coordination.transactions.world import NODE, A, B, World, begun, end, turns, until

S, E = TransactionState, ErrorCode
LAST = MAX_EPOCH - 1


@pytest.mark.parametrize(
    "code",
    [
        E.UNKNOWN_TOPIC_OR_PARTITION,
        E.NOT_LEADER_OR_FOLLOWER,
        E.REQUEST_TIMED_OUT,
        E.NOT_ENOUGH_REPLICAS,
        E.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        E.KAFKA_STORAGE_ERROR,
        E.NETWORK_EXCEPTION,
        E.UNKNOWN_SERVER_ERROR,
    ],
)
async def test_markers_that_are_sent_again(world: World, code: E) -> None:
    identity = await begun(world, A, B)
    outcomes = [{A: code, B: E.NONE}, {A: code}, {A: E.NONE}]
    world.target.write_at_once = lambda _: outcomes.pop(0)
    await end(world, identity)
    await until(world, S.COMPLETE_COMMIT)
    assert [marker.partitions for marker in world.target.seen] == [(A, B), (A,), (A,)]


@pytest.mark.parametrize(
    "code", [E.INVALID_PRODUCER_EPOCH, E.UNSUPPORTED_FOR_MESSAGE_FORMAT, E.UNSUPPORTED_VERSION]
)
async def test_markers_that_are_given_up(world: World, code: E) -> None:
    identity = await begun(world)
    world.target.write_at_once = lambda _: {A: code}
    await end(world, identity)
    await until(world, S.COMPLETE_COMMIT)
    assert len(world.target.seen) == 1


async def test_a_coordinator_that_is_fenced_leaves_the_end_to_the_next_one(world: World) -> None:
    identity = await begun(world)
    world.target.write_at_once = lambda _: {A: E.TRANSACTION_COORDINATOR_FENCED}
    await end(world, identity)
    await turns()
    assert (len(world.target.seen), world.service.markers.owed) == (1, 0)
    assert world.transaction().entry.state is S.PREPARE_COMMIT
    world.target.write_at_once = lambda _: {A: E.NONE}
    await world.reload()
    await until(world, S.COMPLETE_COMMIT)


async def test_a_broker_that_breaks_off_is_asked_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    identity = await begun(world)
    failures: list[Exception] = [OSError("gone"), ValueError("odd")]

    def write(_: object) -> dict[tuple[str, int], ErrorCode]:
        if failures:
            raise failures.pop()
        return {A: E.NONE}

    world.target.write_at_once = write
    await end(world, identity)
    await until(world, S.COMPLETE_COMMIT)
    assert len(world.target.seen) == 3
    # The log tells once.
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "broker 1 takes no markers: odd"
    ]


async def test_markers_end_with_the_leadership(world: World) -> None:
    identity = await begun(world)
    world.target.write_at_once = None
    await end(world, identity)
    await turns()
    world.service.on_partition_resigned(TRANSACTION_STATE_TOPIC, 0)
    assert world.service.markers.owed == 0
    world.target.answer(code=E.NOT_LEADER_OR_FOLLOWER)
    for _ in range(5):
        await turns()
    assert (len(world.target.seen), world.target.asked) == (1, [])


async def test_markers_go_to_whoever_leads(world: World) -> None:
    identity = await begun(world, A, B)
    world.topics["b"] = SimpleNamespace(partitions=(SimpleNamespace(leader=NODE), SimpleNamespace(leader=2)))
    await end(world, identity)
    for _ in range(5):
        await turns()
    # Broker 2 is down: its marker waits, others do not.
    assert [marker.partitions for marker in world.target.seen] == [(A,)]
    assert world.transaction().entry.state is S.PREPARE_COMMIT
    world.brokers.append(SimpleNamespace(id=2))
    await until(world, S.COMPLETE_COMMIT)
    assert [marker.partitions for marker in world.targets[2].seen] == [(B,)]


async def test_very_many_partitions_go_in_several_requests(world: World) -> None:
    led, count = SimpleNamespace(leader=NODE), 40_000
    world.topics["wide"] = SimpleNamespace(partitions=(led,) * count)
    identity = await begun(world, *(("wide", number) for number in range(count)))
    world.target.write_at_once = None
    await end(world, identity)
    # Five requests are under way, what is left waits for the first of them.
    while len(world.target.asked) < 5:  # noqa: ASYNC110
        await asyncio.sleep(0)
    for _ in range(10):
        await turns()
    assert len(world.target.asked) == 5
    while world.target.asked:
        world.target.answer()
        await turns()
    await until(world, S.COMPLETE_COMMIT)
    sizes = [len(marker.partitions) for marker in world.target.seen]
    assert (max(sizes), sum(sizes)) == (4096, count)
    assert len({key for marker in world.target.seen for key in marker.partitions}) == count


async def test_partitions_of_deleted_topics_are_given_up(world: World) -> None:
    identity = await begun(world, A, B)
    del world.topics["b"]
    await end(world, identity)
    await until(world, S.COMPLETE_COMMIT)
    assert [marker.partitions for marker in world.target.seen] == [(A,)]


async def test_a_view_that_does_not_show_all_yet_gives_nothing_up(world: World) -> None:
    asked: list[list[str]] = []
    gone: set[str] = set()

    async def missing(names: Any) -> set[str]:
        asked.append(list(names))
        return gone & set(names)

    world.missing = missing
    await world.restart()
    identity = await begun(world, A, B)
    topic = world.topics.pop("b")
    await end(world, identity)
    for _ in range(5):
        await turns()
    assert ["b"] in asked
    assert world.transaction().entry.state is S.PREPARE_COMMIT
    world.topics["b"] = topic
    await until(world, S.COMPLETE_COMMIT)
    assert [marker.partitions for marker in world.target.seen] == [(A,), (B,)]
    assert await world.service.add_partitions("t", identity, frozenset({B}), 0) is E.NONE
    del world.topics["b"]
    gone.add("b")
    await end(world, identity)
    await until(world, S.COMPLETE_COMMIT)


async def test_partitions_that_a_topic_does_not_have_any_more(world: World) -> None:
    identity = await begun(world, A, B)
    world.topics["b"] = SimpleNamespace(partitions=world.topics["b"].partitions[:1])
    await end(world, identity)
    await until(world, S.COMPLETE_COMMIT)
