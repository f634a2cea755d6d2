"""Groups of the consumer protocol (KIP-848) with real clients, and beside a real Kafka 4.3.1."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from tests.compat.client_programs import ROOT
from tests.compat.consumer_scenarios import SCENARIOS, ConsumerTalk
from tests.compat.test_groups_against_kafka import differences, ready_to_coordinate
from tests.compat.tool_session import ToolSession
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.peers.apache_kafka import (
    CONFIG_COMMAND,
    CONSUMER_GROUPS,
    KAFKA_4,
    ApacheKafka,
    JavaTools,
    dump_log_class,
)
from tests.peers.maven import compiled

pytestmark = pytest.mark.java

PARTITIONS: Final = 6
SETTINGS: Final = {
    "offsets.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.heartbeat.interval.ms": "300",
    "group.consumer.min.heartbeat.interval.ms": "300",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "2000",
    "group.consumer.max.size": "4",
}
# Kafka 4.3 makes a new assignment once a second at most (KIP-1263), we with the next heartbeat.
OF_KAFKA: Final = {**SETTINGS, "group.consumer.assignment.interval.ms": "0"}
CLASSIC: Final = ("group.protocol=classic", "heartbeat.interval.ms=300", "session.timeout.ms=10000")
CONSUMER: Final = ("group.protocol=consumer",)


class Members:
    """A broker, a topic, and members of group g as processes."""

    def __init__(self, broker: BrokerProcess, topic: str = "t") -> None:
        self.broker = broker
        self.topic = topic
        self.tools = JavaTools(KAFKA_4)
        self.classes = compiled(ROOT / "tests/compat/clients/GroupMember.java", self.tools.class_path)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.produced = 0
        self.admin = self.new_admin()
        self.admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)

    def new_admin(self) -> AdminClient:
        """A client with a connection of its own."""
        return AdminClient(
            {"bootstrap.servers": self.broker.bootstrap, "log_level": 2, "reconnect.backoff.max.ms": 500}
        )

    def set_session_timeout(self, milliseconds: int) -> None:
        """A setting of the group, in force with the next heartbeat of each member."""
        change = AlterableConfig("consumer.session.timeout.ms", 0, str(milliseconds))
        request = IncrementalAlterConfigsRequest([AlterConfigsResource(32, "g", [change])])
        with Link(self.broker.port) as link:
            assert link.call(request, 1).responses[0].error_code == 0  # type: ignore[attr-defined]

    def java(self, name: str, *settings: str) -> None:
        """Starts Apache Kafka's client."""
        arguments = [
            self.broker.bootstrap,
            "g",
            self.topic,
            str(self._file(name)),
            f"client.id={name}",
            *settings,
        ]
        self._start(
            name,
            self.tools.command("GroupMember", *arguments, heap="128m", class_path=self.classes, quick=True),
        )

    def confluent(self, name: str, kind: str) -> None:
        """Starts librdkafka: `kind` is one of `tests.integration.group_member`."""
        program = [sys.executable, "-m", "tests.integration.group_member", kind]
        self._start(name, [*program, self.broker.bootstrap, "g", self.topic, str(self._file(name))])

    def leave(self, name: str) -> None:
        """Ends a member in order."""
        process = self.processes.pop(name)
        process.terminate()
        process.wait(timeout=30)

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def produce(self, count: int) -> None:
        """So many records over all partitions, each with a number of its own."""
        producer = Producer({"bootstrap.servers": self.broker.bootstrap, "log_level": 2})
        for number in range(self.produced, self.produced + count):
            producer.produce(self.topic, str(number).encode(), partition=number % PARTITIONS)
        assert producer.flush(30) == 0
        self.produced += count

    def values(self, name: str) -> list[int]:
        """What a member has handled."""
        file = self._file(name)
        return [int(line) for line in file.read_bytes().split()] if file.exists() else []

    def wait(self, *, seconds: float = 60) -> Counter[int]:
        """Waits until every record was handled by somebody; returns how often each was."""
        deadline = time.monotonic() + seconds
        while True:
            files = self.broker.directory.glob("*.out")
            handled = Counter(value for file in files for value in self.values(file.stem))
            if len(handled) == self.produced:
                return handled
            assert time.monotonic() < deadline, (len(handled), self.produced, self.state())
            time.sleep(0.1)

    def wait_for(self, kind: str, shares: list[int], *, seconds: float = 60) -> None:
        """Waits until the group is of that type, stable, and its members have so many partitions."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self.admin.describe_consumer_groups(["g"])["g"].result(3)
                counts = sorted(len(member.assignment.topic_partitions) for member in found.members)
                state = (found.type.name, found.state.name, counts)
            except KafkaException as error:
                state = ("", str(error), [])
            except TimeoutError:
                # Now and then an admin client of librdkafka sends nothing more after its broker was killed.
                self.admin = self.new_admin()
                state = ("", "no answer", [])
            if state == (kind, "STABLE", shares):
                return
            assert time.monotonic() < deadline, (state, self.state())
            time.sleep(0.1)

    def wait_for_epoch(self, count: int, *, seconds: float = 30) -> None:
        """Waits until the broker has said so often that the group has a new epoch."""
        deadline = time.monotonic() + seconds
        while len(re.findall(r"group g, epoch \d+", self.broker.log_text)) < count:
            assert time.monotonic() < deadline, self.state()
            time.sleep(0.01)

    def wait_committed(self, *, seconds: float = 30) -> None:
        """Waits until everything is committed."""
        wanted = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
        deadline = time.monotonic() + seconds
        while True:
            asked = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("g", wanted)])
            found = sum(max(0, row.offset) for row in asked["g"].result(30).topic_partitions)
            if found == self.produced:
                return
            assert time.monotonic() < deadline, (found, self.produced, self.state())
            time.sleep(0.1)

    def state(self) -> str:
        """For messages: what everybody has said."""
        logs = [file.read_text(errors="replace")[-1500:] for file in self.broker.directory.glob("*.err")]
        return "\n".join([self.broker.log_text[-3000:], *logs])

    def _file(self, name: str) -> Path:
        return self.broker.directory / f"{name}.out"

    def _start(self, name: str, command: list[str]) -> None:
        with (self.broker.directory / f"{name}.err").open("wb") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    """A broker with short waits."""
    with BrokerProcess(tmp_path, settings=SETTINGS) as broker:
        world = Members(broker)
        try:
            yield world
        finally:
            for name in list(world.processes):
                world.kill(name)
        assert "Traceback" not in broker.log_text, broker.log_text[-4000:]


@pytest.mark.timeout(240)
def test_java_and_librdkafka_share_a_group(members: Members) -> None:
    """They share; the broker restarts and nobody rebalances; one is killed, and the other takes over."""
    members.produce(600)
    members.java("java", *CONSUMER)
    members.confluent("rdkafka", "confluent-consumer")
    members.wait_for("CONSUMER", [3, 3])
    members.wait()
    members.produce(60)
    members.wait()
    members.wait_committed()
    assert members.values("java")
    assert members.values("rdkafka")

    bumps = len(re.findall(r"group g, epoch \d+", members.broker.log_text))
    assert members.broker.stop() == 0
    members.broker.start()
    # librdkafka asks a handle of the coordinator that it gave up itself when the only broker went.
    members.admin = members.new_admin()
    members.produce(60)
    handled = members.wait()
    members.wait_committed()
    assert max(handled.values()) == 1, "what was committed before a restart is not handled again"
    assert len(re.findall(r"group g, epoch \d+", members.broker.log_text)) == bumps, "nobody rebalanced"
    members.wait_for("CONSUMER", [3, 3])

    # The broker dies while a third member joins: whatever it had answered by then is in the log.
    members.confluent("third", "confluent-consumer")
    members.wait_for_epoch(bumps + 1)
    members.broker.kill()
    members.broker.start()
    members.admin = members.new_admin()
    members.produce(60)
    members.wait()
    members.wait_for("CONSUMER", [2, 2, 2])
    # From here on it is not long until the others get what a dead member had.
    members.set_session_timeout(2000)
    members.leave("third")
    members.wait_for("CONSUMER", [3, 3])

    members.kill("java")
    members.wait_for("CONSUMER", [6])
    members.produce(60)
    members.wait()
    members.admin.delete_topics(["t"])["t"].result(30)
    members.admin.create_topics([NewTopic("t", 2, 1)])["t"].result(30)
    members.wait_for("CONSUMER", [2])
    members.leave("rdkafka")


@pytest.mark.timeout(240)
def test_a_live_group_moves_to_the_consumer_protocol_and_back(members: Members) -> None:
    """Classic members of two kinds, a rolling change of the protocol, and back, while records come in."""
    members.java("old-java", *CLASSIC)
    members.confluent("old-rdkafka", "confluent")
    members.wait_for("CLASSIC", [3, 3])
    members.produce(300)
    members.wait()

    members.java("new-java", *CONSUMER)
    members.produce(300)
    members.wait_for("CONSUMER", [2, 2, 2])
    members.wait()
    members.leave("old-rdkafka")
    members.confluent("new-rdkafka", "confluent-consumer")
    members.wait_for("CONSUMER", [2, 2, 2])
    members.leave("old-java")
    members.wait_for("CONSUMER", [3, 3])
    members.produce(300)
    members.wait()

    members.confluent("back-rdkafka", "confluent")
    members.wait_for("CONSUMER", [2, 2, 2])
    members.leave("new-java")
    members.leave("new-rdkafka")
    members.wait_for("CLASSIC", [6])
    members.produce(300)
    members.wait()
    members.wait_committed()
    members.leave("back-rdkafka")


@pytest.mark.timeout(120)
def test_regular_expressions_of_the_broker(members: Members) -> None:
    """KIP-848's SubscriptionPattern: topics that match come to the member as they are made."""
    members.java("java", *CONSUMER, "pattern=t|u-[0-9]+")
    members.wait_for("CONSUMER", [PARTITIONS])
    members.admin.create_topics([NewTopic("u-1", 2, 1), NewTopic("u-x", 2, 1)])["u-1"].result(30)
    members.wait_for("CONSUMER", [PARTITIONS + 2])
    members.produce(30)
    members.wait()


@pytest.fixture(scope="module")
def kafka_4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A real Kafka 4.3.1 for the tests below; the last one takes its data away."""
    directory = tmp_path_factory.mktemp("kafka")
    with ApacheKafka(directory, version=KAFKA_4, settings=OF_KAFKA, heap="384m", quick=True) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def beside_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """Ours, for the same."""
    directory = tmp_path_factory.mktemp("ours")
    with BrokerProcess(directory, settings={**SETTINGS, "node.id": "1"}) as broker:
        yield broker
        assert "Traceback" not in broker.log_text, broker.log_text[-4000:]


@pytest.mark.timeout(240)
def test_tools_show_what_they_show_of_kafka(kafka_4: ApacheKafka, beside_kafka: BrokerProcess) -> None:
    """kafka-consumer-groups 4.3.1 and Kafka's formatter of the log, against ours and a real Kafka 4.3.1."""
    with ToolSession(KAFKA_4) as tools, ThreadPoolExecutor() as both:
        # The tools run one at a time; the members of both groups start at the same time.
        stories = [
            both.submit(_story, tools, broker.bootstrap, broker.directory)
            for broker in (beside_kafka, kafka_4)
        ]
        shown, expected = (story.result() for story in stories)
        assert shown == expected
        records, wanted = (_records(tools, broker.directory) for broker in (beside_kafka, kafka_4))
    assert set(records) == set(wanted)
    for kind, fields in records.items():
        # An empty regular expression and one that is left out mean the same.
        assert fields <= wanted[kind], kind


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", SCENARIOS)
def test_same_answers(kafka_4: ApacheKafka, beside_kafka: BrokerProcess, name: str) -> None:
    """The same raw requests to both: the same answers, epochs counted from the first one."""
    notes = []
    for broker in (kafka_4, beside_kafka):
        ready_to_coordinate(broker.port)
        talk = ConsumerTalk(broker.port, name.replace(" ", "-"))
        try:
            SCENARIOS[name](talk)
        finally:
            talk.close()
        notes.append(talk.notes)
    different = [
        f"{what}{difference}"
        for (what, theirs), (_, ours) in zip(*notes, strict=True)
        for difference in differences(theirs, ours)
    ]
    assert not different, "\n".join(different)


@pytest.mark.timeout(180)
def test_a_group_of_kafka_4_is_taken_over_alive(kafka_4: ApacheKafka, tmp_path: Path) -> None:
    """A member of a group at a real Kafka 4.3.1 goes on at ours, on the same data and address."""
    kafka = kafka_4
    broker = BrokerProcess(tmp_path, settings=SETTINGS)
    broker.port = kafka.port
    members = Members(broker, topic="taken-over")
    try:
        members.produce(60)
        members.java("java", *CONSUMER)
        members.wait_for("CONSUMER", [PARTITIONS])
        members.wait()
        members.wait_committed()
        (member,) = members.admin.describe_consumer_groups(["g"])["g"].result(30).members
        kafka.stop()
        kafka.data_dir.rename(broker.data_dir)
        with broker:
            # To librdkafka it is another cluster, which it does not look for behind a connection.
            members.admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 2})
            members.wait_for("CONSUMER", [PARTITIONS])
            (same,) = members.admin.describe_consumer_groups(["g"])["g"].result(30).members
            assert same.member_id == member.member_id
            members.produce(60)
            handled = members.wait()
            assert max(handled.values()) == 1
            members.leave("java")
            assert "Traceback" not in broker.log_text
            assert "left out" not in broker.log_text
    finally:
        for name in list(members.processes):
            members.kill(name)


def _story(tools: ToolSession, bootstrap: str, directory: Path) -> list[str]:
    """Runs the tool at each turn of a group's life; ids, ports and epochs are taken out of what it says."""
    server = ("--bootstrap-server", bootstrap)
    group = ("--group", "tools")
    java = JavaTools(KAFKA_4)
    classes = compiled(ROOT / "tests/compat/clients/GroupMember.java", java.class_path)
    said: list[str] = []

    def tool(*args: str) -> str:
        result = tools.run(CONSUMER_GROUPS, *server, *args)
        return result.out + result.err

    def note(*args: str) -> None:
        text = re.sub(r"127\.0\.0\.1:\d+", "HOST", tool(*args))
        text = re.sub(r"\b[\w-]{22}\b", "ID", text)
        # Kafka's first epoch is 2, ours is 1.
        text = re.sub(r"(Stable|Empty|uniform) +\d+ +\d+ ", r"\1 EPOCH EPOCH ", text)
        text = re.sub(r"(one +\d+ +)\d+( +\S+ +)\d+", r"\1EPOCH\2EPOCH", text)
        said.append(re.sub(r" +", " ", text))

    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    admin.create_topics([NewTopic("tools", 1, 1)])["tools"].result(30)
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 2})
    for number in range(10):
        producer.produce("tools", b"%d" % number)
    assert producer.flush(30) == 0
    arguments = [bootstrap, "tools", "tools", str(directory / "one.out"), "client.id=one", *CONSUMER]
    member = subprocess.Popen(
        java.command("GroupMember", *arguments, heap="128m", class_path=classes, quick=True)
    )
    try:
        deadline = time.monotonic() + 60
        # All is committed: partition, current offset, log end offset, lag.
        while not re.search(r" 0 +10 +10 +0 ", text := tool("--describe", *group)):
            assert time.monotonic() < deadline, text
        note("--describe", *group)
        note("--describe", *group, "--state", "--verbose")
        note("--describe", *group, "--members", "--verbose")
        note("--describe", *group, "--offsets", "--verbose")
        note("--list", "--state")
        note("--list", "--type", "consumer")
        note("--list", "--type", "classic")
        note("--delete", *group)
        note("--delete-offsets", *group, "--topic", "tools")
        note("--reset-offsets", *group, "--topic", "tools", "--to-earliest", "--execute")
    finally:
        member.terminate()
        member.wait(30)
    note("--describe", *group, "--state", "--verbose")
    note("--describe", *group, "--members")
    note("--reset-offsets", *group, "--topic", "tools", "--to-earliest", "--execute")
    note("--delete", *group)
    note("--list")
    note("--describe", "--group", "nobody's")
    return [*said, *_settings(tools, bootstrap)]


def _settings(tools: ToolSession, bootstrap: str) -> list[str]:
    """kafka-configs about a group."""
    said = []
    group = ("--entity-type", "groups", "--entity-name", "tools")
    session, interval = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
    for words in (
        ("--alter", "--add-config", f"{session}=30000,{interval}=700"),
        ("--describe",),
        ("--alter", "--add-config", f"{session}=3"),
        ("--alter", "--delete-config", session),
        ("--describe",),
    ):
        result = tools.run(CONFIG_COMMAND, "--bootstrap-server", bootstrap, *words, *group)
        # The words for what is wrong are the brokers' own.
        said.append(f"{result.status} {result.out} {re.findall(r'[A-Z][A-Za-z]+Exception', result.err)}")
    return said


def _records(tools: ToolSession, directory: Path) -> dict[str, set[str]]:
    """Kinds of records of the group in the log, by Kafka's own decoder, with the fields of their values."""
    (log,) = directory.glob("**/__consumer_offsets-0/00000000000000000000.log")
    text = tools.run(dump_log_class(KAFKA_4), "--files", str(log), "--offsets-decoder").out
    assert "Error" not in text, text[-2000:]
    found: dict[str, set[str]] = {}
    for kind, key, value in re.findall(r'key: \{"type":"(\d+)"(.*?)\} payload: (<DELETE>|\{.*\})', text):
        # Kafka also removes a record of kind 4 that it wrote in older releases.
        if kind != "4" and '"tools"' in key:
            found.setdefault(kind, set()).update(re.findall(r'"(\w+)":', value))
    return found
