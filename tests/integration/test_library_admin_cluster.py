"""Admin clients on a cluster of three brokers: leaders, moves, and a controller that goes away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog import Admin, AsyncAdmin, NewTopic, Producer, TopicPartition, errors
from fastlog.admin import ConfigResource, Election, TopicPartitionReplica
from tests.harness.keeper_process import KeeperProcess
from tests.harness.waiting import wait_until
from tests.integration.running import RunningBroker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SETTINGS = {
    "zookeeper.session.timeout.ms": "4000",
    "fastlog.shutdown.timeout.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "3",
    "auto.leader.rebalance.enable": "false",
}
NAMES = [TopicPartition("t", number) for number in range(3)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[int, RunningBroker]]:
    """Brokers 1 to 3, and topic `t`: broker N is to lead partition N-1."""
    brokers: dict[int, RunningBroker] = {}
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:
        try:
            for number in (1, 2, 3):
                place = {"broker.id": str(number), "zookeeper.connect": keeper.address}
                brokers[number] = RunningBroker(tmp_path / f"broker-{number}", {**SETTINGS, **place})
                brokers[number].start()
            with Admin(brokers[2].bootstrap) as admin:
                wait_until(lambda: len(admin.describe_cluster().brokers) == 3, "all are there", seconds=30)
                admin.create_topics([NewTopic("t", assignments=[[1, 2], [2, 3], [3, 1]])]).check()
            yield brokers
        finally:
            for broker in brokers.values():
                broker.close()


def leaders(admin: Admin) -> list[int]:
    return [row.leader for row in admin.describe_topics(["t"])["t"].partitions]


def test_what_is_asked_of_each_broker_and_moved_between_them(cluster: dict[int, RunningBroker]) -> None:
    with Admin(cluster[3].bootstrap) as admin, Producer(cluster[1].bootstrap) as producer:
        for name in NAMES:
            producer.send("t", b"v", partition=name.partition).result(30)
        assert {
            name: row.offset for name, row in admin.list_offsets(dict.fromkeys(NAMES, "latest")).items()
        } == dict.fromkeys(NAMES, 1)
        assert admin.delete_records(dict.fromkeys(NAMES, -1)).check() == dict.fromkeys(NAMES, 1)
        every = admin.describe_log_dirs()
        assert {
            node: {row.name for row in every[node][0].replicas if row.name.topic == "t"} for node in every
        } == {
            1: {NAMES[0], NAMES[2]},
            2: {NAMES[0], NAMES[1]},
            3: {NAMES[1], NAMES[2]},
        }
        path = every[1][0].path
        stay = {TopicPartitionReplica("t", 0, 1): path, TopicPartitionReplica("t", 1, 1): path}
        moved = admin.alter_replica_log_dirs(stay)
        assert moved.results == {TopicPartitionReplica("t", 0, 1): None}
        assert len(moved.errors) == 1
        brokers = [ConfigResource.broker(number) for number in (1, 2, 3)]
        admin.alter_configs({one: {"log.cleaner.threads": 2} for one in brokers}).check()
        found = admin.describe_configs(brokers, keys=["log.cleaner.threads"])
        assert {row.value for one in brokers for row in found[one]} == {"2"}

        with pytest.raises(errors.SecurityDisabled):  # without an authorizer
            admin.describe_acls()
        assert set(admin.elect_leaders(Election.PREFERRED).check().values()) == {False}
        admin.alter_partition_reassignments({NAMES[0]: [3, 2]}).check()
        wait_until(lambda: not admin.list_partition_reassignments(), "it has moved", seconds=30)
        (first, *_) = admin.describe_topics(["t"])["t"].partitions
        assert (first.replicas, first.leader in (2, 3)) == ((3, 2), True)


async def test_calls_survive_the_controller(cluster: dict[int, RunningBroker]) -> None:
    async with AsyncAdmin([cluster[number].bootstrap for number in (1, 2, 3)]) as admin:
        (await admin.alter_group_offsets("g", {NAMES[0]: 3})).check()
        gone = (await admin.describe_cluster()).controller
        assert gone is not None
        await asyncio.to_thread(cluster[gone].stop)
        made = await admin.create_topics([NewTopic(f"after-{number}", 1, 1) for number in range(3)])
        assert len(made.check()) == 3
        assert (await admin.list_group_offsets("g")).check()[NAMES[0]].offset == 3
        found = await admin.describe_cluster()
        assert found.controller not in (None, gone)
        directories = await admin.describe_log_dirs([1, 2, 3])
        assert directories.results.keys() == {1, 2, 3} - {gone}
        assert isinstance(directories.error(gone), errors.BrokerNotAvailable | errors.ConnectionFailed)
        lost = ConfigResource.broker(gone)
        topic = ConfigResource.topic("after-0")
        changed = await admin.within(5000).alter_configs(
            {lost: {"log.cleaner.threads": 2}, topic: {"retention.ms": 1000}}
        )
        assert changed.results == {topic: None}
        assert changed.errors.keys() == {lost}
