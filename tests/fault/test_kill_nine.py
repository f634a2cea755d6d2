"""kill -9 in the middle of load, again and again: every acknowledged record is there, in order, once."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from tests.fault.steady_load import SteadyLoad
from tests.harness.broker_process import BrokerProcess

KILLS = 50
PARTITIONS = 4
TOPIC = "killed"


class Load(SteadyLoad):
    """Sends round robin; values are consecutive numbers per partition."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(bootstrap, TOPIC, queue_buffering_max_messages=2000)
        self.acknowledged: list[list[int]] = [[] for _ in range(PARTITIONS)]
        self.sent = [0] * PARTITIONS
        self._turn = 0

    def next_record(self) -> tuple[int, bytes | None, bytes | None]:
        """The next number of the next partition."""
        partition = self._turn % PARTITIONS
        self._turn += 1
        number = self.sent[partition]
        self.sent[partition] += 1
        return partition, None, b"%d" % number + b"." * 100

    def acknowledged_one(self, message: Message) -> None:
        """Notes its number."""
        value, partition = message.value(), message.partition()
        assert value is not None and partition is not None
        self.acknowledged[partition].append(int(value.split(b".")[0]))


def read_all(bootstrap: str, partition: int) -> list[int]:
    """All values of a partition, in order of their offsets."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.partition.eof": False})
    low, high = consumer.get_watermark_offsets(TopicPartition(TOPIC, partition), timeout=30)
    consumer.assign([TopicPartition(TOPIC, partition, low)])
    found: list[int] = []
    last = low - 1
    while last < high - 1:
        # Asked for more than there is, it would wait for the whole of its timeout.
        batch = consumer.consume(min(10_000, high - 1 - last), timeout=30)
        assert batch, f"partition {partition} ends at {last} instead of {high - 1}"
        for message in batch:
            assert message.error() is None, message.error()
            offset, value = message.offset(), message.value()
            assert offset is not None and value is not None and offset > last
            last = offset
            found.append(int(value.split(b".")[0]))
    consumer.close()
    return found


@pytest.mark.timeout(600)
def test_fifty_kills_in_a_row(tmp_path: Path) -> None:
    """The broker dies 50 times at random moments of an idempotent producer's load."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    settings = {"num.partitions": str(PARTITIONS), "log.segment.bytes": str(4 * 1024 * 1024)}
    with BrokerProcess(tmp_path, settings=settings) as broker:
        load = Load(broker.bootstrap)
        load.start()
        for _ in range(KILLS):
            load.wait_for_progress()
            time.sleep(moments.uniform(0.0, 0.2))
            broker.kill()
            broker.start()
        load.stop()
        assert not load.failures, load.failures[:3]
        for partition in range(PARTITIONS):
            found = read_all(broker.bootstrap, partition)
            acknowledged = load.acknowledged[partition]
            assert acknowledged == sorted(acknowledged)
            assert found == list(range(load.sent[partition])), _difference(found, load.sent[partition])
            assert len(acknowledged) == load.sent[partition]
        assert broker.stop() == 0


def _difference(found: list[int], sent: int) -> str:
    for index, number in enumerate(found):
        if number != index:
            return f"number {number} stands in the place of {index} (of {sent})"
    return f"{len(found)} of {sent} are there"


@pytest.mark.timeout(120)
def test_recovery_reads_only_what_was_unflushed(tmp_path: Path) -> None:
    """After kill -9 the broker scans the log from its recovery point, not from its beginning."""
    settings = {
        "log.segment.bytes": str(8 * 1024 * 1024),
        "log.flush.offset.checkpoint.interval.ms": "200",
        "log.initial.task.delay.ms": "100",
    }
    with BrokerProcess(tmp_path, settings=settings) as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 5})
        for _ in range(100):
            producer.produce(TOPIC, b"x" * 900_000, partition=0)
            producer.poll(0)
        assert producer.flush(60) == 0
        time.sleep(1.5)  # sealed segments are flushed and the recovery point is written meanwhile
        broker.kill()
        broker.start()
        reports = re.findall(r"\((\d+) bytes checked", broker.log_text)
        assert reports, f"no recovery was reported:\n{broker.log_text[-3000:]}"
        total = sum(path.stat().st_size for path in (broker.data_dir / f"{TOPIC}-0").glob("*.log"))
        assert total > 80_000_000
        assert int(reports[-1]) < 20_000_000, "more was scanned than the unflushed end of the log"
        assert broker.stop() == 0
