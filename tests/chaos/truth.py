"""What the broker's own topics say when a run is over."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from fastlog.coordination.groups.records import (
    GroupKey,
    OffsetKey,
    decode_group_value,
    decode_key,
    decode_offset_value,
)
from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from tests.chaos.checker import Position

_SECONDS = 30


def committed(admin: AdminClient, group: str, topic: str, partitions: int) -> dict[int, int]:
    """The committed offset of each partition; what has none is left out."""
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, index) for index in range(partitions)])
    found = admin.list_consumer_group_offsets([asked], request_timeout=_SECONDS)[group].result(_SECONDS)
    return {item.partition: item.offset for item in found.topic_partitions or () if item.offset >= 0}


def end_offsets(bootstrap: str, topic: str, partitions: int) -> dict[int, int]:
    """Where each partition ends."""
    consumer = _reader(bootstrap)
    try:
        return {
            index: consumer.get_watermark_offsets(TopicPartition(topic, index), timeout=_SECONDS)[1]
            for index in range(partitions)
        }
    finally:
        consumer.close()


def read_values(bootstrap: str, topic: str, partitions: int) -> dict[Position, int]:
    """All records of the topic, by partition and offset."""
    found: dict[Position, int] = {}

    def take(message: Message) -> None:
        partition, offset, value = message.partition(), message.offset(), message.value()
        assert partition is not None and offset is not None and value is not None
        found[partition, offset] = int(value)

    _read_all(bootstrap, topic, partitions, take)
    return found


def read_group_log(
    bootstrap: str, group: str, topic: str, partitions: int
) -> tuple[list[Position], list[int]]:
    """(every committed offset of the group, every generation of it), in the order of the groups' topic."""
    offsets: list[Position] = []
    generations: list[int] = []

    def take(message: Message) -> None:
        raw_key, value = message.key(), message.value()
        assert isinstance(raw_key, bytes)
        key = decode_key(raw_key)
        if isinstance(key, GroupKey) and key.group == group and value is not None:
            generations.append(decode_group_value(value).generation)
        elif isinstance(key, OffsetKey) and key.group == group and key.topic == topic:
            offsets.append((key.partition, decode_offset_value(value).offset if value is not None else -1))

    _read_all(bootstrap, GROUP_METADATA_TOPIC, partitions, take)
    return offsets, generations


def _reader(bootstrap: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader-of-the-truth",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
            "log_level": 2,
        }
    )


def _read_all(bootstrap: str, topic: str, partitions: int, take: Callable[[Message], None]) -> None:
    ends = end_offsets(bootstrap, topic, partitions)
    consumer = _reader(bootstrap)
    left = {index for index, end in ends.items() if end > 0}
    try:
        consumer.assign([TopicPartition(topic, index, 0) for index in sorted(left)])
        deadline = time.monotonic() + _SECONDS
        while left:
            # It waits for all of so many messages or for the time.
            messages = consumer.consume(1000, 0.2)
            deadline = time.monotonic() + _SECONDS if messages else deadline
            assert time.monotonic() < deadline, f"{topic} cannot be read to its end: {sorted(left)} are left"
            for message in messages:
                assert message.error() is None, message.error()
                take(message)
                partition, offset = message.partition(), message.offset()
                assert partition is not None and offset is not None
                if offset + 1 >= ends[partition]:
                    left.discard(partition)
    finally:
        consumer.close()
