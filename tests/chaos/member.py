"""A member of the group as a process, librdkafka or kafka-python, until SIGTERM, which makes it leave.

Usage: `python -m tests.chaos.member KIND BOOTSTRAP GROUP TOPIC EVENTS`. What it does and sees goes to the
file EVENTS (see `history`), each event with one write, so that kill -9 takes at most the last one. The
records that one poll brings are handled, then, after a little while as of work, their offsets are committed.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

SESSION_MS = 6_000
HEARTBEAT_MS = 500
MAX_POLL_INTERVAL_MS = 30_000
WORK_SECONDS = 0.05


class Journal:
    """Where a member writes down what happens, and whether it is to end."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.stopped = False
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_: object) -> None:
        self.stopped = True

    def write(self, kind: str, **fields: Any) -> None:
        """One event; its time is now."""
        os.write(self._file, json.dumps({"e": kind, "t": time.monotonic_ns(), **fields}).encode() + b"\n")

    def assigned(self, generation: int, member: str, partitions: Iterable[int]) -> None:
        """The member got its part."""
        known = generation if generation >= 0 else None
        self.write("assigned", generation=known, member=member, partitions=sorted(partitions))

    def revoked(self, generation: int, partitions: Iterable[int]) -> None:
        """It has to give it back."""
        self.write("revoked", generation=generation, partitions=sorted(partitions))

    def handled(self, records: list[tuple[int, int, int]]) -> dict[int, int]:
        """Records as (partition, offset, value); returns what is to be committed."""
        self.write("handled", records=records)
        time.sleep(WORK_SECONDS)
        return {partition: offset + 1 for partition, offset, _ in records}

    def committed(
        self, began: int, generations: tuple[int, int], offsets: dict[int, int], error: str | None
    ) -> None:
        """A commit was answered; `generations` are those that the client had before and after."""
        before, after = generations
        generation = before if before == after and before >= 0 else None
        self.write("commit", began=began, generation=generation, offsets=offsets, error=error)


def confluent(bootstrap: str, group: str, topic: str, journal: Journal) -> None:
    """librdkafka."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "partition.assignment.strategy": "range",
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": HEARTBEAT_MS,
            "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
            "reconnect.backoff.max.ms": 500,
            "log_level": 2,
        }
    )

    def generation() -> int:
        # "CGMDv2:", then the generation in the machine's order of bytes: librdkafka's way to write it down.
        metadata: bytes = consumer.consumer_group_metadata()
        (number,) = struct.unpack_from("=i", metadata, 7)
        return int(number)

    def on_assign(_: object, partitions: list[Any]) -> None:
        journal.assigned(generation(), consumer.memberid() or "", (item.partition for item in partitions))

    def on_revoke(_: object, partitions: list[Any]) -> None:
        journal.revoked(generation(), (item.partition for item in partitions))

    consumer.subscribe([topic], on_assign=on_assign, on_revoke=on_revoke)
    while not journal.stopped:
        polled = consumer.consume(500, 0.2)
        for message in polled:
            if message.error() is not None:
                journal.write("trouble", error=str(message.error()))
        # The client's types allow for messages that carry an error alone.
        good: list[Any] = [message for message in polled if message.error() is None]
        records = [(message.partition(), message.offset(), int(message.value())) for message in good]
        if not records:
            continue
        offsets = journal.handled(records)
        began, before, error = time.monotonic_ns(), generation(), None
        try:
            answers = consumer.commit(
                offsets=[TopicPartition(topic, partition, offset) for partition, offset in offsets.items()],
                asynchronous=False,
            )
            errors = [answer.error for answer in answers or () if answer.error is not None]
            error = str(errors[0]) if errors else None
        except KafkaException as failure:
            error = str(failure)
        journal.committed(began, (before, generation()), offsets, error)
    consumer.close()


def kafka_python(bootstrap: str, group: str, topic: str, journal: Journal) -> None:
    """kafka-python 3."""
    from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.errors import KafkaError
    from kafka.structs import OffsetAndMetadata

    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        partition_assignment_strategy=[RangePartitionAssignor],
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
    )

    def generation() -> int:
        return int(consumer.group_metadata().generation_id)

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_assigned(self, assigned: Any) -> None:
            metadata = consumer.group_metadata()
            journal.assigned(
                metadata.generation_id, metadata.member_id, (item.partition for item in assigned)
            )

        def on_partitions_revoked(self, revoked: Any) -> None:
            journal.revoked(generation(), (item.partition for item in revoked))

    consumer.subscribe([topic], listener=Listener())
    while not journal.stopped:
        try:
            polled = consumer.poll(timeout_ms=200)
        except KafkaError as failure:
            journal.write("trouble", error=repr(failure))
            continue
        if not polled:
            continue
        offsets = journal.handled(
            [
                (message.partition, message.offset, int(message.value))
                for messages in polled.values()
                for message in messages
            ]
        )
        began, before, error = time.monotonic_ns(), generation(), None
        try:
            consumer.commit(
                {
                    TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1)
                    for partition, offset in offsets.items()
                },
                timeout_ms=20_000,
            )
        except KafkaError as failure:
            error = repr(failure)
        journal.committed(began, (before, generation()), offsets, error)
    consumer.close()


KINDS: dict[str, Callable[[str, str, str, Journal], None]] = {
    "confluent": confluent,
    "kafka-python": kafka_python,
}

if __name__ == "__main__":
    chosen, address, group_id, topic_name, events = sys.argv[1:]
    KINDS[chosen](address, group_id, topic_name, Journal(events))
