"""kafka-python over TLS and SASL: one record there and back."""

from __future__ import annotations

import json
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition


def main() -> None:
    """Arguments: topic, settings as JSON."""
    topic, settings = sys.argv[1], json.loads(sys.argv[2])
    producer = KafkaProducer(**settings)
    producer.send(topic, b"x" * 200_000).get(timeout=20)
    producer.close()
    consumer = KafkaConsumer(**settings, consumer_timeout_ms=20_000)
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    assert len(next(consumer).value) == 200_000
    consumer.close()


if __name__ == "__main__":
    main()
