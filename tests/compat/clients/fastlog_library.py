"""The library: `Producer` and records with FASTLOG_COLUMNS unset, else `AsyncProducer` and columns."""

from __future__ import annotations

import asyncio
import os
from typing import BinaryIO

from fastlog import AsyncConsumer, AsyncProducer, Consumer, Producer, RecordColumns, TopicPartition
from tests.compat.clients.arguments import Arguments, parse
from tests.harness.dataset import Record, read_file, write_record


def produce(arguments: Arguments) -> None:
    """Sends with the producer for threads; each record is confirmed."""
    confirmed = 0

    def delivered(_result: object, error: object) -> None:
        nonlocal confirmed
        assert error is None, error
        confirmed += 1

    with Producer(
        arguments.bootstrap, compression_type=arguments.codec, max_request_size=1_048_588
    ) as producer:
        for item in read_file(arguments.file):
            producer.send(
                arguments.topic,
                item.value,
                key=item.key,
                headers=item.headers,
                partition=0,
                timestamp_ms=item.timestamp,
                on_delivery=delivered,
            )
    assert confirmed == arguments.count, f"{confirmed} records are confirmed"


def consume(arguments: Arguments) -> None:
    """Reads by assignment from the beginning."""
    left = arguments.count
    with (
        arguments.file.open("wb") as out,
        Consumer(arguments.bootstrap, auto_offset_reset="earliest") as consumer,
    ):
        consumer.assign([TopicPartition(arguments.topic, 0)])
        while left:
            records = consumer.consume(min(left, 10_000), timeout=30)
            assert records, f"nothing more came, {left} records are missing"
            for item in records:
                write_record(out, Record(item.timestamp, item.key, item.value, item.headers))
            left -= len(records)


async def produce_async(arguments: Arguments) -> None:
    """Sends with the producer for event loops, which holds back by `drain`."""
    last = None
    async with AsyncProducer(
        arguments.bootstrap, compression_type=arguments.codec, max_request_size=1_048_588
    ) as producer:
        for item in read_file(arguments.file):
            last = producer.send(
                arguments.topic,
                item.value,
                key=item.key,
                headers=item.headers,
                partition=0,
                timestamp_ms=item.timestamp,
            )
            await producer.drain()
        assert last is not None
        assert (await last).offset == arguments.count - 1


async def consume_columns(arguments: Arguments) -> None:
    """Reads columns."""
    left = arguments.count
    with arguments.file.open("wb") as out:
        async with AsyncConsumer(arguments.bootstrap, auto_offset_reset="earliest") as consumer:
            await consumer.assign([TopicPartition(arguments.topic, 0)])
            while left:
                columns = await consumer.poll_columns(30_000, min(left, 50_000))
                assert len(columns), f"nothing more came, {left} records are missing"
                write_columns(out, columns)
                left -= len(columns)


def write_columns(out: BinaryIO, columns: RecordColumns) -> None:
    """Row by row, out of each column by itself."""
    rows = zip(columns.timestamps, columns.keys, columns.values, columns.headers, strict=True)
    for timestamp, key, value, headers in rows:
        write_record(out, Record(int(timestamp), key, value, headers))


if __name__ == "__main__":
    given = parse()
    if os.environ.get("FASTLOG_COLUMNS"):
        asyncio.run({"produce": produce_async, "consume": consume_columns}[given.action](given))
    else:
        {"produce": produce, "consume": consume}[given.action](given)
