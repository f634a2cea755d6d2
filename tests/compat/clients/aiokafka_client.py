"""aiokafka."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import AbstractTokenProvider

from tests.compat.clients.arguments import Arguments, parse
from tests.compat.clients.security import security
from tests.harness.dataset import Record, read_file, write_record


class Token(AbstractTokenProvider):  # type: ignore[misc]
    """The one that there is."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def token(self) -> str:
        """As it was given."""
        return self._text


def reached() -> dict[str, Any]:
    """The settings that say how."""
    settings = security()
    if "sasl_oauth_token_provider" in settings:
        settings["sasl_oauth_token_provider"] = Token(settings["sasl_oauth_token_provider"])
    return settings


async def produce(arguments: Arguments) -> None:
    """Sends with the idempotent producer; every future is checked."""
    producer = AIOKafkaProducer(
        bootstrap_servers=arguments.bootstrap,
        compression_type=None if arguments.codec == "none" else arguments.codec,
        enable_idempotence=True,
        linger_ms=20,
        max_batch_size=64 * 1024,
        max_request_size=1_048_588,
        **reached(),
    )
    async with producer:
        futures = [
            await producer.send(
                arguments.topic,
                value=item.value,
                key=item.key,
                headers=item.headers,
                partition=0,
                timestamp_ms=item.timestamp,
            )
            for item in read_file(arguments.file)
        ]
        await asyncio.gather(*futures)


async def consume(arguments: Arguments) -> None:
    """Reads by assignment from the beginning."""
    consumer = AIOKafkaConsumer(bootstrap_servers=arguments.bootstrap, enable_auto_commit=False, **reached())
    async with consumer:
        partition = TopicPartition(arguments.topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        left = arguments.count
        with arguments.file.open("wb") as out:
            while left:
                async with asyncio.timeout(30):
                    batches = await consumer.getmany(timeout_ms=1000, max_records=min(left, 10_000))
                for message in batches.get(partition, []):
                    headers = list(message.headers)
                    write_record(out, Record(message.timestamp, message.key, message.value, headers))
                    left -= 1


if __name__ == "__main__":
    given = parse()
    asyncio.run({"produce": produce, "consume": consume}[given.action](given))
