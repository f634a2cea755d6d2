"""The library's consumers on fastlog and on Apache Kafka 3.9 and 4, and in one group with librdkafka's."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import confluent_kafka
import pytest

from fastlog import Admin, Consumer, NewTopic, Producer, Record, RecordColumns, TopicPartition
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
    directory: Path = tmp_path_factory.mktemp("library-consumer")
    # The records carry timestamps of years ago.
    settings = {
        "num.partitions": "4",
        "log.retention.ms": "-1",
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.num.partitions": "3",
    }
    newer = {
        "group.consumer.heartbeat.interval.ms": "300",
        "group.consumer.min.heartbeat.interval.ms": "300",
    }
    if kind == "fastlog":
        with BrokerProcess(directory, settings={**settings, **newer}) as broker:
            yield broker.bootstrap
    else:
        settings |= {
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
        }
        settings |= newer if kind == KAFKA_4 else {}
        with ApacheKafka(directory, version=kind, settings=settings, heap="400m") as kafka:
            yield kafka.bootstrap


def produce(servers: str, topic: str, count: int, **settings: object) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": servers, **settings})
    for number in range(count):
        producer.produce(
            topic,
            None if number % 50 == 0 else b"value %d " % number * (number % 20),
            key=b"key %d" % (number % 100),
            headers=[("n", b"%d" % number), ("none", None)],
            timestamp=1_700_000_000_000 + number,
            partition=number % 4,
        )
    assert producer.flush(60) == 0


@pytest.mark.parametrize("codec", CODECS)
def test_what_librdkafka_writes_is_read_byte_by_byte(servers: str, codec: str) -> None:
    topic = f"codec-{codec}"
    produce(servers, topic, 2000, **{"compression.type": codec, "linger.ms": 20})
    with Consumer(servers, auto_offset_reset="earliest") as consumer:
        consumer.assign([(topic, index) for index in range(4)])
        found = []
        while len(found) < 2000:
            records = consumer.consume(300, timeout=60)
            assert records
            found += records
    found.sort(key=lambda record: record.timestamp)
    for number, record in enumerate(found):
        assert record.value == (None if number % 50 == 0 else b"value %d " % number * (number % 20))
        assert record.key == b"key %d" % (number % 100)
        assert record.headers == [("n", b"%d" % number), ("none", None)]
        assert (record.timestamp, record.partition) == (1_700_000_000_000 + number, number % 4)


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky", "848"])
def test_a_group_of_members_of_both_libraries_reads_everything_once(
    servers: str, kind: str, strategy: str
) -> None:
    if strategy == "848" and kind == KAFKA_3:
        pytest.skip("the protocol of KIP-848 is off by default in Kafka 3.9")
    topic = group = f"mixed-{strategy}"
    produce(servers, topic, 4)
    ours: dict[str, object] = {"group_id": group, "auto_offset_reset": "earliest"}
    theirs: dict[str, object] = {"group.id": group, "auto.offset.reset": "earliest"}
    if strategy == "848":
        ours["group_protocol"] = "consumer"
        theirs["group.protocol"] = "consumer"
    else:
        ours |= {"partition_assignment_strategy": strategy, "heartbeat_interval_ms": 300}
        theirs |= {"partition.assignment.strategy": strategy, "heartbeat.interval.ms": 300}
    got: list[tuple[int, int]] = []
    other = confluent_kafka.Consumer({"bootstrap.servers": servers, **theirs})
    try:
        with Consumer(servers, topic, **ours) as one:  # type: ignore[arg-type]
            other.subscribe([topic])
            end = time.monotonic() + 90

            def both() -> None:
                assert time.monotonic() < end, (one.assignment(), other.assignment(), len(got))
                for name, records in one.poll(100).items():
                    got.extend((name.partition, record.offset) for record in records)
                message = other.poll(0.1)
                if message is not None:
                    assert not message.error(), message.error()
                    got.append((message.partition(), message.offset()))

            while len(one.assignment()) != 2 or len(other.assignment()) != 2 or len(set(got)) < 4:
                both()
            assert not {name.partition for name in one.assignment()} & {
                row.partition for row in other.assignment()
            }
            produce(servers, topic, 200)
            while len(set(got)) < 204:
                both()
            other.close()
            while len(one.assignment()) != 4:
                assert time.monotonic() < end
                one.poll(100)
            produce(servers, topic, 8)
            before = len(got)
            while len(got) < before + 8:
                got += [(record.partition, record.offset) for record in one.consume(10, timeout=1)]
                assert time.monotonic() < end
        assert sorted(got) == [(partition, offset) for partition in range(4) for offset in range(53)]
    finally:
        other.close()


def test_records_of_aborted_transactions_are_left_out(servers: str) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": servers, "transactional.id": "theirs"})
    producer.init_transactions(60)
    for number in range(6):
        producer.begin_transaction()
        for at in range(20):
            producer.produce("transactions", b"%d-%d" % (number, at), partition=0)
        if number % 2:
            producer.abort_transaction(60)
        else:
            producer.commit_transaction(60)
    name = TopicPartition("transactions", 0)
    with Consumer(servers, isolation_level="read_committed", auto_offset_reset="earliest") as consumer:
        consumer.assign([name])
        found: list[bytes | None] = []
        while len(found) < 60:
            records = consumer.consume(100, timeout=60)
            assert records
            found += [record.value for record in records]
        assert found == [b"%d-%d" % (number, at) for number in (0, 2, 4) for at in range(20)]
        assert consumer.poll(500) == {}


def fill_all_kinds(servers: str, topic: str) -> None:
    """2,000 records in all codecs, 80 of committed transactions, and 80 of aborted ones."""
    for codec in CODECS:
        produce(servers, topic, 400, **{"compression.type": codec, "linger.ms": 5})
    theirs = confluent_kafka.Producer({"bootstrap.servers": servers, "transactional.id": topic})
    theirs.init_transactions(60)
    for number in range(4):
        theirs.begin_transaction()
        for at in range(40):
            theirs.produce(topic, b"%d-%d" % (number, at), partition=at % 4)
        theirs.flush(60)
        if number % 2:
            theirs.abort_transaction(60)
        else:
            theirs.commit_transaction(60)


def in_order(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: (record.partition, record.offset))


def by_rows(servers: str, topic: str, isolation: str, count: int) -> list[Record]:
    found: list[Record] = []
    config = {"isolation.level": isolation, "auto.offset.reset": "earliest"}
    with Consumer(servers, config=config) as consumer:
        consumer.assign([TopicPartition(topic, index) for index in range(4)])
        while len(found) < count:
            records = consumer.consume(1000, timeout=60)
            assert records, f"{len(found)} of {count}"
            found += records
    return in_order(found)


def by_columns(servers: str, topic: str, isolation: str, **limits: int) -> list[RecordColumns]:
    found: list[RecordColumns] = []
    names = [TopicPartition(topic, index) for index in range(4)]
    config = {"isolation.level": isolation, "auto.offset.reset": "earliest"}
    with Consumer(servers, config=config) as consumer:
        consumer.assign(names)
        ends = consumer.end_offsets(names)
        while any(consumer.position(name) < end for name, end in ends.items()):
            found.append(consumer.poll_columns(5_000, **limits))
            assert found[-1].damage is None
    return found


@pytest.mark.parametrize("isolation", ["read_uncommitted", "read_committed"])
def test_columns_are_what_rows_are_and_go_into_another_topic(servers: str, isolation: str) -> None:
    """All codecs, nulls, headers, the broker's time, transactions that end either way, and any limits."""
    topic, copy = f"columns-{isolation}", f"columns-{isolation}-copy"
    with Admin(servers) as admin:
        config = {"message.timestamp.type": "LogAppendTime"}
        topics = [NewTopic(topic, partitions=4, config=config), NewTopic(copy, partitions=4)]
        admin.create_topics(topics).check()
    fill_all_kinds(servers, topic)
    count = 2160 if isolation == "read_uncommitted" else 2080
    rows = by_rows(servers, topic, isolation, count)
    assert len(rows) == count and all(record.is_append_time for record in rows)
    for limits in ({"max_records": 37}, {"max_bytes": 2000}, {}):
        columns = by_columns(servers, topic, isolation, **limits)
        assert max(map(len, columns)) <= limits.get("max_records", count)
        assert in_order(row for found in columns for row in found) == rows
    with Producer(servers) as producer:
        for found in columns:
            producer.send_many(copy, found)
    again = by_rows(servers, copy, isolation, count)
    assert [(row.partition, row.timestamp, row.key, row.value, row.headers) for row in again] == [
        (row.partition, row.timestamp, row.key, row.value, row.headers) for row in rows
    ]
