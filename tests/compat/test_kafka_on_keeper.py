"""A real Apache Kafka 3.9 in ZooKeeper mode, with the keeper in ZooKeeper's place."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from fastlog.base.clock import SystemClock
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.structures import Stat, child_of
from fastlog.coordination.zookeeper.transport import socket_connector
from tests.harness.keeper_process import KeeperProcess
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import KafkaOnZooKeeper
from tests.peers.zookeeper import ZooKeeperServer

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]
RECORDS: Final = 200


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeeperProcess]:
    with KeeperProcess(tmp_path_factory.mktemp("keeper")) as process:
        yield process


@pytest.fixture(scope="module")
def kafka(keeper: KeeperProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaOnZooKeeper]:
    with KafkaOnZooKeeper(tmp_path_factory.mktemp("kafka"), f"{keeper.address}/kafka") as broker:
        yield broker


def admin_of(broker: KafkaOnZooKeeper) -> AdminClient:
    """A client that knows the controller: one that asked before the election waits long to ask again."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    wait_until(lambda: admin.list_topics(timeout=60).controller_id >= 0, "there is no controller", seconds=60)
    return admin


def wait_for(futures: Mapping[Any, Any]) -> None:
    for future in futures.values():
        future.result(60)


def topics_of(broker: KafkaOnZooKeeper) -> set[str]:
    return set(admin_of(broker).list_topics(timeout=60).topics)


def change_things(broker: KafkaOnZooKeeper) -> None:
    """What an operator does to a cluster."""
    admin = admin_of(broker)
    wait_for(admin.create_topics([NewTopic(name, 2, 1) for name in ("kept", "grown", "gone")]))
    wait_for(admin.create_topics([NewTopic("settings", 1, 1, config={"retention.ms": "5000"})]))
    wait_for(admin.create_partitions([NewPartitions("grown", 4)]))
    for kind, name, key, value in (
        (ConfigResource.Type.TOPIC, "kept", "cleanup.policy", "compact"),
        (ConfigResource.Type.BROKER, "1", "log.cleaner.threads", "2"),
    ):
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(kind, name, incremental_configs=[entry])
        wait_for(admin.incremental_alter_configs([resource]))
    wait_for(admin.delete_topics(["gone"]))
    deadline = time.monotonic() + 60
    while "gone" in topics_of(broker):
        assert time.monotonic() < deadline, "the topic is not deleted"
        time.sleep(0.2)


def produce_and_consume(broker: KafkaOnZooKeeper, topic: str) -> list[bytes]:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": "all"})
    for number in range(RECORDS):
        producer.produce(topic, str(number).encode(), key=b"k")
    assert producer.flush(60) == 0
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": f"of-{topic}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    deadline = time.monotonic() + 60
    while len(values) < RECORDS:
        assert time.monotonic() < deadline, f"{len(values)} records of {topic}"
        values += [message.value() for message in consumer.consume(RECORDS, 1.0)]
    consumer.close()
    return values


def test_a_kafka_cluster_lives_on_it(kafka: KafkaOnZooKeeper) -> None:
    change_things(kafka)
    assert produce_and_consume(kafka, "grown") == [str(number).encode() for number in range(RECORDS)]


def test_the_keeper_may_be_killed_under_it(kafka: KafkaOnZooKeeper, keeper: KeeperProcess) -> None:
    before = asyncio.run(registration(keeper.port))
    keeper.kill()
    keeper.start()
    deadline = time.monotonic() + 60
    name = "after-the-kill"
    admin = admin_of(kafka)
    while name not in topics_of(kafka):
        assert time.monotonic() < deadline
        try:
            wait_for(admin.create_topics([NewTopic(name, 1, 1)], operation_timeout=5))
        except KafkaException as error:
            # Until it is connected again.
            print(error)
            time.sleep(0.2)
    assert len(produce_and_consume(kafka, name)) == RECORDS
    # One session all along: its registration was never gone.
    assert before is not None
    assert asyncio.run(registration(keeper.port)) == before


async def registration(port: int) -> Stat | None:
    session = ZkSession([socket_connector("127.0.0.1", port)], SystemClock())
    session.start()
    await session.connected()
    stat = await ZkClient(session).exists("/kafka/brokers/ids/1")
    await session.close()
    return stat


async def test_it_keeps_what_a_real_zookeeper_keeps(
    kafka: KafkaOnZooKeeper, keeper: KeeperProcess, tmp_path: Path
) -> None:
    """The same commands over a real ZooKeeper leave the same nodes, field by field."""
    with (
        ZooKeeperServer(tmp_path / "zookeeper") as zookeeper,
        KafkaOnZooKeeper(tmp_path / "kafka", f"{zookeeper.address}/kafka") as other,
    ):
        change_things(other)
        produce_and_consume(other, "grown")
        admin = admin_of(other)
        wait_for(admin.create_topics([NewTopic("after-the-kill", 1, 1)]))
        produce_and_consume(other, "after-the-kill")
        theirs = await _tree(zookeeper.port)
    ours = await _tree(keeper.port)
    assert ours.keys() == theirs.keys()
    different = {path: (ours[path], theirs[path]) for path in ours if ours[path] != theirs[path]}
    assert not different
    assert len(ours) > 100


async def _tree(port: int) -> dict[str, tuple[Any, ...]]:
    """Every node below /kafka: its data, with what differs from run to run taken out, and its counters."""
    session = ZkSession([socket_connector("127.0.0.1", port)], SystemClock())
    session.start()
    await session.connected()
    client = ZkClient(session)
    found: dict[str, tuple[Any, ...]] = {}
    waiting = ["/kafka"]
    while waiting:
        path = waiting.pop()
        data, stat = await client.get(path)
        names, _ = await client.children(path)
        waiting += [child_of(path, name) for name in names]
        acls, _ = await client.acls(path)
        found[path] = (_plain(path, data), _counters(path, stat), acls)
    await session.close()
    return found


_ANY: Final = {"timestamp", "topic_id", "port", "endpoints", "id"}


def _plain(path: str, data: bytes | None) -> object:
    if not data or path.endswith("/controller_epoch"):
        return data
    try:
        document = json.loads(data)
    except ValueError:
        return re.sub(rb"\d{4,}", b"N", data)
    if isinstance(document, dict):
        return {name: None if name in _ANY else value for name, value in document.items()}
    return document


def _counters(path: str, stat: Stat) -> tuple[object, ...]:
    return stat.version, stat.cversion, stat.aversion, stat.ephemeral_owner != 0, stat.children
