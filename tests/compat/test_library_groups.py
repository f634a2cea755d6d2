"""One group of members of all clients: the library's two, librdkafka, Java 3.9 and 4, kafka-python, aiokafka.

They come one after the other while records come, and go one after the other; whoever is there handles what
there is. With the protocol of KIP-848 those members that know it use it, and the others are in the same group
by the classic one.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog import Admin, NewTopic, Producer
from tests.compat.client_programs import ROOT
from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, ApacheKafka, JavaTools
from tests.peers.maven import compiled

pytestmark = [pytest.mark.java, pytest.mark.whole, pytest.mark.timeout(400)]

PARTITIONS = 14
MEMBERS = ("fastlog", "java-4", "kafka-python", "fastlog-async", "confluent", "java-3", "aiokafka")
NEWER = {"fastlog", "fastlog-async", "confluent", "java-4"}
"""Those that know the protocol of KIP-848."""
SETTINGS = {
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "group.initial.rebalance.delay.ms": "0",
}
QUICK_NEWER = {
    "group.consumer.heartbeat.interval.ms": "300",
    "group.consumer.min.heartbeat.interval.ms": "300",
    "group.consumer.migration.policy": "bidirectional",
}


class Group:
    """A broker's group, topic and members as processes."""

    def __init__(self, bootstrap: str, directory: Path, name: str) -> None:
        self.bootstrap = bootstrap
        self.directory = directory
        self.name = name
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.sent = 0
        with Admin(bootstrap) as admin:
            admin.create_topics([NewTopic(name, partitions=PARTITIONS)]).check()

    def start(self, member: str, protocol: str) -> None:
        """Starts a member."""
        output = str(self.file(member))
        if member.startswith("java"):
            tools = JavaTools(KAFKA_3 if member == "java-3" else KAFKA_4)
            classes = compiled(ROOT / "tests/compat/clients/GroupMember.java", tools.class_path)
            settings = [f"group.protocol={protocol}"]
            if protocol == "classic":
                range_of_java = "org.apache.kafka.clients.consumer.RangeAssignor"
                settings += [
                    "heartbeat.interval.ms=300",
                    "session.timeout.ms=10000",
                    f"partition.assignment.strategy={range_of_java}",
                ]
            arguments = [self.bootstrap, self.name, self.name, output, *settings]
            command = tools.command("GroupMember", *arguments, heap="128m", class_path=classes, quick=True)
        else:
            module = "tests.compat.clients.group_member"
            arguments = [member, protocol, self.bootstrap, self.name, self.name, output]
            command = [sys.executable, "-m", module, *arguments]
        with self.file(member).with_suffix(".log").open("wb") as log:
            self.processes[member] = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def leave(self, member: str) -> None:
        """Ends a member in order."""
        process = self.processes.pop(member)
        process.terminate()
        assert process.wait(timeout=60) in (0, 143), self.said(member)

    def end(self) -> None:
        """Whatever still runs."""
        for process in self.processes.values():
            process.kill()
            process.wait()

    def file(self, member: str) -> Path:
        """Where a member writes what it has handled."""
        return self.directory / f"{self.name}-{member}.out"

    def said(self, member: str) -> str:
        """The end of what it has said."""
        return f"{member}: " + self.file(member).with_suffix(".log").read_text(errors="replace")[-1500:]

    def values(self, member: str) -> list[int]:
        """What it has handled."""
        file = self.file(member)
        return [int(line) for line in file.read_bytes().split()] if file.exists() else []

    def send(self, count: int) -> None:
        """So many records, over all partitions, each with a number of its own."""
        with Producer(self.bootstrap) as producer:
            for number in range(self.sent, self.sent + count):
                producer.send(self.name, b"%d" % number, partition=number % PARTITIONS)
        self.sent += count

    def handled(self) -> Counter[int]:
        """How often each record was handled."""
        return Counter(value for member in MEMBERS for value in self.values(member))

    def settle(self) -> None:
        """Sends until every member that runs has handled something new, and waits until all is handled."""
        before = {member: len(self.values(member)) for member in self.processes}

        def all_work() -> bool:
            for member, process in self.processes.items():
                assert process.poll() is None, self.said(member)
            self.send(PARTITIONS * 10)
            return all(len(self.values(member)) > count for member, count in before.items())

        def state() -> str:
            counts = {member: len(self.values(member)) - count for member, count in before.items()}
            missing = self.sent - len(self.handled())
            return f"{counts}, {missing} records missing\n" + "\n".join(map(self.said, self.processes))

        wait_until(all_work, state, seconds=90, pause=0.3)
        wait_until(lambda: len(self.handled()) == self.sent, state, seconds=90)


@pytest.fixture(scope="module", params=["fastlog", KAFKA_3, KAFKA_4])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def servers(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory: Path = tmp_path_factory.mktemp("library-groups")
    settings = SETTINGS | ({} if kind == KAFKA_3 else QUICK_NEWER)
    if kind == "fastlog":
        with BrokerProcess(directory, settings=settings) as broker:
            yield broker.bootstrap
    else:
        with ApacheKafka(directory, version=kind, settings=settings, heap="400m") as kafka:
            yield kafka.bootstrap


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_members_of_all_clients_share_a_topic(servers: str, kind: str, protocol: str, tmp_path: Path) -> None:
    if protocol == "consumer" and kind == KAFKA_3:
        pytest.skip("the protocol of KIP-848 is off by default in Kafka 3.9")
    group = Group(servers, tmp_path, f"all-{protocol}")
    try:
        group.send(1000)
        for member in MEMBERS:
            group.start(member, protocol if member in NEWER else "classic")
            group.settle()
        assert len(group.processes) == len(MEMBERS)
        for member in MEMBERS[:-1]:
            group.leave(member)
            group.settle()
        group.leave(MEMBERS[-1])
        counts = group.handled()
        assert set(counts) == set(range(group.sent))
        # What a member could not commit before its partitions went is handled again, and nothing else.
        again = sum(counts.values()) - len(counts)
        assert again < group.sent / 10, f"{again} of {group.sent} records were handled more than once"
    finally:
        group.end()
