"""confluent-kafka (librdkafka)."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.compat.clients.arguments import Arguments, parse
from tests.harness.dataset import Record, read_file, write_record


def produce(arguments: Arguments) -> None:
    """Sends with librdkafka's idempotent producer."""
    producer = Producer(
        {
            "bootstrap.servers": arguments.bootstrap,
            "compression.type": arguments.codec,
            "enable.idempotence": True,
            "linger.ms": 20,
            "message.max.bytes": 1_048_588,
        }
    )
    failures: list[object] = []

    def delivered(error: object, _message: object) -> None:
        if error is not None:
            failures.append(error)

    for item in read_file(arguments.file):
        while True:
            try:
                producer.produce(
                    arguments.topic,
                    value=item.value,
                    key=item.key,
                    partition=0,
                    timestamp=item.timestamp,
                    headers=item.headers,
                    on_delivery=delivered,
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(60)
    assert left == 0, f"{left} records were not delivered"
    assert not failures, failures[:5]


def consume(arguments: Arguments) -> None:
    """Reads by assignment from the beginning."""
    consumer = Consumer({"bootstrap.servers": arguments.bootstrap, "group.id": "unused", "check.crcs": True})
    consumer.assign([TopicPartition(arguments.topic, 0, 0)])
    left = arguments.count
    with arguments.file.open("wb") as out:
        while left:
            batch = consumer.consume(min(left, 10_000), timeout=30)
            assert batch, f"nothing more came, {left} records are missing"
            for message in batch:
                if message.error() is not None:
                    raise KafkaException(message.error())
                headers = list(message.headers() or [])
                write_record(out, Record(message.timestamp()[1], message.key(), message.value(), headers))
            left -= len(batch)
    consumer.close()


if __name__ == "__main__":
    given = parse()
    {"produce": produce, "consume": consume}[given.action](given)
