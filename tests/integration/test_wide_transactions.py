"""Transactional requests with very many rows, and how often coordinators are asked for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from fastlog.coordination.transactions.verification import Codes, Verifier
from fastlog.errors import ErrorCode as E
from fastlog.server.transaction_parts import TransactionParts
from fastlog.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.integration.running import RawClient, RunningBroker
from tests.integration.transaction_broker import Producer
from tests.integration.transactional_client import Identity, Partition, batch_of, fetched, mark, values_in

WIDE = 600
JOINS, RAISES = 12, 5
SETTINGS = {
    "transaction.state.log.num.partitions": "1",
    "num.partitions": "2",
    "add.partitions.to.txn.retry.backoff.ms": "50",
    "add.partitions.to.txn.retry.backoff.max.ms": "400",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """One for all tests, with a topic of many partitions for each."""
    running = RunningBroker(tmp_path_factory.mktemp("wide"), SETTINGS)
    running.start()
    yield running
    running.close()


@pytest.fixture
def client(running: RunningBroker) -> Iterator[RawClient]:
    with running.connect(timeout=30) as connection:
        yield connection


@pytest.fixture
def wide(client: RawClient, request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    request_of = CreateTopicsRequest(topics=[CreatableTopic(name, WIDE, 1)], timeout_ms=30_000)
    assert client.ask(request_of, 5).topics[0].error_code == 0
    return name


def request(name: str, topic: str, identity: Identity, sequence: int) -> ProduceRequest:
    """A record for each partition."""
    batch = batch_of(identity, sequence)
    rows = [PartitionProduceData(number, batch) for number in range(WIDE)]
    return ProduceRequest(name, -1, 10_000, [TopicProduceData(topic, rows)])


def codes(answer: Any) -> list[int]:
    """By partition."""
    (topic,) = answer.responses
    return [row.error_code for row in sorted(topic.partition_responses, key=lambda row: row.index)]


def test_many_partitions_join_at_once(client: RawClient, wide: str) -> None:
    producer = Producer(client, wide)
    identity = producer.initialized()
    # The second one is under way while the first one's rows are looked at.
    for sequence in (0, 1):
        client.send(request(wide, wide, identity, sequence), JOINS)
    for _ in range(2):
        assert codes(client.receive(ProduceRequest.API, JOINS)[1]) == [0] * WIDE
    (topic,) = producer.describe().topics
    assert len(topic.partitions) == WIDE
    code, *following = producer.end(identity, version=RAISES)
    assert code == 0
    # Markers of the former are under way: all rows are told the same.
    deadline = time.monotonic() + 30
    while True:
        told = set(codes(client.ask(request(wide, wide, (following[0], following[1]), 0), JOINS)))
        assert told in ({0}, {E.CONCURRENT_TRANSACTIONS})
        if told == {0}:
            break
        assert time.monotonic() < deadline
    assert producer.end((following[0], following[1]), commits=False, version=RAISES)[0] == 0
    producer.wait_for("CompleteAbort")
    for number in (0, 255, 256, WIDE - 1):
        row = fetched(client, (wide, number))
        assert (values_in(row), row.last_stable_offset) == ([b"v"] * 3, 5)
        assert [one.first_offset for one in row.aborted_transactions] == [3]


@pytest.mark.parametrize(("version", "code"), [(9, E.INVALID_TXN_STATE), (11, E.TRANSACTION_ABORTABLE)])
def test_of_many_partitions_those_are_refused_that_were_not_added(
    running: RunningBroker, client: RawClient, version: int, code: E
) -> None:
    name = f"not-added-{version}"
    topics = CreateTopicsRequest(topics=[CreatableTopic(name, WIDE, 1)], timeout_ms=30_000)
    assert client.ask(topics, 5).topics[0].error_code == 0
    producer = Producer(client, name)
    identity = producer.initialized()
    producer.added(identity, *[(name, number) for number in range(0, WIDE, 2)])
    told = codes(client.ask(request(name, name, identity, 0), version))
    assert told == [0, code] * (WIDE // 2)


class Counting:
    """`Verifier` that counts what it is asked."""

    def __init__(self, verifier: Verifier) -> None:
        self.verifier = verifier
        self.asked = 0

    def is_here(self, _: str) -> bool:
        """See `Verifier`: as one that is elsewhere."""
        return False

    async def verify(
        self, name: str, identity: Identity, partitions: frozenset[Partition], *, adds: bool = False
    ) -> Codes:
        """See `Verifier`."""
        self.asked += 1
        return await self.verifier.verify(name, identity, partitions, adds=adds)


def test_a_coordinator_is_asked_again_as_the_settings_say(running: RunningBroker, client: RawClient) -> None:
    topics = CreateTopicsRequest(topics=[CreatableTopic("held", 2, 1)], timeout_ms=30_000)
    assert client.ask(topics, 5).topics[0].error_code == 0
    producer = Producer(client, "held")
    identity = producer.initialized()
    producer.added(identity, ("held", 0))
    # A leader that knows a later coordinator takes no marker of this one: the end is never complete.
    assert mark(client, identity, ("held", 0), coordinator_epoch=1000) == [0]
    assert producer.end(identity)[0] == 0
    made = running.broker.services.transactions
    assert made is not None
    parts: TransactionParts = made.made  # type: ignore[assignment]
    counting = Counting(parts.verifier)
    parts.verifier = counting  # type: ignore[assignment]
    try:
        for version, expected, seconds in ((JOINS, range(5, 10), 0.4), (11, range(1, 2), 0.0)):
            counting.asked, began = 0, time.monotonic()
            rows = [PartitionProduceData(1, batch_of(identity, 0))]
            asked = ProduceRequest("held", -1, 10_000, [TopicProduceData("held", rows)])
            (code,) = codes(client.ask(asked, version))
            assert code == (E.CONCURRENT_TRANSACTIONS if version == JOINS else E.NOT_ENOUGH_REPLICAS)
            assert counting.asked in expected
            assert time.monotonic() - began >= seconds
    finally:
        parts.verifier = counting.verifier  # type: ignore[assignment]
