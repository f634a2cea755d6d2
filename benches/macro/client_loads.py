"""What `benches.macro.clients` has each client do: all records of a topic in, and all out again.

Every client has the same settings where it has them at all: acks=all, idempotence, batches of 64 KiB, 5 ms of
linger, no compression; no group, no commits, from the first offset on. A load tells a `Meter` how many
records it has handed over or read, until that has enough of them.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastlog import AsyncConsumer, AsyncProducer, Consumer, Producer, TopicPartition

PARTITIONS = 3
BATCH_BYTES = 65_536
LINGER_MS = 5
AT_ONCE = 10_000
"""Most records of a poll."""


class Meter:
    """Measures this process from the first `warm` records on: connections, metadata and so on come before."""

    def __init__(self, wanted: int, warm: int) -> None:
        self._wanted = wanted
        self._warm = warm
        self._count = 0
        self._began: tuple[int, float, float] | None = None
        self.found: tuple[int, float, float] | None = None
        """Records, seconds, and seconds of CPU."""

    def add(self, count: int) -> bool:
        """So many more are done; whether more are wanted."""
        self._count += count
        if self._began is None and self._count >= self._warm:
            self._began = (self._count, time.perf_counter(), _used())
        return self._count < self._wanted

    def end(self) -> None:
        """All is done, and written."""
        if self._began is None:
            raise RuntimeError("it never got warm")
        before, began, cpu = self._began
        self.found = (self._count - before, time.perf_counter() - began, _used() - cpu)


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


Load = Callable[[str, str, list[bytes], Meter], None]
"""Address, topic, and values to send, again and again; readers pay them no heed."""


class Confirmed:
    """Callbacks that count records, and keep the last error."""

    def __init__(self) -> None:
        self.expected = 0
        self.count = 0
        self.error: object = None

    def fastlog(self, result: object, error: object) -> None:
        """The one of fastlog."""
        self.count += 1
        if error is not None:
            self.error = error

    def confluent(self, error: object, message: object) -> None:
        """The one of confluent-kafka."""
        self.count += 1
        if error is not None:
            self.error = error

    def one(self, result: object) -> None:
        """A callback of a result, or of a future that is done."""
        self.count += 1

    def failed(self, error: object) -> None:
        """A callback of an error."""
        self.error = error

    def check(self) -> None:
        """Raises RuntimeError unless all have come, and none has failed."""
        if self.count != self.expected or self.error is not None:
            raise RuntimeError(f"{self.count} of {self.expected} records confirmed, {self.error!r}")


# -- produce --------------------


def _fastlog() -> dict[str, Any]:
    return {"batch_size": BATCH_BYTES, "linger_ms": LINGER_MS}


def fastlog_send(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`send`, and nobody asks what became of it."""
    with Producer(address, **_fastlog()) as producer:
        send = producer.send
        while meter.add(len(values)):
            for value in values:
                send(topic, value)
        producer.flush()
        meter.end()


def fastlog_callback(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`send` with `on_delivery`."""
    seen = Confirmed()
    with Producer(address, **_fastlog()) as producer:
        send, call = producer.send, seen.fastlog
        while meter.add(len(values)):
            for value in values:
                send(topic, value, on_delivery=call)
            seen.expected += len(values)
        producer.flush()
        meter.end()
    seen.check()


def fastlog_send_many(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`send_many`, a thousand at a time."""
    with Producer(address, **_fastlog()) as producer:
        while meter.add(len(values)):
            producer.send_many(topic, values)
        producer.flush()
        meter.end()


def fastlog_async(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`AsyncProducer.send`, held back by `drain`."""

    async def work() -> None:
        async with AsyncProducer(address, **_fastlog()) as producer:
            while meter.add(len(values)):
                for value in values:
                    producer.send(topic, value)
                await producer.drain()
            await producer.flush()
            meter.end()

    asyncio.run(work())


def confluent_produce(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`produce`, and nobody asks what became of it."""
    producer = _confluent_producer(address)
    while meter.add(len(values)):
        for value in values:
            _produce(producer, topic, value)
        producer.poll(0)
    if producer.flush(60):
        raise RuntimeError("not all records are written")
    meter.end()


def confluent_callback(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`produce` with `on_delivery`, and a poll after each as its users write it."""
    seen, producer = Confirmed(), _confluent_producer(address)
    while meter.add(len(values)):
        for value in values:
            _produce(producer, topic, value, on_delivery=seen.confluent)
            producer.poll(0)
        seen.expected += len(values)
    producer.flush(60)
    meter.end()
    seen.check()


def _confluent_producer(address: str) -> Any:
    from confluent_kafka import Producer as Confluent

    return Confluent(
        {
            "bootstrap.servers": address,
            "enable.idempotence": True,
            "batch.size": BATCH_BYTES,
            "linger.ms": LINGER_MS,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 32_768,
        }
    )


def _produce(producer: Any, topic: str, value: bytes, **how: object) -> None:
    while True:
        try:
            producer.produce(topic, value, **how)
        except BufferError:
            producer.poll(0.01)
        else:
            return


def kafka_python_send(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`send`, and nobody asks what became of it."""
    producer = _kafka_python_producer(address)
    while meter.add(len(values)):
        for value in values:
            producer.send(topic, value)
    producer.flush()
    meter.end()
    producer.close()


def kafka_python_callback(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`send` with `add_callback`."""
    seen, producer = Confirmed(), _kafka_python_producer(address)
    while meter.add(len(values)):
        for value in values:
            producer.send(topic, value).add_callback(seen.one).add_errback(seen.failed)
        seen.expected += len(values)
    producer.flush()
    meter.end()
    producer.close()
    seen.check()


def _kafka_python_producer(address: str) -> Any:
    from kafka import KafkaProducer

    return KafkaProducer(bootstrap_servers=address, acks="all", batch_size=BATCH_BYTES, linger_ms=LINGER_MS)


def aiokafka_send(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`await send`, and nobody awaits the future."""
    asyncio.run(_aiokafka(address, topic, values, meter, None))


def aiokafka_callback(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`await send` with a callback of the future."""
    seen = Confirmed()
    asyncio.run(_aiokafka(address, topic, values, meter, seen))
    seen.check()


async def _aiokafka(
    address: str, topic: str, values: list[bytes], meter: Meter, seen: Confirmed | None
) -> None:
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(
        bootstrap_servers=address, enable_idempotence=True, max_batch_size=BATCH_BYTES, linger_ms=LINGER_MS
    )
    await producer.start()
    try:
        while meter.add(len(values)):
            for value in values:
                future = await producer.send(topic, value)
                if seen is not None:
                    future.add_done_callback(seen.one)
                    seen.expected += 1
        await producer.flush()
        meter.end()
    finally:
        await producer.stop()


# -- consume --------------------


def fastlog_columns(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`poll_columns`, values and keys as columns."""
    with Consumer(address, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, index) for index in range(PARTITIONS)])
        while meter.add(len(consumer.poll_columns(1000))):
            pass
        meter.end()


def fastlog_consume(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`consume`, a list of records."""
    with Consumer(address, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, index) for index in range(PARTITIONS)])
        while meter.add(len(consumer.consume(AT_ONCE, 1))):
            pass
        meter.end()


def fastlog_each(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`for record in consumer`."""
    with Consumer(address, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, index) for index in range(PARTITIONS)])
        for _ in consumer:
            if not meter.add(1):
                break
        meter.end()


def fastlog_getmany(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`AsyncConsumer.getmany`."""

    async def work() -> None:
        async with AsyncConsumer(address, auto_offset_reset="earliest") as consumer:
            await consumer.assign([TopicPartition(topic, index) for index in range(PARTITIONS)])
            while True:
                found = await consumer.getmany(timeout_ms=1000, max_records=AT_ONCE)
                if not meter.add(sum(map(len, found.values()))):
                    break
            meter.end()

    asyncio.run(work())


def confluent_consume(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`consume`, a list of messages."""
    consumer = _confluent_consumer(address, topic)
    while meter.add(len(consumer.consume(AT_ONCE, 1))):
        pass
    meter.end()


def confluent_poll(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`poll`, one message after the other."""
    consumer = _confluent_consumer(address, topic)
    while meter.add(0 if consumer.poll(1) is None else 1):
        pass
    meter.end()


def _confluent_consumer(address: str, topic: str) -> Any:
    import confluent_kafka

    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "bench",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    first = confluent_kafka.OFFSET_BEGINNING
    consumer.assign([confluent_kafka.TopicPartition(topic, index, first) for index in range(PARTITIONS)])
    return consumer


def kafka_python_poll(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`poll`, lists by partition."""
    from kafka import KafkaConsumer
    from kafka import TopicPartition as Partition

    consumer = KafkaConsumer(
        bootstrap_servers=address, auto_offset_reset="earliest", enable_auto_commit=False, group_id=None
    )
    consumer.assign([Partition(topic, index) for index in range(PARTITIONS)])
    while meter.add(sum(map(len, consumer.poll(1000, max_records=AT_ONCE).values()))):
        pass
    meter.end()
    consumer.close()


def aiokafka_getmany(address: str, topic: str, values: list[bytes], meter: Meter) -> None:
    """`getmany`, lists by partition."""
    from aiokafka import AIOKafkaConsumer
    from aiokafka import TopicPartition as Partition

    async def work() -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=address, auto_offset_reset="earliest", enable_auto_commit=False, group_id=None
        )
        await consumer.start()
        try:
            consumer.assign([Partition(topic, index) for index in range(PARTITIONS)])
            while True:
                found = await consumer.getmany(timeout_ms=1000, max_records=AT_ONCE)
                if not meter.add(sum(map(len, found.values()))):
                    break
            meter.end()
        finally:
            await consumer.stop()

    asyncio.run(work())


PRODUCE: Final[Mapping[str, Load]] = {
    "confluent-kafka produce": confluent_produce,
    "fastlog send": fastlog_send,
    "fastlog send_many": fastlog_send_many,
    "fastlog AsyncProducer.send": fastlog_async,
    "kafka-python send": kafka_python_send,
    "aiokafka send": aiokafka_send,
}
"""Without callbacks. The first is what the others are held against; so it is in the next two."""
CALLBACK: Final[Mapping[str, Load]] = {
    "confluent-kafka produce": confluent_callback,
    "fastlog send": fastlog_callback,
    "kafka-python send": kafka_python_callback,
    "aiokafka send": aiokafka_callback,
}
CONSUME: Final[Mapping[str, Load]] = {
    "confluent-kafka consume": confluent_consume,
    "confluent-kafka poll": confluent_poll,
    "fastlog consume": fastlog_consume,
    "fastlog for record in": fastlog_each,
    "fastlog poll_columns": fastlog_columns,
    "fastlog getmany": fastlog_getmany,
    "kafka-python poll": kafka_python_poll,
    "aiokafka getmany": aiokafka_getmany,
}
