"""Following partitions of a real Apache Kafka 3.9 leader, byte by byte.

One broker of Kafka leads; the test registers another one, 100, in ZooKeeper and follows in its name. To the
controller it is a broker that never answers; to the leader it is a replica like any other.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from fastlog.base.clock import SystemClock
from fastlog.coordination.zookeeper.client import ZkClient
from fastlog.coordination.zookeeper.client_session import ZkSession
from fastlog.coordination.zookeeper.codes import CreateMode
from fastlog.coordination.zookeeper.transport import socket_connector
from fastlog.native import build_batch
from fastlog.replication.partition import Partition
from fastlog.storage.checkpoints import HIGH_WATERMARKS
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


@asynccontextmanager
async def registered(zookeeper: ZooKeeperServer) -> AsyncIterator[tuple[ZkClient, int]]:
    """Broker 100, whose listener nobody answers at: a client of the tree, and the broker epoch."""
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
    try:
        yield client, stat.czxid
    finally:
        await session.close()


async def in_sync(client: ZkClient, topic: str, members: list[int]) -> dict[str, Any]:
    """What the controller has decided about partition 0, when these are in sync."""
    for _ in range(600):
        data, _ = await client.get(f"/brokers/topics/{topic}/partitions/0/state")
        state: dict[str, Any] = json.loads(data or b"")
        if state["isr"] == members:
            return state
        await asyncio.sleep(0.1)
    raise AssertionError(f"{state['isr']} are in sync")


async def create_topic(kafka: KafkaOnZooKeeper, name: str, partitions: int) -> bytes:
    """A topic with replicas on both. Gives its id; its leader epoch is 0."""

    def create() -> bytes:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        wait_until(
            lambda: {1, NODE} <= set(admin.list_topics(timeout=60).brokers),
            "broker 100 is unknown",
            seconds=60,
        )
        topic = NewTopic(name, partitions, replica_assignment=[[1, NODE]] * partitions)
        # 100 never answers the controller: what counts is that the leader has it.
        admin.create_topics([topic], operation_timeout=5)[name].result(60)
        return uuid_bytes(admin.describe_topics(TopicCollection([name]))[name].result(60).topic_id)

    return await asyncio.to_thread(create)


def uuid_bytes(topic_id: Any) -> bytes:
    high: int
    low: int
    high, low = topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()
    return ((high & (2**64 - 1)) << 64 | (low & (2**64 - 1))).to_bytes(16, "big")


def produce(
    kafka: KafkaOnZooKeeper, topic: str, partitions: int, count: int, *, size: int = 200, **config: Any
) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "1", "linger.ms": 20, **config})
    for number in range(count):
        producer.produce(topic, os.urandom(size), key=str(number).encode(), partition=number % partitions)
        while len(producer) > 50_000:
            producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(60) == 0


async def caught_up(parts: list[Partition], end: int) -> None:
    await until(
        lambda: all(part.log.log_end_offset == part.high_watermark == end for part in parts),
        "the follower does not catch up",
    )


@pytest.mark.parametrize("by_name", [False, True])
async def test_logs_are_the_leaders_byte_by_byte(
    kafka: KafkaOnZooKeeper, zookeeper: ZooKeeperServer, tmp_path: Path, by_name: bool
) -> None:
    topic = f"followed-{'by-name' if by_name else 'by-id'}"
    async with registered(zookeeper) as (_, broker_epoch):
        topic_id = await create_topic(kafka, topic, 3)
        await asyncio.to_thread(produce, kafka, topic, 3, 9_000)
        async with FollowingBroker(NODE, [tmp_path / "data"], epoch=broker_epoch) as broker:
            broker.addresses[1] = ("127.0.0.1", kafka.port)
            known_id = bytes(16) if by_name else topic_id
            parts = [await broker.follow(topic, known_id, number, 1, 0) for number in range(3)]
            # While it follows: other codecs, idempotent producers, and acks=all, which waits for it.
            packed: Any = {"compression.type": "lz4"}
            await asyncio.to_thread(produce, kafka, topic, 3, 6_000, **packed)
            sure: Any = {"acks": "all", "enable.idempotence": True}
            await asyncio.to_thread(produce, kafka, topic, 3, 3_000, **sure)
            await caught_up(parts, 6_000)
            assert not broker.fetchers.stats.failed
            assert broker.fetchers.lags() == {(topic, number): 0 for number in range(3)}
    for number in range(3):
        name = f"{topic}-{number}"
        theirs, ours = batches_of(kafka.data_dir / name), batches_of(tmp_path / "data" / name)
        assert len(ours) > 1_000_000
        assert ours == theirs
    assert f"{topic} 0 6000\n" in (tmp_path / "data" / HIGH_WATERMARKS).read_text()


async def test_deleted_records_and_a_new_disk(
    kafka: KafkaOnZooKeeper, zookeeper: ZooKeeperServer, tmp_path: Path
) -> None:
    async with registered(zookeeper) as (_, broker_epoch):
        topic_id = await create_topic(kafka, "deleted", 1)
        async with FollowingBroker(NODE, [tmp_path / "first"], epoch=broker_epoch) as broker:
            broker.addresses[1] = ("127.0.0.1", kafka.port)
            part = await broker.follow("deleted", topic_id, 0, 1, 0)
            await asyncio.to_thread(produce, kafka, "deleted", 1, 1_000)
            await caught_up([part], 1_000)
            # Kafka answers when all replicas begin there: the follower tells it so.
            admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
            deleted = admin.delete_records([TopicPartition("deleted", 0, 505)])
            answer = await asyncio.to_thread(next(iter(deleted.values())).result, 60)
            assert (answer.low_watermark, part.log.log_start_offset) == (505, 505)
        async with FollowingBroker(NODE, [tmp_path / "second"], epoch=broker_epoch) as broker:
            broker.addresses[1] = ("127.0.0.1", kafka.port)
            part = await broker.follow("deleted", topic_id, 0, 1, 0)
            await caught_up([part], 1_000)
            assert part.log.log_start_offset == 505
            assert broker.fetchers.stats.truncations == 1
    theirs, ours = (
        batches_of(directory / "deleted-0") for directory in (kafka.data_dir, tmp_path / "second")
    )
    assert ours
    assert theirs.endswith(ours)


async def test_a_diverging_log_is_cut_and_the_replica_is_in_sync_again(
    kafka: KafkaOnZooKeeper, zookeeper: ZooKeeperServer, tmp_path: Path
) -> None:
    async with registered(zookeeper) as (_, broker_epoch):
        topic_id = await create_topic(kafka, "diverged", 1)
        async with FollowingBroker(NODE, [tmp_path / "data"], epoch=broker_epoch) as broker:
            broker.addresses[1] = ("127.0.0.1", kafka.port)
            part = await broker.follow("diverged", topic_id, 0, 1, 0)
            await asyncio.to_thread(produce, kafka, "diverged", 1, 100)
            await caught_up([part], 100)
            await broker.fetchers.stop([part.key])
            # What a leader of that epoch would have written, had it not lost its leadership.
            part.log.append(build_batch([(None, b"lost", [], 1)] * 7), leader_epoch=0)
            part.log.flush()
            await broker.logs.housekeeping.checkpoint()
    async with registered(zookeeper) as (client, broker_epoch):
        # Its absence began another leader epoch, in which it is out of sync.
        state = await in_sync(client, "diverged", [1])
        assert state["leader_epoch"] > 0
        await asyncio.to_thread(produce, kafka, "diverged", 1, 50)
        async with FollowingBroker(NODE, [tmp_path / "data"], epoch=broker_epoch) as broker:
            broker.addresses[1] = ("127.0.0.1", kafka.port)
            # In the former epoch it is told so, and given up.
            part = await broker.follow("diverged", topic_id, 0, 1, 0)
            assert (part.log.log_end_offset, part.high_watermark) == (107, 100)
            await until(lambda: bool(broker.fetchers.stats.failed), "it is not fenced")
            part = await broker.follow("diverged", topic_id, 0, 1, state["leader_epoch"])
            await caught_up([part], 150)
            await in_sync(client, "diverged", [1, NODE])
            assert broker.fetchers.stats.truncations == 1
    ours = batches_of(tmp_path / "data" / "diverged-0")
    assert ours == batches_of(kafka.data_dir / "diverged-0")
