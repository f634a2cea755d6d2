"""Kafka Streams against the broker: a word count over a repartition topic and a compacted changelog.

Two instances share the partitions; one is killed with its local state and restores it from the changelog.
What at-least-once processing may count twice the program tells apart (see `WordCount.java`), so the counts
must be those of a dictionary.
"""

from __future__ import annotations

import collections
import json
import random
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from tests.harness.app_process import AppProcess, java_command
from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import CONSUMER_GROUPS, KAFKA_3, KAFKA_4, JavaTools
from tests.peers.kafka_apps import streams_class_path
from tests.peers.maven import compiled, java

APPLICATION = "word-count"
REPARTITION = f"{APPLICATION}-words-repartition"
CHANGELOG = f"{APPLICATION}-totals-changelog"
PARTITIONS = 4
WRITERS = 20
LINES = 10_000
WORDS_PER_LINE = 10
SOURCE = Path(__file__).parent / "clients" / "WordCount.java"


class Text:
    """Lines of several writers, and what a word count of those that were sent must say."""

    def __init__(self, bootstrap: str) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self._random = random.Random(7)
        self._written: collections.Counter[str] = collections.Counter()
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})

    def send(self, lines: int) -> None:
        for _ in range(lines):
            writer = f"writer-{self._random.randrange(WRITERS)}"
            self._written[writer] += 1
            words = [f"word{int(self._random.paretovariate(0.7)) % 1000}" for _ in range(WORDS_PER_LINE)]
            self.counts.update(words)
            line = " ".join([str(self._written[writer]), *words])
            self._producer.produce("lines", key=writer, value=line)
            self._producer.poll(0)
        assert self._producer.flush(60) == 0


class Counts:
    """The latest count of each word in the output topic, followed from its beginning."""

    def __init__(self, bootstrap: str) -> None:
        self.exact: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
        self._consumer.assign([TopicPartition("counts", number, 0) for number in range(PARTITIONS)])

    def follow(self) -> None:
        for message in self._consumer.consume(10_000, timeout=0.5):
            assert message.error() is None, message.error()
            key, value = message.key(), message.value()
            assert key is not None
            assert value is not None
            exact, seen = value.decode().split()
            self.exact[key.decode()], self.seen[key.decode()] = int(exact), int(seen)

    def wait(self, text: Text, seconds: float = 90) -> None:
        def equal() -> bool:
            self.follow()
            return self.exact == text.counts

        def difference() -> str:
            missing = {
                word: (count, self.exact.get(word))
                for word, count in text.counts.items()
                if self.exact.get(word) != count
            }
            return f"{len(missing)} counts differ: {list(missing.items())[:5]}"

        wait_until(equal, difference, seconds=seconds)

    def close(self) -> None:
        self._consumer.close()


class Application:
    """Instances of the word count; each is a static member with a state directory of its own."""

    def __init__(self, version: str, bootstrap: str, directory: Path) -> None:
        self._class_path = compiled(SOURCE, streams_class_path(version))
        self._bootstrap = bootstrap
        self._directory = directory
        self._starts = 0

    def start(self, name: str, settings: Mapping[str, str] | None = None) -> AppProcess:
        given = {
            "application.id": APPLICATION,
            "bootstrap.servers": self._bootstrap,
            "state.dir": str(self.state_of(name)),
            "group.instance.id": name,
            "commit.interval.ms": "200",
            "session.timeout.ms": "6000",
            "repartition.purge.interval.ms": "1000",
            "replication.factor": "1",
            **(settings or {}),
        }
        self._starts += 1
        arguments = ["lines", "counts", *(f"{key}={value}" for key, value in given.items())]
        command = java_command(java(17), self._class_path, "WordCount", *arguments)
        return AppProcess(command, self._directory / f"{name}-{self._starts}.log")

    def state_of(self, name: str) -> Path:
        return self._directory / f"state-{name}"


def tasks(instance: AppProcess) -> set[str]:
    """What an instance works on, by its own words."""
    said = instance.lines("TASKS ")
    return set(said[-1].split()) if said else set()


def configs(admin: AdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (future,) = admin.describe_configs([resource]).values()
    return {name: entry.value for name, entry in future.result(30).items()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", [pytest.param(KAFKA_3, marks=pytest.mark.whole), KAFKA_4])
def test_word_count(tmp_path: Path, version: str) -> None:
    with BrokerProcess(tmp_path, settings={"group.initial.rebalance.delay.ms": "0"}) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        topics = [NewTopic(name, PARTITIONS, 1) for name in ("lines", "counts")]
        for created in admin.create_topics(topics).values():
            created.result(30)
        application = Application(version, broker.bootstrap, tmp_path)
        text, counts = Text(broker.bootstrap), Counts(broker.bootstrap)
        text.send(LINES // 2)
        with application.start("one") as one, application.start("two") as two:
            counts.wait(text)
            wait_until(lambda: tasks(one) and tasks(two), "both instances have tasks", seconds=60)
            assert not tasks(one) & tasks(two)
            assert {task for task in tasks(one) | tasks(two) if task.startswith("1_")} == {
                f"1_{number}" for number in range(PARTITIONS)
            }
            stores = {task for task in tasks(one) if task.startswith("1_")}

            text.send(LINES // 4)
            one.kill()
            shutil.rmtree(application.state_of("one"))
            text.send(LINES // 4)
            with application.start("one") as again:
                counts.wait(text)
                # A static member that is back in time gets its tasks again, and their state.
                restored = [int(line.split()[1]) for line in again.lines(f"RESTORED {CHANGELOG}-")]
                assert sum(restored) > 0 or not stores
                _check_topics(admin)
                _check_purge(broker)
                _check_group(version, broker)
                assert again.close_input() == 0
                assert two.close_input() == 0
            for instance in (one, two, again):
                assert instance.lines("FAILED ") == []
        assert sum(text.counts.values()) == LINES * WORDS_PER_LINE
        assert sum(counts.seen.values()) >= sum(counts.exact.values())
        counts.close()
        _reset(version, broker, admin)


def _check_topics(admin: AdminClient) -> None:
    repartition, changelog = configs(admin, REPARTITION), configs(admin, CHANGELOG)
    assert repartition["cleanup.policy"] == "delete"
    assert repartition["retention.ms"] == "-1"
    assert changelog["cleanup.policy"] == "compact"
    found = admin.list_topics(timeout=30).topics
    assert {len(found[name].partitions) for name in (REPARTITION, CHANGELOG)} == {PARTITIONS}


def _check_purge(broker: BrokerProcess) -> None:
    """What was read from the repartition topic is deleted by the application (DeleteRecords)."""
    reader = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "purge"})

    def purged() -> bool:
        ends = [
            reader.get_watermark_offsets(TopicPartition(REPARTITION, number), timeout=10)
            for number in range(PARTITIONS)
        ]
        return any(low > 0 for low, _ in ends)

    wait_until(purged, "the repartition topic is purged", seconds=60)
    reader.close()


def _check_group(version: str, broker: BrokerProcess) -> None:
    arguments = ("--bootstrap-server", broker.bootstrap, "--describe", "--group", APPLICATION)
    state = JavaTools(version).run(CONSUMER_GROUPS, *arguments, "--state").stdout.decode()
    assert "Stable" in state
    assert "stream" in state
    lags = JavaTools(version).run(CONSUMER_GROUPS, *arguments).stdout.decode()
    assert REPARTITION in lags


def _reset(version: str, broker: BrokerProcess, admin: AdminClient) -> None:
    """kafka-streams-application-reset: members out, offsets back, internal topics deleted."""
    tool = "org.apache.kafka.tools.StreamsResetter"
    arguments = ("--application-id", APPLICATION, "--bootstrap-server", broker.bootstrap)
    JavaTools(version).run(tool, *arguments, "--input-topics", "lines", "--force")
    left = admin.list_topics(timeout=30).topics
    assert REPARTITION not in left
    assert CHANGELOG not in left
    reader = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": APPLICATION})
    committed = reader.committed(
        [TopicPartition("lines", number) for number in range(PARTITIONS)], timeout=30
    )
    assert {position.offset for position in committed} == {0}, json.dumps([str(item) for item in committed])
    reader.close()
