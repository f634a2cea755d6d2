"""Compacted topics under test: small segments, records of known offsets, waiting for the cleaner, reading."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from fastlog.storage.checkpoints import CLEANER_OFFSETS, CheckpointDamaged, read_offsets

SEGMENT_BYTES = 16 * 1024
EAGER = {"log.cleaner.backoff.ms": "20", "log.initial.task.delay.ms": "0"}
"""Broker settings with which compaction begins at once."""
TOPIC = {
    "cleanup.policy": "compact",
    "segment.bytes": str(SEGMENT_BYTES),
    "min.cleanable.dirty.ratio": "0.01",
    "file.delete.delay.ms": "0",
}
"""Topic settings with which every sealed segment is compacted."""
FILLER = b"filler"


class Kept(NamedTuple):
    """A record as a consumer sees it."""

    offset: int
    key: bytes | None
    value: bytes | None


class CompactedTopic:
    """One partition of a compacted topic, and everything that was acknowledged there by offset."""

    def __init__(
        self, bootstrap: str, data_dir: Path, name: str = "t", *, codec: str = "none", **config: str
    ) -> None:
        self.name = name
        self.bootstrap = bootstrap
        self.data_dir = data_dir
        self.sent: dict[int, Kept] = {}
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
        self._codec = codec
        self._client: tuple[str, Producer | None] = (bootstrap, None)
        settings = TOPIC | {key.replace("_", "."): value for key, value in config.items()}
        self.admin.create_topics([NewTopic(name, 1, 1, config=settings)])[name].result(30)

    @property
    def directory(self) -> Path:
        """The partition's directory."""
        return self.data_dir / f"{self.name}-0"

    @property
    def end(self) -> int:
        """The offset after the last acknowledged record."""
        return max(self.sent, default=-1) + 1

    def produce(self, records: Iterable[tuple[bytes, bytes | None]], *, timestamp: int | None = None) -> None:
        """Sends records and waits until all are acknowledged."""
        producer = self._producer()
        failures: list[object] = []

        def delivered(error: object, message: Message) -> None:
            offset = message.offset()
            if error is not None or offset is None:
                failures.append(error)
            else:
                self.sent[offset] = Kept(offset, message.key(), message.value())

        stamp = {} if timestamp is None else {"timestamp": timestamp}
        for number, (key, value) in enumerate(records):
            producer.produce(self.name, value, key, partition=0, on_delivery=delivered, **stamp)  # type: ignore[arg-type]
            if number % 1000 == 999:
                producer.flush(60)
        assert producer.flush(60) == 0
        assert not failures, failures[:3]

    def _producer(self) -> Producer:
        bootstrap, producer = self._client
        if producer is None or bootstrap != self.bootstrap:
            producer = Producer(
                {
                    "bootstrap.servers": self.bootstrap,
                    "compression.type": self._codec,
                    "enable.idempotence": True,
                    "linger.ms": 5,
                    "batch.num.messages": 50,
                    "reconnect.backoff.max.ms": 100,
                    "log_level": 2,
                }
            )
            self._client = (self.bootstrap, producer)
        return producer

    def roll(self, *, timestamp: int | None = None) -> int:
        """Has everything so far sealed; returns the offset up to which the cleaner can get (at least)."""
        end = self.end
        for _ in range(2):
            # Random, so that no codec makes it small.
            self.produce([(FILLER, os.urandom(SEGMENT_BYTES * 3 // 5))], timestamp=timestamp)
        return end

    def latest(self, below: int | None = None) -> list[Kept]:
        """The last record of each key, tombstones too, without the filler, by offset."""
        last: dict[bytes | None, Kept] = {}
        for offset in sorted(self.sent):
            record = self.sent[offset]
            if record.key != FILLER and (below is None or offset < below):
                last[record.key] = record
        return sorted(last.values(), key=lambda record: record.offset)

    def read_below(self, offset: int) -> list[Kept]:
        """What is there below an offset, without the filler."""
        return [record for record in self.read() if record.offset < offset and record.key != FILLER]

    def wait_clean(self, offset: int, *, seconds: float = 40) -> None:
        """Returns when the cleaner's checkpoint has reached `offset`."""
        wait_for(lambda: cleaned_to(self.data_dir, self.name) >= offset, seconds)

    def read(self) -> list[Kept]:
        """Everything from the beginning, checked against what was sent."""
        records = read_partition(self.bootstrap, self.name)
        for record in records:
            assert self.sent[record.offset] == record
        return records

    def alter(self, **config: str) -> None:
        """Changes settings of the topic while it is live."""
        alter(self.admin, ResourceType.TOPIC, self.name, {k.replace("_", "."): v for k, v in config.items()})


def alter(admin: AdminClient, kind: ResourceType, name: str, config: Mapping[str, str]) -> None:
    """Sets configs of a resource."""
    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()
    ]
    resource = ConfigResource(kind, name, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(timeout=30)


def cleaned_to(data_dir: Path, topic: str, partition: int = 0) -> int:
    """The offset in the cleaner's checkpoint, -1 when there is none; Kafka's may be caught half written."""
    try:
        return read_offsets(data_dir / CLEANER_OFFSETS).get((topic, partition), -1)
    except CheckpointDamaged:
        return -1


def read_partition(bootstrap: str, topic: str, partition: int = 0) -> list[Kept]:
    """All records of a partition in the order of their offsets, up to the end as of now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "enable.partition.eof": True,
            # Retention may take the first segment between the question and the first fetch.
            "auto.offset.reset": "earliest",
            "log_level": 2,
        }
    )
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
    consumer.assign([TopicPartition(topic, partition, low)])
    found: list[Kept] = []
    # The last offsets may be those of records that are gone: the end of the partition is told as an event.
    deadline = time.monotonic() + 30
    while low < high:
        message = consumer.poll(1)
        assert time.monotonic() < deadline, f"{topic}-{partition} ends at {low} instead of {high}"
        if message is None:
            continue
        error, offset = message.error(), message.offset()
        assert offset is not None
        if error is not None:
            assert error.name() == "_PARTITION_EOF", error
            low = max(low, offset)
        else:
            assert not found or offset > found[-1].offset
            found.append(Kept(offset, message.key(), message.value()))
            low = offset + 1
    consumer.close()
    return found


def wait_for(condition: object, seconds: float = 40) -> None:
    """Returns when the function `condition` gives something true."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come about in {seconds} s"
        time.sleep(0.02)
