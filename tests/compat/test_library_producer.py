"""The library's producers on fastlog and on Apache Kafka 3.9 and 4, read back by librdkafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import confluent_kafka
import pytest

from fastlog import Admin, AsyncProducer, OffsetAndMetadata, Producer, TopicPartition, errors
from fastlog.admin import FeatureUpdate, UpgradeType
from tests.compat.client_programs import CODECS
from tests.harness.broker_process import BrokerProcess
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, ApacheKafka

pytestmark = [pytest.mark.timeout(180)]

KAFKAS = [
    pytest.param(KAFKA_3, id="kafka-3", marks=[pytest.mark.java, pytest.mark.whole]),
    pytest.param(KAFKA_4, id="kafka-4", marks=pytest.mark.java),
]


@pytest.fixture(scope="module", params=[pytest.param("fastlog", id="fastlog"), *KAFKAS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def servers(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory: Path = tmp_path_factory.mktemp("library-producer")
    # The records carry timestamps of years ago.
    settings = {"num.partitions": "3", "log.retention.ms": "-1", "offsets.topic.replication.factor": "1"}
    if kind == "fastlog":
        with BrokerProcess(directory, settings=settings) as broker:
            yield broker.bootstrap
    else:
        settings |= {"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1"}
        with ApacheKafka(directory, version=kind, settings=settings, heap="400m") as kafka:
            yield kafka.bootstrap


def read(servers: str, topic: str, *, isolation: str = "read_committed") -> list[confluent_kafka.Message]:
    """All records of a topic, in the order of their offsets within each partition."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
        }
    )
    try:
        count = len(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
        found = []
        for partition in range(count):
            consumer.assign([confluent_kafka.TopicPartition(topic, partition, 0)])
            while True:
                message = consumer.poll(30)
                assert message is not None, "no record and no end within 30 s"
                if message.error():
                    break
                found.append(message)
        return found
    finally:
        consumer.close()


@pytest.mark.parametrize("codec", CODECS)
def test_records_arrive_byte_by_byte_in_every_codec(servers: str, codec: str) -> None:
    topic = f"codec-{codec}"
    with Producer(servers, compression_type=codec, batch_size=20_000) as producer:
        for number in range(2000):
            producer.send(
                topic,
                None if number % 50 == 0 else b"value %d " % number * (number % 20),
                key=b"key %d" % (number % 100),
                headers={"n": b"%d" % number, "none": None},
                timestamp_ms=1_700_000_000_000 + number,
            )
        producer.send_many(topic, [b"last"] * 100, keys=[b"k"] * 100)
    found = read(servers, topic)
    assert len(found) == 2100
    keyed = sorted((m for m in found if m.value() != b"last"), key=lambda m: m.timestamp()[1])
    for number, message in enumerate(keyed):
        assert message.value() == (None if number % 50 == 0 else b"value %d " % number * (number % 20))
        assert message.key() == b"key %d" % (number % 100)
        assert message.headers() == [("n", b"%d" % number), ("none", None)]
        assert message.timestamp()[1] == 1_700_000_000_000 + number


def test_keys_go_where_the_java_client_and_librdkafka_send_them(servers: str) -> None:
    keys = [b"key-%d" % number * (number % 9) for number in range(300)]
    theirs = confluent_kafka.Producer({"bootstrap.servers": servers, "partitioner": "murmur2"})
    for key in keys:
        theirs.produce("keys", b"theirs", key=key)
    theirs.flush(30)
    with Producer(servers) as producer:
        for where in producer.send_many("keys", [b"ours"] * len(keys), keys=keys).result(30):
            assert where.topic == "keys"
    of: dict[bytes, set[int]] = {}
    for message in read(servers, "keys"):
        of.setdefault(message.key() or b"", set()).add(message.partition())
    assert {key: len(partitions) for key, partitions in of.items()} == dict.fromkeys(set(keys), 1)


async def test_transactions_are_all_or_nothing(servers: str) -> None:
    async with AsyncProducer(servers, transactional_id="all-or-nothing", linger_ms=0) as producer:
        for number in range(6):
            try:
                async with producer.transaction():
                    handles = [producer.send("txn", b"%d" % number, partition=at % 3) for at in range(30)]
                    await handles[0]
                    if number % 2:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                pass
        async with producer.transaction():
            pass  # nothing in it
    committed = [message.value() for message in read(servers, "txn")]
    assert sorted(committed) == [b"0"] * 30 + [b"2"] * 30 + [b"4"] * 30
    seen = {message.value() for message in read(servers, "txn", isolation="read_uncommitted")}
    assert seen > {b"0", b"1", b"2"}


async def test_what_waits_for_its_topic_belongs_to_the_transaction(servers: str) -> None:
    async with AsyncProducer(servers, transactional_id="waits", max_block_ms=20_000) as producer:
        async with producer.transaction():
            for number in range(20):
                producer.send("not-there-before", b"%d" % number, partition=0)
        await producer.begin_transaction()
        producer.send("not-there-before", b"lost", partition=0)
        refused = producer.send("not-there-before", b"nowhere", partition=99)
        with pytest.raises(errors.UnknownTopicOrPartition):
            await producer.commit_transaction()
        assert refused.done()
        await producer.abort_transaction()
    found = [message.value() for message in read(servers, "not-there-before")]
    assert found == [b"%d" % number for number in range(20)]


async def test_offsets_are_committed_with_the_transaction_or_not_at_all(servers: str) -> None:
    name = TopicPartition("positions", 1)

    def committed() -> int:
        consumer = confluent_kafka.Consumer({"bootstrap.servers": servers, "group.id": "etl"})
        try:
            (row,) = consumer.committed([confluent_kafka.TopicPartition(*name)], timeout=30)
            return int(row.offset)
        finally:
            consumer.close()

    async with AsyncProducer(servers, transactional_id="etl") as producer:
        async with producer.transaction():
            await producer.send(name.topic, b"v", partition=1)
            await producer.send_offsets_to_transaction({name: 7}, "etl")
        assert committed() == 7
        with pytest.raises(ZeroDivisionError):
            async with producer.transaction():
                await producer.send_offsets_to_transaction({name: OffsetAndMetadata(9, "m")}, "etl")
                raise ZeroDivisionError
        assert committed() == 7


async def test_a_second_producer_fences_the_first(servers: str) -> None:
    async with AsyncProducer(servers, transactional_id="fence") as old:
        await old.begin_transaction()
        await old.send("fence", b"old", partition=0)
        async with AsyncProducer(servers, transactional_id="fence") as new:
            async with new.transaction():
                await new.send("fence", b"new", partition=0)
            with pytest.raises(errors.ClientError) as caught:
                await old.commit_transaction()
            assert caught.value.fatal
            with pytest.raises(type(caught.value)):
                old.send("fence", b"too late")
    assert [message.value() for message in read(servers, "fence")] == [b"new"]


async def test_after_a_failed_record_a_transaction_can_only_be_aborted_and_the_next_works(
    servers: str,
) -> None:
    async with AsyncProducer(servers, transactional_id="failed", max_request_size=20_000_000) as producer:
        await producer.begin_transaction()
        await producer.send("failed", b"good", partition=0)
        with pytest.raises(errors.MessageTooLarge):
            await producer.send("failed", b"x" * 5_000_000, partition=0)
        with pytest.raises(errors.TransactionAbortable, match="can only be aborted"):
            producer.send("failed", b"more")
        with pytest.raises(errors.MessageTooLarge):
            await producer.commit_transaction()
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send("failed", b"next", partition=0)
    assert [message.value() for message in read(servers, "failed")] == [b"next"]


@pytest.fixture
def levels(servers: str, kind: str) -> Iterator[Callable[[int], None]]:
    """Sets the level of transaction.version, which is 2 before and after."""
    if kind == KAFKA_3:
        pytest.skip("transaction.version is of Kafka 4")
    with Admin(servers) as admin:

        def settle(level: int) -> None:
            up = FeatureUpdate(level, UpgradeType.UPGRADE)
            change = up if level == 2 else FeatureUpdate(level, UpgradeType.SAFE_DOWNGRADE)
            if admin.describe_features().features["transaction.version"].in_force != (level or None):
                admin.update_features({"transaction.version": change}).check()

        settle(2)
        yield settle
        settle(2)


async def test_the_protocol_of_transactions_changes_under_an_open_producer(
    servers: str, kind: str, levels: Callable[[int], None]
) -> None:
    """A producer goes on in the protocol of its connections, and takes the other one with the next ones.

    Kafka's brokers refuse offsets in the second protocol (UNSUPPORTED_VERSION) once its level is gone.
    """
    steps = [(0, False), (2, False), (2, True), (0, False), (0, True), (2, True)]
    expected = [{False}, {False}, {True}, {True}, {False}, {True}]
    if kind != "fastlog":
        del steps[3], expected[3]
    levels(0)
    spoken: list[bool] = []
    number = 0
    async with AsyncProducer(servers, transactional_id="switch", linger_ms=0) as producer:
        engine = producer._engine
        assert engine.transactions is not None
        for level, reconnects in steps:
            levels(level)
            if reconnects:
                for link in list(engine._cluster._pool._links.values()):
                    await link.connection.close()
            for outcome in ("committed", "aborted", "committed"):
                await producer.begin_transaction()
                for at in range(6):
                    producer.send("switch", b"%s %d" % (outcome.encode(), number), partition=at % 3)
                    number += 1
                offsets = {TopicPartition("switch", 0): number}
                await producer.send_offsets_to_transaction(offsets, "switchers")
                spoken.append(engine.transactions._is_second)
                if outcome == "committed":
                    await producer.commit_transaction()
                else:
                    await producer.abort_transaction()
    turns = [set(spoken[at : at + 3]) for at in range(0, len(spoken), 3)]
    assert turns == expected
    seen = [message.value() or b"" for message in read(servers, "switch")]
    assert sorted(seen, key=lambda value: int(value.split()[1])) == [
        b"committed %d" % at for at in range(number) if at // 6 % 3 != 1
    ]
    consumer = confluent_kafka.Consumer({"bootstrap.servers": servers, "group.id": "switchers"})
    try:
        (row,) = consumer.committed([confluent_kafka.TopicPartition("switch", 0)], timeout=30)
        assert row.offset == number
    finally:
        consumer.close()


@pytest.mark.whole
@pytest.mark.timeout(900)
async def test_the_epochs_of_a_producer_run_out(servers: str, levels: Callable[[int], None]) -> None:
    """With the second protocol each transaction has an epoch of its own, of which there are 32,767."""
    levels(2)
    rounds = 33_500
    identities: set[int] = set()
    async with AsyncProducer(servers, transactional_id="epochs", linger_ms=0) as producer:
        engine = producer._engine
        assert engine.transactions is not None
        for number in range(rounds):
            async with producer.transaction():
                await producer.send("epochs", b"%d" % number, partition=0)
            assert engine.transactions._identity is not None
            identities.add(engine.transactions._identity.producer_id)
    assert len(identities) == 2
    found = [int(message.value() or b"") for message in read(servers, "epochs")]
    assert found == list(range(rounds))
