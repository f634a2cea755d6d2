"""A topic of a test: a name that all clients take, with what tests do most often."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

from fastlog.testing import background
from fastlog.testing.seeds import Seed, SeedRecord, as_bytes, records_of

if TYPE_CHECKING:
    from fastlog.native import Record, RecordMetadata

__all__ = ["KafkaTopic", "make_topic"]

_SECONDS: Final = 30.0
Isolation = Literal["read_uncommitted", "read_committed"]


class KafkaTopic(str):
    """The name of a topic, as a `str`, that also knows its brokers.

    `send` and `records` have clients of their own, made for each call: convenient, not quick.
    """

    bootstrap: str
    """host:port of its brokers."""
    partitions: int
    """How many it has."""

    @classmethod
    def of(cls, name: str, bootstrap: str, partitions: int) -> KafkaTopic:
        """A topic that is there."""
        topic = cls(name)
        topic.bootstrap, topic.partitions = bootstrap, partitions
        return topic

    @property
    def name(self) -> str:
        """The name alone."""
        return str(self)

    @property
    def bootstrap_servers(self) -> str:
        """host:port of its brokers."""
        return self.bootstrap

    def send(
        self,
        values: object | Iterable[object],
        *,
        key: str | bytes | None = None,
        headers: Mapping[str, bytes] | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> list[RecordMetadata]:
        """Writes a value or a list of them, and returns when all are written: where each is.

        A `str` is written as UTF-8, None is a tombstone, and what is neither text nor bytes is written as
        JSON. Raises ClientError.
        """
        each = values if isinstance(values, list | tuple) else [values]
        name = None if key is None else as_bytes(key)
        rows = [SeedRecord(as_bytes(value), name, headers or {}, timestamp_ms, partition) for value in each]
        return write(self.bootstrap, self, rows)

    def seed(self, source: Seed) -> int:
        """Writes the records of a file (`.jsonl`, `.csv`, `.txt`) or of a list; how many there were.

        Raises OSError, and ValueError that names the line.
        """
        return len(write(self.bootstrap, self, records_of(source)))

    def records(
        self,
        count: int | None = None,
        *,
        timeout: float = _SECONDS,
        isolation_level: Isolation = "read_committed",
    ) -> list[Record]:
        """All records that are there now, partition by partition; or the first `count`, when they are there.

        Raises TimeoutError when so many do not come in time (seconds).
        """
        until = time.monotonic() + timeout
        while True:
            found = read(self.bootstrap, self, isolation_level)
            if count is None:
                return found
            if len(found) >= count:
                return found[:count]
            if time.monotonic() > until:
                raise TimeoutError(f"{self} has {len(found)} records after {timeout:g} s, not {count}")
            time.sleep(0.02)

    def values(self, count: int | None = None, *, timeout: float = _SECONDS) -> list[bytes | None]:
        """The values of `records`."""
        return [record.value for record in self.records(count, timeout=timeout)]


def make_topic(
    bootstrap: str, name: str, partitions: int, replicas: int, config: Mapping[str, str]
) -> KafkaTopic:
    """Makes a topic and returns when all its partitions have leaders. Raises ClientError."""

    async def make() -> None:
        import asyncio

        from fastlog.client.admin.outcomes import Outcomes
        from fastlog.client.admin.topics import NewTopic, create_topics
        from fastlog.client.cluster import Cluster

        async with Cluster(bootstrap) as cluster:
            wanted = NewTopic(name, partitions, replicas, config=config)
            Outcomes(await create_topics(cluster, [wanted])).check()
            while True:
                topic = (await cluster.metadata([name])).topics.get(name)
                if (
                    topic is not None
                    and len(topic.partitions) == partitions
                    and all(part.leader >= 0 for part in topic.partitions)
                ):
                    return
                await asyncio.sleep(0.01)

    background.run(make(), _SECONDS)
    return KafkaTopic.of(name, bootstrap, partitions)


def write(bootstrap: str, topic: str, rows: Iterable[SeedRecord]) -> list[RecordMetadata]:
    """Writes records, and returns when all are acknowledged. Raises ClientError."""
    from fastlog.client.producer.blocking import Producer

    with Producer(bootstrap, linger_ms=0) as producer:
        sent = [
            producer.send(
                topic,
                row.value,
                key=row.key,
                headers=list(row.headers.items()) if isinstance(row.headers, Mapping) else row.headers,
                partition=row.partition,
                timestamp_ms=row.timestamp_ms,
            )
            for row in rows
        ]
        producer.flush()
        return [delivery.result(_SECONDS) for delivery in sent]


def read(
    bootstrap: str, topic: str, isolation_level: Isolation = "read_committed", partitions: Sequence[int] = ()
) -> list[Record]:
    """All records that a topic has now, partition by partition. Raises ClientError."""
    from fastlog.client.consumer.blocking import Consumer
    from fastlog.client.metadata import TopicPartition

    found: dict[TopicPartition, list[Record]] = {}
    with Consumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=isolation_level,
        fetch_max_wait_ms=10,
    ) as consumer:
        names = [
            TopicPartition(str(topic), index)
            for index in partitions or sorted(consumer.partitions_for_topic(str(topic)))
        ]
        ends = {name: end for name, end in consumer.end_offsets(names).items() if end > 0}
        starts = consumer.beginning_offsets(list(ends)) if ends else {}
        left = {name for name, end in ends.items() if starts[name] < end}
        if left:
            consumer.assign(left)
        while left:
            for name, records in consumer.poll(timeout_ms=100, max_records=10_000).items():
                found.setdefault(name, []).extend(record for record in records if record.offset < ends[name])
            left = {name for name in left if consumer.position(name) < ends[name]}
    return [record for name in names for record in found.get(name, [])]
