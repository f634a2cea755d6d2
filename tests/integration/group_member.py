"""A member of a consumer group as a process: one of three clients, until SIGTERM, which makes it leave.

Every record's value goes into the output file, one a line, before its offset is committed. Usage:
`python -m tests.integration.group_member KIND BOOTSTRAP GROUP TOPIC OUTPUT`
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SESSION_MS = 10_000


@dataclass(slots=True)
class Job:
    """What one member does."""

    bootstrap: str
    group: str
    topic: str
    output: Path
    stopped: bool = False

    def stop(self, *_: object) -> None:
        """Asks for an orderly end."""
        self.stopped = True

    def write(self, values: list[bytes]) -> None:
        """Notes what was handled."""
        with self.output.open("ab") as out:
            out.writelines(value + b"\n" for value in values)


def confluent(job: Job) -> None:
    """librdkafka."""
    _confluent(
        job,
        {
            "partition.assignment.strategy": "range",
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": 500,
        },
    )


def confluent_consumer_protocol(job: Job) -> None:
    """librdkafka with the protocol of KIP-848: the broker has the say about timeouts."""
    _confluent(job, {"group.protocol": "consumer"})


def _confluent(job: Job, settings: dict[str, str | int]) -> None:
    from confluent_kafka import Consumer, KafkaException

    consumer = Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "group.id": job.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "reconnect.backoff.max.ms": 500,
            "topic.metadata.refresh.interval.ms": 1000,
            "log_level": 2,
            **settings,
        }
    )
    consumer.subscribe([job.topic])
    while not job.stopped:
        messages = [message for message in consumer.consume(500, 0.2) if message.error() is None]
        if messages:
            job.write([message.value() for message in messages])
            try:
                consumer.commit(asynchronous=False)
            except KafkaException as error:
                # The group has moved on: the next owner handles these records again.
                print(f"not committed: {error}", file=sys.stderr)
    consumer.close()


def kafka_python(job: Job) -> None:
    """kafka-python 3."""
    from kafka import KafkaConsumer
    from kafka.coordinator.assignors.range import RangePartitionAssignor

    consumer = KafkaConsumer(
        job.topic,
        bootstrap_servers=job.bootstrap,
        group_id=job.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        partition_assignment_strategy=[RangePartitionAssignor],
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=500,
    )
    while not job.stopped:
        polled = consumer.poll(timeout_ms=200)
        if polled:
            job.write([message.value for messages in polled.values() for message in messages])
            consumer.commit()
    consumer.close()


def aiokafka(job: Job) -> None:
    """aiokafka."""
    from aiokafka import AIOKafkaConsumer
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor

    async def run() -> None:
        consumer = AIOKafkaConsumer(
            job.topic,
            bootstrap_servers=job.bootstrap,
            group_id=job.group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=500,
        )
        async with consumer:
            while not job.stopped:
                polled = await consumer.getmany(timeout_ms=200)
                if polled:
                    job.write([message.value for messages in polled.values() for message in messages])
                    await consumer.commit()

    asyncio.run(run())


KINDS: dict[str, Callable[[Job], None]] = {
    "confluent": confluent,
    "kafka-python": kafka_python,
    "aiokafka": aiokafka,
}

CONSUMER_PROTOCOL: dict[str, Callable[[Job], None]] = {"confluent-consumer": confluent_consumer_protocol}

if __name__ == "__main__":
    kind, bootstrap, group, topic, output = sys.argv[1:]
    given = Job(bootstrap, group, topic, Path(output))
    signal.signal(signal.SIGTERM, given.stop)
    {**KINDS, **CONSUMER_PROTOCOL}[kind](given)
