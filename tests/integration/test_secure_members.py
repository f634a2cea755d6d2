"""Brokers that reach each other over TLS and SASL: what they do, how it fails, and the way there."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.certificates import Authority
from tests.harness.keeper_process import KeeperProcess
from tests.harness.waiting import wait_until
from tests.integration.secure_members import (
    PASSWORD,
    SecureMember,
    listener_settings,
    put_scram_user,
    running,
    scram_line,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
LINE = "listener.name.brokers.scram-sha-512.sasl.jaas.config"


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[KeeperProcess]:
    """Where the tree is; the brokers' user is in it."""
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:
        put_scram_user(keeper.address)
        yield keeper


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Signs the brokers."""
    return Authority(tmp_path / "tls")


def members_of(
    tmp_path: Path, keeper: KeeperProcess, authority: Authority, protocol: str, count: int = 3
) -> list[SecureMember]:
    """Brokers 1, 2, ..."""
    return [
        SecureMember(
            tmp_path / f"broker-{number}",
            number,
            {"zookeeper.connect": keeper.address, **listener_settings(authority, number, protocol)},
        )
        for number in range(1, count + 1)
    ]


def admin_of(member: SecureMember) -> AdminClient:
    return AdminClient({"bootstrap.servers": member.bootstrap, "log_level": 0})


def make_topic(member: SecureMember, name: str, replicas: list[list[int]]) -> None:
    """Again as long as brokers are missing."""
    topic = NewTopic(name, len(replicas), replica_assignment=replicas)

    def made() -> bool:
        # Its answers need it.
        client = admin_of(member)
        try:
            client.create_topics([topic], request_timeout=20)[name].result(30)
        except KafkaException as error:
            return bool(error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS)
        return True

    wait_until(made, f"topic {name} is not created", seconds=60, pause=0.5)


def in_sync(member: SecureMember, topic: str) -> dict[int, tuple[int, set[int]]]:
    """(leader, in-sync replicas) of each partition, as a broker has them."""
    found = admin_of(member).list_topics(topic, timeout=20).topics[topic].partitions
    return {number: (row.leader, set(row.isrs)) for number, row in found.items()}


def troubles(member: SecureMember) -> list[str]:
    """What a broker says of the ways to others, but that one does not listen yet."""
    return [
        line
        for line in member.log_text.splitlines()
        if ("fetching from broker" in line or "does not answer" in line) and "connection refused" not in line
    ]


def send(bootstrap: str, topic: str, values: range, **more: object) -> None:
    """With acks=all; each is acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0, **more})
    failed: list[object] = []
    for value in values:
        producer.produce(
            topic,
            str(value).encode(),
            partition=0,
            on_delivery=lambda error, _: error and failed.append(error),
        )
    assert producer.flush(60) == 0
    assert not failed


def read(bootstrap: str, topic: str, count: int) -> list[int]:
    """The first records of partition 0."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "g",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[int] = []
    deadline = time.monotonic() + 60
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            values.append(int(message.value() or b"-1"))
    consumer.close()
    return values


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_all_that_brokers_ask_of_each_other(
    tmp_path: Path, keeper: KeeperProcess, authority: Authority, protocol: str
) -> None:
    """Replication, controller, markers and their verification; a leader is killed: nothing is lost."""
    with running(members_of(tmp_path, keeper, authority, protocol)) as members:
        make_topic(members[1], "t", [[1, 2, 3]])
        everyone = ",".join(member.bootstrap for member in members.values())
        send(everyone, "t", range(500))
        for turn in range(3):
            producer = Producer(
                {"bootstrap.servers": everyone, "transactional.id": f"id-{turn}", "log_level": 0}
            )
            producer.init_transactions(60)
            producer.begin_transaction()
            for value in range(500 + 10 * turn, 510 + 10 * turn):
                producer.produce("t", str(value).encode(), partition=0)
            producer.commit_transaction(60)
        members[1].kill()
        rest = ",".join(members[number].bootstrap for number in (2, 3))
        wait_until(lambda: in_sync(members[2], "t")[0][0] in (2, 3), "nobody leads", seconds=30)
        send(rest, "t", range(530, 1000))
        assert read(rest, "t", 1000) == list(range(1000))
        members[1].start()
        wait_until(lambda: in_sync(members[2], "t")[0][1] == {1, 2, 3}, "it does not come back", seconds=60)
        for member in members.values():
            assert "Traceback" not in member.log_text
            assert PASSWORD not in member.log_text


def test_sessions_that_end(tmp_path: Path, keeper: KeeperProcess, authority: Authority) -> None:
    """Brokers log in anew before the others cut them (KIP-368): nobody notices."""
    made = members_of(tmp_path, keeper, authority, "SASL_PLAINTEXT", 2)
    for member in made:
        member.put({"listener.name.brokers.connections.max.reauth.ms": "1500"})
    with running(made) as members:
        make_topic(members[1], "t", [[1, 2], [2, 1]])
        for turn in range(5):
            send(members[1].bootstrap, "t", range(turn * 10, turn * 10 + 10))
            time.sleep(1)
        assert {row[1] == {1, 2} for row in in_sync(members[1], "t").values()} == {True}
        for member in members.values():
            assert not troubles(member)


@pytest.mark.whole
def test_a_wrong_password(tmp_path: Path, keeper: KeeperProcess, authority: Authority) -> None:
    """It is told in words; when the file is mended, SIGHUP does."""
    one, two = members_of(tmp_path, keeper, authority, "SASL_SSL", 2)
    file = tmp_path / "two.properties"
    file.write_text(f"{LINE}={scram_line('not-that')}\n")
    del two._settings[LINE]
    with running([one]):
        two.launch(str(file))
        try:
            two.wait()
            make_topic(one, "t", [[1, 2]])
            wait_until(lambda: "SASL_AUTHENTICATION_FAILED" in two.log_text, "it is not told", seconds=30)
            said = next(line for line in two.log_text.splitlines() if "SASL_AUTHENTICATION_FAILED" in line)
            assert "broker 1" in said, said
            assert "not-that" not in two.log_text
            wait_until(lambda: in_sync(one, "t")[0][1] == {1}, "it counts as in sync", seconds=60)
            file.write_text(f"{LINE}={scram_line(PASSWORD)}\n")
            two.process.send_signal(signal.SIGHUP)
            wait_until(lambda: in_sync(one, "t")[0][1] == {1, 2}, "it does not come back", seconds=60)
        finally:
            two.kill()


@pytest.mark.parametrize("what", ["authority", "name"])
def test_a_certificate_that_others_do_not_take(
    tmp_path: Path, keeper: KeeperProcess, authority: Authority, what: str
) -> None:
    """One of a foreign authority, or of another host: told in words, and mended while both run."""
    one, two = members_of(tmp_path, keeper, authority, "SSL", 2)
    foreign = Authority(tmp_path / "foreign", "foreign")
    both = tmp_path / "both.pem"
    both.write_text(authority.certificate.read_text() + foreign.certificate.read_text())
    good = (authority.directory / "broker-2.store.pem").read_text()
    bad = (
        foreign.store("broker-2")
        if what == "authority"
        else authority.store("broker-2", names="DNS:elsewhere.example,IP:127.0.0.9")
    )
    store = tmp_path / "two.pem"
    store.write_text(bad.read_text())
    two.put(
        {
            "listener.name.brokers.ssl.keystore.location": str(store),
            "listener.name.brokers.ssl.truststore.location": str(both),
            # The good one has other names and another issuer.
            "ssl.allow.san.changes": "true",
        }
    )
    words = "self-signed certificate in certificate chain" if what == "authority" else "IP address mismatch"
    # The first one is the controller, which has to reach the other.
    with running([one]), running([two]):
        said = f"the broker's certificate is not accepted: {words}"
        wait_until(lambda: said in one.log_text, "it is not told", seconds=60)
        store.write_text(good)
        two.process.send_signal(signal.SIGHUP)
        make_topic(one, "t", [[1, 2], [2, 1]])
        wait_until(
            lambda: all(row[1] == {1, 2} for row in in_sync(one, "t").values()),
            "it is not mended",
            seconds=60,
        )


def test_names_need_not_be_compared(tmp_path: Path, keeper: KeeperProcess, authority: Authority) -> None:
    made = members_of(tmp_path, keeper, authority, "SSL", 2)
    for member in made:
        authority.store(f"broker-{member.number}", names="DNS:elsewhere.example")
        member.put({"listener.name.brokers.ssl.endpoint.identification.algorithm": ""})
    with running(made) as members:
        make_topic(members[1], "t", [[1, 2], [2, 1]])
        send(members[1].bootstrap, "t", range(10))


def test_certificates_are_renewed_while_brokers_talk(
    tmp_path: Path, keeper: KeeperProcess, authority: Authority
) -> None:
    with running(members_of(tmp_path, keeper, authority, "SSL", 2)) as members:
        make_topic(members[1], "t", [[1, 2], [2, 1]])
        send(members[1].bootstrap, "t", range(10))
        for number, member in members.items():
            authority.store(f"broker-{number}")
            member.process.send_signal(signal.SIGHUP)
            wait_until(
                lambda member=member: "shows a renewed certificate" in member.log_text,  # type: ignore[misc]
                "it is not taken over",
                seconds=30,
            )
        send(members[1].bootstrap, "t", range(10, 20))
        for member in members.values():
            assert not troubles(member)


@pytest.mark.whole
@pytest.mark.timeout(600)
def test_rolling_from_plaintext_to_sasl_ssl(
    tmp_path: Path, keeper: KeeperProcess, authority: Authority
) -> None:
    """The steps of docs/security.md: add the listener, go over to it, drop what was before."""
    plain = {"inter.broker.listener.name": "PLAINTEXT"}
    members = members_of(tmp_path, keeper, authority, "PLAINTEXT")
    for member in members:
        member.put(plain)
    sent = 0
    with running(members) as by_number:
        make_topic(by_number[1], "t", [[1, 2, 3]])
        everyone = ",".join(member.bootstrap for member in members)
        accepted = {"fastlog.inter.broker.listeners.accepted": "PLAINTEXT,BROKERS"}
        for step in (
            lambda number: {**listener_settings(authority, number, "SASL_SSL"), **plain, **accepted},
            lambda number: {**listener_settings(authority, number, "SASL_SSL"), **accepted},
            lambda number: {
                **listener_settings(authority, number, "SASL_SSL"),
                "fastlog.inter.broker.listeners.accepted": "",
            },
        ):
            for number, member in by_number.items():
                member.stop()
                member.put(step(number))
                member.start()
                wait_until(lambda: in_sync(by_number[1], "t")[0][1] == {1, 2, 3}, "not whole", seconds=60)
                send(everyone, "t", range(sent, sent + 100))
                sent += 100
        assert read(everyone, "t", sent) == list(range(sent))
        assert all("CLUSTER_AUTHORIZATION_FAILED" not in member.log_text for member in members)


def test_no_core_dumps(tmp_path: Path, keeper: KeeperProcess, authority: Authority) -> None:
    """Keys are in memory: no limit lets it be written, and nothing of it is piped to anybody."""
    (member,) = members_of(tmp_path, keeper, authority, "SSL", 1)
    with running([member]):
        pid = member.process.pid
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert next(line for line in limits.splitlines() if "core file size" in line).split()[4] == "0"
        assert int(Path(f"/proc/{pid}/coredump_filter").read_text(), 16) == 0
        # Debuggers of the same user are no business of this.
        assert os.stat(f"/proc/{pid}/environ").st_uid == os.getuid()
