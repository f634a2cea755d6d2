"""Settings of compaction that change while a topic is in use, and what outlives compaction and a restart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition

from fastlog.errors import ErrorCode
from fastlog.native import build_batch
from tests.harness.compacted import EAGER, CompactedTopic, cleaned_to, wait_for
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import produce
from tests.integration.running import RunningBroker

HOUR = 3_600_000
NOW = 1_700_000_000_000


@pytest.fixture
def eager(start_broker: BrokerFactory) -> RunningBroker:
    """A broker whose cleaner does not wait."""
    return start_broker(**EAGER)


def values(count: int, mark: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Values of ten keys."""
    for number in range(count):
        yield b"key-%d" % (number % 10), mark + b"v" * 100


def test_what_makes_a_log_worth_it_changes_while_it_is_live(eager: RunningBroker) -> None:
    """One topic for each setting, on which compaction waits until it is changed."""
    waiting = {
        "lag": {"min_compaction_lag_ms": str(HOUR)},
        "ratio": {"min_cleanable_dirty_ratio": "1"},
        "age": {"min_cleanable_dirty_ratio": "1", "max_compaction_lag_ms": str(HOUR)},
    }
    changes = {
        "lag": {"min_compaction_lag_ms": "0"},
        "ratio": {"min_cleanable_dirty_ratio": "0.1"},
        "age": {"max_compaction_lag_ms": "1"},
    }
    topics = {
        name: CompactedTopic(eager.bootstrap, eager.directory, name, **settings)
        for name, settings in waiting.items()
    }
    ends = {}
    for name, topic in topics.items():
        topic.produce(values(500, b"1"))
        ends[name] = topic.roll()
    # A fourth one, made last, on which nothing waits: the cleaner has looked at the others before.
    free = CompactedTopic(eager.bootstrap, eager.directory, "free")
    for mark in (b"1", b"2"):
        free.produce(values(500, mark))
        free.wait_clean(free.roll())
    stats = eager.broker.services.logs.cleaner.stats
    assert [cleaned_to(eager.directory, name) for name in waiting] == [-1] * 3
    assert stats.max_dirty_ratio == 1.0
    for name, topic in topics.items():
        topic.alter(**changes[name])
        topic.wait_clean(ends[name])
        assert topic.read_below(ends[name]) == topic.latest(ends[name])


def test_a_producer_is_known_after_its_records_are_gone(eager: RunningBroker) -> None:
    """Its last batch stays without records; the state is read from the log when the snapshots are lost."""
    topic = CompactedTopic(eager.bootstrap, eager.directory)

    def send(sequence: int) -> tuple[int, int]:
        record = (b"key-0", b"by 77", [], NOW)
        batch = build_batch([record], producer_id=77, producer_epoch=0, base_sequence=sequence)
        with eager.connect() as client:
            row = client.ask(produce("t", batch), 9).responses[0].partition_responses[0]
        return row.error_code, row.base_offset

    topic.produce(values(100, b"1"))
    assert [send(0), send(1)] == [(0, 100), (0, 101)]
    topic.produce(values(100, b"2"))
    topic.wait_clean(topic.roll())
    assert not [record for record in topic_offsets(topic) if record in (100, 101)]
    assert eager.stop()
    for snapshot in topic.directory.glob("*.snapshot"):
        snapshot.unlink()
    eager.start()
    # As Kafka does: the last batch is known, those before it are not.
    assert send(1) == (0, 101)
    assert send(0)[0] == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert send(3)[0] == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    code, offset = send(2)
    assert code == 0 and offset > 200


def topic_offsets(topic: CompactedTopic) -> list[int]:
    """The offsets that a consumer gets."""
    return [record.offset for record in topic.read_below(topic.end)]


def test_times_are_found_among_what_is_left(eager: RunningBroker) -> None:
    """The first record at or after a time that is still there, whatever was there before."""
    topic = CompactedTopic(eager.bootstrap, eager.directory)
    for step in range(6):
        topic.produce(values(100, b"%d" % step), timestamp=NOW + step * 1000)
    topic.produce([(b"alone", b"1")], timestamp=NOW + 7000)
    end = topic.roll(timestamp=NOW + 9000)
    topic.wait_clean(end)
    first = topic.latest(end)[0].offset
    consumer = Consumer({"bootstrap.servers": eager.bootstrap, "group.id": "unused", "log_level": 2})

    def found(time: int) -> int:
        (answer,) = consumer.offsets_for_times([TopicPartition("t", 0, time)], timeout=30)
        return answer.offset

    assert first == 590
    # Only what was written last is left of the first six seconds.
    assert [found(NOW), found(NOW + 3000), found(NOW + 5000)] == [590] * 3
    assert [found(NOW + 5001), found(NOW + 7000)] == [600] * 2
    assert found(NOW + 7001) == end
    assert found(NOW + 9001) == -1
    consumer.close()
    wait_for(lambda: topic.read_below(end) == topic.latest(end))
