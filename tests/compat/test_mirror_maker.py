"""MirrorMaker 2 between two brokers, in both directions: records, topics' settings and partitions, groups."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from tests.harness.app_process import AppProcess, java_command
from tests.harness.broker_process import BrokerProcess
from tests.harness.dataset import Record, records
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import KAFKA_3
from tests.peers.kafka_apps import mirror_class_path
from tests.peers.maven import java

MAIN = "org.apache.kafka.connect.mirror.MirrorMaker"
# Everything that it does now and then, every second; the internal topics on one broker.
SETTINGS = {
    "clusters": "east, west",
    "east->west.enabled": "true",
    "east->west.topics": "orders|events",
    "west->east.enabled": "true",
    "west->east.topics": "payments",
    "replication.factor": "1",
    "tasks.max": "2",
    "refresh.topics.interval.seconds": "1",
    "refresh.groups.interval.seconds": "1",
    "sync.topic.configs.interval.seconds": "1",
    "sync.topic.acls.interval.seconds": "1",
    "emit.checkpoints.interval.seconds": "1",
    "emit.heartbeats.interval.seconds": "1",
    "sync.group.offsets.enabled": "true",
    "sync.group.offsets.interval.seconds": "1",
    "offset.lag.max": "0",
    # A worker's settings are those of the cluster that it writes to; at a flush it tells the last offsets.
    "east.offset.flush.interval.ms": "500",
    "west.offset.flush.interval.ms": "500",
    "offset.storage.partitions": "2",
    "status.storage.partitions": "1",
    **{
        f"{name}.replication.factor": "1"
        for name in (
            *("checkpoints.topic", "heartbeats.topic", "offset-syncs.topic"),
            *("config.storage", "offset.storage", "status.storage"),
        )
    },
    # Of its consumers: a topic that is new has its records from the beginning.
    "consumer.auto.offset.reset": "earliest",
    "consumer.metadata.max.age.ms": "1000",
}
BROKER = {
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.ms": "-1",
    "offsets.topic.num.partitions": "2",
}
SECONDS = 90


class Cluster:
    """One broker, and what the test does with it."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.broker = broker
        self._client = {"bootstrap.servers": broker.bootstrap, "log_level": 2}
        self.admin = AdminClient(self._client)

    def create(self, topic: str, partitions: int, **settings: str) -> None:
        """A topic with these settings (an underscore is a dot)."""
        config = {name.replace("_", "."): value for name, value in settings.items()}
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(30)

    def send(self, topic: str, partition: int, items: list[Record]) -> None:
        """Produces these records."""
        producer = Producer({**self._client, "enable.idempotence": True})
        for item in items:
            producer.produce(
                topic,
                item.value,
                item.key,
                partition,
                timestamp=item.timestamp,
                headers=item.headers,
            )
        assert producer.flush(30) == 0

    def commit(self, group: str, topic: str, offsets: dict[int, int]) -> None:
        """Commits as a consumer that is not a member."""
        parts = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
        asked = [ConsumerGroupTopicPartitions(group, parts)]
        self.admin.alter_consumer_group_offsets(asked)[group].result(30)

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """All committed offsets of a group."""
        try:
            answer = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
            rows = answer[group].result(30).topic_partitions
        except KafkaException:
            return {}
        return {(row.topic, row.partition): row.offset for row in rows}

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has; 0 without it."""
        found = self.admin.list_topics(timeout=30).topics.get(topic)
        return 0 if found is None else len(found.partitions)

    def config(self, topic: str, *names: str) -> list[str]:
        """Settings of a topic."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        found = self.admin.describe_configs([resource])[resource].result(30)
        return [str(found[name].value) for name in names]

    def alter(self, topic: str, name: str, value: str) -> None:
        """Sets one setting of a topic."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(30)

    def read(self, topic: str, partition: int, count: int) -> list[Record]:
        """Waits for so many records of a partition, from its beginning."""
        consumer = Consumer({**self._client, "group.id": "unused", "topic.metadata.refresh.interval.ms": 500})
        consumer.assign([TopicPartition(topic, partition, 0)])
        found: list[Record] = []
        deadline = time.monotonic() + SECONDS
        while len(found) < count:
            assert time.monotonic() < deadline, f"{topic}-{partition}: {len(found)} of {count} records"
            for message in consumer.consume(count, timeout=0.2):
                if message.error() is None:
                    stamp, headers = message.timestamp()[1], list(message.headers() or [])
                    found.append(Record(stamp, message.key(), message.value(), headers))
        consumer.close()
        return found


@dataclass(frozen=True, slots=True)
class Pair:
    """Two clusters."""

    east: Cluster
    west: Cluster


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two brokers."""
    with (
        BrokerProcess(tmp_path / "east", settings=BROKER) as east,
        BrokerProcess(tmp_path / "west", settings=BROKER) as west,
    ):
        yield Pair(Cluster(east), Cluster(west))
        for broker in (east, west):
            assert "Traceback" not in broker.log_text, broker.log_text[-4000:]


@pytest.mark.java
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_topics_and_groups_are_mirrored_both_ways(pair: Pair, tmp_path: Path) -> None:
    """What is there at the start and what comes later: records, settings, partitions, committed offsets."""
    east, west = pair.east, pair.west
    orders, events, payments = (list(records(100, start)) for start in (0, 1000, 2000))
    east.create("orders", 2, max_message_bytes="2000000", segment_bytes="20000000")
    east.create("events", 1)
    west.create("payments", 1, retention_ms="86400000000000")
    # The first ten are gone: offsets differ between the clusters, and must be translated.
    east.send("orders", 1, [Record(1_700_000_000_000, b"gone", b"gone", [])] * 10)
    east.admin.delete_records([TopicPartition("orders", 1, 10)])[TopicPartition("orders", 1)].result(30)
    east.send("orders", 1, orders)
    east.send("events", 0, events)
    west.send("payments", 0, payments)

    file = tmp_path / "mm2.properties"
    clusters = {
        f"{name}.bootstrap.servers": cluster.broker.bootstrap
        for name, cluster in (("east", east), ("west", west))
    }
    file.write_text("".join(f"{name} = {value}\n" for name, value in {**SETTINGS, **clusters}.items()))
    command = java_command(java(), mirror_class_path(KAFKA_3), MAIN, str(file))
    with AppProcess(command, tmp_path / "mirror.log") as mirror:
        assert west.read("east.orders", 1, 100) == orders
        assert west.read("east.events", 0, 100) == events
        assert east.read("west.payments", 0, 100) == payments
        assert west.partitions("east.orders") == 2
        assert east.config("west.payments", "retention.ms") == ["86400000000000"]
        names = ("max.message.bytes", "segment.bytes")
        assert west.config("east.orders", *names) == ["2000000", "20000000"]
        assert west.partitions("west.payments") == 0, "what came from a cluster does not go back"

        # The end of what is mirrored: a translation is exact there.
        east.commit("shop", "orders", {1: 110})
        west.commit("bank", "payments", {0: 100})
        wait_until(
            lambda: west.committed("shop") == {("east.orders", 1): 100},
            lambda: f"{west.committed('shop')}\n{mirror.text[-4000:]}",
            seconds=SECONDS,
        )
        wait_until(
            lambda: east.committed("bank").get(("west.payments", 0)) == 100,
            lambda: f"{east.committed('bank')}\n{mirror.text[-4000:]}",
            seconds=SECONDS,
        )

        east.alter("orders", "max.message.bytes", "2500000")
        east.admin.create_partitions([NewPartitions("orders", 3)])["orders"].result(30)
        wait_until(
            lambda: (
                west.config("east.orders", *names) == ["2500000", "20000000"]
                and west.partitions("east.orders") == 3
            ),
            lambda: f"{west.config('east.orders', *names)}, {west.partitions('east.orders')}",
            seconds=SECONDS,
        )
        east.send("orders", 2, orders)
        assert west.read("east.orders", 2, 100) == orders
        words = mirror.text
    # It asks for access rules, and goes on without when there is no authorizer.
    assert "UnsupportedVersion" not in words, words[-8000:]
