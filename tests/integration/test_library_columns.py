"""Columns out of polls, tables into topics, and logs read beside the broker that writes them."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastlog
from fastlog import (
    AsyncConsumer,
    AsyncProducer,
    Consumer,
    Producer,
    Record,
    RecordColumns,
    TopicPartition,
    errors,
)
from tests.integration.conftest import BrokerFactory
from tests.integration.running import RunningBroker

ZERO, ONE, TWO = (TopicPartition("t", index) for index in range(3))
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


@pytest.fixture
def broker(start_broker: BrokerFactory) -> RunningBroker:
    """Three partitions for each topic, small segments, and committed ends that are written at once."""
    return start_broker(
        **{
            "num.partitions": "3",
            "log.segment.bytes": "100000",
            "replica.high.watermark.checkpoint.interval.ms": "50",
            "transaction.state.log.num.partitions": "1",
            "log.retention.ms": "-1",
        }
    )


def fill(broker: RunningBroker) -> None:
    """Every codec, headers, nulls, and transactions that end either way."""
    number = 0
    for codec in CODECS:
        with Producer(broker.bootstrap, compression_type=codec, batch_size=2000) as producer:
            for _ in range(200):
                number += 1
                producer.send(
                    "t",
                    None if number % 7 == 0 else b"%d" % number * (number % 20),
                    key=None if number % 5 == 0 else b"%d" % number,
                    headers=[("n", b"%d" % number), ("none", None)] if number % 3 == 0 else None,
                    partition=number % 3,
                    timestamp_ms=1000 + number,
                )
    with Producer(broker.bootstrap, transactional_id="x") as producer:
        for round_ in range(6):
            producer.begin_transaction()
            for partition in range(3):
                producer.send("t", b"round %d" % round_, partition=partition, timestamp_ms=5)
            producer.flush()
            if round_ % 2:
                producer.abort_transaction()
            else:
                producer.commit_transaction()


def by_rows(broker: RunningBroker, isolation: str) -> dict[TopicPartition, list[Record]]:
    found: dict[TopicPartition, list[Record]] = defaultdict(list)
    with Consumer(
        broker.bootstrap, config={"isolation.level": isolation, "auto.offset.reset": "earliest"}
    ) as consumer:
        consumer.assign([ZERO, ONE, TWO])
        ends = consumer.end_offsets([ZERO, ONE, TWO])
        while any(consumer.position(name) < end for name, end in ends.items()):
            for name, records in consumer.poll(1000).items():
                found[name] += records
    return found


@pytest.mark.parametrize("isolation", ["read_uncommitted", "read_committed"])
def test_columns_are_what_rows_are_from_a_poll_and_from_the_files(
    broker: RunningBroker, isolation: str
) -> None:
    fill(broker)
    expected = by_rows(broker, isolation)
    assert len(expected) == 3
    for limits in ({}, {"max_records": 7}, {"max_bytes": 1000}):
        found: dict[TopicPartition, list[Record]] = defaultdict(list)
        config = {"isolation.level": isolation, "auto.offset.reset": "earliest"}
        with Consumer(broker.bootstrap, config=config) as consumer:
            consumer.assign([ZERO, ONE, TWO])
            ends = consumer.end_offsets([ZERO, ONE, TWO])
            while any(consumer.position(name) < end for name, end in ends.items()):
                columns = consumer.poll_columns(1000, **limits)
                assert columns.damage is None
                assert len(columns) <= limits.get("max_records", 1 << 30)
                if "max_bytes" in limits:
                    assert len(columns) <= 32
                for part in columns.parts:
                    rows = columns[part.start : part.stop]
                    assert columns.partitions[part.start] == part.partition.partition
                    assert consumer.position(part.partition) >= part.next_offset > rows[-1].offset
                    found[part.partition] += rows
        assert found == expected
    wait_for_committed_ends(broker)
    for name, records in expected.items():
        path = broker.directory / f"t-{name.partition}"
        with fastlog.open_log(path, isolation_level=isolation) as log:  # type: ignore[arg-type] # from the parameters
            assert log.partition == name
            assert [record for columns in log for record in columns] == records
            assert [record for columns in log.chunks(max_bytes=500) for record in columns] == records
            whole = log.columns()
            assert list(whole) == records and whole.is_at_end
            middle = records[len(records) // 2].offset
            assert list(log.columns(middle, middle + 10)) == [
                record for record in records if middle <= record.offset < middle + 10
            ]


def wait_for_committed_ends(broker: RunningBroker, topic: str = "t") -> None:
    """Until the broker has written down that everything is committed."""
    ends = {}
    with Consumer(broker.bootstrap) as consumer:
        for index in consumer.partitions_for_topic(topic):
            name = TopicPartition(topic, index)
            ends[name] = consumer.end_offsets([name])[name]
    deadline = time.monotonic() + 20
    while True:
        found = {}
        for name in ends:
            with fastlog.open_log(broker.directory / str(name)) as log:
                found[name] = log.end_offset
        if found == ends:
            return
        assert time.monotonic() < deadline, f"{found} {ends}"
        time.sleep(0.05)


async def test_columns_in_coroutines(broker: RunningBroker) -> None:
    async with AsyncProducer(broker.bootstrap) as producer:
        await (await producer.send_many("t", [b"a", b"b", b"c"], partition=1))
    async with AsyncConsumer(broker.bootstrap, auto_offset_reset="earliest") as consumer:
        await consumer.assign([ONE])
        columns = await consumer.poll_columns(5000, 2)
        assert list(columns.values) == [b"a", b"b"]
        assert list((await consumer.poll_columns(5000)).values) == [b"c"]
        assert len(await consumer.poll_columns(50)) == 0
        for wrong in ({"max_records": 0}, {"max_bytes": 0}):
            with pytest.raises(ValueError, match="a poll for"):
                await consumer.poll_columns(**wrong)


def test_groups_commit_what_columns_have_handed_out(broker: RunningBroker) -> None:
    with Producer(broker.bootstrap) as producer:
        producer.send_many("t", [b"%d" % n for n in range(50)], partition=0)
    for expected in (20, 30, 0):
        with Consumer(broker.bootstrap, "t", group_id="g", auto_offset_reset="earliest") as consumer:
            found = 0
            deadline = time.monotonic() + 20
            while found < expected:
                assert time.monotonic() < deadline
                found += len(consumer.poll_columns(500, 20 - found if expected == 20 else None))
            assert found == expected
            if expected == 0:
                assert len(consumer.poll_columns(300, 1)) == 0


def test_damage_is_a_result_behind_the_good_rows(broker: RunningBroker) -> None:
    with Producer(broker.bootstrap) as producer:
        for number in range(3):
            producer.send("t", b"%d" % number, partition=0).result(10)
    wait_for_committed_ends(broker)
    path = broker.directory / "t-0"
    with fastlog.open_log(path) as log:
        assert list(log.columns().values) == [b"0", b"1", b"2"]
        segment = path / f"{0:020}.log"
        data = bytearray(segment.read_bytes())
        data[len(data) // 3 * 2 - 3] ^= 1  # in the value of the second
        segment.write_bytes(data)
        columns = log.columns()
        assert list(columns.values) == [b"0"]
        assert isinstance(columns.damage, errors.CorruptMessage)
        assert (columns.damage.offset, columns.damage.next_offset, columns.next_offset) == (1, 2, 1)
        assert list(log.columns(columns.damage.next_offset).values) == [b"2"]
        chunks = log.chunks()
        assert list(next(chunks).values) == [b"0"]
        with pytest.raises(errors.CorruptMessage, match="offset 1 is damaged: it fails its checksum"):
            next(chunks)


# -- tables into topics --------------------


def test_what_was_read_as_columns_is_sent_on(broker: RunningBroker) -> None:
    fill(broker)
    with (
        Consumer(broker.bootstrap, auto_offset_reset="earliest") as consumer,
        Producer(broker.bootstrap) as producer,
    ):
        consumer.assign([ZERO, ONE, TWO])
        sent: list[Record] = []
        while len(sent) < 1000:
            columns = consumer.poll_columns(1000)
            handed = producer.send_many("copy", columns)
            assert [where.partition for where in handed.result(30)] == columns.partitions.tolist()
            sent += columns
    with Consumer(broker.bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition("copy", index) for index in range(3)])
        copied: list[Record] = []
        while len(copied) < len(sent):
            copied += consumer.consume(1000, 5)

    def content(records: list[Record]) -> list[tuple[object, ...]]:
        return [(one.partition, one.key, one.value, one.headers, one.timestamp) for one in records]

    by_partition = {"key": lambda one: one[0]}
    assert sorted(content(copied), **by_partition) == sorted(content(sent), **by_partition)  # type: ignore[call-overload]


@pytest.mark.parametrize("chosen", [False, True])
def test_tables_with_a_partitioner_and_a_full_buffer(broker: RunningBroker, chosen: bool) -> None:
    with Producer(broker.bootstrap, batch_size=50_000) as producer:
        producer.send_many("t", [b"x" * 900] * 300, partition=0).result(30)
    with Consumer(broker.bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([ZERO])
        columns = consumer.poll_columns(5000)
    count = len(columns)
    assert count > 50

    def choose(topic: str, key: bytes | None, count: int) -> int:
        raise AssertionError("the table says which partition")

    partitioner = choose if chosen else None

    async def send() -> list[int]:
        async with AsyncProducer(
            broker.bootstrap, buffer_memory=20_000, batch_size=2000, partitioner=partitioner
        ) as producer:
            return [where.offset for where in await (await producer.send_many("other", columns))]

    assert asyncio.run(send()) == list(range(count))
    with Producer(broker.bootstrap, buffer_memory=20_000, batch_size=2000, partitioner=partitioner) as again:
        assert len(again.send_many("other", columns).result(30)) == count
        with pytest.raises(ValueError, match="partition is a column of the table"):
            again.send_many("other", columns, partition=1)
        with pytest.raises(TypeError, match="the keys of a table are its column key"):
            again.send_many("other", columns, keys=[None] * count)


# -- logs beside their broker --------------------


@pytest.fixture
def writing(broker: RunningBroker) -> Iterator[tuple[threading.Event, list[int]]]:
    """Somebody who writes to partition 0 until told to stop; how many records are acknowledged, and all."""
    stop, acknowledged = threading.Event(), [0, 0]

    def write() -> None:
        with Producer(broker.bootstrap, batch_size=4000) as producer:
            while not stop.is_set():
                first = acknowledged[0]
                values = [b"%d %s" % (n, b"x" * (n % 200)) for n in range(first, first + 500)]
                keys: list[bytes | None] = [b"%d" % (n % 40) for n in range(first, first + 500)]
                producer.send_many("t", values, keys=keys, partition=0).result(30)
                acknowledged[0] += 500
        acknowledged[1] = 1

    thread = threading.Thread(target=write)
    thread.start()
    yield stop, acknowledged
    stop.set()
    thread.join()


def number_of(value: bytes | None) -> int:
    assert value is not None
    return int(value.split()[0])


def settings_of(broker: RunningBroker, **settings: str) -> None:
    """Changes settings of topic t."""
    from confluent_kafka.admin import (
        AdminClient,
        AlterConfigOpType,
        ConfigEntry,
        ConfigResource,
        ResourceType,
    )

    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, "t", incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(10)


def test_beside_a_broker_that_rolls_every_record_once_in_order_and_nothing_is_written(
    broker: RunningBroker, writing: tuple[threading.Event, list[int]]
) -> None:
    stop, acknowledged = writing
    path = broker.directory / "t-0"
    while not acknowledged[0]:
        time.sleep(0.05)
    position, polls = 0, 0
    end = time.monotonic() + 4
    with fastlog.open_log(path) as log:
        while True:
            is_last = acknowledged[1]
            columns = log.columns(position, max_bytes=50_000 + polls % 7 * 10_000)
            polls += 1
            assert columns.damage is None
            assert columns.offsets.tolist() == list(range(position, position + len(columns)))
            assert [number_of(value) for value in columns.values] == columns.offsets.tolist()
            position = columns.next_offset
            if time.monotonic() > end:
                stop.set()
            if is_last and position >= acknowledged[0]:
                break
            assert time.monotonic() < end + 20
    assert position == acknowledged[0] > 1000
    assert len(list(path.glob("*.log"))) > 5


def test_beside_a_broker_that_removes_and_compacts(start_broker: BrokerFactory) -> None:
    broker = start_broker(
        **{
            "num.partitions": "1",
            "log.segment.bytes": "50000",
            "log.retention.check.interval.ms": "100",
            "log.initial.task.delay.ms": "100",
            "log.cleaner.backoff.ms": "50",
            "log.cleaner.min.cleanable.ratio": "0.01",
            "replica.high.watermark.checkpoint.interval.ms": "20",
            "log.segment.delete.delay.ms": "0",
        }
    )
    path = broker.directory / "t-0"
    with Producer(broker.bootstrap, batch_size=4000) as producer:
        producer.send("t", b"0 ", key=b"0").result(30)
        settings_of(broker, cleanup_policy="compact", segment_bytes="50000", file_delete_delay_ms="0")
        written, position, removes = 1, 0, False
        end = time.monotonic() + 5
        with fastlog.open_log(path) as log:
            while time.monotonic() < end or position < written or log.start_offset == 0:
                assert time.monotonic() < end + 20
                if time.monotonic() > end - 2.5 and not removes:
                    removes = True
                    settings_of(broker, cleanup_policy="delete", retention_bytes="20000")
                if time.monotonic() < end:
                    values = [b"%d %s" % (n, b"x" * 300) for n in range(written, written + 100)]
                    keys: list[bytes | None] = [b"%d" % (n % 30) for n in range(written, written + 100)]
                    producer.send_many("t", values, keys=keys, partition=0).result(30)
                    written += 100
                try:
                    columns = log.columns(position)
                except errors.OffsetOutOfRange:
                    assert log.start_offset > position
                    position = log.start_offset
                    continue
                assert columns.damage is None
                offsets = columns.offsets.tolist()
                assert offsets == sorted(set(offsets)) and (not offsets or position <= offsets[0])
                assert [number_of(value) for value in columns.values] == offsets
                assert not offsets or offsets[-1] < written
                position = columns.next_offset
    assert position == written


def test_only_reading_is_done_and_only_what_is_a_log_is_opened(broker: RunningBroker, tmp_path: Path) -> None:
    with Producer(broker.bootstrap) as producer:
        producer.send("t", b"a", partition=0).result(10)
    wait_for_committed_ends(broker)
    path = broker.directory / "t-0"

    def state() -> list[tuple[str, int, int]]:
        return sorted(
            (entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in path.iterdir()
        )

    before, descriptors = state(), len(os.listdir("/proc/self/fd"))
    with fastlog.open_log(path) as log:
        for isolation in ("read_committed", "read_uncommitted"):
            with fastlog.open_log(path, isolation_level=isolation, end="written") as other:  # type: ignore[arg-type]
                assert (other.start_offset, other.end_offset, len(other.columns())) == (0, 1, 1)
        with pytest.raises(ValueError, match="a read of 0 records"):
            log.columns(max_records=0)
    assert state() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
    with pytest.raises(ValueError, match="closed"):
        log.columns()
    with pytest.raises(FileNotFoundError):
        fastlog.open_log(tmp_path / "t-0")
    (tmp_path / "no partition").mkdir()
    with pytest.raises(ValueError, match="is called <topic>-<partition>"):
        fastlog.open_log(tmp_path / "no partition")
    for wrong in ({"isolation_level": "serializable"}, {"end": "now"}):
        with pytest.raises(ValueError, match="is not"):
            fastlog.open_log(path, **wrong)  # type: ignore[arg-type]


def test_a_topic_that_was_deleted_and_made_again_is_another_log(broker: RunningBroker) -> None:
    from confluent_kafka.admin import AdminClient

    with Producer(broker.bootstrap) as producer:
        producer.send("t", b"a", partition=0).result(10)
    wait_for_committed_ends(broker)
    with fastlog.open_log(broker.directory / "t-0") as log:
        assert len(log.columns()) == 1
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.delete_topics(["t"])["t"].result(10)
        with pytest.raises(errors.KafkaStorageError):
            for _ in range(200):
                log.columns()
                time.sleep(0.05)
        with Producer(broker.bootstrap) as producer:
            producer.send("t", b"b", partition=0).result(10)
        with pytest.raises(errors.KafkaStorageError):
            log.columns()


def test_the_types_are_public() -> None:
    assert fastlog.RecordColumns is RecordColumns
