"""kafka-python, releases 2 and 3."""

from __future__ import annotations

import importlib
from typing import Any

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.compat.clients.arguments import Arguments, parse
from tests.compat.clients.security import security
from tests.harness.dataset import Record, read_file, write_record


def reached() -> dict[str, Any]:
    """The settings that say how."""
    settings = security()
    token = settings.get("sasl_oauth_token_provider")
    if token is not None:
        # Release 3 has moved it.
        here = "kafka.sasl.oauth" if kafka.__version__.startswith("2.") else "kafka.net.sasl.oauth"
        provider = importlib.import_module(here).AbstractTokenProvider
        members = {"__init__": lambda self, **_: None, "token": lambda _: token, "extensions": lambda _: {}}
        settings["sasl_oauth_token_provider"] = type("Provider", (provider,), members)()
    return settings


def produce(arguments: Arguments) -> None:
    """Sends with acks=all; every future is checked."""
    producer = KafkaProducer(
        bootstrap_servers=arguments.bootstrap,
        compression_type=None if arguments.codec == "none" else arguments.codec,
        acks="all",
        linger_ms=20,
        batch_size=64 * 1024,
        **reached(),
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
        **reached(),
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
