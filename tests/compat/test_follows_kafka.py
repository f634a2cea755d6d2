"""Following partitions of a real Apache Kafka 3.9 leader, byte by byte.

One broker of Kafka leads; the test registers another one, 100, in ZooKeeper and follows in its name. To the
controller it is a broker that never answers; to the leader it is a replica like any other.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic

from fastlog.base.clock import SystemClock
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.transport import socket_connector
from tests.harness.follower import FollowingBroker, batches_of, until
from tests.harness.net import free_port
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import KafkaOnZooKeeper
from tests.peers.zookeeper import ZooKeeperServer

pytestmark = [pytest.mark.java, pytest.mark.timeout(240)]
NODE: Final = 100


@pytest.fixture(scope="module")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer(tmp_path_factory.mktemp("zookeeper")) as server:
        yield server


@pytest.fixture(scope="module")
def kafka(zookeeper: ZooKeeperServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaOnZooKeeper]:
    settings = {"log.segment.bytes": "1048576", "controlled.shutdown.enable": "false"}
    directory = tmp_path_factory.mktemp("kafka")
    with KafkaOnZooKeeper(directory, zookeeper.address, settings=settings) as broker:
        yield broker
        broker.kill()


@pytest.fixture
async def registered(zookeeper: ZooKeeperServer, kafka: KafkaOnZooKeeper) -> AsyncIterator[int]:
    """The broker epoch of broker 100, whose listener nobody answers at."""
    port = free_port()
    session = ZkSession([socket_connector("127.0.0.1", zookeeper.port)], SystemClock())
    session.start()
    await session.connected()
    client = ZkClient(session)
    document = {
        "version": 5,
        "host": "127.0.0.1",
        "port": port,
        "jmx_port": -1,
        "timestamp": "1",
        "endpoints": [f"PLAINTEXT://127.0.0.1:{port}"],
        "listener_security_protocol_map": {"PLAINTEXT": "PLAINTEXT"},
        "features": {},
    }
    path = f"/brokers/ids/{NODE}"
    await client.create(path, json.dumps(document).encode(), mode=CreateMode.EPHEMERAL)
    stat = await client.exists(path)
    assert stat is not None
    yield stat.czxid
    await session.close()


async def create_topic(
    kafka: KafkaOnZooKeeper, name: str, partitions: int, **config: str
) -> tuple[bytes, int]:
    """A topic with replicas on both. Gives its id and the leader epoch of its partitions."""

    def create() -> bytes:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        wait_until(
            lambda: {1, NODE} <= set(admin.list_topics(timeout=60).brokers),
            "broker 100 is unknown",
            seconds=60,
        )
        topic = NewTopic(name, partitions, replica_assignment=[[1, NODE]] * partitions, config=config)
        # 100 never answers the controller: what counts is that the leader has it.
        admin.create_topics([topic], operation_timeout=5)[name].result(60)
        return uuid_bytes(admin.describe_topics(TopicCollection([name]))[name].result(60).topic_id)

    return await asyncio.to_thread(create), 0


def uuid_bytes(topic_id: Any) -> bytes:
    high: int
    low: int
    high, low = topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()
    return ((high & (2**64 - 1)) << 64 | (low & (2**64 - 1))).to_bytes(16, "big")


def produce(kafka: KafkaOnZooKeeper, topic: str, partitions: int, count: int, **config: Any) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "1", "linger.ms": 20, **config})
    for number in range(count):
        producer.produce(topic, os.urandom(200), key=str(number).encode(), partition=number % partitions)
        producer.poll(0)
    assert producer.flush(60) == 0


async def test_logs_are_the_leaders_byte_by_byte(
    kafka: KafkaOnZooKeeper, registered: int, tmp_path: Path
) -> None:
    topic_id, epoch = await create_topic(kafka, "followed", 3)
    await asyncio.to_thread(produce, kafka, "followed", 3, 9_000)
    async with FollowingBroker(NODE, [tmp_path / "data"], epoch=registered) as broker:
        broker.addresses[1] = ("127.0.0.1", kafka.port)
        parts = [await broker.follow("followed", topic_id, number, 1, epoch) for number in range(3)]
        # While it follows: other codecs, idempotent producers, and acks=all, which waits for it.
        await asyncio.to_thread(produce, kafka, "followed", 3, 6_000, **{"compression.type": "lz4"})
        await asyncio.to_thread(
            produce, kafka, "followed", 3, 3_000, **{"acks": "all", "enable.idempotence": True}
        )
        await until(
            lambda: all(part.log.log_end_offset == part.high_watermark == 6_000 for part in parts),
            "the follower does not catch up",
        )
        assert not broker.fetchers.stats.failed
        assert broker.fetchers.lags() == {("followed", number): 0 for number in range(3)}
    for number in range(3):
        name = f"followed-{number}"
        theirs, ours = batches_of(kafka.data_dir / name), batches_of(tmp_path / "data" / name)
        assert len(ours) > 1_000_000
        assert ours == theirs
    assert "followed 0 6000\n" in (tmp_path / "data" / "replication-offset-checkpoint").read_text()
