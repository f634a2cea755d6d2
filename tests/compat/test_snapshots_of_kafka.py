"""Snapshots of topics that Apache Kafka has, and what becomes of them on a broker under test."""

from __future__ import annotations

from pathlib import Path

import confluent_kafka
import confluent_kafka.admin
import pytest

from fastlog.native import Record
from fastlog.testing import BrokerThread, take_snapshot
from fastlog.testing.topic import read
from tests.peers.apache_kafka import KAFKA_4, ApacheKafka

pytestmark = [pytest.mark.java, pytest.mark.timeout(120)]

SETTINGS = {
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "log.retention.ms": "-1",
    "log.cleaner.enable": "false",
}


def content(records: list[Record]) -> list[tuple[object, ...]]:
    """What a copy has to have in common with its original."""
    return [(r.partition, r.key, r.value, r.headers, r.timestamp) for r in records]


def fill(servers: str) -> None:
    """Compressed batches, records without key or value, a transaction that is aborted in between."""
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": servers})
    topics = [
        confluent_kafka.admin.NewTopic("plain", 3, 1),
        confluent_kafka.admin.NewTopic("compacted", 1, 1, config={"cleanup.policy": "compact"}),
    ]
    for future in admin.create_topics(topics).values():
        future.result(30)
    config = {"bootstrap.servers": servers, "compression.type": "lz4", "linger.ms": 50}
    producer = confluent_kafka.Producer({**config, "transactional.id": "t"})
    producer.init_transactions(30)
    for commits in (True, False, True):
        producer.begin_transaction()
        for number in range(200):
            key = None if number % 3 == 0 else b"key %d" % (number % 7)
            value = None if number % 10 == 9 else b"\xff%d of %d" % (number, commits)
            headers = [("n", b"%d" % number), ("none", None)]
            stamp = 1_700_000_000_000 + number
            producer.produce("plain", value, key, number % 3, timestamp=stamp, headers=headers)
            producer.produce("compacted", value, key or b"k", timestamp=stamp)
        (producer.commit_transaction if commits else producer.abort_transaction)(30)


def test_a_copy_is_the_original(tmp_path: Path) -> None:
    file = tmp_path / "kafka.snapshot.gz"
    with ApacheKafka(tmp_path / "kafka", version=KAFKA_4, settings=SETTINGS, heap="300m") as kafka:
        fill(kafka.bootstrap)
        count = take_snapshot(kafka.bootstrap, ["plain", "compacted"], file)
        few = take_snapshot(kafka.bootstrap, ["plain"], tmp_path / "few.snapshot", limit=10)
        originals = {name: content(read(kafka.bootstrap, name)) for name in ("plain", "compacted")}
    assert count == sum(len(records) for records in originals.values()) == 800
    # The last offset of each partition is that of the mark which ends the transaction.
    assert few == 27
    with BrokerThread(tmp_path / "copy") as broker:
        copies = broker.restore(file)
        assert {name: topic.partitions for name, topic in copies.items()} == {"plain": 3, "compacted": 1}
        assert {name: content(topic.records()) for name, topic in copies.items()} == originals
        broker.clock.advance(days=30)
        assert content(copies["plain"].records()) == originals["plain"]
        offsets = [record.offset for record in copies["plain"].records() if record.partition == 0]
        assert offsets == list(range(len(offsets)))
