"""Consumer groups with real clients: sharing, leaving, failing, and a broker that restarts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.broker_process import BrokerProcess
from tests.integration.group_member import KINDS
from tests.peers.apache_kafka import CONSUMER_PERFORMANCE, KAFKA_3, JavaTools

PARTITIONS = 6
GROUP = "readers"
TOPIC = "shared"
SETTINGS = {"group.initial.rebalance.delay.ms": "500", "offsets.topic.num.partitions": "4"}


class Member:
    """One member process and what it has handled."""

    def __init__(self, kind: str, broker: BrokerProcess, name: str) -> None:
        self.output = broker.directory / f"{name}.out"
        self._log = (broker.directory / f"{name}.log").open("wb")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.integration.group_member"),
                *(kind, broker.bootstrap, GROUP, TOPIC, str(self.output)),
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def values(self) -> list[int]:
        """What it has handled, in order."""
        return [int(line) for line in self.output.read_bytes().split()] if self.output.exists() else []

    def leave(self) -> None:
        """Ends in order."""
        self.process.terminate()
        assert self.process.wait(timeout=20) == 0, Path(self._log.name).read_text()[-2000:]

    def kill(self) -> None:
        """kill -9, if it still runs."""
        self.process.kill()
        self.process.wait()
        self._log.close()


class GroupTest:
    """A broker, a topic and members of one group."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.broker = broker
        self.members: list[Member] = []
        self.admin = self.new_admin()
        self.admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(30)
        self.produced = 0

    def new_admin(self) -> AdminClient:
        """By default librdkafka waits up to ten seconds before it connects to a restarted broker again."""
        return AdminClient(
            {"bootstrap.servers": self.broker.bootstrap, "log_level": 2, "reconnect.backoff.max.ms": 500}
        )

    def add(self, kind: str) -> Member:
        """One more member."""
        member = Member(kind, self.broker, f"{kind}-{len(self.members)}")
        self.members.append(member)
        return member

    def produce(self, count: int) -> None:
        """So many records over all partitions, each with a number of its own."""
        producer = Producer({"bootstrap.servers": self.broker.bootstrap, "log_level": 2})
        for number in range(self.produced, self.produced + count):
            producer.produce(TOPIC, str(number).encode(), partition=number % PARTITIONS)
        assert producer.flush(20) == 0
        self.produced += count

    def handled(self) -> Counter[int]:
        """How often each record was handled, by anybody."""
        return Counter(value for member in self.members for value in member.values())

    def wait(self, *, seconds: float = 40) -> Counter[int]:
        """Waits until every record was handled."""
        deadline = time.monotonic() + seconds
        while len(handled := self.handled()) < self.produced:
            assert time.monotonic() < deadline, (
                f"{len(handled)} of {self.produced}: {self.broker.log_text[-3000:]}"
            )
            time.sleep(0.1)
        return handled

    def wait_for_members(self, count: int, *, seconds: float = 40) -> dict[str, int]:
        """Waits until the group is stable with so many members; returns partitions by member id."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self.admin.describe_consumer_groups([GROUP])[GROUP].result(10)
            except (KafkaException, TimeoutError) as error:
                # On a busy machine one request of the admin client may take longer than it waits, and now and
                # then it sends nothing more after its broker has gone.
                state, shares = str(error), {}
                self.admin = self.new_admin()
            else:
                state = found.state
                shares = {
                    member.member_id: len(member.assignment.topic_partitions) for member in found.members
                }
            if state == ConsumerGroupState.STABLE and len(shares) == count:
                return shares
            assert time.monotonic() < deadline, (state, shares, self.broker.log_text[-3000:])
            time.sleep(0.1)

    def committed(self) -> int:
        """The sum of all committed offsets."""
        asked = ConsumerGroupTopicPartitions(
            GROUP, [TopicPartition(TOPIC, index) for index in range(PARTITIONS)]
        )
        found = self.admin.list_consumer_group_offsets([asked])[GROUP].result(10)
        return sum(max(item.offset, 0) for item in found.topic_partitions)

    def wait_committed(self, *, seconds: float = 40) -> None:
        """Waits until everything is committed."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                committed = self.committed()
            except (KafkaException, TimeoutError):
                committed = -1
                self.admin = self.new_admin()
            if committed >= self.produced:
                return
            assert time.monotonic() < deadline, f"{committed} of {self.produced} are committed"
            time.sleep(0.1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GroupTest]:
    """A broker with short waits."""
    with BrokerProcess(tmp_path, settings=SETTINGS) as broker:
        test = GroupTest(broker)
        yield test
        for member in test.members:
            member.kill()
        assert "Traceback" not in broker.log_text, broker.log_text[-4000:]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", KINDS)
def test_members_share_and_take_over(kind: str, world: GroupTest) -> None:
    """Two members share; one leaves and the other takes over; a restarted broker goes on where it was."""
    world.produce(600)
    first, second = world.add(kind), world.add(kind)
    assert sorted(world.wait_for_members(2).values()) == [3, 3]
    world.wait()
    world.produce(60)
    world.wait()
    assert second.values()
    world.wait_committed()
    second.leave()
    assert list(world.wait_for_members(1).values()) == [PARTITIONS]
    world.produce(60)
    world.wait()
    world.wait_committed()

    assert world.broker.stop() == 0
    world.broker.start()
    world.admin = world.new_admin()
    world.produce(60)
    handled = world.wait()
    world.wait_committed()
    # What was committed before a restart is not handled again after it.
    assert max(handled.values()) == 1, [number for number, times in handled.items() if times > 1][:20]
    first.leave()
    assert world.committed() == world.produced


@pytest.mark.timeout(120)
def test_three_kinds_of_clients_in_one_group(world: GroupTest) -> None:
    """They agree on the range assignor, and each gets its part; one that is killed is missed in time."""
    for kind in KINDS:
        world.add(kind)
    assert sorted(world.wait_for_members(3).values()) == [2, 2, 2]
    world.produce(300)
    world.wait()
    assert all(member.values() for member in world.members)
    world.members[0].kill()
    assert sorted(world.wait_for_members(2).values()) == [3, 3]
    world.produce(300)
    world.wait()


@pytest.mark.java
@pytest.mark.timeout(120)
def test_consumer_perf_test(world: GroupTest) -> None:
    """Apache Kafka's own consumer, in a group of its own."""
    world.produce(5000)
    done = JavaTools(KAFKA_3).run(
        CONSUMER_PERFORMANCE,
        *("--bootstrap-server", world.broker.bootstrap, "--topic", TOPIC, "--messages", "5000"),
        *("--group", "perf", "--hide-header", "--timeout", "30000"),
    )
    consumed = done.stdout.decode().strip().splitlines()[-1].split(", ")[4]
    assert int(consumed) == 5000
    # It commits by itself, once more when it leaves.
    found = world.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("perf")])["perf"].result(30)
    assert sum(item.offset for item in found.topic_partitions) == 5000
