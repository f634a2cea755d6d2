"""fastlog's controller over two real Apache Kafka 3.9 brokers in ZooKeeper mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from fastlog.base.uuids import random_uuid
from fastlog.coordination.znodes import paths
from tests.compat.bare_controller import LISTENER, BareController
from tests.harness.keeper_process import KeeperProcess
from tests.harness.net import free_port
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import KafkaOnZooKeeper

pytestmark = [pytest.mark.java, pytest.mark.timeout(300)]
CHROOT: Final = "/kafka"
BARE: Final = 9


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[KeeperProcess]:
    with KeeperProcess(tmp_path / "keeper") as process:
        yield process


@pytest.fixture
async def controller(keeper: KeeperProcess) -> AsyncIterator[BareController]:
    async with BareController(keeper.port, CHROOT, BARE) as made:
        yield made


def kafka(keeper: KeeperProcess, directory: Path, number: int) -> KafkaOnZooKeeper:
    connect = f"{keeper.address}{CHROOT}"
    broker = KafkaOnZooKeeper(directory / str(number), connect, broker_id=number)
    broker._settings |= {
        "listeners": f"PLAINTEXT://127.0.0.1:{broker.port},{LISTENER}://127.0.0.1:{free_port()}",
        "listener.security.protocol.map": f"PLAINTEXT:PLAINTEXT,{LISTENER}:PLAINTEXT",
        "inter.broker.listener.name": LISTENER,
        "zookeeper.session.timeout.ms": "10000",
    }
    return broker


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 90) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(what) from None


def produce(broker: KafkaOnZooKeeper, topic: str, partition: int, count: int) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": "all", "enable.idempotence": True})
    for number in range(count):
        producer.produce(topic, str(number).encode(), partition=partition)
    assert producer.flush(60) == 0


def seen_by(broker: KafkaOnZooKeeper, topic: str) -> dict[int, tuple[int, set[int]]]:
    found = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(topic, timeout=30).topics[topic]
    return {number: (each.leader, set(each.isrs)) for number, each in found.partitions.items()}


async def test_kafka_brokers_obey_lose_one_of_them_and_take_it_back(
    controller: BareController, keeper: KeeperProcess, tmp_path: Path
) -> None:
    one, two = (kafka(keeper, tmp_path, number) for number in (1, 2))
    try:
        await asyncio.gather(asyncio.to_thread(one.start), asyncio.to_thread(two.start))
        context = controller.controller.context
        assert context is not None

        async def both_are_here() -> bool:
            return context.live_ids() == {1, 2, BARE}

        await until(both_are_here, "the brokers are not known")
        await controller.create_topic("a", random_uuid(), {0: (1, 2), 1: (2, 1)})

        async def all_told() -> bool:
            wanted = {0: (1, {1, 2}), 1: (2, {1, 2})}
            seen = [await asyncio.to_thread(seen_by, broker, "a") for broker in (one, two)]
            return seen == [wanted, wanted]

        await until(all_told, "the brokers do not know the topic")
        for number in (0, 1):
            await asyncio.to_thread(produce, one, "a", number, 100)
        assert "ALLOCATE_PRODUCER_IDS" in controller.asked

        # Killed: its session has most of 10 s to live, and others lead long before it ends.
        await asyncio.to_thread(two.kill)

        async def one_leads() -> bool:
            return await controller.led("a", 1) == (1, {1}) and await controller.led("a", 0) == (1, {1})

        await until(one_leads, "nobody leads in its place")
        assert await controller.client.exists(paths.broker_id(2)) is not None
        await asyncio.to_thread(produce, one, "a", 1, 100)

        async def is_gone() -> bool:
            return await controller.client.exists(paths.broker_id(2)) is None

        await until(is_gone, "its session does not end")
        await asyncio.to_thread(two.start)

        async def in_sync_again() -> bool:
            return await controller.led("a", 1) == (1, {1, 2}) and await controller.led("a", 0) == (1, {1, 2})

        await until(in_sync_again, "it does not catch up")
        assert "ALTER_PARTITION" in controller.asked

        # The other one stops as it should, and hands its leaders on.
        await asyncio.to_thread(one.stop)
        assert "CONTROLLED_SHUTDOWN" in controller.asked
        assert await controller.led("a", 0) == (2, {2})
        await asyncio.to_thread(produce, two, "a", 0, 100)

        await asyncio.to_thread(one.start)
        await until(both_are_here, "the broker is not back")
        await controller.client.create(paths.deletion("a"))

        async def is_deleted() -> bool:
            return await controller.client.exists(paths.topic("a")) is None

        await until(is_deleted, "the topic is not deleted")
        for broker in (one, two):
            left = [path.name for path in broker.data_dir.iterdir() if path.name in ("a-0", "a-1")]
            assert left == []
    finally:
        await asyncio.to_thread(one.kill)
        await asyncio.to_thread(two.kill)


async def test_the_seat_goes_from_kafka_to_fastlog_and_back(keeper: KeeperProcess, tmp_path: Path) -> None:
    broker = kafka(keeper, tmp_path, 1)
    try:
        await asyncio.to_thread(broker.start)
        async with BareController(keeper.port, CHROOT, BARE, stands_by=True) as bare:
            await asyncio.to_thread(create, broker, "a")
            assert bare.controller.controller_id == 1
            assert {"UPDATE_METADATA"} <= set(bare.asked)
            await asyncio.to_thread(produce, broker, "a", 0, 100)
            await asyncio.to_thread(broker.stop)

            async def is_ours() -> bool:
                return bare.controller.is_active and await bare.led("a", 0) == (-1, {1})

            await until(is_ours, "nobody takes the seat")
            await asyncio.to_thread(broker.start)

            async def leads_again() -> bool:
                return await bare.led("a", 0) == (1, {1})

            await until(leads_again, "the broker does not lead again")
            await asyncio.to_thread(produce, broker, "a", 0, 100)
            epoch = bare.controller.epoch

        # Given up: the broker is the controller again, and goes on from what it finds.
        await asyncio.to_thread(create, broker, "b")
        await asyncio.to_thread(produce, broker, "a", 0, 100)
        async with BareController(keeper.port, CHROOT, BARE, stands_by=True) as bare:
            data, _ = await bare.client.get(paths.CONTROLLER_EPOCH)
            assert int(data or b"") == epoch + 1
    finally:
        await asyncio.to_thread(broker.kill)


def create(broker: KafkaOnZooKeeper, topic: str) -> None:
    """Through the controller, as soon as the broker is that."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "topic.metadata.refresh.interval.ms": 500})
    wait_until(
        lambda: admin.list_topics(timeout=30).controller_id == 1, "it is not the controller", seconds=60
    )
    for future in admin.create_topics([NewTopic(topic, 1, replica_assignment=[[1]])]).values():
        future.result(60)
