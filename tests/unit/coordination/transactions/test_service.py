"""The coordinator over a log and leaders whose outcomes are given: failures, late answers, other leaders."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from fastlog.coordination.topic_names import TRANSACTION_STATE_TOPIC
from fastlog.coordination.transactions.loading import load_partition
from fastlog.coordination.transactions.records import decode_value, encode_key, encode_value
from fastlog.coordination.transactions.results import ListFilter
from fastlog.coordination.transactions.state import (
    MAX_EPOCH,
    TransactionEntry,
    TransactionState,
)
from fastlog.coordination.transactions.verdicts import Granted, Refused
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.transactions.world import A, B, World, begun, end, turns, until

S, E = TransactionState, ErrorCode
LAST = MAX_EPOCH - 1


APPEND_FAILURES = [
    (E.UNKNOWN_TOPIC_OR_PARTITION, E.COORDINATOR_NOT_AVAILABLE),
    (E.NOT_ENOUGH_REPLICAS, E.COORDINATOR_NOT_AVAILABLE),
    (E.NOT_ENOUGH_REPLICAS_AFTER_APPEND, E.COORDINATOR_NOT_AVAILABLE),
    (E.REQUEST_TIMED_OUT, E.COORDINATOR_NOT_AVAILABLE),
    (E.NOT_LEADER_OR_FOLLOWER, E.NOT_COORDINATOR),
    (E.KAFKA_STORAGE_ERROR, E.NOT_COORDINATOR),
    (E.MESSAGE_TOO_LARGE, E.UNKNOWN_SERVER_ERROR),
    (E.RECORD_LIST_TOO_LARGE, E.UNKNOWN_SERVER_ERROR),
    (E.INVALID_TIMESTAMP, E.INVALID_TIMESTAMP),
]


@pytest.mark.parametrize(("code", "told"), APPEND_FAILURES)
async def test_an_append_that_fails_changes_nothing(world: World, code: E, told: E) -> None:
    identity = await begun(world)
    world.appends.at_once = False
    ending = asyncio.ensure_future(end(world, identity))
    adding = asyncio.ensure_future(world.service.add_partitions("t", identity, frozenset({B}), 0))
    await turns()
    # One at a time: the second waits for nobody.
    assert adding.done()
    assert adding.result() is E.CONCURRENT_TRANSACTIONS
    world.appends.settle(code=code)
    assert await ending is told
    assert (world.transaction().entry.state, world.transaction().pending) == (S.ONGOING, None)
    world.appends.at_once = True
    assert await end(world, identity) == identity
    await until(world, S.COMPLETE_COMMIT)


async def test_the_first_append_of_an_id_that_fails_leaves_nothing(world: World) -> None:
    world.appends.at_once = False
    asking = asyncio.ensure_future(world.service.init_producer_id("t", 1000, None))
    await turns()
    assert isinstance(world.service.describe("t"), E)
    assert list(world.service.list(ListFilter(frozenset(), frozenset()))) == [None]
    world.appends.settle(code=E.NOT_ENOUGH_REPLICAS)
    assert await asking == Refused(E.COORDINATOR_NOT_AVAILABLE)
    assert len(world.service.table) == 0


async def test_a_producer_id_that_cannot_be_had(world: World) -> None:
    world.ids.failure = KafkaError(E.COORDINATOR_LOAD_IN_PROGRESS, "none")
    answer = await world.service.init_producer_id("t", 1000, None)
    assert answer == Refused(E.COORDINATOR_LOAD_IN_PROGRESS)


async def test_a_change_goes_on_when_who_asked_is_gone(world: World) -> None:
    identity = await begun(world)
    world.appends.at_once = False
    ending = asyncio.ensure_future(end(world, identity))
    await turns()
    ending.cancel()
    world.appends.at_once = True
    world.appends.settle()
    await until(world, S.COMPLETE_COMMIT)


async def test_the_answer_comes_before_the_markers_and_the_completion_is_pending(world: World) -> None:
    identity = await begun(world)
    world.target.write_at_once = None
    assert await end(world, identity) == identity
    assert (world.transaction().entry.state, world.transaction().pending) == (
        S.PREPARE_COMMIT,
        S.COMPLETE_COMMIT,
    )
    assert await world.service.add_partitions("t", identity, frozenset({B}), 0) is E.CONCURRENT_TRANSACTIONS
    await turns()
    assert world.service.markers.owed == 1
    world.target.answer()
    await until(world, S.COMPLETE_COMMIT)
    assert world.service.markers.owed == 0


@pytest.mark.parametrize(
    "code", [E.NOT_ENOUGH_REPLICAS, E.REQUEST_TIMED_OUT, E.UNKNOWN_TOPIC_OR_PARTITION, E.MESSAGE_TOO_LARGE]
)
async def test_a_completion_is_written_again_until_it_is(world: World, code: E) -> None:
    identity = await begun(world)
    world.target.write_at_once = None
    await end(world, identity)
    await turns()
    world.appends.at_once = False
    world.target.answer()
    for _ in range(3):
        while not world.appends.held:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert world.transaction().pending is S.COMPLETE_COMMIT
        world.appends.settle(code=code)
    world.appends.at_once = True
    await until(world, S.COMPLETE_COMMIT)


async def test_a_completion_is_given_up_with_the_leadership(world: World) -> None:
    identity = await begun(world)
    world.target.write_at_once = None
    await end(world, identity)
    await turns()
    world.appends.at_once = False
    world.target.answer()
    await turns()
    world.appends.settle(code=E.KAFKA_STORAGE_ERROR)
    await turns()
    assert world.appends.held == []
    assert world.transaction().pending is S.COMPLETE_COMMIT


async def test_what_is_written_under_a_leadership_that_ended_is_in_force_nowhere(world: World) -> None:
    identity = await begun(world)
    world.appends.at_once = False
    ending = asyncio.ensure_future(end(world, identity))
    await turns()
    held = world.appends.held[0]
    world.appends.at_once = True
    await world.reload()
    # It is acknowledged all the same: the log had it before it was fenced.
    held.epochs[0] = world.replica.leader_epoch
    world.appends.settle()
    assert await ending is E.NOT_COORDINATOR
    assert world.transaction().entry.state is S.ONGOING
    await world.reload()
    await until(world, S.COMPLETE_COMMIT)


async def test_while_it_is_not_led_here(world: World) -> None:
    identity = await begun(world)
    world.service.on_partition_resigned(TRANSACTION_STATE_TOPIC, 0)
    assert await end(world, identity) is E.NOT_COORDINATOR
    assert world.service.describe("t") is E.NOT_COORDINATOR
    # The replica follows already, and nobody has told.
    world.service.on_partition_led(TRANSACTION_STATE_TOPIC, 0)
    world.replica.leads = False
    assert await end(world, identity) is E.NOT_COORDINATOR
    world.replica.leads = True


async def test_while_it_is_read(world: World) -> None:
    identity = await begun(world)
    world.replica.leader_epoch += 1
    world.service.on_partition_led(TRANSACTION_STATE_TOPIC, 0)
    assert await end(world, identity) is E.COORDINATOR_LOAD_IN_PROGRESS
    assert world.service.list_error() is E.COORDINATOR_LOAD_IN_PROGRESS
    while world.service.table.is_loading:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert world.service.list_error() is E.NONE
    # The same leadership, told again, is no other one.
    world.service.on_partition_led(TRANSACTION_STATE_TOPIC, 0)
    assert await end(world, identity) == identity
    assert world.ids.above >= identity[0]


async def test_while_it_stops(world: World) -> None:
    identity = await begun(world)
    world.service.resign()
    assert await end(world, identity) is E.COORDINATOR_NOT_AVAILABLE
    assert world.service.list_error() is E.COORDINATOR_NOT_AVAILABLE


async def test_a_reload_sends_all_markers_again_and_old_answers_do_not_count(world: World) -> None:
    """KAFKA-16352: an old completion must not take the place of the new one."""
    identity = await begun(world, A, B)
    world.target.write_at_once = None
    await end(world, identity, version=2)
    await turns()
    await world.reload()
    await turns()
    assert [(marker.partitions, marker.coordinator_epoch, marker.epoch) for marker in world.target.seen] == [
        ((A, B), 1, 1),
        ((A, B), 2, 1),
    ]
    world.target.answer()
    await turns()
    assert world.transaction().entry.state is S.PREPARE_COMMIT
    world.target.answer()
    await until(world, S.COMPLETE_COMMIT)
    assert world.transaction().entry.client_version == 2


async def test_a_partition_of_an_unknown_version_is_not_served(world: World) -> None:
    identity = await begun(world)
    world.replica.log.records.append((encode_key("u"), b"\x00\x07later"))
    await world.reload()
    assert await end(world, identity) is E.NOT_COORDINATOR
    assert world.service.table.partitions[0].has_failed
    assert world.service.list_error() is E.NONE


async def test_more_partitions_than_before_are_told_of(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await begun(world)
    await world.reload()
    assert "must never change" not in caplog.text
    led = world.topics[TRANSACTION_STATE_TOPIC].partitions[0]
    # Java's hash of "t" is 116.
    world.topics[TRANSACTION_STATE_TOPIC] = SimpleNamespace(partitions=(led,) * 3)
    await world.reload()
    assert (
        "1 transactional ids of __transaction_state-0 belong to other partitions, 't' for one" in caplog.text
    )


async def test_a_partition_that_cannot_be_read_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = await begun(world)
    tries = 0

    def fails(*_: Any, **__: Any) -> bytes:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError("no descriptors")
        return type(world.replica.log).read(world.replica.log, *_, **__)

    monkeypatch.setattr(world.replica.log, "read", fails)
    await world.reload()
    assert world.tasks.failures["transaction-loading"] == 2
    assert await end(world, identity) == identity


async def test_a_deleted_topic_takes_its_ids_with_it(world: World) -> None:
    identity = await begun(world)
    world.appends.at_once, world.appends.jobs_wait = False, True
    ending = asyncio.ensure_future(end(world, identity))
    await turns()
    topic: Any = SimpleNamespace(name=TRANSACTION_STATE_TOPIC, partitions=(None,))
    deleting = asyncio.ensure_future(world.service.on_topic_deleted(topic))
    await turns()
    # What is being written is waited for.
    assert not deleting.done()
    world.appends.settle()
    await deleting
    assert await ending is E.NOT_COORDINATOR
    assert len(world.service.table) == 0


@pytest.mark.parametrize("comes_back", [False, True])
async def test_what_replicas_do_not_have_yet_is_nobodys_answer(world: World, comes_back: bool) -> None:
    """A leader that fails takes it along: a marker would have ended a part of the transaction."""
    identity = await begun(world)
    world.target.write_at_once = None
    assert await end(world, identity) == identity
    world.target.seen.clear()
    world.target.asked.clear()
    world.replica.leader_epoch += 1
    world.replica.replicated = world.replica.log.log_end_offset - 1
    world.service.on_partition_resigned(TRANSACTION_STATE_TOPIC, 0)
    world.service.on_partition_led(TRANSACTION_STATE_TOPIC, 0)
    await asyncio.sleep(0.1)
    assert await end(world, identity) is E.COORDINATOR_LOAD_IN_PROGRESS
    assert world.service.describe("t") is E.COORDINATOR_LOAD_IN_PROGRESS
    assert world.target.seen == []
    if comes_back:
        # Another one leads meanwhile, and has it all: what was read before is of no use to anybody.
        await world.reload_until_read()
    world.replica.replicated = None
    while world.service.table.is_loading:  # noqa: ASYNC110 - a timer looks
        await asyncio.sleep(0.001)
    await turns()
    assert [marker.commits for marker in world.target.seen] == [True]
    while world.target.asked:
        world.target.answer()
        await turns()
    await until(world, S.COMPLETE_COMMIT)


# -- time --------------------


async def test_time_outs(world: World) -> None:
    identity = await begun(world)
    world.clock.advance(1000)
    await world.service.expiry.abort_timed_out()
    assert world.transaction().entry.state is S.ONGOING
    world.clock.advance(1)
    await world.service.expiry.abort_timed_out()
    await until(world, S.COMPLETE_ABORT)
    assert world.transaction().entry.epoch == identity[1] + 1
    assert await end(world, identity) is E.PRODUCER_FENCED
    assert world.service.expiry.timed_out == 1


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_wall_clock_that_is_set_ends_nothing_and_keeps_nothing_open(world: World, hours: int) -> None:
    await begun(world)
    world.clock.advance(900)
    world.clock.jump_wall(hours * 3_600_000)
    await world.service.expiry.abort_timed_out()
    assert world.transaction().entry.state is S.ONGOING
    # What is left of the time counts on, also when another broker has taken over before the clock was set.
    world.clock.jump_wall(-hours * 3_600_000)
    await world.reload()
    world.clock.jump_wall(hours * 3_600_000)
    world.clock.advance(100)
    await world.service.expiry.abort_timed_out()
    assert world.transaction().entry.state is S.ONGOING
    world.clock.advance(1)
    await world.service.expiry.abort_timed_out()
    await until(world, S.COMPLETE_ABORT)


async def test_a_time_out_that_cannot_be_written_raises_the_epoch_once(world: World) -> None:
    """KAFKA-9666."""
    await begun(world)
    world.clock.advance(1001)
    world.appends.at_once = False
    for _ in range(3):
        await world.service.expiry.abort_timed_out()
        await turns()
        world.appends.settle(code=E.REQUEST_TIMED_OUT, is_in_log=True)
        assert (world.transaction().entry.epoch, world.transaction().entry.state) == (1, S.ONGOING)
    assert world.service.expiry.timed_out == 0
    world.appends.at_once = True
    await world.reload()
    await until(world, S.COMPLETE_ABORT)
    assert world.transaction().entry.epoch == 1


async def test_a_time_out_at_the_last_epoch(world: World) -> None:
    """KAFKA-19367, KAFKA-20090."""
    identity = await begun(world)
    transaction = world.transaction()
    transaction.entry = TransactionEntry(
        identity[0], LAST, 1000, S.ONGOING, frozenset({A}), 1, 1, client_version=2
    )
    world.clock.advance(1001)
    await world.service.expiry.abort_timed_out()
    await until(world, S.COMPLETE_ABORT)
    assert (transaction.entry.epoch, transaction.entry.previous_producer_id) == (0, identity[0])
    assert world.target.seen[-1].epoch == MAX_EPOCH
    late = await end(world, (identity[0], LAST), commits=False, version=2)
    assert late == (transaction.entry.producer_id, 0)
    # After a failover the producer is still known (KAFKA-20310).
    await world.reload()
    assert await end(world, (identity[0], LAST), commits=False, version=2) == late


async def test_the_next_producer_id_survives_a_failover_before_the_answer(world: World) -> None:
    """KAFKA-20310, KAFKA-20357."""
    identity = await begun(world)
    world.transaction().entry = TransactionEntry(identity[0], LAST, 1000, S.ONGOING, frozenset({A}), 1, 1)
    world.target.write_at_once = None
    given = await end(world, (identity[0], LAST), version=2)
    assert isinstance(given, tuple)
    await world.reload()
    await turns()
    while world.target.asked:
        world.target.answer()
        await turns()
    await until(world, S.COMPLETE_COMMIT)
    assert await end(world, (identity[0], LAST), version=2) == given
    assert (world.transaction().entry.producer_id, world.transaction().entry.epoch) == given


async def test_expiry(world: World) -> None:
    for number in range(2000):
        await world.service.init_producer_id(f"id-{number:04}", 1000, None)
    await begun(world)
    world.clock.advance(999)
    await world.service.expiry.remove_expired()
    assert len(world.service.table) == 2001
    world.clock.advance(1)
    world.appends.at_once = False
    await world.service.expiry.remove_expired()
    await turns()
    # Tombstones share batches, up to 16 KiB in each.
    assert 3 <= len(world.appends.held) <= 5
    assert world.service.describe("id-0000") is E.TRANSACTIONAL_ID_NOT_FOUND
    assert await world.service.init_producer_id("id-0000", 1000, None) == Refused(E.CONCURRENT_TRANSACTIONS)
    world.appends.settle(code=E.NOT_ENOUGH_REPLICAS)
    left = len(world.service.table)
    assert left == 2001
    while world.appends.held:
        world.appends.settle()
    assert 1 < len(world.service.table) < 1000
    world.appends.at_once = True
    await world.service.expiry.remove_expired()
    await turns()
    assert [one.transactional_id for _, one in world.service.table] == ["t"]
    await world.reload()
    assert [one.transactional_id for _, one in world.service.table] == ["t"]


async def test_memory_is_bounded(world: World) -> None:
    identity = await begun(world, name="t")
    weight = world.service.table.weight
    world.config.memory.transactions = weight + 2000
    given = await world.service.init_producer_id("u", 1000, None)
    assert isinstance(given, Granted)
    assert await world.service.init_producer_id("v", 1000, None) == Refused(E.COORDINATOR_NOT_AVAILABLE)
    assert world.service.describe("v") is E.TRANSACTIONAL_ID_NOT_FOUND
    more = frozenset(("a", number) for number in range(6))
    assert await world.service.add_partitions("t", identity, more, 0) is E.UNKNOWN_SERVER_ERROR
    # What there is goes on.
    assert await end(world, identity) == identity
    await until(world, S.COMPLETE_COMMIT)
    assert isinstance(await world.service.init_producer_id("u", 1000, None), Granted)
    # What could not be written counts no more.
    world.appends.at_once = False
    before = world.service.table.weight
    adding = asyncio.ensure_future(world.service.add_partitions("t", identity, frozenset({A}), 0))
    await turns()
    assert world.service.table.weight == before + 200
    world.appends.settle(code=E.NOT_ENOUGH_REPLICAS)
    await adding
    assert world.service.table.weight == before
    world.appends.at_once = True
    world.clock.advance(1000)
    await world.service.expiry.remove_expired()
    await turns()
    assert (len(world.service.table), world.service.table.weight) == (0, 0)
    await begun(world, A, B)
    before = world.service.table.weight
    await world.reload()
    assert world.service.table.weight == before


# -- the log --------------------


async def test_what_is_written(world: World) -> None:
    identity = await begun(world)
    await end(world, identity)
    await until(world, S.COMPLETE_COMMIT)
    entries = [decode_value(value or b"") for _, value in world.replica.log.records]
    assert [(entry.state, entry.epoch, entry.partitions) for entry in entries] == [
        (S.EMPTY, 0, frozenset()),
        (S.ONGOING, 0, frozenset({A})),
        (S.PREPARE_COMMIT, 0, frozenset({A})),
        (S.COMPLETE_COMMIT, 0, frozenset()),
    ]
    assert {value[:2] for _, value in world.replica.log.records if value} == {b"\0\0"}
    world.level = 2
    await end(world, await begun(world), version=2)
    assert world.replica.log.records[-1][1][:2] == b"\0\1"  # type: ignore[index]


async def test_the_last_value_of_a_key_counts() -> None:
    world = World()
    log = world.replica.log
    first, last = TransactionEntry(1, 1), TransactionEntry(1, 2)
    log.records += [
        (encode_key("a"), encode_value(first)),
        (encode_key("b"), encode_value(first)),
        (b"\x00\x09later", b"x"),
        (encode_key("a"), encode_value(last)),
        (encode_key("b"), None),
        (encode_key("c"), encode_value(TransactionEntry(9, 1, state=S.DEAD))),
    ]
    loaded = load_partition(log, log.log_end_offset, 1000)  # type: ignore[arg-type]
    assert {name: entry.epoch for name, entry in loaded.entries.items()} == {"a": 2}
    assert (loaded.records, loaded.skipped, loaded.highest_producer_id) == (6, 1, 1)
    await world.close()
