"""Whatever part of a request fails: its client hears of it, nothing stays behind, and others are served."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastlog.replication.appender import Appender
from fastlog.server.fetch import operation
from fastlog.server.fetch.fetch_context import FetchContext
from fastlog.server.fetch.operation import FetchOperation
from fastlog.server.fetch.sessions import FetchSessionCache
from fastlog.server.handlers import fetch as fetch_handler
from fastlog.server.network.connection import Connection
from fastlog.server.network.exchange import Exchange
from fastlog.server.produce.operation import ProduceOperation
from fastlog.server.requests import dispatch
from fastlog.server.requests.dispatch import Dispatcher
from fastlog.wire import Request
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.harness.batches import batch
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import fetch, make_topic, produce
from tests.integration.running import RawClient, RunningBroker

MANY = 300
"""Rows that are gone through in turns."""


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("broken by a test")


def fetch_many() -> FetchRequest:
    rows = [FetchPartition(partition=n, partition_max_bytes=1000) for n in range(MANY)]
    return FetchRequest(max_wait_ms=0, min_bytes=1, topics=[FetchTopic(topic="t", partitions=rows)])


def produce_many(topic: str = "t") -> ProduceRequest:
    rows = [PartitionProduceData(index=n, records=batch(b"x")) for n in range(MANY)]
    return ProduceRequest(
        acks=-1, timeout_ms=10_000, topic_data=[TopicProduceData(name=topic, partition_data=rows)]
    )


def produce_one(topic: str = "t") -> ProduceRequest:
    return produce(topic, batch(b"x"))


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def hears(client: RawClient) -> None:
    """An answer, or the end of the connection; neither is a TimeoutError."""
    with contextlib.suppress(ConnectionError):
        client.receive_frame()


def left_behind(broker: RunningBroker) -> dict[str, int]:
    """What is still counted for requests."""
    services, host = broker.broker.services, broker.broker._hosts["PLAINTEXT"]
    counts = {
        "requests": host.memory.used,
        "work": host.work.used,
        "answers in the making": host.answers.in_the_making,
        "answers": host.answers.untaken,
        "fetched": services.response_memory.used,
        "wait for memory": services.response_memory.waiting,
        "parked": len(services.purgatory),
        "held partitions": services.fetch_sessions._waiting,
        "watches": len(services.fetch_sessions._news),
    }
    return {name: count for name, count in counts.items() if count}


def check(broker: RunningBroker) -> None:
    """Nothing is left, and the next client is served."""
    wait_for(lambda: not left_behind(broker))
    with broker.connect(timeout=5) as client:
        client.ask(produce_one(), 9)
        (topic,) = client.ask(fetch("t", 0), 12).responses
        assert topic.partitions[0].records
        client.ask(InitProducerIdRequest(), 2)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """`t` has records, `e` only what a test sends to partition 0."""
    broker = RunningBroker(tmp_path_factory.mktemp("data"), {"num.partitions": str(MANY)})
    broker.start()
    with broker.connect() as client:
        make_topic(client, "t")
        make_topic(client, "e")
        client.ask(produce_one(), 9)
    yield broker
    broker.close()


@pytest.mark.parametrize(
    ("request_", "version", "where", "name"),
    [
        (fetch("t", 0), 12, FetchSessionCache, "open"),
        (fetch("t", 0), 12, FetchOperation, "_look"),
        (fetch("t", 0), 12, FetchOperation, "_decide"),
        (fetch("t", 0), 12, FetchOperation, "_submit"),
        (fetch("t", 0), 12, FetchContext, "prepare_answer"),
        (fetch("t", 0), 12, FetchOperation, "_take_in"),
        (fetch("t", 0), 12, FetchOperation, "_note_sent"),
        (fetch("t", 0), 12, Exchange, "reply"),
        (fetch("e", 0, partition=1, max_wait_ms=60_000), 12, FetchOperation, "_wait"),
        (fetch("e", 0, partition=1, max_wait_ms=60_000), 12, FetchOperation, "_wait_unless_moved"),
        (fetch("e", 0, partition=1, max_wait_ms=50), 12, FetchOperation, "expire"),
        (fetch_many(), 12, fetch_handler, "_start"),
        (fetch_many(), 12, FetchSessionCache, "open"),
        (fetch_many(), 12, operation, "build_rows_in_steps"),
        (fetch_many(), 12, FetchOperation, "_decide"),
        (fetch_many(), 12, FetchOperation, "_take_in"),
        (produce_one(), 9, ProduceOperation, "_decide"),
        (produce_one(), 9, ProduceOperation, "add"),
        (produce_one(), 9, Appender, "produce"),
        (produce_one(), 9, ProduceOperation, "appended"),
        (produce_one(), 9, ProduceOperation, "take"),
        (produce_one(), 9, ProduceOperation, "await_acknowledgement"),
        (produce_one(), 9, ProduceOperation, "settled"),
        (produce_one("none"), 9, ProduceOperation, "end_refused"),
        (produce_one("none"), 9, ProduceOperation, "_answer_rows"),
        (produce_one(), 9, Exchange, "reply"),
        (produce_many(), 9, ProduceOperation, "_decide"),
        (produce_many(), 9, ProduceOperation, "add"),
        (produce_many(), 9, Appender, "produce"),
        (produce_many(), 9, ProduceOperation, "appended"),
        (produce_many(), 9, ProduceOperation, "take"),
        (produce_many(), 9, ProduceOperation, "await_acknowledgement"),
        (produce_many(), 9, ProduceOperation, "settled"),
        (produce_many("none"), 9, ProduceOperation, "_answer_rows"),
        (produce_many("none"), 9, ProduceOperation, "_reply"),
        (InitProducerIdRequest(), 2, dispatch, "decode_request"),
        (InitProducerIdRequest(), 2, Dispatcher, "_handle"),
        (InitProducerIdRequest(), 2, Dispatcher, "_reply"),
        (InitProducerIdRequest(), 2, dispatch, "encode_response_in_steps"),
        (InitProducerIdRequest(transactional_id="x" * 10_000), 2, dispatch, "decode_request_in_steps"),
        (InitProducerIdRequest(transactional_id="x" * 10_000), 2, Dispatcher, "_handle"),
        (InitProducerIdRequest(), 2, Connection, "on_reply"),
    ],
)
def test_a_part_of_a_request_that_fails(
    world: RunningBroker,
    monkeypatch: pytest.MonkeyPatch,
    request_: Request,
    version: int,
    where: Any,
    name: str,
) -> None:
    with world.connect(timeout=5) as client, monkeypatch.context() as patched:
        patched.setattr(where, name, broken)
        client.send(request_, version)
        hears(client)
    check(world)


def test_an_error_that_cannot_be_told(world: RunningBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.connect(timeout=5) as client, monkeypatch.context() as patched:
        patched.setattr(Dispatcher, "_handle", broken)
        patched.setattr(dispatch, "encode_response", broken)
        client.send(InitProducerIdRequest(), 2)
        hears(client)
    check(world)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("name", ["is_ready", "_ends_wait", "complete", "_look", "_decide"])
def test_a_fetch_that_fails_when_it_is_woken(
    world: RunningBroker, monkeypatch: pytest.MonkeyPatch, name: str, many: bool
) -> None:
    with world.connect(timeout=5) as client, world.connect() as producer:
        (topic,) = producer.ask(produce_one("e"), 9).responses
        end = topic.partition_responses[0].base_offset + 1
        request = fetch("e", end, max_wait_ms=60_000)
        if many:
            rows = request.topics[0].partitions
            rows += [FetchPartition(partition=n, partition_max_bytes=1000) for n in range(1, MANY)]
        client.send(request, 12)
        wait_for(lambda: len(world.broker.services.purgatory) == 1)
        with monkeypatch.context() as patched:
            patched.setattr(FetchOperation, name, broken)
            producer.ask(produce_one("e"), 9)
            hears(client)
    check(world)


@pytest.mark.parametrize("name", ["goes_on", "is_ready", "complete", "_note_settled", "settled"])
def test_a_produce_request_that_fails_when_it_is_acknowledged(
    start_broker: BrokerFactory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    world = start_broker(**{"fastlog.durability": "fsync"})
    with world.connect(timeout=5) as client:
        make_topic(client, "t")
        with monkeypatch.context() as patched:
            patched.setattr(ProduceOperation, name, broken)
            client.send(produce_one(), 9)
            hears(client)
    check(world)
