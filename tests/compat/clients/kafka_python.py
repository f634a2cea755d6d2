"""kafka-python, releases 2 and 3."""

from __future__ import annotations

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.compat.clients.arguments import Arguments, parse
from tests.harness.dataset import Record, read_file, write_record


def produce(arguments: Arguments) -> None:
    """Sends with acks=all; every future is checked."""
    producer = KafkaProducer(
        bootstrap_servers=arguments.bootstrap,
        compression_type=None if arguments.codec == "none" else arguments.codec,
        acks="all",
        linger_ms=20,
        batch_size=64 * 1024,
    )
    futures = [
        producer.send(
            arguments.topic,
            value=item.value,
            key=item.key,
            headers=item.headers,
            partition=0,
            timestamp_ms=item.timestamp,
        )
        for item in read_file(arguments.file)
    ]
    producer.flush(timeout=60)
    for future in futures:
        future.get(timeout=60)
    producer.close()


def consume(arguments: Arguments) -> None:
    """Reads by assignment from the beginning."""
    consumer = KafkaConsumer(
        bootstrap_servers=arguments.bootstrap,
        consumer_timeout_ms=30_000,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    partition = TopicPartition(arguments.topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    left = arguments.count
    with arguments.file.open("wb") as out:
        for message in consumer:
            write_record(
                out,
                Record(message.timestamp, message.key, message.value, [(k, v) for k, v in message.headers]),
            )
            left -= 1
            if left == 0:
                break
    assert left == 0, f"{left} records are missing"
    consumer.close()


if __name__ == "__main__":
    given = parse()
    {"produce": produce, "consume": consume}[given.action](given)
