"""Samza, whose processors share their tasks out through ZooKeeper, on the keeper of a broker."""

from __future__ import annotations

import asyncio
import collections
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.compat.keeper_broker import KeeperBroker
from tests.compat.tool_broker import Tally
from tests.harness.app_process import AppProcess, java_command
from tests.harness.tree import connected
from tests.harness.waiting import wait_until
from tests.peers.maven import compiled, java
from tests.peers.zookeeper_apps import SAMZA, samza_class_path

pytestmark = [pytest.mark.counted, pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(240)]

PARTITIONS: Final = 4
INPUT, REPARTITION, CHANGELOG = "input", "counter-1-partition_by-by-key", "counts-changelog"
CHECKPOINTS: Final = "__samza_checkpoint_ver_1_for_counter_1"
PROCESSORS: Final = "/app-counter-1/counter-1-2.0-coordinationData/processors"
SOURCE: Final = Path(__file__).parent / "clients" / "CountPerKey.java"
SETTINGS: Final = {
    "job.coordinator.zk.session.timeout.ms": "10000",
    "job.debounce.time.ms": "1000",
    "task.commit.ms": "500",
    # A broker that is killed between a record and its answer must not get it twice.
    "systems.kafka.producer.enable.idempotence": "true",
}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KeeperBroker]:
    with KeeperBroker(tmp_path) as made:
        yield made
        assert "Traceback" not in made.log_text, made.log_text[-4000:]


class Numbers:
    """Values "1", "2", ... of each key, sent to the input; what became of them, by the output."""

    def __init__(self, broker: KeeperBroker) -> None:
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
        wait_until(lambda: self.counted() >= total, lambda: f"{self.counted()} of {total}", seconds=90)
        assert self.found == {
            key: [f"{number} {number}" for number in range(1, last + 1)] for key, last in self.sent.items()
        }

    def close(self) -> None:
        self._consumer.close()


def ends(admin: AdminClient, topic: str) -> list[int]:
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(PARTITIONS)}
    answers = admin.list_offsets(asked)
    return [answers[partition].result(30).offset for partition in asked]


class Commits:
    """The last checkpoint of each task, followed from the beginning of their topic."""

    def __init__(self, broker: KeeperBroker) -> None:
        self._settings = {"bootstrap.servers": broker.bootstrap, "log_level": 2}
        self._consumer = Consumer({**self._settings, "group.id": "unused"})
        self._consumer.assign([TopicPartition(CHECKPOINTS, 0, 0)])
        self._latest: dict[str, dict[str, Any]] = {}

    def wait(self) -> None:
        """Until all is committed. Samza does not commit when it ends: what came later is counted again."""
        # A new one: librdkafka would go on asking with the leader epochs of before a kill.
        admin = AdminClient(self._settings)
        wait_until(lambda: self._settled(admin), lambda: f"not committed: {self._latest}", seconds=60)

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


def processor(broker: KeeperBroker, name: str) -> AppProcess:
    """A processor with a directory of its own for its stores."""
    arguments = (broker.bootstrap, broker.keeper, str(broker.directory / f"stores-{name}"))
    settings = (f"{key}={value}" for key, value in SETTINGS.items())
    libraries = compiled(SOURCE, samza_class_path())
    command = java_command(java(), libraries, SOURCE.stem, *arguments, *settings)
    return AppProcess(command, broker.directory / f"{name}.log")


def tasks(of: AppProcess) -> set[str]:
    """What a processor works on, by its own words."""
    had = collections.Counter(of.lines("TASK "))
    had.subtract(of.lines("LEFT "))
    return set(+had)


async def registrations(broker: KeeperBroker) -> dict[str, tuple[int, int]]:
    """Node of each processor: when it was made, and by which session."""
    async with connected(broker.keeper) as client:
        names, _ = await client.children(PROCESSORS)
        stats = {name: await client.exists(f"{PROCESSORS}/{name}") for name in names}
        return {name: (stat.czxid, stat.ephemeral_owner) for name, stat in stats.items() if stat}


def test_samza_counts_right_whoever_is_killed(broker: KeeperBroker, tally: Tally) -> None:
    """A second processor joins, the broker with its keeper is killed at work, then a processor."""
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
                seconds=60,
            )
            before = asyncio.run(registrations(broker)), one.lines("TASK "), two.lines("TASK ")
            assert len(before[0]) == 2
            numbers.send(10_000)
            wait_until(lambda: numbers.counted() > 5000, "outputs of two processors", seconds=60)
            broker.kill()
            counted = numbers.counted()
            broker.start()
            numbers.send(10_000)
            numbers.wait()
            assert counted < 14_000, "it was killed too late to be in the middle"
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
    outputs = [(key, output) for key, found in numbers.found.items() for output in found]
    tally(f"Samza {SAMZA}", sum(numbers.sent.values()), len(outputs), len(set(outputs)))
    numbers.close()
    commits.close()
