"""Samza, whose processors share their tasks out through ZooKeeper: on a keeper, and on a ZooKeeper server."""

from __future__ import annotations

import asyncio
import collections
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.cluster.cluster import Place
from tests.compat.exactly_once import read
from tests.compat.keeper_broker import KeeperBroker
from tests.compat.tool_broker import Tally, check_once, differences
from tests.compat.tool_cluster import ToolCluster
from tests.harness.app_process import AppProcess, java_command
from tests.harness.tree import connected
from tests.harness.waiting import wait_until
from tests.peers.maven import compiled, java
from tests.peers.zookeeper_apps import SAMZA, samza_class_path

pytestmark = [pytest.mark.counted, pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(600)]

PARTITIONS: Final = 4
INPUT, REPARTITION, CHANGELOG = "input", "counter-1-partition_by-by-key", "counts-changelog"
CHECKPOINTS: Final = "__samza_checkpoint_ver_1_for_counter_1"
PROCESSORS: Final = "/app-counter-1/counter-1-2.0-coordinationData/processors"
SOURCE: Final = Path(__file__).parent / "clients" / "CountPerKey.java"
SETTINGS: Final = {
    "job.debounce.time.ms": "1000",
    "task.commit.ms": "500",
    # A broker that is killed between a record and its answer must not get it twice.
    "systems.kafka.producer.enable.idempotence": "true",
}


class SamzaCluster(ToolCluster):
    """Three brokers, whose tree also has what Samza's processors tell each other."""

    told = ", three brokers and a keeper"
    place: Place = "keeper"
    session_ms = 10_000

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, place=self.place)

    @property
    def keeper(self) -> str:
        """Where others reach the tree."""
        return self.cluster.connect.partition("/")[0]

    def _kill_more(self) -> None:
        """The tree, which is back before any session ends."""
        self.cluster.restart_tree()


class ZooKeeperCluster(SamzaCluster):
    """The same on a ZooKeeper server."""

    told = ", three brokers and ZooKeeper"
    place = "server"
    # Its JVM may take long to start beside others.
    session_ms = 30_000


Brokers: TypeAlias = KeeperBroker | SamzaCluster


class Numbers:
    """Values "1", "2", ... of each key, sent to the input; what became of them, by the output."""

    def __init__(self, broker: Brokers) -> None:
        settings = {"bootstrap.servers": broker.bootstrap, "log_level": 2}
        self.sent: collections.Counter[str] = collections.Counter()
        self.found: dict[str, list[str]] = collections.defaultdict(list)
        self._producer = Producer({**settings, "enable.idempotence": True})
        self._consumer = Consumer({**settings, "group.id": "unused"})
        self._consumer.assign([TopicPartition("output", number, 0) for number in range(PARTITIONS)])

    def send(self, records: int) -> None:
        for number in range(records):
            key = f"key-{number % 50}"
            self.sent[key] += 1
            self._producer.produce(INPUT, str(self.sent[key]), key=key)
            self._producer.poll(0)
        assert self._producer.flush(60) == 0

    def counted(self) -> int:
        """How many outputs there are so far."""
        for message in self._consumer.consume(10_000, timeout=0.2):
            assert message.error() is None, message.error()
            key, value = message.key(), message.value()
            assert key is not None
            assert value is not None
            self.found[key.decode()].append(value.decode())
        return sum(map(len, self.found.values()))

    def wait(self) -> None:
        """Until all is counted: the value N of a key is its Nth, nothing is lost, late or there twice."""
        total = sum(self.sent.values())
        wait_until(
            lambda: self.counted() >= total,
            lambda: f"{self.counted()} of {total} records in output",
            seconds=240,
        )
        wrong = differences(words(self.wanted()), words(self.found))
        assert not wrong, wrong
        assert self.found == self.wanted()

    def wanted(self) -> dict[str, list[str]]:
        """What the outputs of each key are to be."""
        return {
            key: [f"{number} {number}" for number in range(1, last + 1)] for key, last in self.sent.items()
        }

    def close(self) -> None:
        self._consumer.close()


def words(outputs: Mapping[str, list[str]]) -> list[str]:
    """Key and value of each."""
    return [f"{key} {output}" for key, found in outputs.items() for output in found]


def ends(admin: AdminClient, topic: str) -> list[int]:
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(PARTITIONS)}
    answers = admin.list_offsets(asked)
    return [answers[partition].result(30).offset for partition in asked]


class Commits:
    """The last checkpoint of each task, followed from the beginning of their topic."""

    def __init__(self, broker: Brokers) -> None:
        self._settings = {"bootstrap.servers": broker.bootstrap, "log_level": 2}
        self._consumer = Consumer({**self._settings, "group.id": "unused"})
        self._consumer.assign([TopicPartition(CHECKPOINTS, 0, 0)])
        self._latest: dict[str, dict[str, Any]] = {}

    def wait(self) -> None:
        """Until all is committed. Samza does not commit when it ends: what came later is counted again."""
        # A new one: librdkafka would go on asking with the leader epochs of before a kill.
        admin = AdminClient(self._settings)
        wait_until(lambda: self._settled(admin), lambda: f"not committed: {self._latest}", seconds=180)

    def _settled(self, admin: AdminClient) -> bool:
        for message in self._consumer.consume(10_000, timeout=0.2):
            assert message.error() is None, message.error()
            key = json.loads(message.key() or b"")
            if key["type"] == "checkpoint-v2":
                self._latest[key["taskName"]] = json.loads(message.value() or b"")
        return all(
            self._position(topic, number) == end - 1
            for topic in (INPUT, REPARTITION, CHANGELOG)
            for number, end in enumerate(ends(admin, topic))
        )

    def _position(self, topic: str, number: int) -> int | None:
        checkpoint = self._latest.get(f"Partition {number}", {})
        if topic != CHANGELOG:
            return int(checkpoint.get("input-offsets", {}).get(f"kafka.{topic}.{number}", -2))
        for stores in checkpoint.get("state-checkpoint-markers", {}).values():
            return int(json.loads(stores["counts"])["changelog-offset"] or -1)
        return None

    def close(self) -> None:
        self._consumer.close()


def processor(broker: Brokers, name: str) -> AppProcess:
    """A processor with a directory of its own for its stores."""
    place = (broker.bootstrap, broker.keeper)
    arguments = (*place, str(broker.directory / f"stores-{name}"), str(broker.replicas))
    session = {"job.coordinator.zk.session.timeout.ms": str(broker.session_ms)}
    settings = (f"{key}={value}" for key, value in {**SETTINGS, **session}.items())
    libraries = compiled(SOURCE, samza_class_path())
    command = java_command(java(), libraries, SOURCE.stem, *arguments, *settings)
    return AppProcess(command, broker.directory / f"{name}.log")


def tasks(of: AppProcess) -> set[str]:
    """What a processor works on, by its own words."""
    had = collections.Counter(of.lines("TASK "))
    had.subtract(of.lines("LEFT "))
    return set(+had)


async def registrations(broker: Brokers) -> dict[str, tuple[int, int]]:
    """Node of each processor: when it was made, and by which session."""
    async with connected(broker.keeper) as client:
        names, _ = await client.children(PROCESSORS)
        stats = {name: await client.exists(f"{PROCESSORS}/{name}") for name in names}
        return {name: (stat.czxid, stat.ephemeral_owner) for name, stat in stats.items() if stat}


def count(broker: Brokers, tally: Tally) -> None:
    """A second processor joins, a broker and the keeper are killed at work, then a processor."""
    for topic in (INPUT, "output"):
        broker.create(topic, PARTITIONS)
    everything = {f"Partition {number}" for number in range(PARTITIONS)}
    numbers = Numbers(broker)
    numbers.send(4000)
    with processor(broker, "one") as one:
        numbers.wait()
        commits = Commits(broker)
        commits.wait()
        with processor(broker, "two") as two:
            wait_until(
                lambda: tasks(two) and tasks(one) | tasks(two) == everything and not tasks(one) & tasks(two),
                lambda: f"tasks {tasks(one)} and {tasks(two)}:\n{two.text[-4000:]}",
                seconds=180,
            )
            before = asyncio.run(registrations(broker)), one.lines("TASK "), two.lines("TASK ")
            assert len(before[0]) == 2
            numbers.send(10_000)
            wait_until(lambda: numbers.counted() > 5000, "outputs of two processors", seconds=180)
            assert numbers.counted() < 12_000, "too late to kill a broker in the middle"
            broker.kill()
            broker.start()
            numbers.send(10_000)
            numbers.wait()
            # No session has ended with the keeper, and no task has moved.
            after = asyncio.run(registrations(broker)), one.lines("TASK "), two.lines("TASK ")
            assert after == before
            commits.wait()
        numbers.send(4000)
        numbers.wait()
        assert tasks(one) == everything
        assert len(asyncio.run(registrations(broker))) == 1
        assert one.close_input() == 0
        assert one.lines("STATUS ") == ["SuccessfulFinish"]
    numbers.close()
    commits.close()
    records = [
        record for part in read(broker.bootstrap, "output", PARTITIONS, "read_committed") for record in part
    ]
    found = [f"{(key or b'').decode()} {(value or b'').decode()}" for key, value in records]
    check_once(tally, f"Samza {SAMZA}", words(numbers.wanted()), found)


@pytest.mark.parametrize(
    "brokers",
    [
        pytest.param(KeeperBroker, id="one", marks=pytest.mark.whole),
        pytest.param(SamzaCluster, id="three", marks=pytest.mark.whole),
        pytest.param(ZooKeeperCluster, id="three on ZooKeeper", marks=pytest.mark.whole),
    ],
)
def test_samza_counts_right_whoever_is_killed(tmp_path: Path, tally: Tally, brokers: type[Brokers]) -> None:
    with brokers(tmp_path) as broker:
        count(broker, tally)
