"""Records: produce one, send one again, write a tombstone, import many."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastlog.base.wording import counted
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicInfo
from fastlog.client.partitioner import partition_of_key
from fastlog.client.producer.asynchronous import AsyncProducer
from fastlog.client.producer.config import ProducerConfig
from fastlog.verbs.browse import read_one
from fastlog.verbs.desk import Desk
from fastlog.verbs.problems import BadArgument
from fastlog.verbs.registry import DryRun, verb
from fastlog.verbs.topics import TopicName, topic_info

__all__ = ["Encoding", "NewRecord", "Produced", "encode", "produce", "resend", "send_records", "tombstone"]

Encoding = Literal["text", "base64", "hex"]

_MAX_RECORD: Final = 4 << 20
_MOST_HEADERS: Final = 100
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Produced:
    """A record that is written, or would be; `partition` is None where the producer would choose."""

    executed: bool
    summary: str
    topic: str
    partition: int | None
    offset: int | None
    timestamp: int | None
    key_size: int | None
    value_size: int | None


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be written; `timestamp` in ms, None: now."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int | None = None
    timestamp: int | None = None

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


def encode(name: str, text: str | None, encoding: Encoding) -> bytes | None:
    """Bytes of an argument. Raises BadArgument."""
    if text is None:
        return None
    try:
        if encoding == "text":
            return text.encode()
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except ValueError:
        raise BadArgument(f"{name}: is not {encoding}") from None


@verb("write")
async def produce(
    desk: Desk,
    *,
    topic: TopicName,
    value: Annotated[str | None, "The value; null is a tombstone in compacted topics."],
    key: Annotated[str | None, "The key."] = None,
    headers: Annotated[list[list[str]] | None, "Pairs of name and value."] = None,
    partition: Annotated[int | None, "Where; by the key without it."] = None,
    timestamp: Annotated[int | None, "Milliseconds since 1970; now without it."] = None,
    key_encoding: Annotated[Encoding, "How the key is given."] = "text",
    value_encoding: Annotated[Encoding, "How the value is given."] = "text",
    dry_run: DryRun = True,
) -> Produced:
    """Writes a record to a topic."""
    record = NewRecord(
        encode("value", value, value_encoding),
        encode("key", key, key_encoding),
        _headers(headers or []),
        partition,
        timestamp,
    )
    return await _produce(desk, topic, record, dry_run=dry_run)


@verb("write")
async def tombstone(
    desk: Desk,
    *,
    topic: TopicName,
    key: Annotated[str, "The key whose records compaction is to remove."],
    partition: Annotated[int | None, "Where; by the key without it."] = None,
    key_encoding: Annotated[Encoding, "How the key is given."] = "text",
    dry_run: DryRun = True,
) -> Produced:
    """Writes a null value for a key: in a compacted topic the key's records go with the next compaction."""
    record = NewRecord(None, encode("key", key, key_encoding), partition=partition)
    return await _produce(desk, topic, record, dry_run=dry_run)


@verb("write")
async def resend(
    desk: Desk,
    *,
    topic: TopicName,
    partition: Annotated[int, "The partition of the record."],
    offset: Annotated[int, "Its offset."],
    to_topic: Annotated[str | None, "Where the copy goes; the same topic without it."] = None,
    to_partition: Annotated[int | None, "Its partition; by the key without it."] = None,
    dry_run: DryRun = True,
) -> Produced:
    """Writes a record once more, with its key, value and headers, to the same topic or another."""
    record = await read_one(desk, topic, partition, offset)
    target = to_topic or topic
    if target != topic and desk.masks.of(topic).rules:
        raise BadArgument(
            "topic: parts of its records are masked, and cannot be copied to where they are not"
        )
    copy = NewRecord(record.value, record.key, record.headers, to_partition)
    return await _produce(desk, target, copy, dry_run=dry_run)


def _headers(rows: list[list[str]]) -> list[tuple[str, bytes | None]]:
    if len(rows) > _MOST_HEADERS:
        raise BadArgument(f"headers: {len(rows)} are more than {_MOST_HEADERS}")
    found: list[tuple[str, bytes | None]] = []
    for row in rows:
        if len(row) != 2:
            raise BadArgument("headers: pairs of name and value")
        found.append((row[0], encode("headers", row[1], "text")))
    return found


async def _produce(desk: Desk, topic: str, record: NewRecord, *, dry_run: bool) -> Produced:
    info = await topic_info(desk, topic)
    check_record(record, info)
    place = record.partition
    if place is None and record.key is not None:
        place = partition_of_key(record.key, len(info.partitions))
    offset: int | None = None
    timestamp = record.timestamp
    if not dry_run:
        async with _producer(desk) as producer:
            written = await producer.send_and_wait(
                topic,
                record.value,
                key=record.key,
                headers=list(record.headers),
                partition=record.partition,
                timestamp_ms=record.timestamp,
            )
        place, offset, timestamp = written.partition, written.offset, written.timestamp
    what = "a tombstone" if record.value is None else f"a record of {counted(record.size, 'byte')}"
    where = topic if place is None else f"{topic}, partition {place}"
    return Produced(
        not dry_run,
        f"write {what} to {where}",
        topic,
        place,
        offset,
        timestamp,
        None if record.key is None else len(record.key),
        None if record.value is None else len(record.value),
    )


def check_record(record: NewRecord, info: TopicInfo) -> None:
    """Raises BadArgument for what no broker would take."""
    if record.size > _MAX_RECORD:
        raise BadArgument(f"the record has {record.size} bytes, at most {_MAX_RECORD} are taken here")
    if record.partition is not None and not 0 <= record.partition < len(info.partitions):
        raise BadArgument(
            f"partition: topic {info.name} has no {record.partition}, it has {len(info.partitions)}"
        )
    if record.timestamp is not None and not 0 <= record.timestamp < 2**62:
        raise BadArgument(f"timestamp: {record.timestamp} is none")


def _producer(desk: Desk) -> AsyncProducer:
    config = ProducerConfig(
        allow_auto_create_topics=False,
        delivery_timeout_ms=desk.connection.timeout_ms,
        max_block_ms=desk.connection.timeout_ms,
        max_request_size=_MAX_RECORD + (64 << 10),
    )
    return AsyncProducer.of(config, desk.cluster)


async def send_records(desk: Desk, topic: str, records: Sequence[NewRecord]) -> list[ClientError | None]:
    """Writes many; what came of each. The desk must have been asked whether it may write."""
    desk.check_may_write("import")
    outcomes: list[ClientError | None] = []
    async with _producer(desk) as producer:
        for at in range(0, len(records), _AT_ONCE):
            sent = [
                await producer.enqueue(
                    topic,
                    record.value,
                    key=record.key,
                    headers=list(record.headers),
                    partition=record.partition,
                    timestamp_ms=record.timestamp,
                )
                for record in records[at : at + _AT_ONCE]
            ]
            for delivery in sent:
                try:
                    await delivery
                except ClientError as error:
                    outcomes.append(error)
                else:
                    outcomes.append(None)
    return outcomes
