"""The library behind a bad line, and before a broker that dies: nothing lost, twice, or left over.

Each record is written once and read in order, whatever goes wrong; when the clients are closed there is no
thread and no task of theirs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastlog import AsyncConsumer, AsyncProducer, Consumer, Producer
from fastlog.testing import BrokerProcess, BrokerThread, FaultProxy, KafkaBroker
from fastlog.testing.topic import read
from tests.harness.waiting import wait_until

COUNT = 400


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with BrokerThread(tmp_path_factory.mktemp("line")) as broker:
        yield broker


@pytest.fixture
def proxy(broker: KafkaBroker) -> Iterator[FaultProxy]:
    yield broker.proxy
    broker.proxy.clear()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Neither a thread of a client, nor a process."""
    before = set(threading.enumerate())
    yield

    def is_client(thread: threading.Thread) -> bool:
        return thread.name in ("fastlog producer", "fastlog consumer")

    left = [thread for thread in threading.enumerate() if thread not in before and is_client(thread)]
    assert left == []


def write(proxy: FaultProxy, topic: str, disturb: Callable[[int], None]) -> list[int]:
    """Sends all numbers, disturbed now and then; gives their offsets, in order of sending."""
    with Producer(
        proxy.bootstrap, batch_size=500, linger_ms=1, request_timeout_ms=1000, retry_backoff_ms=10
    ) as producer:
        sent = []
        for number in range(COUNT):
            sent.append(producer.send(topic, b"%d" % number))
            if number % 50 == 25:
                disturb(number)
        return [delivery.result(40).offset for delivery in sent]


def assert_once_and_in_order(broker: KafkaBroker, topic: str, offsets: list[int]) -> None:
    assert offsets == list(range(COUNT))
    assert [record.value for record in read(broker.bootstrap, topic)] == [b"%d" % n for n in range(COUNT)]


FAULTS: dict[str, Callable[[FaultProxy], object]] = {
    "cut in an answer": lambda proxy: proxy.cut("produce"),
    "cut in a request": lambda proxy: proxy.cut("produce", where="request"),
    "a request is lost": lambda proxy: proxy.drop("produce"),
    "an answer is lost": lambda proxy: proxy.drop("produce", where="answer"),
    "another leader": lambda proxy: proxy.fail("produce", "NOT_LEADER_OR_FOLLOWER", times=2),
    "written, and told otherwise": lambda proxy: proxy.fail(
        "produce", "NOT_ENOUGH_REPLICAS_AFTER_APPEND", carried_out=True
    ),
    "slow": lambda proxy: proxy.delay(0.05, times=3),
    "slower than it waits": lambda proxy: proxy.delay(1.3, "produce", times=1, where="answer"),
    "all connections break": lambda proxy: proxy.break_connections(),
    "no metadata": lambda proxy: (
        proxy.fail("metadata", "LEADER_NOT_AVAILABLE", times=3),
        proxy.cut("produce"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_record_is_written_once(broker: KafkaBroker, proxy: FaultProxy, fault: str) -> None:
    topic = broker.topic()
    times = 0

    def disturb(number: int) -> None:
        nonlocal times
        # What costs a whole time-out comes only once.
        if times == 0 or ("lost" not in fault and "waits" not in fault):
            FAULTS[fault](proxy)
            times += 1

    offsets = write(proxy, topic, disturb)
    assert times > 0
    assert_once_and_in_order(broker, topic, offsets)


def test_each_record_is_read_once(broker: KafkaBroker, proxy: FaultProxy) -> None:
    topic = broker.topic(partitions=2)
    topic.send([str(number) for number in range(COUNT)])
    found: list[bytes | None] = []
    with Consumer(
        proxy.bootstrap, topic, group_id="bad-line", auto_offset_reset="earliest", request_timeout_ms=1000
    ) as consumer:
        faults = [
            lambda: proxy.cut("fetch"),
            lambda: proxy.fail("fetch", "NOT_LEADER_OR_FOLLOWER"),
            lambda: proxy.cut("fetch", after=1),
            lambda: proxy.fail("offset_commit", "COORDINATOR_LOAD_IN_PROGRESS"),
            lambda: proxy.fail("heartbeat", "COORDINATOR_NOT_AVAILABLE"),
            lambda: proxy.break_connections(),
            lambda: proxy.drop("fetch"),
        ]
        until = time.monotonic() + 40
        while len(found) < COUNT and time.monotonic() < until:
            found += [record.value for record in consumer.consume(COUNT // 10, timeout=1)]
            if faults:
                faults.pop(0)()
                consumer.commit()
        assert faults == []
    assert sorted(int(value or b"-1") for value in found) == list(range(COUNT))


def test_a_broker_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        topic = broker.topic()

        def disturb(number: int) -> None:
            if number in (125, 275):
                broker.kill()
                broker.start()

        assert_once_and_in_order(broker, topic, write(broker.proxy, topic, disturb))


def test_a_broker_that_freezes_and_goes_on(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        topic = broker.topic()

        def disturb(number: int) -> None:
            if number == 125:
                broker.freeze()
                threading.Timer(1.5, broker.thaw).start()

        assert_once_and_in_order(broker, topic, write(broker.proxy, topic, disturb))


async def test_a_close_that_meets_silence_comes_to_its_end(broker: KafkaBroker, proxy: FaultProxy) -> None:
    """With requests under way that nobody answers: no task stays."""
    topic = broker.topic()
    tasks = asyncio.all_tasks()
    producer = AsyncProducer(
        proxy.bootstrap, request_timeout_ms=500, delivery_timeout_ms=1500, linger_ms=0, retry_backoff_ms=10
    )
    async with producer:
        await producer.send(topic, b"v")
        proxy.drop(times=None)
        lost = producer.send(topic, b"lost")
        consumer = AsyncConsumer(proxy.bootstrap, request_timeout_ms=500)
        began = time.monotonic()
        with pytest.raises(Exception, match=r"time|answer"):
            await lost
        await consumer.close()
        assert time.monotonic() - began < 10
    proxy.clear()
    proxy.break_connections()
    assert asyncio.all_tasks() == tasks
    assert [record.value for record in read(broker.bootstrap, topic)] == [b"v"]


def test_connections_that_were_cut_are_let_go(broker: KafkaBroker, proxy: FaultProxy) -> None:
    """The proxy itself leaves nothing behind either."""
    topic = broker.topic()
    for _ in range(3):
        with Producer(proxy.bootstrap) as producer:
            producer.send(topic, b"v").result(10)
            proxy.break_connections()
            producer.send(topic, b"v").result(10)
    wait_until(lambda: not proxy._passages, lambda: f"{len(proxy._passages)} connections", seconds=10)
