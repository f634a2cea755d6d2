"""Transactions of unmodified clients: commit, abort, offsets of a group, a consumer of what is committed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from tests.integration.requests import make_topic
from tests.integration.running import RunningBroker

with warnings.catch_warnings():
    # Its schemas are read by a function that Python has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import KafkaConsumer, KafkaProducer  # type: ignore[import-untyped]

FATES = [True, False, True, False, True]
COMMITTED = [number for number, commits in enumerate(FATES) if commits]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    settings = {"transaction.state.log.num.partitions": "2", "offsets.topic.num.partitions": "2"}
    running = RunningBroker(tmp_path_factory.mktemp("clients"), settings)
    running.start()
    with running.connect() as client:
        for topic in ("source", "librdkafka", "kafka-python"):
            make_topic(client, topic)
    yield running
    running.close()


def test_librdkafka(broker: RunningBroker) -> None:
    at, group = {"bootstrap.servers": broker.bootstrap, "log_level": 2}, {"group.id": "copiers"}
    committed = {"isolation.level": "read_committed", "enable.partition.eof": True}
    consumer = Consumer({**at, **group, **committed})
    producer = Producer({**at, "transactional.id": "copier"})
    producer.init_transactions(30)
    for number, commits in enumerate(FATES):
        producer.begin_transaction()
        producer.produce("librdkafka", b"%d" % number)
        position = TopicPartition("source", 0, number + 1)
        producer.send_offsets_to_transaction([position], consumer.consumer_group_metadata(), 30)
        if commits:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    consumer.assign([TopicPartition("librdkafka", 0, 0)])
    found: list[int] = []
    while True:
        message = consumer.poll(30)
        assert message is not None
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF
            break
        found.append(int(message.value() or b""))
    (offset,) = consumer.committed([TopicPartition("source", 0)], 30)
    consumer.close()
    assert (found, offset.offset) == (COMMITTED, COMMITTED[-1] + 1)


def test_kafka_python(broker: RunningBroker) -> None:
    producer: Any = KafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id="sender")
    producer.init_transactions()
    for number, commits in enumerate(FATES):
        producer.begin_transaction()
        producer.send("kafka-python", b"%d" % number)
        producer.flush()
        if commits:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    producer.close()
    consumer: Any = KafkaConsumer(
        "kafka-python",
        bootstrap_servers=broker.bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        consumer_timeout_ms=10_000,
    )
    found = [int(next(consumer).value) for _ in COMMITTED]
    consumer.close()
    assert found == COMMITTED
