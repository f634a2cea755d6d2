"""Real clients produce and consume by assignment, and read and write each other's records."""

from __future__ import annotations

import gc
import socket
import warnings
from ipaddress import IPv4Address

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.integration.running import RunningBroker

with warnings.catch_warnings():
    # importlib.resources.read_text, on import.
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka

COUNT = 500
VALUES = [b"value %d" % index for index in range(COUNT)]


def produce_with_confluent(broker: RunningBroker, topic: str, **config: object) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, **config})
    failures = []
    for value in VALUES:
        producer.produce(topic, value, key=b"k", on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(20) == 0
    assert [error for error in failures if error is not None] == []


def consume_with_confluent(broker: RunningBroker, topic: str) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "unused", "enable.auto.commit": False}
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        messages = []
        while len(messages) < COUNT:
            batch = consumer.consume(COUNT, timeout=10)
            assert batch, f"only {len(messages)} messages came"
            assert all(message.error() is None for message in batch)
            messages += batch
    finally:
        consumer.close()
    assert [message.offset() for message in messages] == list(range(COUNT))
    return [message.value() for message in messages]


def produce_with_kafka_python(broker: RunningBroker, topic: str, **config: object) -> None:
    producer = kafka.KafkaProducer(bootstrap_servers=broker.bootstrap, **config)
    futures = [producer.send(topic, value, key=b"k") for value in VALUES]
    assert [future.get(20).offset for future in futures] == list(range(COUNT))
    producer.close()


def consume_with_kafka_python(broker: RunningBroker, topic: str) -> list[bytes]:
    consumer = kafka.KafkaConsumer(bootstrap_servers=broker.bootstrap, consumer_timeout_ms=10_000)
    consumer.assign([kafka.TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    values = []
    for message in consumer:
        values.append(message.value)
        if len(values) == COUNT:
            break
    consumer.close()
    return values


def test_confluent_kafka(broker: RunningBroker) -> None:
    produce_with_confluent(broker, "t", **{"enable.idempotence": True})
    assert consume_with_confluent(broker, "t") == VALUES
    assert consume_with_kafka_python(broker, "t") == VALUES


def test_kafka_python(broker: RunningBroker) -> None:
    produce_with_kafka_python(broker, "t", enable_idempotence=True)
    assert consume_with_kafka_python(broker, "t") == VALUES
    assert consume_with_confluent(broker, "t") == VALUES


def test_confluent_kafka_without_acknowledgements(broker: RunningBroker) -> None:
    produce_with_confluent(broker, "t", acks=0)
    assert consume_with_confluent(broker, "t") == VALUES


# kafka-python does not close the sockets of connections that are refused.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_client_survives_a_restart_of_the_broker(broker: RunningBroker) -> None:
    producer = kafka.KafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=True)
    assert producer.send("t", b"before").get(20).offset == 0
    broker.stop()
    broker.start()
    assert producer.send("t", b"after").get(20).offset == 1
    producer.close()
    for leaked in gc.get_objects():
        # Never connected, and open: it would be found in another test.
        is_open = type(leaked) is socket.socket and leaked.fileno() >= 0
        if is_open and leaked.getsockname()[:1] == (str(IPv4Address(0)),):
            leaked.close()
