"""Iterating over a consumer: what a commit means in the middle of it, and where it goes on after a break."""

from __future__ import annotations

import pytest

from fastlog import AsyncConsumer, Consumer, Producer, TopicPartition
from tests.integration.running import RunningBroker

NAME = TopicPartition("t", 0)
OTHER = TopicPartition("t", 1)


@pytest.fixture
def filled(broker: RunningBroker) -> str:
    """A topic of two partitions with ten records in each: 0 to 9 and 100 to 109."""
    from fastlog import Admin, NewTopic

    with Admin(broker.bootstrap) as admin:
        admin.create_topics([NewTopic("t", 2)]).check()
    with Producer(broker.bootstrap) as producer:
        producer.send_many("t", [b"%d" % number for number in range(10)], partition=0)
        producer.send_many("t", [b"%d" % number for number in range(100, 110)], partition=1)
    return broker.bootstrap


def reader(servers: str, *, by_itself: bool = False) -> Consumer:
    return Consumer(servers, group_id="g", auto_offset_reset="earliest", enable_auto_commit=by_itself)


def test_a_commit_means_what_was_handed_out(filled: str) -> None:
    with reader(filled) as consumer:
        consumer.assign([NAME, OTHER])
        seen: dict[TopicPartition, int] = {NAME: 0, OTHER: 0}
        for count, record in enumerate(consumer, 1):
            name = TopicPartition(record.topic, record.partition)
            seen[name] += 1
            consumer.commit()
            committed = consumer.committed()
            assert {one: 0 if row is None else row.offset for one, row in committed.items()} == seen
            assert consumer.position(name) == seen[name]
            if count == 20:
                break


@pytest.mark.parametrize("by_itself", [False, True])
def test_after_a_break_it_goes_on_with_what_was_not_seen(filled: str, by_itself: bool) -> None:
    with reader(filled, by_itself=by_itself) as consumer:
        consumer.assign([NAME])
        assert [int(record.value or b"") for record, _ in zip(consumer, range(3), strict=False)] == [0, 1, 2]
        # zip has taken a fourth one.
        assert next(iter(consumer)).value == b"4"
        assert [record.value for record in consumer.consume(2, timeout=10)] == [b"5", b"6"]
        assert next(iter(consumer)).value == b"7"
        if not by_itself:
            consumer.commit()
    with reader(filled) as consumer:
        consumer.assign([NAME])
        assert next(iter(consumer)).value == b"8"


async def test_the_same_in_coroutines(filled: str) -> None:
    async with AsyncConsumer(filled, group_id="g", auto_offset_reset="earliest") as consumer:
        await consumer.assign([NAME])
        for expected in (b"0", b"1", b"2"):
            async for record in consumer:
                assert record.value == expected
                await consumer.commit()
                break
        row = (await consumer.committed(NAME))[NAME]
        assert row is not None and row.offset == 3
        assert (await consumer.getone()).value == b"3"


def test_who_seeks_in_the_loop_goes_on_there(filled: str) -> None:
    with reader(filled) as consumer:
        consumer.assign([NAME])
        found = []
        for record in consumer:
            found.append(int(record.value or b""))
            if found == [0, 1]:
                consumer.seek(NAME, 7)
            if record.value == b"9":
                break
        assert found == [0, 1, 7, 8, 9]


def test_a_partition_that_was_given_up_in_the_loop_is_not_read_on(filled: str) -> None:
    with reader(filled) as consumer:
        consumer.assign([NAME])
        for record in consumer:
            if record.partition == 1:
                break
            assert record.value == b"0"
            consumer.assign([OTHER])
        assert record.value == b"100"
