"""A Kafka Connect cluster of two workers: lines of a file through a topic into another file."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from tests.compat.connect_worker import Worker
from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4

BOTH = pytest.mark.parametrize("version", [KAFKA_3, KAFKA_4])
INTERNAL = ("connect-configs", "connect-offsets", "connect-status")
LINES = 2000


class Files:
    """The file that the source reads and the one that the sink writes."""

    def __init__(self, directory: Path) -> None:
        self.source, self.sink = directory / "source.txt", directory / "sink.txt"
        self.source.touch()
        self._written = 0

    def write(self, count: int) -> None:
        """Appends lines to the source."""
        with self.source.open("a") as out:
            for number in range(self._written, self._written + count):
                out.write(f"line {number}\n")
        self._written += count

    def wait(self) -> None:
        """Waits until the sink holds all lines; says where it stands when the time is up."""

        def look() -> bool:
            return set(self.lines()) == {f"line {number}" for number in range(self._written)}

        wait_until(look, lambda: f"{len(self.lines())} of {self._written} lines", seconds=120, pause=0.2)

    def lines(self) -> list[str]:
        """Whole lines of the sink."""
        return self.sink.read_text().split("\n")[:-1] if self.sink.exists() else []


def connectors(files: Files) -> dict[str, dict[str, str]]:
    """The two connectors' configurations."""
    package = "org.apache.kafka.connect.file.FileStream"
    return {
        "source": {
            "connector.class": f"{package}SourceConnector",
            "tasks.max": "1",
            "file": str(files.source),
            "topic": "through",
        },
        "sink": {
            "connector.class": f"{package}SinkConnector",
            "tasks.max": "1",
            "file": str(files.sink),
            "topics": "through",
        },
    }


@pytest.mark.java
@pytest.mark.slow
@pytest.mark.parametrize("version", [pytest.param(KAFKA_3, marks=pytest.mark.whole), KAFKA_4])
@pytest.mark.timeout(500)
def test_file_to_topic_to_file(version: str, tmp_path: Path) -> None:
    """Every line arrives, in order, over a killed worker, a restarted broker and restarted workers."""
    files = Files(tmp_path)
    workers: list[Worker] = []
    with BrokerProcess(tmp_path, settings={"group.initial.rebalance.delay.ms": "0"}) as broker:

        def start(name: str) -> Worker:
            workers.append(Worker(name, tmp_path, broker.bootstrap, version))
            return workers[-1]

        try:
            first, second = start("first"), start("second")
            for worker in (first, second):
                wait_until(
                    lambda worker=worker: worker.ask("GET", "/connectors") == [], worker.app.text, seconds=120
                )
            for name, config in connectors(files).items():
                first.insist("PUT", f"/connectors/{name}/config", config)
            wait_until(
                lambda: len(first.running("source", "sink")) == 2, "the tasks are on one worker", seconds=60
            )
            files.write(LINES)
            files.wait()
            # Nothing failed until now, so nothing came twice or out of order.
            assert files.lines() == [f"line {number}" for number in range(LINES)]
            _internal_topics(AdminClient({"bootstrap.servers": broker.bootstrap}))

            second.kill()
            only = first.url.removeprefix("http://")
            wait_until(lambda: first.running("source", "sink") == {only}, "tasks moved", seconds=120)
            files.write(LINES)
            files.wait()

            broker.kill()
            broker.start()
            files.write(LINES)
            files.wait()

            first.kill()
            third = start("third")
            third.running("source", "sink")
            files.write(LINES)
            files.wait()
            assert _through(broker.bootstrap) >= 4 * LINES
        finally:
            for worker in workers:
                worker.kill()
        assert "Traceback" not in broker.log_text


@pytest.mark.java
@pytest.mark.timeout(200)
def test_a_worker_refuses_a_topic_that_is_not_compacted(tmp_path: Path) -> None:
    """It reads cleanup.policy from the broker and ends with its message."""
    with BrokerProcess(tmp_path) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        topic = NewTopic("connect-offsets", 3, config={"cleanup.policy": "delete"})
        admin.create_topics([topic])["connect-offsets"].result(30)
        worker = Worker("wrong", tmp_path, broker.bootstrap, KAFKA_4)
        try:
            words = worker.app.wait_for("^.*'connect-offsets'.*'cleanup.policy=compact'.*$", seconds=120)
            assert "cleanup.policy=delete" in words
        finally:
            worker.kill()


def _internal_topics(admin: AdminClient) -> None:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in INTERNAL]
    for future in admin.describe_configs(resources).values():
        assert future.result(30)["cleanup.policy"].value == "compact"
    found = admin.list_topics(timeout=30).topics
    assert [len(found[name].partitions) for name in INTERNAL] == [1, 3, 2]


def _through(bootstrap: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused"})
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition("through", 0), timeout=30)
        return int(high - low)
    finally:
        consumer.close()
