"""Quotas beside Apache Kafka's: the same meters, waits for the same load, tools, and one tree for both."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from fastlog.native import build_batch
from fastlog.server.quotas.rates import QuotaWindows, SampledRate, TokenBucket
from fastlog.wire import ApiKey, Request, decode_response, encode_request
from fastlog.wire.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    EntityData,
    EntryData,
    OpData,
)
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.describe_client_quotas import DescribeClientQuotasRequest
from fastlog.wire.messages.topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from tests.compat.tool_session import ToolSession
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.waiting import wait_until
from tests.integration.requests import fetch, metadata, produce
from tests.peers.apache_kafka import CONFIG_COMMAND, KAFKA_3, JavaTools, KafkaOnZooKeeper
from tests.peers.maven import compiled
from tests.peers.zookeeper import ZooKeeperServer

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(240)]

Entity = Mapping[str, str | None]
ROOT: Final = Path(__file__).resolve().parents[2]
SKEW_MS: Final = 250
"""What may lie between a broker's look at its clock and the test's."""


class Brokers(NamedTuple):
    """Kafka's, fastlog's that is alone, and one that is in the cluster of Kafka's."""

    kafka: KafkaOnZooKeeper
    alone: BrokerProcess
    member: BrokerProcess

    @property
    def ports(self) -> tuple[int, int]:
        """Of the two that do not know each other."""
        return self.kafka.port, self.alone.port


class Waits:
    """What one client is told to wait: milliseconds, and when that ends, reckoned from the first answer.

    A wait is shorter by what has passed since the first request; its end does not depend on that.
    """

    def __init__(self) -> None:
        self.told: list[int] = []
        self.ends: list[float] = []
        self._began = 0.0

    def add(self, wait: int) -> None:
        """An answer has come."""
        now = time.monotonic() * 1000
        self._began = self._began or now
        self.told.append(wait)
        if wait:
            self.ends.append(now - self._began + wait)


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    directory = tmp_path_factory.mktemp("quotas")
    with ExitStack() as stack:
        zookeeper = stack.enter_context(ZooKeeperServer(directory / "zookeeper"))
        connect = f"{zookeeper.address}/cluster"
        kafka = stack.enter_context(KafkaOnZooKeeper(directory / "kafka", connect))
        alone = stack.enter_context(BrokerProcess(directory / "alone", settings={"node.id": "1"}))
        settings = {"broker.id": "2", "zookeeper.connect": connect}
        member = stack.enter_context(BrokerProcess(directory / "member", settings=settings))
        yield Brokers(kafka, alone, member)
        kafka.kill()
    assert "Traceback" not in alone.log_text + member.log_text


def alter(port: int, entity: Entity, **values: float | None) -> tuple[int, str | None]:
    """(error code, message)."""
    entry = EntryData(
        entity=[EntityData(kind, name) for kind, name in entity.items()],
        ops=[OpData(key, value or 0.0, value is None) for key, value in values.items()],
    )
    with Link(port, timeout=30) as link:
        (row,) = link.call(AlterClientQuotasRequest(entries=[entry]), 1).entries  # type: ignore[attr-defined]
    return row.error_code, row.error_message


def described(port: int) -> Any:
    """What a broker says that there is, in an order of its own."""
    with Link(port, timeout=30) as link:
        answer: Any = link.call(DescribeClientQuotasRequest(), 1)
    return sorted(
        (
            sorted((part.entity_type, part.entity_name or "<default>") for part in entry.entity),
            sorted((value.key, value.value) for value in entry.values),
        )
        for entry in answer.entries
    )


def ask(port: int, client_id: str, request: Request, version: int) -> Any:
    """The answer on a connection of its own: the one before may be muted."""
    with Link(port, timeout=30) as link:
        link.client_id = client_id
        return link.call(request, version)


def set_on_both(brokers: Brokers, entity: Entity, **values: float | None) -> None:
    """The same limits; they are in force with Kafka when its notification has been taken."""
    for port in brokers.ports:
        assert alter(port, entity, **values) == (0, None)
    time.sleep(0.5)


def make_topics(brokers: Brokers, *names: str) -> None:
    wanted = [CreatableTopic(name, 1, 1) for name in names]
    for port, broker in zip(brokers.ports, ("kafka", "alone"), strict=True):
        # With Kafka there are two brokers: the partition is to be on its own.
        for topic in wanted:
            topic.num_partitions = topic.replication_factor = -1
            topic.assignments = [CreatableReplicaAssignment(0, [1])]
        answer = ask(port, "maker", CreateTopicsRequest(wanted, 20_000), 7)
        assert [topic.error_code for topic in answer.topics] == [0] * len(names), (broker, answer)


def test_meters_are_kafka_s_own() -> None:
    """Drawn steps at drawn windows: rates, periods and tokens are those of Kafka's classes."""
    draw, lines, expected = random.Random(13), [], []
    for _ in range(60):
        windows = QuotaWindows(draw.choice((1, 2, 3, 11)), draw.choice((1000, 30_000)))
        limit = draw.choice((0.5, 5.0, 1000.0))
        lines.append(f"begin {windows.samples} {windows.window_ms} {limit}")
        rate, bucket, now = SampledRate(), TokenBucket(), 100_000_000
        for _ in range(draw.randrange(1, 120)):
            now += draw.choice((0, 1, 40, 999, 1000, 1001, 2500, 9000, 40_000))
            amount = draw.choice((1.0, 0.25, 5000.0, -1.0))
            if draw.random() < 0.7:
                lines.append(f"record {amount} {now}")
                rate.record(amount, now, windows)
                bucket.take(amount, now, limit, windows)
            else:
                lines.append(f"measure {now}")
                expected.append((*rate.measure(now, windows), bucket.left(now, limit, windows)))
    tools = JavaTools(KAFKA_3)
    classes = compiled(ROOT / "tests/compat/clients/Rates.java", tools.class_path)
    command = tools.command("Rates", class_path=classes, quick=True)
    done = subprocess.run(
        command, input="\n".join(lines).encode(), capture_output=True, check=True, timeout=60
    )
    said = [tuple(map(float, line.split())) for line in done.stdout.decode().splitlines()]
    assert len(said) == len(expected) > 500
    for index, (theirs, ours) in enumerate(zip(said, expected, strict=True)):
        assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-9), index


def test_waits_of_producers(brokers: Brokers) -> None:
    make_topics(brokers, "p")
    set_on_both(brokers, {"client-id": "loader"}, producer_byte_rate=50_000.0)
    batch = build_batch([(None, bytes(240_000), [], 0)])
    notes = [Waits(), Waits()]
    for _ in range(6):
        for port, note in zip(brokers.ports, notes, strict=True):
            note.add(ask(port, "loader", produce("p", batch), 9).throttle_time_ms)
    kafka, fastlog = notes
    # The third is the first that is too many; each one more adds five seconds.
    for note in notes:
        assert [wait > 0 for wait in note.told] == [False] * 2 + [True] * 4
    assert kafka.told[-1] > 10_000
    assert fastlog.ends == pytest.approx(kafka.ends, abs=SKEW_MS), (kafka.told, fastlog.told)
    for port in brokers.ports:
        assert ask(port, "other", produce("p", batch), 9).throttle_time_ms == 0


def test_waits_of_consumers(brokers: Brokers) -> None:
    make_topics(brokers, "f")
    batch = build_batch([(None, bytes(100_000), [], 0)])
    for port in brokers.ports:
        for _ in range(8):
            ask(port, "filler", produce("f", batch), 9)
    set_on_both(brokers, {"client-id": "reader"}, consumer_byte_rate=50_000.0)
    request = fetch("f", 0, max_bytes=410_000, partition_max_bytes=10_000_000)
    notes = [Waits(), Waits()]
    sizes: list[list[int]] = [[], []]
    for _ in range(3):
        for port, note, own in zip(brokers.ports, notes, sizes, strict=True):
            answer = ask(port, "reader", request, 11)
            note.add(answer.throttle_time_ms)
            own.append(sum(len(row.records or b"") for topic in answer.responses for row in topic.partitions))
    kafka, fastlog = notes
    assert sizes[1] == sizes[0]
    assert sizes[0][0] > 400_000
    assert sizes[0][1:] == [0, 0]
    assert kafka.told[0] == fastlog.told[0] == 0
    assert kafka.told[1] > 5000
    assert fastlog.ends == pytest.approx(kafka.ends, abs=SKEW_MS), (kafka.told, fastlog.told)
    # One that could never be sent is cut before it is read.
    request = fetch("f", 0, max_bytes=10_000_000, partition_max_bytes=10_000_000)
    set_on_both(brokers, {"client-id": "small"}, consumer_byte_rate=25_000.0)
    cut = []
    for port in brokers.ports:
        answer = ask(port, "small", request, 11)
        if answer.throttle_time_ms:
            # What goes round the records is too much by as many bytes: for some milliseconds.
            assert answer.throttle_time_ms < 10, port
            time.sleep(0.05)
            answer = ask(port, "small", request, 11)
        cut.append(len(answer.responses[0].partitions[0].records))
    assert cut == [250_000, 250_000]


def test_waits_for_time(brokers: Brokers) -> None:
    set_on_both(brokers, {"client-id": "busy"}, request_percentage=0.0001)
    for port in brokers.ports:
        waits = [ask(port, "busy", fetch("nowhere", 0), 11).throttle_time_ms for _ in range(5)]
        assert 0 < max(waits) <= 1000, (port, waits)


def test_mutations(brokers: Brokers) -> None:
    """Codes and waits of new and old clients, topic by topic."""
    for name in ("new", "old"):
        set_on_both(brokers, {"client-id": name}, controller_mutation_rate=0.1)
    told: list[list[Any]] = [[], []]
    waits: list[list[int]] = [[], []]
    for port, own, waited in zip(brokers.ports, told, waits, strict=True):
        began: dict[str, float] = {}

        def note(
            client_id: str, answer: Any, rows: Any, own: list[Any] = own, waited: list[int] = waited
        ) -> None:
            own.append(sorted(row.error_code for row in rows))
            # When nothing is overdrawn any more, which does not depend on how long the requests take.
            since = (time.monotonic() - began[client_id]) * 1000  # noqa: B023
            waited.append(answer.throttle_time_ms + int(since))

        for client_id, version in (("new", 7), ("old", 5)):
            # All of one size: Kafka takes them in the order of a hash table.
            wanted = [CreatableTopic(f"{client_id}-{name}", 6, 1) for name in "abc"]
            began[client_id] = time.monotonic()
            answer = ask(port, client_id, CreateTopicsRequest(wanted, 20_000), version)
            assert answer.throttle_time_ms > 0
            note(client_id, answer, answer.topics)
        for client_id, version in (("new", 3), ("old", 2)):
            grown = [CreatePartitionsTopic("old-a", 7 if client_id == "new" else 8)]
            answer = ask(port, client_id, CreatePartitionsRequest(grown, 20_000), version)
            note(client_id, answer, answer.results)
        answer = ask(
            port, "new", DeleteTopicsRequest(topics=[DeleteTopicState(name="old-b")], timeout_ms=20_000), 6
        )
        note("new", answer, answer.responses)
        answer = ask(port, "old", DeleteTopicsRequest(topic_names=["old-b"], timeout_ms=20_000), 4)
        note("old", answer, answer.responses)
    assert told[1] == told[0]
    assert [89 in codes for codes in told[0]] == [True, False, True, False, True, False]
    assert waits[1] == pytest.approx(waits[0], abs=3 * SKEW_MS), waits


def test_addresses_that_come_too_fast(brokers: Brokers) -> None:
    set_on_both(brokers, {"ip": "127.0.0.3"}, connection_creation_rate=1.0)
    frame = encode_request(ApiVersionsRequest(), 2, 1, "c")
    let_in = []
    for port in brokers.ports:
        with ExitStack() as stack:
            clients = [
                stack.enter_context(
                    socket.create_connection(("127.0.0.1", port), 20, source_address=("127.0.0.3", 0))
                )
                for _ in range(16)
            ]
            began, answered = time.monotonic(), 0
            for client in clients:
                client.sendall(frame)
            for client in clients:
                with suppress(ConnectionError):
                    answered += bool(client.recv(1))
            let_in.append(answered)
            # Who is not let in is closed within a window.
            assert time.monotonic() - began < 5
    # A second's worth for each of ten windows.
    assert let_in[0] == pytest.approx(10, abs=1)
    assert let_in[1] == pytest.approx(let_in[0], abs=1)


BAD: Final[list[tuple[Entity, Mapping[str, float | None]]]] = [
    ({}, {"producer_byte_rate": 1.0}),
    ({"team": "x"}, {"producer_byte_rate": 1.0}),
    ({"user": ""}, {"producer_byte_rate": 1.0}),
    ({"user": "u"}, {"nothing": 1.0}),
    ({"user": "u"}, {"connection_creation_rate": 1.0}),
    ({"user": "u"}, {"producer_byte_rate": 1.5}),
    ({"ip": "10.0.0.1"}, {"producer_byte_rate": 1.0}),
    ({"user": "u", "ip": "10.0.0.1"}, {"producer_byte_rate": 1.0}),
    ({"user": "u"}, {"connection_creation_rate": None}),
    ({"user": "u"}, {"producer_byte_rate": None}),
]


@pytest.mark.parametrize(("entity", "values"), BAD)
def test_what_is_no_quota(brokers: Brokers, entity: Entity, values: Mapping[str, float | None]) -> None:
    kafka, fastlog = (alter(port, entity, **values) for port in brokers.ports)
    assert fastlog == kafka


STEPS: Final = (
    "--alter --entity-type users --entity-name alice "
    "--add-config producer_byte_rate=1024,request_percentage=50",
    "--alter --entity-type users --entity-default --add-config consumer_byte_rate=2048",
    "--alter --entity-type clients --entity-name app~1 --add-config controller_mutation_rate=0.5",
    "--alter --entity-type clients --entity-default --add-config producer_byte_rate=99999999",
    "--alter --entity-type users --entity-name alice --entity-type clients --entity-name app "
    "--add-config producer_byte_rate=7",
    "--alter --entity-type users --entity-default --entity-type clients --entity-default "
    "--add-config request_percentage=12.25",
    "--alter --entity-type ips --entity-name 10.0.0.1 --add-config connection_creation_rate=5",
    "--alter --entity-type ips --entity-default --add-config connection_creation_rate=6",
    "--describe --entity-type users",
    "--describe --entity-type users --entity-name alice",
    "--describe --entity-type users --entity-default",
    "--describe --entity-type clients",
    "--describe --entity-type clients --entity-name app~1",
    "--describe --entity-type users --entity-type clients",
    "--describe --entity-type users --entity-name alice --entity-type clients --entity-name app",
    "--describe --entity-type ips",
    "--describe --entity-type ips --entity-name 10.0.0.1",
    "--alter --user alice --delete-config producer_byte_rate",
    "--alter --user alice --delete-config consumer_byte_rate",
    "--alter --ip-defaults --delete-config connection_creation_rate",
    "--alter --ip not-an-address. --add-config connection_creation_rate=5",
    "--alter --user alice --add-config nothing=5",
    "--alter --user alice --add-config producer_byte_rate=x",
    "--describe --user alice",
    "--describe --ip-defaults",
    "--describe --client-defaults",
    "--describe --user-defaults",
)


def lines_of(text: str) -> list[str]:
    """Without what Java's logging says of itself when it is used for the first time; of several quotas in one
    line, which have the order of a hash table, the smallest first."""
    found = []
    for line in text.splitlines():
        if not line.startswith(("SLF4J", "log4j")):
            start, are, values = line.rstrip().partition(" are ")
            found.append(start + are + ", ".join(sorted(values.split(", "))))
    return sorted(found)


def test_kafka_configs_says_the_same(brokers: Brokers) -> None:
    set_aside(brokers)
    with ToolSession(KAFKA_3) as tools:
        for step in STEPS:
            said = []
            for bootstrap in (brokers.kafka.bootstrap, brokers.alone.bootstrap):
                done = tools.run(CONFIG_COMMAND, "--bootstrap-server", bootstrap, *step.split())
                said.append((done.status, lines_of(done.out), lines_of(done.err)))
            assert said[1] == said[0], step
    assert described(brokers.alone.port) == described(brokers.kafka.port)
    assert len(described(brokers.kafka.port)) == 7


def set_aside(brokers: Brokers) -> None:
    """Removes what other tests have set."""
    for port in brokers.ports:
        for parts, values in described(port):
            entity = {kind: None if name == "<default>" else name for kind, name in parts}
            assert alter(port, entity, **{key: None for key, _ in values}) == (0, None)


def test_a_cluster_of_both_shares_its_quotas(brokers: Brokers) -> None:
    """Who is told does not matter: both enforce it, without a restart."""
    set_aside(brokers)
    kafka, member = brokers.kafka.port, brokers.member.port
    batch = build_batch([(None, bytes(60_000), [], 0)])
    topic = CreatableTopic("shared", -1, -1, [CreatableReplicaAssignment(n, [n + 1]) for n in range(2)])
    assert ask(kafka, "maker", CreateTopicsRequest([topic], 20_000), 7).topics[0].error_code == 0

    def wait_of(port: int, client_id: str) -> int:
        answer = ask(port, client_id, produce("shared", batch, partition=int(port == member)), 9)
        (row,) = answer.responses[0].partition_responses
        return answer.throttle_time_ms if row.error_code == 0 else -1

    wait_until(lambda: wait_of(member, "warm") == 0 and wait_of(kafka, "warm") == 0, "led", seconds=30)
    for number, told in enumerate((kafka, member)):
        client_id = f"shared-{number}"
        assert alter(told, {"user": None, "client-id": client_id}, producer_byte_rate=1000.0) == (0, None)
        for port in (kafka, member):
            wait_until(lambda: wait_of(port, client_id) > 10_000, f"held up at {port}", seconds=20)  # noqa: B023
        assert described(kafka) == described(member)
        other = member if told == kafka else kafka
        assert alter(other, {"user": None, "client-id": client_id}, producer_byte_rate=None) == (0, None)
        for port in (kafka, member):
            wait_until(lambda: wait_of(port, client_id) == 0, f"let go at {port}", seconds=20)  # noqa: B023
    assert described(kafka) == described(member) == []


def test_answers_can_be_read(brokers: Brokers) -> None:
    """The wait is where clients look for it, in each version."""
    assert alter(brokers.alone.port, {"client-id": "read"}, request_percentage=1e-9) == (0, None)
    for version in range(3, 13):
        request = fetch("nowhere", 0)
        if version >= 4:
            answer = ask(brokers.alone.port, "read", request, version)
            assert answer.throttle_time_ms > 0, version
    for version in range(3, 13):
        with Link(brokers.alone.port) as link:
            link.client_id = "read"
            link.send(metadata("somewhere"), version)
            _, answer = decode_response(ApiKey.METADATA, version, link.receive_frame())
            assert answer.throttle_time_ms > 0, version  # type: ignore[attr-defined]
