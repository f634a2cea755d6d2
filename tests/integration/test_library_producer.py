"""The blocking producer of the library on a broker: threads, forks, time-outs, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time

import pytest

from fastlog import Producer, errors
from fastlog.client.producer import Delivery
from tests.harness.net import free_port
from tests.integration.running import RunningBroker


def values(broker: RunningBroker, topic: str) -> list[bytes]:
    """All values of a topic, read with another client."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "x", "enable.auto.commit": False})
    try:
        count = len(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        found = []
        for partition in range(count):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            consumer.assign([TopicPartition(topic, partition, low)])
            while len(found) < high:
                message = consumer.poll(10)
                assert message is not None
                found.append(message.value())
        return found
    finally:
        consumer.close()


def test_send_from_many_threads_and_wait_in_each(broker: RunningBroker) -> None:
    told: list[object] = []
    with Producer(broker.bootstrap, batch_size=4096) as producer:

        def work(number: int) -> None:
            handles = [
                producer.send(
                    "t", b"%d-%d" % (number, at), partition=0, on_delivery=lambda *result: told.append(result)
                )
                for at in range(500)
            ]
            assert handles[-1].result(30).partition == 0
            offsets = [handle.result(30).offset for handle in handles]
            assert offsets == sorted(offsets)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        producer.flush(30)
    assert len(told) == 2000
    found = values(broker, "t")
    for number in range(4):
        mine = [value for value in found if value.startswith(b"%d-" % number)]
        assert mine == [b"%d-%d" % (number, at) for at in range(500)]
    assert not [thread for thread in threading.enumerate() if thread.name == "fastlog producer"]


def test_many_at_once_more_than_the_buffer_holds(broker: RunningBroker) -> None:
    with Producer(broker.bootstrap, buffer_memory=100_000, batch_size=16_384) as producer:
        sent = producer.send_many("many", [b"%05d" % at + b"x" * 95 for at in range(5000)], partition=0)
        found = sent.result(30)
        assert [where.offset for where in found] == list(range(5000))
        assert len(sent) == 5000
        assert sent.done()


def test_a_coroutine_may_await_what_a_blocking_producer_sent(broker: RunningBroker) -> None:
    async def ask(delivery: Delivery) -> int:
        with pytest.raises(RuntimeError, match="await"):
            delivery.result(1)
        return (await delivery).offset

    with Producer(broker.bootstrap, linger_ms=200) as producer:
        producer.send("t", b"a").result(10)
        assert asyncio.run(ask(producer.send("t", b"b", partition=0))) >= 0


def test_a_callback_may_send(broker: RunningBroker) -> None:
    done = threading.Event()
    with Producer(broker.bootstrap) as producer:

        def again(result: object, error: object) -> None:
            producer.send("other", b"second", on_delivery=lambda *_: done.set())

        producer.send("t", b"first", on_delivery=again)
        assert done.wait(20)
    assert values(broker, "other") == [b"second"]


def test_what_cannot_be_sent_is_told_by_send(broker: RunningBroker) -> None:
    with Producer(broker.bootstrap, max_block_ms=2000) as producer:
        with pytest.raises(errors.InvalidTopic):
            producer.send("no topic!", b"v")
        with pytest.raises(errors.UnknownTopicOrPartition, match="no partition 99"):
            producer.send("t", b"v", partition=99)
        with pytest.raises(TypeError, match="value must be bytes-like or None, not str"):
            producer.send("t", "text")  # type: ignore[arg-type]
        assert producer.send("t", b"v").result(10).offset == 0
    with pytest.raises(RuntimeError, match="the producer is closed"):
        producer.send("t", b"v")
    with pytest.raises(RuntimeError, match="the producer is closed"):
        producer.flush()
    producer.close()


def test_where_nobody_listens_the_context_says_so() -> None:
    with pytest.raises(errors.Unreachable, match="connection refused"), Producer(f"127.0.0.1:{free_port()}"):
        pass


def test_waits_have_an_end(broker: RunningBroker) -> None:
    with Producer(broker.bootstrap, linger_ms=60_000) as producer:
        producer.send("t", b"first")
        producer.flush()
        handle = producer.send("t", b"v")
        begun = time.monotonic()
        with pytest.raises(errors.RequestTimedOut, match=r"not acknowledged within 0\.2 s so far"):
            handle.result(0.2)
        assert time.monotonic() - begun < 5
        assert not handle.done()
        producer.flush(20)
        assert handle.result(0).offset >= 0


def test_a_child_of_a_fork_is_told_and_harms_nobody(broker: RunningBroker) -> None:
    script = f"""
import os, sys
from fastlog import Producer
with Producer("{broker.bootstrap}") as producer:
    producer.send("forked", b"parent", partition=0).result(20)
    child = os.fork()
    if child == 0:
        told = []
        for call in (lambda: producer.send("forked", b"child"), producer.flush):
            try:
                call()
            except RuntimeError as error:
                told.append("fork" in str(error))
        os._exit(0 if told == [True, True] else 7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert producer.send("forked", b"parent", partition=0).result(20).offset == 1
print("fine")
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert run.stdout == "fine\n", run.stderr
    assert values(broker, "forked") == [b"parent"] * 2


def test_one_that_nobody_closed_sends_what_it_has_and_warns(broker: RunningBroker) -> None:
    producer = Producer(broker.bootstrap, linger_ms=60_000)
    producer.send("left", b"v")
    with pytest.warns(ResourceWarning, match="a Producer was not closed"):
        del producer
        gc.collect()
    assert values(broker, "left") == [b"v"]
    assert not [thread for thread in threading.enumerate() if thread.name == "fastlog producer"]


def test_the_process_ends_with_a_producer_that_is_open(broker: RunningBroker) -> None:
    script = f"""
from fastlog import Producer
producer = Producer("{broker.bootstrap}", linger_ms=60000)
producer.send("ended", b"v")
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert run.returncode == 0, run.stderr
    assert values(broker, "ended") == [b"v"]


def test_transactions_commit_abort_and_fence(broker: RunningBroker) -> None:
    with Producer(broker.bootstrap, transactional_id="a") as producer:
        with pytest.raises(RuntimeError, match="no transaction is open"):
            producer.send("txn", b"outside")
        with producer.transaction():
            producer.send("txn", b"first", partition=0)
        with pytest.raises(ZeroDivisionError), producer.transaction():
            producer.send("txn", b"dropped", partition=0)
            producer.flush()
            raise ZeroDivisionError
        producer.begin_transaction()
        producer.send("txn", b"second", partition=0)
        with pytest.raises(RuntimeError, match="one is open"):
            producer.begin_transaction()
        producer.commit_transaction()
        with Producer(broker.bootstrap, transactional_id="a") as other:
            other.init_transactions()
            producer.begin_transaction()
            lost = producer.send("txn", b"fenced", partition=0)
            with pytest.raises(errors.ClientError) as caught:
                producer.commit_transaction()
            assert caught.value.fatal, caught.value
            assert lost.exception(10) is not None
            with pytest.raises(errors.ClientError):
                producer.begin_transaction()
    assert committed(broker, "txn") == [b"first", b"second"]


def committed(broker: RunningBroker, topic: str) -> list[bytes]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "x",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = []
        while True:
            message = consumer.poll(20)
            assert message is not None
            if message.error():
                return found
            found.append(message.value())
    finally:
        consumer.close()


def test_a_producer_of_coroutines_belongs_to_one_thread_and_loop(broker: RunningBroker) -> None:
    from fastlog import AsyncProducer

    async def sends() -> None:
        producer = AsyncProducer(broker.bootstrap)
        await producer.send("t", b"v")

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="belongs to the thread of its event loop"):
                producer.send("t", b"v")

        await asyncio.to_thread(elsewhere)
        await producer.close()

    asyncio.run(sends())
