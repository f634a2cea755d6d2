"""A member of a group until SIGTERM, which makes it leave: LIBRARY PROTOCOL BOOTSTRAP GROUP TOPIC OUTPUT.

LIBRARY is fastlog, fastlog-async, confluent, kafka-python or aiokafka; PROTOCOL classic or consumer, where
the library has it. Every record's value goes into the output file before its offset is committed, as in
`GroupMember.java`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, TextIO

stopped = threading.Event()

HEARTBEAT_MS = 300
SESSION_MS = 10_000


def handle(out: TextIO, values: Iterable[bytes | None]) -> bool:
    """Writes values to the file; whether there were any."""
    lines = [(value or b"").decode() + "\n" for value in values]
    out.writelines(lines)
    out.flush()
    return bool(lines)


def fastlog(protocol: str, bootstrap: str, group: str, topic: str, out: TextIO) -> None:
    """The library's `Consumer`."""
    import fastlog as library

    with library.Consumer(bootstrap, topic, **_ours(protocol, group)) as consumer:
        while not stopped.is_set():
            if handle(out, (record.value for record in consumer.consume(500, timeout=0.2))):
                with contextlib.suppress(*rebalanced()):
                    consumer.commit()


def fastlog_async(protocol: str, bootstrap: str, group: str, topic: str, out: TextIO) -> None:
    """The library's `AsyncConsumer`."""
    import fastlog as library

    async def work() -> None:
        async with library.AsyncConsumer(bootstrap, topic, **_ours(protocol, group)) as consumer:
            while not stopped.is_set():
                found = await consumer.getmany(timeout_ms=200)
                if handle(out, (record.value for records in found.values() for record in records)):
                    with contextlib.suppress(*rebalanced()):
                        await consumer.commit()

    asyncio.run(work())


def rebalanced() -> tuple[type[BaseException], ...]:
    """Then the next owner handles these records again."""
    from fastlog import errors

    return (
        errors.IllegalGeneration,
        errors.RebalanceInProgress,
        errors.UnknownMemberId,
        errors.StaleMemberEpoch,
    )


def _ours(protocol: str, group: str) -> Any:
    options: dict[str, object] = {
        "group_id": group,
        "group_protocol": protocol,
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "metadata_max_age_ms": 1000,
    }
    if protocol == "classic":
        options |= {
            "partition_assignment_strategy": "range",
            "heartbeat_interval_ms": HEARTBEAT_MS,
            "session_timeout_ms": SESSION_MS,
        }
    return options


def confluent(protocol: str, bootstrap: str, group: str, topic: str, out: TextIO) -> None:
    """librdkafka."""
    from confluent_kafka import Consumer, KafkaException

    settings: dict[str, object] = {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "group.protocol": protocol,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    if protocol == "classic":
        settings |= {
            "partition.assignment.strategy": "range",
            "heartbeat.interval.ms": HEARTBEAT_MS,
            "session.timeout.ms": SESSION_MS,
        }
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    try:
        while not stopped.is_set():
            found = [message for message in consumer.consume(500, 0.2) if message.error() is None]
            if handle(out, (message.value() for message in found)):
                with contextlib.suppress(KafkaException):
                    consumer.commit(asynchronous=False)
    finally:
        consumer.close()


def kafka_python(protocol: str, bootstrap: str, group: str, topic: str, out: TextIO) -> None:
    """kafka-python."""
    from kafka import KafkaConsumer
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.errors import KafkaError

    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        partition_assignment_strategy=[RangePartitionAssignor],
        heartbeat_interval_ms=HEARTBEAT_MS,
        session_timeout_ms=SESSION_MS,
    )
    try:
        while not stopped.is_set():
            found = consumer.poll(200)
            if handle(out, (record.value for records in found.values() for record in records)):
                with contextlib.suppress(KafkaError):
                    consumer.commit()
    finally:
        consumer.close()


def aiokafka(protocol: str, bootstrap: str, group: str, topic: str, out: TextIO) -> None:
    """aiokafka."""
    from aiokafka import AIOKafkaConsumer
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from aiokafka.errors import KafkaError

    async def work() -> None:
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            partition_assignment_strategy=(RangePartitionAssignor,),
            heartbeat_interval_ms=HEARTBEAT_MS,
            session_timeout_ms=SESSION_MS,
        )
        await consumer.start()
        try:
            while not stopped.is_set():
                found = await consumer.getmany(timeout_ms=200)
                if handle(out, (record.value for records in found.values() for record in records)):
                    with contextlib.suppress(KafkaError):
                        await consumer.commit()
        finally:
            await consumer.stop()

    asyncio.run(work())


LIBRARIES: dict[str, Callable[[str, str, str, str, TextIO], None]] = {
    "fastlog": fastlog,
    "fastlog-async": fastlog_async,
    "confluent": confluent,
    "kafka-python": kafka_python,
    "aiokafka": aiokafka,
}


def main(library: str, protocol: str, bootstrap: str, group: str, topic: str, output: str) -> None:
    """Runs a member."""
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    with open(output, "a", encoding="ascii") as out:
        LIBRARIES[library](protocol, bootstrap, group, topic, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
