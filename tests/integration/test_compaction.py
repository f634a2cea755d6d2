"""Compacted topics with a real broker and real clients."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import ResourceType

from fastlog.storage.cleaner_stats import CleanerStats
from tests.harness.compacted import EAGER, FILLER, CompactedTopic, alter, cleaned_to, wait_for
from tests.integration.conftest import BrokerFactory
from tests.integration.running import RunningBroker

HOUR = 3_600_000
Make = Callable[..., CompactedTopic]


def keyed(keys: int, count: int, seed: int = 1) -> Iterator[tuple[bytes, bytes | None]]:
    """Values, and now and then a tombstone, for random keys."""
    chooser = random.Random(seed)
    for number in range(count):
        key = b"key-%d" % chooser.randrange(keys)
        yield key, None if chooser.random() < 0.1 else b"%d:" % number + b"v" * chooser.randrange(100)


@pytest.fixture
def eager(start_broker: BrokerFactory) -> RunningBroker:
    """A broker whose cleaner does not wait."""
    return start_broker(**EAGER, **{"log.retention.check.interval.ms": "100"})


@pytest.fixture
def make(eager: RunningBroker) -> Make:
    """Makes topics at that broker."""
    return lambda name="t", **config: CompactedTopic(eager.bootstrap, eager.directory, name, **config)


def stats(broker: RunningBroker) -> CleanerStats:
    """What the cleaner has done."""
    return broker.broker.services.logs.cleaner.stats


def log_bytes(directory: Path) -> int:
    """Size of all segments; a segment that is swapped out amid the count has it done again."""
    while True:
        try:
            return sum(path.stat().st_size for path in directory.glob("*.log"))
        except FileNotFoundError:
            continue


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_the_latest_value_of_each_key_is_left(make: Make, eager: RunningBroker, codec: str) -> None:
    topic = make(codec=codec)
    topic.produce(keyed(50, 3000))
    end = topic.roll()
    before = log_bytes(topic.directory)
    topic.wait_clean(end)
    # What is not in the active segment is there once, at its own offset; nothing else is.
    assert topic.read_below(end) == topic.latest(end)
    assert log_bytes(topic.directory) < before
    assert stats(eager).runs > 0
    assert 0 < stats(eager).bytes_kept < stats(eager).bytes_read
    assert stats(eager).uncleanable == {}
    # The same again, on top of what is clean, and after a restart.
    topic.produce(keyed(50, 2000, seed=2))
    end = topic.roll()
    topic.wait_clean(end)
    assert topic.read_below(end) == topic.latest(end)
    assert eager.stop()
    eager.start()
    assert cleaned_to(eager.directory, "t") >= end
    assert topic.read_below(end) == topic.latest(end)


def test_tombstones_go_after_their_time(make: Make) -> None:
    """At first they stay, so that a consumer learns of the deletion; then they go, without new records."""
    topic = make(delete_retention_ms="600000")
    topic.produce([(b"kept", b"1"), (b"gone", b"2"), (b"gone", None)])
    end = topic.roll()
    topic.wait_clean(end)
    assert [(record.key, record.value) for record in topic.read_below(end)] == [
        (b"kept", b"1"),
        (b"gone", None),
    ]
    topic.alter(delete_retention_ms="300")
    # The horizon was set by the first compaction: the shorter time holds for tombstones from now on.
    topic.produce([(b"late", b"3"), (b"late", None)])
    end = topic.roll()
    topic.wait_clean(end)

    def keys() -> list[bytes | None]:
        return [record.key for record in topic.read_below(end) if record.value is None]

    wait_for(lambda: keys() == [b"gone"])


def test_compact_and_delete(make: Make) -> None:
    """With both, old segments go, compacted or not; with compact alone they stay."""
    both = make("both", cleanup_policy="compact,delete", retention_ms=str(HOUR))
    only = make("only", retention_ms=str(HOUR), retention_bytes="1")
    now = int(time.time() * 1000)
    for topic in (both, only):
        topic.produce([(b"old", b"1"), *keyed(20, 500)], timestamp=now - 2 * HOUR)
        old = topic.roll(timestamp=now - 2 * HOUR)
        if topic is both:
            # Before there is anything new: compaction would put it into one segment with the old.
            wait_for(lambda old=old, topic=topic: all(record.offset >= old for record in topic.read()))
        topic.produce(keyed(20, 500, seed=2), timestamp=now)
        new = topic.roll(timestamp=now)
        topic.wait_clean(new)
        expected = topic.latest(new)
        if topic is both:
            expected = [record for record in expected if record.offset >= old]
            assert expected
        assert topic.read_below(new) == expected
    assert only.read()[0].key == b"old"


def test_a_consumer_in_the_middle_goes_on(make: Make) -> None:
    """Its next offset is compacted away between two fetches, again and again."""
    topic = make(codec="lz4")
    consumer = Consumer(
        {
            "bootstrap.servers": topic.bootstrap,
            "group.id": "unused",
            "fetch.message.max.bytes": 1024,
            "queued.max.messages.kbytes": 1,
            "queued.min.messages": 1,
            "fetch.queue.backoff.ms": 5,
            "auto.offset.reset": "error",
            "log_level": 2,
        }
    )
    state: dict[bytes | None, bytes | None] = {}
    last = -1

    def consume(count: int) -> bool:
        """Reads so many records, or to the end."""
        nonlocal last
        for _ in range(count):
            message = consumer.poll(0.01 if last == topic.end - 1 else 10)
            if message is None:
                break
            assert message.error() is None, message.error()
            offset = message.offset()
            assert offset is not None and offset > last
            record = topic.sent[offset]
            assert (message.key(), message.value()) == (record.key, record.value)
            last, state[record.key] = offset, record.value
        return last == topic.end - 1

    topic.produce(keyed(200, 500))
    consumer.assign([TopicPartition(topic.name, 0, 0)])
    for seed in range(5):
        assert not consume(20)
        topic.produce(keyed(200, 500, seed=seed))
        topic.wait_clean(topic.roll())
    assert consume(topic.end)
    consumer.close()
    state.pop(FILLER)
    assert state == {record.key: record.value for record in topic.latest()}


def test_the_policy_changes_while_it_is_live(make: Make) -> None:
    topic = make(cleanup_policy="delete", retention_ms="-1")
    topic.produce(keyed(20, 1000))
    end = topic.roll()
    time.sleep(0.3)  # A dozen looks of the cleaner, none of which may touch the topic.
    assert len(topic.read()) == topic.end
    assert cleaned_to(topic.data_dir, topic.name) == -1
    topic.alter(cleanup_policy="compact")
    topic.wait_clean(end)
    assert topic.read_below(end) == topic.latest(end)
    topic.alter(cleanup_policy="delete")
    topic.produce(keyed(20, 1000, seed=2))
    topic.roll()
    time.sleep(0.3)
    assert len([record for record in topic.read() if record.offset >= end]) == topic.end - end
    topic.alter(retention_bytes="1")
    wait_for(lambda: topic.read()[0].offset > end)
    # Without keys again.
    topic.alter(cleanup_policy="delete,compact", retention_bytes="-1")
    end = topic.roll()
    topic.wait_clean(end)


def test_a_topic_that_is_deleted_while_it_is_compacted(make: Make, eager: RunningBroker) -> None:
    """A throttle makes the compaction last for ever; deletion, and a new topic of the name, do not wait."""
    topic = make()
    alter(topic.admin, ResourceType.BROKER, "1", {"log.cleaner.io.max.bytes.per.second": "1000"})
    topic.produce(keyed(1000, 5000))
    topic.roll()
    wait_for(lambda: stats(eager).running == 1)
    began = time.monotonic()
    topic.admin.delete_topics([topic.name])[topic.name].result(30)
    wait_for(lambda: stats(eager).running == 0, 20)
    assert time.monotonic() - began < 20
    assert cleaned_to(eager.directory, topic.name) == -1
    alter(topic.admin, ResourceType.BROKER, "1", {"log.cleaner.io.max.bytes.per.second": "1e9"})
    again = make()
    again.produce(keyed(20, 500))
    end = again.roll()
    again.wait_clean(end)
    assert again.read_below(end) == again.latest(end)


def test_the_throttle_is_changed_for_a_compaction_under_way(make: Make, eager: RunningBroker) -> None:
    topic = make()
    alter(topic.admin, ResourceType.BROKER, "1", {"log.cleaner.io.max.bytes.per.second": "1000"})
    topic.produce(keyed(1000, 5000))
    end = topic.roll()
    wait_for(lambda: stats(eager).running == 1)
    time.sleep(0.5)
    assert cleaned_to(eager.directory, topic.name) == -1
    assert stats(eager).running == 1
    alter(topic.admin, ResourceType.BROKER, "1", {"log.cleaner.io.max.bytes.per.second": "1e9"})
    topic.wait_clean(end)


def test_a_stop_does_not_wait_for_a_compaction(make: Make, eager: RunningBroker) -> None:
    topic = make()
    alter(topic.admin, ResourceType.BROKER, "1", {"log.cleaner.io.max.bytes.per.second": "1000"})
    topic.produce(keyed(1000, 5000))
    topic.roll()
    wait_for(lambda: stats(eager).running == 1)
    assert eager.stop()  # within the 30 seconds of the harness, and clean
    eager.start()
    assert len(topic.read()) > 1000


def test_a_damaged_log_is_left_alone(make: Make, eager: RunningBroker) -> None:
    """It is offline, alone, and nothing of it is changed; other logs are compacted."""
    bad: Any = make("bad", min_cleanable_dirty_ratio="1")
    bad.produce(keyed(20, 1000))
    bad.roll()
    first = sorted(bad.directory.glob("*.log"))[0]
    with first.open("r+b") as file:
        file.seek(200)
        file.write(b"damage")
    bad.alter(min_cleanable_dirty_ratio="0.01")
    logs = eager.broker.services.logs
    wait_for(lambda: logs.offline_reason("bad", 0) is not None)
    assert "checksum" in str(logs.offline_reason("bad", 0))
    before = first.read_bytes()
    good = make("good")
    good.produce(keyed(20, 1000))
    good.wait_clean(good.roll())
    assert cleaned_to(eager.directory, "bad") == -1
    assert first.read_bytes() == before
    assert eager.failures == []
