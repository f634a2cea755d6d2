"""What confluent-kafka tests of transactions, told anew: its distribution carries no tests.

The scenarios are those of its `integration/producer/test_transactions.py`.
"""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, KafkaError, Producer

from tests.harness.broker_process import BrokerProcess


@pytest.mark.parametrize(("fates", "read"), [("C", 100), ("A", 0), ("AC", 25)])
def test_what_is_committed_is_read(fates: str, read: int, broker: BrokerProcess, topic: str) -> None:
    """Of 100 and 25 records; C is committed, A is aborted. The next producer of the id waits for markers."""
    producer = _producer(broker, topic)
    for fate, count in zip(fates, (100, 25), strict=False):
        _send_in_transaction(producer, topic, count)
        producer.commit_transaction(30) if fate == "C" else producer.abort_transaction(30)
    _producer(broker, topic)
    consumer = _consumer(broker, topic)
    assert _read_to_the_end(consumer) == read
    consumer.close()


def test_offsets_are_committed_with_it(broker: BrokerProcess, topic: str) -> None:
    """The next producer of the id is there only when they can be read."""
    seeds = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(100):
        seeds.produce(topic, b"%d" % number, partition=0)
    assert seeds.flush(30) == 0
    consumer = _consumer(broker, topic)
    assert _read_to_the_end(consumer) == 100
    producer = _producer(broker, topic)
    _send_in_transaction(producer, f"{topic}-out", 100)
    at = [one for one in consumer.position(consumer.assignment()) if one.offset >= 0]
    producer.send_offsets_to_transaction(at, consumer.consumer_group_metadata(), 30)
    producer.commit_transaction(30)
    _producer(broker, topic)
    committed = {one.partition: one.offset for one in consumer.committed(consumer.assignment(), 30)}
    assert committed[0] == 100
    consumer.close()


def _producer(broker: BrokerProcess, topic: str) -> Producer:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    return producer


def _send_in_transaction(producer: Producer, topic: str, count: int) -> None:
    producer.begin_transaction()
    for number in range(count):
        producer.produce(topic, b"%d" % number)
        producer.poll(0)
    assert producer.flush(30) == 0


def _consumer(broker: BrokerProcess, topic: str) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([topic])
    return consumer


def _read_to_the_end(consumer: Consumer) -> int:
    """How many records came before the ends of both partitions."""
    count, ended = 0, set[int | None]()
    while len(ended) < 2:
        message = consumer.poll(30)
        assert message is not None, f"nothing comes after {count} records"
        error = message.error()
        if error is None:
            count += 1
            ended.discard(message.partition())
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error
            ended.add(message.partition())
    return count
