"""The library's consumers on fastlog and on Apache Kafka 3.9 and 4, and in one group with librdkafka's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import pytest

from fastlog import Consumer, TopicPartition
from tests.compat.client_programs import CODECS
from tests.harness.broker_process import BrokerProcess
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, ApacheKafka

pytestmark = [pytest.mark.timeout(180)]

KAFKAS = [
    pytest.param(KAFKA_3, id="kafka-3", marks=pytest.mark.java),
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
