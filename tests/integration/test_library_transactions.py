"""The library's transactions in both protocols: what is asked of whom, and what a lost answer does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from fastlog import AsyncAdmin, AsyncProducer, NewTopic, TopicPartition, errors
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ConnectionFailed
from fastlog.wire import ApiKey
from tests.integration.conftest import BrokerFactory
from tests.integration.running import RunningBroker

NAME = TopicPartition("t", 0)
ASKED: Counter[ApiKey] = Counter()


@pytest.fixture(params=[0, 2])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def servers(version: int, start_broker: BrokerFactory) -> str:
    settings = {
        "fastlog.default.transaction.version": str(version),
        "num.partitions": "3",
        "transaction.state.log.num.partitions": "1",
        "offsets.topic.num.partitions": "1",
    }
    broker: RunningBroker = start_broker(**settings)
    return broker.bootstrap


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[ApiKey]]:
    """Counts what is sent to brokers, but for records."""
    ASKED.clear()
    inner = Cluster._send

    async def send(self: Cluster, body: Any, *args: Any, **kwargs: Any) -> Any:
        ASKED[body.API] += 1
        return await inner(self, body, *args, **kwargs)

    monkeypatch.setattr(Cluster, "_send", send)
    yield ASKED


async def values(servers: str) -> list[bytes | None]:
    """What is committed in partition 0."""
    from fastlog import AsyncConsumer

    async with AsyncConsumer(servers, isolation_level="read_committed") as consumer:
        await consumer.assign([NAME])
        await consumer.seek_to_beginning()
        end = (await consumer.end_offsets([NAME]))[NAME]
        found = []
        while await consumer.position(NAME) < end:
            found += [record.value for record in await consumer.consume(1000, 1.0)]
        return found


async def epoch_of(admin: AsyncAdmin) -> int:
    return (await admin.describe_transactions(["id"]))["id"].producer_epoch


async def test_partitions_and_groups_are_announced_in_the_first_protocol_alone(
    servers: str, version: int, asked: Counter[ApiKey]
) -> None:
    async with (
        AsyncAdmin(servers) as admin,
        AsyncProducer(servers, transactional_id="id", linger_ms=0) as producer,
    ):
        epochs = []
        for number in range(4):
            try:
                async with producer.transaction():
                    handles = [producer.send("t", b"%d" % number, partition=at) for at in range(3)]
                    await producer.send_offsets_to_transaction({NAME: number}, "g")
                    await handles[0]
                    if number % 2:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                pass
            epochs.append(await epoch_of(admin))
        async with producer.transaction():
            pass  # of which brokers hear nothing
        assert (await admin.list_group_offsets("g"))[NAME].offset == 2
    assert await values(servers) == [b"0", b"2"]
    assert asked[ApiKey.END_TXN] == 4
    assert asked[ApiKey.INIT_PRODUCER_ID] == 1
    if version == 2:
        assert asked[ApiKey.ADD_PARTITIONS_TO_TXN] == asked[ApiKey.ADD_OFFSETS_TO_TXN] == 0
        assert epochs == sorted(set(epochs))
    else:
        assert asked[ApiKey.ADD_PARTITIONS_TO_TXN] >= 4
        assert asked[ApiKey.ADD_OFFSETS_TO_TXN] == 4
        assert len(set(epochs)) == 1


async def test_a_lost_answer_to_the_end_of_a_transaction_ends_it_once(
    servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Cluster._send
    lost: list[str] = []

    async def send(self: Cluster, body: Any, *args: Any, **kwargs: Any) -> Any:
        answer = await inner(self, body, *args, **kwargs)
        if body.API is ApiKey.END_TXN and len(lost) % 2 == 0:
            lost.append("the answer")
            raise ConnectionFailed("the connection is gone", sent=True)
        if body.API is ApiKey.END_TXN:
            lost.append("nothing")
        return answer

    monkeypatch.setattr(Cluster, "_send", send)
    async with AsyncProducer(servers, transactional_id="id", linger_ms=0) as producer:
        for number in range(4):
            await producer.begin_transaction()
            for _ in range(3):
                producer.send("t", b"%d" % number, partition=0)
            await producer.flush()
            await (producer.commit_transaction() if number % 2 else producer.abort_transaction())
    assert lost.count("the answer") == 4
    assert await values(servers) == [b"1"] * 3 + [b"3"] * 3


async def test_after_a_record_that_failed_the_next_transaction_is_whole(servers: str) -> None:
    async with AsyncAdmin(servers) as admin:
        (await admin.create_topics([NewTopic("t", 1, config={"max.message.bytes": 2000})])).check()
    async with AsyncProducer(
        servers, transactional_id="id", linger_ms=0, max_request_size=100_000
    ) as producer:
        for number in range(3):
            await producer.begin_transaction()
            await producer.send("t", b"%d" % number, partition=0)
            if number != 1:
                await producer.commit_transaction()
                continue
            refused = producer.send("t", bytes(50_000), partition=0)
            with pytest.raises(errors.MessageTooLarge):
                await refused
            with pytest.raises(errors.MessageTooLarge):
                await producer.commit_transaction()
            await producer.abort_transaction()
    assert await values(servers) == [b"0", b"2"]


async def test_many_short_transactions_follow_each_other(servers: str) -> None:
    async with AsyncProducer(servers, transactional_id="id", linger_ms=0) as producer:
        for number in range(60):
            async with producer.transaction():
                for at in range(5):
                    producer.send("t", b"%d-%d" % (number, at), partition=0)
    assert await values(servers) == [b"%d-%d" % (number, at) for number in range(60) for at in range(5)]


async def test_records_that_an_abort_drops_are_no_news(
    broker: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncProducer(broker.bootstrap, transactional_id="quiet", linger_ms=60_000) as producer:
        await producer.begin_transaction()
        dropped = producer.send("t", b"a", partition=0)
        producer.send("t", b"b", partition=0)
        await producer.abort_transaction()
        with pytest.raises(errors.ClientError, match="the transaction was aborted"):
            await dropped
        async with producer.transaction():
            producer.send("t", b"c", partition=0)
    assert "records are not" not in caplog.text
