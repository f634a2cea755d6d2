"""What users of other Python clients of Kafka have reported, done with this library.

The reports are public: `kafka-python#N` is dpkp/kafka-python, `aiokafka#N` aio-libs/aiokafka, `confluent#N`
confluentinc/confluent-kafka-python. Forks (kafka-python#1098, confluent#1122), full buffers (confluent#781,
#810) and members that are lost while they work are in the tests of producers and consumers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog import Admin, AsyncConsumer, AsyncProducer, Consumer, Producer, TopicPartition, errors
from fastlog.client.consumer import RebalanceListener
from tests.harness.broker_process import BrokerProcess
from tests.integration.running import RunningBroker

ZERO = TopicPartition("t", 0)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A broker that can be killed."""
    settings = {"offsets.topic.num.partitions": "1", "group.initial.rebalance.delay.ms": "0"}
    with BrokerProcess(tmp_path, settings=settings) as process:
        yield process


def fill(bootstrap: str, count: int, topic: str = "t", codec: str = "none") -> None:
    with Producer(bootstrap, compression_type=codec) as producer:
        producer.send_many(topic, [b"%d" % number for number in range(count)], partition=0)


@pytest.mark.timeout(120)
def test_polls_and_close_end_in_time_when_the_broker_is_gone(mortal: BrokerProcess) -> None:
    """kafka-python#1764, #1282, confluent#1667: poll never returns, close hangs."""
    fill(mortal.bootstrap, 3)
    consumer = Consumer(mortal.bootstrap, "t", group_id="g", auto_offset_reset="earliest")
    assert len(consumer.consume(3, timeout=30)) == 3
    mortal.kill()
    for _ in range(3):
        assert consumer.poll(300) == {}
    assert len(consumer.poll_columns(300)) == 0
    # There are positions to commit and a group to leave: a minute for each would be over the test's time.
    consumer.close(timeout=1)


@pytest.mark.timeout(120)
async def test_coroutines_are_closed_in_time_when_the_broker_is_gone(mortal: BrokerProcess) -> None:
    fill(mortal.bootstrap, 3)
    consumer = AsyncConsumer(mortal.bootstrap, "t", group_id="g", auto_offset_reset="earliest")
    assert len(await consumer.consume(3, timeout=30)) == 3
    mortal.kill()
    await consumer.close(timeout=1)
    with pytest.raises(RuntimeError, match="closed"):
        await consumer.poll(100)


@pytest.mark.parametrize("fails", [False, True])
def test_what_an_exception_interrupts_is_not_committed(broker: RunningBroker, fails: bool) -> None:
    """Records of a poll that were handed out and not worked on would be lost."""
    fill(broker.bootstrap, 10)
    try:
        with Consumer(broker.bootstrap, "t", group_id="g", auto_offset_reset="earliest") as consumer:
            assert len(consumer.consume(10, timeout=30)) == 10
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    with Consumer(broker.bootstrap, group_id="g") as consumer:
        found = consumer.committed(ZERO)[ZERO]
    assert (found and found.offset) == (None if fails else 10)


def test_polls_that_never_wait_find_records(broker: RunningBroker) -> None:
    """kafka-python#2692: poll() with its default time finds nothing, however often it is called."""
    fill(broker.bootstrap, 5)
    with Consumer(broker.bootstrap, "t", group_id="g", auto_offset_reset="earliest") as consumer:
        end = time.monotonic() + 30
        while not (found := consumer.poll()):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert [record.value for record in found[ZERO]] == [b"%d" % number for number in range(5)]


def test_a_seek_into_a_compressed_batch_and_in_the_middle_of_a_loop(broker: RunningBroker) -> None:
    """kafka-python#1214: the first record of the batch comes instead of the one that was sought."""
    fill(broker.bootstrap, 1000, codec="lz4")
    with Consumer(broker.bootstrap) as consumer:
        consumer.assign([("t", 0)])
        consumer.seek(ZERO, 500)
        assert [record.offset for record in consumer.poll(30_000, max_records=1)[ZERO]] == [500]
        seen = []
        for record in consumer:
            seen.append(record.offset)
            if len(seen) == 3:
                consumer.seek(ZERO, 900)
            if len(seen) == 5:
                break
        assert seen == [501, 502, 503, 900, 901]
        consumer.seek_to_beginning()
        assert consumer.position(ZERO) == 0


def test_a_seek_before_there_are_partitions_says_so(broker: RunningBroker) -> None:
    """kafka-python#1100: seek_to_beginning of a subscription that has no partitions yet does nothing."""
    fill(broker.bootstrap, 3)

    class FromTheBeginning(RebalanceListener):
        def on_assigned(self, partitions: object) -> None:
            consumer.seek_to_beginning()

    with Consumer(broker.bootstrap, "t", group_id="g", listener=FromTheBeginning()) as consumer:
        for seek in (consumer.seek_to_beginning, consumer.seek_to_end):
            with pytest.raises(ValueError, match=r"no partition is assigned .* on_assigned"):
                seek()
        with pytest.raises(ValueError, match=r"t-0 is not assigned .* on_assigned"):
            consumer.seek(ZERO, 0)
        assert len(consumer.consume(3, timeout=30)) == 3
        with pytest.raises(TypeError, match="'t' is not"):
            consumer.seek("t", 0)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="pair of topic and number"):
            consumer.committed("tt")  # type: ignore[arg-type]


def test_a_pattern_follows_topics_that_come_and_go(
    broker: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """aiokafka#46, kafka-python#1079: new ones are not found. kafka-python#1088: old ones fill the log."""
    caplog.set_level(logging.INFO, "fastlog.client")
    fill(broker.bootstrap, 1, "x.1")
    with (
        Consumer(
            broker.bootstrap, group_id="g", auto_offset_reset="earliest", metadata_max_age_ms=300
        ) as consumer,
        Admin(broker.bootstrap) as admin,
    ):
        consumer.subscribe(pattern=r"^x\.")
        assert [record.topic for record in consumer.consume(1, timeout=30)] == ["x.1"]
        fill(broker.bootstrap, 1, "x.2")
        assert [record.topic for record in consumer.consume(1, timeout=30)] == ["x.2"]
        admin.delete_topics(["x.1"]).check()
        end = time.monotonic() + 30
        while any(name.topic == "x.1" for name in consumer.assignment()):
            assert time.monotonic() < end
            consumer.poll(100)
        fill(broker.bootstrap, 1, "x.2")
        assert [record.topic for record in consumer.consume(1, timeout=30)] == ["x.2"]
    assert len(caplog.records) < 50


def test_a_topic_that_comes_after_its_subscription_is_read(broker: RunningBroker) -> None:
    """A service that starts before its topic does: the group has no partitions, and gets them later."""
    with Consumer(
        broker.bootstrap, "late", group_id="g", auto_offset_reset="earliest", metadata_max_age_ms=300
    ) as consumer:
        end = time.monotonic() + 30
        while consumer.group_metadata.generation < 1:
            assert time.monotonic() < end
            assert consumer.poll(100) == {}
        assert consumer.poll(500) == {}
        fill(broker.bootstrap, 1, "late")
        assert [record.topic for record in consumer.consume(1, timeout=40)] == ["late"]


def test_another_subscription_is_read(broker: RunningBroker) -> None:
    """aiokafka#536: after the subscription was changed nothing is read any more."""
    for topic in ("a", "b"):
        fill(broker.bootstrap, 1, topic)
    with Consumer(broker.bootstrap, group_id="g", auto_offset_reset="earliest") as consumer:
        for topics in (["a"], ["b"], ["a", "b"], ["b"]):
            consumer.subscribe(topics)
            for topic in topics:
                fill(broker.bootstrap, 1, topic)
            wanted = set(topics)
            end = time.monotonic() + 30
            while wanted:
                assert time.monotonic() < end, wanted
                wanted -= {record.topic for record in consumer.consume(10, timeout=1)}


def test_a_producer_that_outlives_its_event_loop_says_so(
    broker: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """Event loop is closed, or a wait for ever: asyncio.run() twice with one client."""
    producer = AsyncProducer(broker.bootstrap, linger_ms=60_000)

    async def second() -> None:
        with pytest.raises(errors.ClientError, match="event loop of the producer has ended"):
            await producer.send("t", b"b", partition=0)
        await producer.close()

    async def first() -> None:
        handle = producer.send("t", b"a", partition=0)
        await producer.flush()
        assert (await handle).offset == 0
        producer.send("t", b"never sent", partition=0)

    asyncio.run(first())
    assert "1 records are not written, and nobody waits for them" in caplog.text
    asyncio.run(second())


async def test_a_cancelled_wait_takes_no_record_with_it(broker: RunningBroker) -> None:
    """asyncio.wait_for around getone() would else lose what came in that moment."""
    async with (
        AsyncProducer(broker.bootstrap) as producer,
        AsyncConsumer(broker.bootstrap, auto_offset_reset="earliest") as consumer,
    ):
        await producer.send("t", b"0", partition=0)
        await consumer.assign([ZERO])
        seen = [(await consumer.getone()).value]
        for number in range(1, 40):
            waits = asyncio.ensure_future(consumer.getone())
            await asyncio.sleep(0.002 * (number % 5))
            await producer.send("t", b"%d" % number, partition=0)
            waits.cancel()
            try:
                seen.append((await waits).value)
            except asyncio.CancelledError:
                seen.append((await asyncio.wait_for(consumer.getone(), 30)).value)
        assert seen == [b"%d" % number for number in range(40)]
