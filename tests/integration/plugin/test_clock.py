"""A clock that is moved drives all that waits for a time: at once, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from fastlog import Consumer, Producer, TopicPartition, errors
from fastlog.testing import BrokerCluster, BrokerProcess, BrokerThread, KafkaBroker
from fastlog.testing.topic import read
from fastlog.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from fastlog.wire.messages.list_transactions import ListTransactionsRequest
from tests.harness.waiting import wait_until
from tests.integration.running import RawClient

KINDS: dict[str, type[KafkaBroker]] = {"thread": BrokerThread, "process": BrokerProcess}
SETTINGS = {
    "group.consumer.session.timeout.ms": 45_000,
    # By itself it would look every ten seconds.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 3_600_000,
}


@pytest.fixture(scope="module", params=KINDS)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with KINDS[request.param](tmp_path_factory.mktemp("clock"), SETTINGS) as broker:
        yield broker


def is_member(consumer: Consumer) -> bool:
    return consumer.poll(100) == {} and len(consumer.assignment()) == 2


def starts(broker: KafkaBroker, topic: str) -> int:
    with Consumer(broker.bootstrap) as consumer:
        return consumer.beginning_offsets([TopicPartition(str(topic), 0)])[TopicPartition(str(topic), 0)]


def test_retention(broker: KafkaBroker) -> None:
    """A week is kept by default; a topic that keeps all keeps all."""
    by_broker = {"message.timestamp.type": "LogAppendTime"}
    topic, lasting = broker.topic(config=by_broker), broker.topic(config={**by_broker, "retention.ms": -1})
    for name in (topic, lasting):
        name.send(["a", "b"])
    broker.clock.advance(days=6)
    assert topic.values() == [b"a", b"b"]
    before = broker.clock.now_ms()
    broker.clock.advance(days=2)
    assert broker.clock.now_ms() - before >= timedelta(days=2) // timedelta(milliseconds=1)
    assert (topic.values(), starts(broker, topic)) == ([], 2)
    assert lasting.values() == [b"a", b"b"]


def test_times_that_the_broker_gives(broker: KafkaBroker) -> None:
    """In native code, too: what is written after a move is not older than what was before it."""
    topic = broker.topic(config={"message.timestamp.type": "LogAppendTime", "retention.ms": 3_600_000})
    topic.send("a")
    broker.clock.advance(minutes=50)
    topic.send("b")
    first, second = (record.timestamp for record in topic.records())
    assert second - first >= 50 * 60_000
    assert abs(second - broker.clock.now_ms()) < 20_000
    broker.clock.advance(minutes=20)
    # Both are in one segment, whose newest record is twenty minutes old.
    assert topic.values() == [b"a", b"b"]


def test_a_segment_that_is_old_enough_is_rolled(broker: KafkaBroker) -> None:
    config = {"segment.ms": 3_600_000, "message.timestamp.type": "LogAppendTime", "retention.ms": 5_400_000}
    topic = broker.topic(config=config)
    topic.send("a")
    broker.clock.advance(hours=1.1)
    topic.send("b")
    broker.clock.advance(hours=0.9)
    assert topic.values() == [b"b"]


def test_compaction_lag(broker: KafkaBroker) -> None:
    config = {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": 3_600_000,
        "segment.ms": 60_000,
        "message.timestamp.type": "LogAppendTime",
    }
    topic = broker.topic(config=config)
    for number in range(3):
        topic.send(str(number), key="k")
    # The segment is rolled by the next record: what is active is never compacted.
    broker.clock.advance(minutes=2)
    topic.send("other", key="l")
    assert len(topic.records()) == 4
    broker.clock.advance(hours=2)
    assert topic.values() == [b"2", b"other"]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_silent_member_is_out_of_its_group(broker: KafkaBroker, protocol: str) -> None:
    """Its session of 45 s runs out while it has no time to say a word."""
    topic = broker.topic(partitions=2)
    options = {"group_id": f"{topic}-group", "group_protocol": protocol, "auto_offset_reset": "earliest"}
    with Consumer(topic.bootstrap, topic, **options) as first:  # type: ignore[arg-type]
        wait_until(
            lambda: first.poll(100) == {} and len(first.assignment()) == 2,
            lambda: "not in the group",
            seconds=20,
        )
        generation = first.group_metadata.generation
        broker.clock.advance(seconds=46)
        wait_until(
            lambda: first.poll(100) == {} and first.group_metadata.generation not in (generation, -1, 0),
            lambda: f"generation {first.group_metadata}, was {generation}",
            seconds=20,
        )
        wait_until(
            lambda: first.poll(100) == {} and len(first.assignment()) == 2,
            lambda: "not in it again",
            seconds=20,
        )


def test_offsets_of_a_group_expire(broker: KafkaBroker) -> None:
    topic = broker.topic(config={"retention.ms": -1})
    topic.send("v")
    name = TopicPartition(str(topic), 0)
    options = {"group_id": f"{topic}-group", "auto_offset_reset": "earliest"}
    with Consumer(topic.bootstrap, topic, **options) as consumer:  # type: ignore[arg-type]
        assert consumer.consume(1, timeout=20)
        consumer.commit()
    with Consumer(topic.bootstrap, group_id=f"{topic}-group") as consumer:
        assert consumer.committed(name)[name] is not None
        broker.clock.advance(days=6)
        assert consumer.committed(name)[name] is not None
        broker.clock.advance(days=2)
        wait_until(lambda: consumer.committed(name)[name] is None, "they are still there", seconds=20)


def test_a_transaction_that_is_open_for_too_long_is_aborted(broker: KafkaBroker) -> None:
    topic = broker.topic(config={"retention.ms": -1})
    with Producer(topic.bootstrap, transactional_id=f"{topic}-tx", transaction_timeout_ms=60_000) as producer:
        producer.begin_transaction()
        producer.send(topic, b"in it").result(20)
        topic.send("after it")
        broker.clock.advance(seconds=30)
        time.sleep(0.1)
        # What is after the start of an open transaction is not stable.
        assert topic.values() == []
        broker.clock.advance(seconds=31)
        assert topic.values(1, timeout=20) == [b"after it"]
        with pytest.raises(errors.KafkaError):
            producer.commit_transaction()
            producer.begin_transaction()


def test_producers_and_transactional_ids_that_nobody_uses(broker: KafkaBroker) -> None:
    topic = broker.topic(config={"retention.ms": -1})
    topic.send("a")
    transactional_id = f"{topic}-unused"
    with Producer(topic.bootstrap, transactional_id=transactional_id) as producer, producer.transaction():
        producer.send(topic, b"b")
    with RawClient(broker.port) as client:

        def known() -> tuple[int, bool]:
            asked = DescribeProducersRequest(topics=[TopicRequest(name=str(topic), partition_indexes=[0])])
            producers = client.ask(asked, 0).topics[0].partitions[0].active_producers
            listed = client.ask(ListTransactionsRequest(), 0).transaction_states
            return len(producers), transactional_id in {row.transactional_id for row in listed}

        assert known() == (2, True)
        broker.clock.advance(hours=25)
        assert known() == (0, True)
        broker.clock.advance(days=7)
        wait_until(lambda: known() == (0, False), "the id is still known", seconds=20)


def test_nothing_breaks_that_is_under_way(broker: KafkaBroker) -> None:
    """Connections, requests that wait and the broker's own sessions live in the time of the machine."""
    topic = broker.topic(config={"retention.ms": -1})
    with Producer(topic.bootstrap) as producer, Consumer(topic.bootstrap, fetch_max_wait_ms=3000) as consumer:
        producer.send(topic, b"a").result(10)
        consumer.assign([(str(topic), 0)])
        consumer.seek(TopicPartition(str(topic), 0), 1)
        assert consumer.poll(50) == {}  # the fetch waits at the broker now
        for _ in range(5):
            broker.clock.advance(days=30)
            producer.send(topic, b"b").result(10)
        found: list[bytes | None] = []
        while len(found) < 5:
            found += [record.value for record in consumer.consume(10, timeout=10)]
    assert found == [b"b"] * 5
    assert [record.value for record in read(broker.bootstrap, topic)] == [b"a"] + [b"b"] * 5
    assert "ERROR" not in broker.log_text


def test_a_start_is_at_the_time_of_the_stop_and_later(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        topic = broker.topic(config={"message.timestamp.type": "LogAppendTime", "retention.ms": -1})
        broker.clock.advance(days=1)
        topic.send("a")
        broker.kill()
        broker.clock.advance(days=1)
        broker.start()
        topic.send("b")
        first, second = (record.timestamp for record in topic.records())
        assert timedelta(milliseconds=second - first) >= timedelta(days=1)
        assert abs(second - broker.clock.now_ms()) < 20_000


def test_a_step_back_is_refused(broker: KafkaBroker) -> None:
    with pytest.raises(ValueError, match="does not go back"):
        broker.clock.advance(timedelta(seconds=-1))


@pytest.mark.slow
def test_all_members_of_a_cluster(tmp_path: Path) -> None:
    """Nobody loses its session at the keeper, and followers stay in sync."""
    with BrokerCluster(tmp_path, 3) as cluster:
        topic = cluster.topic(partitions=2)
        topic.send(["a", "b"])
        controller = cluster.controller().pid
        cluster.clock.advance(days=8)
        assert topic.values() == []
        cluster.wait_whole()
        topic.send("c")
        assert topic.values() == [b"c"]
        assert cluster.controller().pid == controller
        assert [broker.log_text for broker in cluster if "ERROR" in broker.log_text] == []
