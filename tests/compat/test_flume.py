"""Flume, whose Kafka source finds brokers and former offsets in ZooKeeper, on the keeper of a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import AdminClient

from tests.compat.keeper_broker import KeeperBroker
from tests.harness.app_process import AppProcess, java_command
from tests.harness.tree import connected
from tests.harness.waiting import wait_until
from tests.peers.maven import java
from tests.peers.zookeeper_apps import flume_class_path

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(240)]

# Without bootstrap.servers: the source finds the broker in the tree, too.
FLUME: Final = """
agent.sources = kafka
agent.channels = memory
agent.sinks = files
agent.sources.kafka.type = org.apache.flume.source.kafka.KafkaSource
agent.sources.kafka.zookeeperConnect = {keeper}
agent.sources.kafka.kafka.topics = old
agent.sources.kafka.kafka.consumer.group.id = flume
agent.sources.kafka.kafka.consumer.auto.offset.reset = earliest
agent.sources.kafka.kafka.consumer.security.protocol = PLAINTEXT
agent.sources.kafka.channels = memory
agent.channels.memory.type = memory
agent.channels.memory.capacity = 10000
agent.channels.memory.transactionCapacity = 1000
agent.sinks.files.type = file_roll
agent.sinks.files.channel = memory
agent.sinks.files.sink.directory = {directory}
agent.sinks.files.sink.rollInterval = 0
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KeeperBroker]:
    with KeeperBroker(tmp_path) as made:
        yield made


async def write_offsets(broker: KeeperBroker, group: str, topic: str, offsets: list[int]) -> None:
    """Where consumers of Kafka 0.8 kept how far they were."""
    parents = ("/consumers", group, "offsets", topic)
    async with connected(broker.keeper) as client:
        await client.ensure(*("/".join(parents[:depth]) for depth in range(1, len(parents) + 1)))
        for partition, offset in enumerate(offsets):
            await client.create(f"{'/'.join(parents)}/{partition}", str(offset).encode())


def test_flume_takes_offsets_over_from_the_tree(broker: KeeperBroker, tmp_path: Path) -> None:
    """Of 1000 records the 450 above the offsets come, once each, and the group is in Kafka from then on."""
    broker.create("old", 2)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(1000):
        producer.produce("old", f"{number % 2} {number // 2}", partition=number % 2)
    assert producer.flush(60) == 0
    asyncio.run(write_offsets(broker, "flume", "old", [100, 450]))
    expected = [f"{partition} {at}" for partition, first in ((0, 100), (1, 450)) for at in range(first, 500)]

    (found := tmp_path / "found").mkdir()
    (config := tmp_path / "flume.conf").write_text(FLUME.format(keeper=broker.keeper, directory=found))
    main = "org.apache.flume.node.Application"
    options = ("--name", "agent", "--conf-file", str(config), "--no-reload-conf")
    command = java_command(java(), flume_class_path(), main, *options)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})

    def lines() -> list[str]:
        return [line for file in found.iterdir() for line in file.read_text().splitlines()]

    def committed() -> set[int]:
        asked = [ConsumerGroupTopicPartitions("flume")]
        answer = admin.list_consumer_group_offsets(asked)["flume"].result(30)
        return {position.offset for position in answer.topic_partitions}

    with AppProcess(command, tmp_path / "flume.log") as agent:
        wait_until(
            lambda: len(lines()) >= len(expected) and committed() == {500},
            lambda: f"{len(lines())} lines, committed {committed()}:\n{agent.text[-4000:]}",
            seconds=90,
        )
        # It may log an error when it is ended: its source is interrupted in the middle of a request.
        assert "ERROR" not in agent.text, agent.text
        agent.terminate()
    assert sorted(lines()) == sorted(expected)
