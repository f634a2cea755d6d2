"""kill -9 while tiny segments are compacted all the time under load: compared with a dictionary.

One idempotent producer writes values and tombstones for a few keys of each partition. After every kill each
partition is read from its beginning: at every offset there is what was written there; the last acknowledged
record of each key is there, or a later one of it; only a tombstone may be gone, and then all of its key is.
"""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient, NewTopic

from tests.fault.steady_load import SteadyLoad
from tests.harness.broker_process import BrokerProcess
from tests.harness.compacted import Kept, read_partition

KILLS = 15
PARTITIONS = 2
KEYS = 40
TOPIC = "t"
SETTINGS = {
    "log.cleaner.backoff.ms": "0",
    "log.cleaner.threads": "2",
    "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
    "log.initial.task.delay.ms": "0",
    "log.flush.offset.checkpoint.interval.ms": "200",
}
CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": "20000",
    "min.cleanable.dirty.ratio": "0",
    "delete.retention.ms": "500",
    "file.delete.delay.ms": "0",
}


class Load(SteadyLoad):
    """Values and tombstones. `acknowledged` holds, by partition, every record by its offset."""

    def __init__(self, bootstrap: str, seed: int) -> None:
        codec = random.Random(seed).choice(["none", "lz4", "zstd", "gzip", "snappy"])
        super().__init__(
            bootstrap,
            TOPIC,
            batch_num_messages=20,
            queue_buffering_max_messages=200,
            compression_type=codec,
        )
        self._chooser = random.Random(seed)
        self._number = 0
        self.acknowledged: list[dict[int, Kept]] = [{} for _ in range(PARTITIONS)]
        self.sent: list[set[tuple[bytes | None, bytes | None]]] = [set() for _ in range(PARTITIONS)]

    def next_record(self) -> tuple[int, bytes | None, bytes | None]:
        """A value of its own, or a tombstone, for one of the keys."""
        partition = self._number % PARTITIONS
        key = b"key-%d" % self._chooser.randrange(KEYS)
        value = None if self._chooser.random() < 0.1 else b"%d:" % self._number + b"v" * 100
        self.sent[partition].add((key, value))
        self._number += 1
        return partition, key, value

    def acknowledged_one(self, message: Message) -> None:
        """Notes it by its offset, which every acknowledgement has to tell."""
        partition, offset = message.partition(), message.offset()
        if partition is None or offset is None or offset < 0:
            self.failures.append(f"offset {offset}")
            return
        self.acknowledged[partition][offset] = Kept(offset, message.key(), message.value())


def check(load: Load, bootstrap: str, partition: int) -> int:
    """Compares a partition with what had been acknowledged before; returns how many records are left."""
    acknowledged = dict(load.acknowledged[partition])
    found = {record.offset: record for record in read_partition(bootstrap, TOPIC, partition)}
    last_found: dict[bytes | None, Kept] = {}
    for offset, record in found.items():
        assert acknowledged.get(offset, record) == record, f"another record at {offset}"
        assert (record.key, record.value) in load.sent[partition]
        last_found[record.key] = record
    last: dict[bytes | None, Kept] = {}
    for offset in sorted(acknowledged):
        last[acknowledged[offset].key] = acknowledged[offset]
    for key, record in last.items():
        left = last_found.get(key)
        if left is None:
            assert record.value is None, f"{record} is lost"
        else:
            assert left.offset >= record.offset, f"{left} is an old record: {record} is lost"
    return len(found)


@pytest.mark.timeout(400)
def test_kills_during_compaction(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    with BrokerProcess(tmp_path, settings=SETTINGS) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 2})
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, config=CONFIG)])[TOPIC].result(30)
        load = Load(broker.bootstrap, seed)
        load.start()
        for kill in range(KILLS):
            load.wait_for_progress(500)
            time.sleep(moments.uniform(0.0, 0.3))
            broker.kill()
            broker.start()
            # What is replaced while the partition is read, from behind the end of then, would seem lost.
            with load.pause():
                check(load, broker.bootstrap, kill % PARTITIONS)
        load.stop()
        assert not load.failures, load.failures[:3]
        for partition in range(PARTITIONS):
            kept = check(load, broker.bootstrap, partition)
            assert kept < len(load.acknowledged[partition]) / 2
        compactions = len(re.findall(r"compacted t-\d", broker.log_text))
        print(f"{sum(map(len, load.acknowledged))} records, {compactions} compactions")
        assert compactions > 2 * KILLS
        assert "cannot be compacted" not in broker.log_text
        assert broker.stop() == 0
