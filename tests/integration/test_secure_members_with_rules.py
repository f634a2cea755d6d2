"""Brokers that reach each other over SASL_SSL by SCRAM, and an authorizer on each: one of them is killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from tests.harness.certificates import Authority
from tests.harness.keeper_process import KeeperProcess
from tests.harness.link import Link
from tests.harness.waiting import wait_until
from tests.integration.requests import fetch
from tests.integration.secure_members import (
    PASSWORD,
    USER,
    SecureMember,
    listener_settings,
    put_scram_user,
    running,
)

pytestmark = [pytest.mark.whole, pytest.mark.slow, pytest.mark.timeout(240)]
DENIED = 29
RULES = {
    "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
    "super.users": f"User:{USER}",
}


def operator_of(members: dict[int, SecureMember], authority: Authority) -> AdminClient:
    """Over the brokers' listener, as their user."""
    ports = [member._listeners[0].rpartition(":")[2] for member in members.values()]
    return AdminClient(
        {
            "bootstrap.servers": ",".join(f"127.0.0.1:{port}" for port in ports),
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(authority.certificate),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": USER,
            "sasl.password": PASSWORD,
            "log_level": 0,
        }
    )


def allow(operator: AdminClient, operation: AclOperation) -> None:
    """Whoever comes over the plain listener, on the topic."""
    rule = AclBinding(
        ResourceType.TOPIC,
        "t",
        ResourcePatternType.LITERAL,
        "User:ANONYMOUS",
        "*",
        operation,
        AclPermissionType.ALLOW,
    )
    for future in operator.create_acls([rule]).values():
        future.result(30)


def forget(operator: AdminClient, operation: AclOperation) -> None:
    """The same rule goes."""
    rule = AclBindingFilter(
        ResourceType.TOPIC,
        "t",
        ResourcePatternType.LITERAL,
        "User:ANONYMOUS",
        "*",
        operation,
        AclPermissionType.ALLOW,
    )
    for future in operator.delete_acls([rule]).values():
        assert len(future.result(30)) == 1


def told(member: SecureMember) -> int:
    """The code that a fetch of the topic gets there: followers are read from, too (KIP-392)."""
    with Link(member.port) as link:
        answer = link.call(fetch("t", 0), 12)
    return int(answer.responses[0].partitions[0].error_code)  # type: ignore[attr-defined]


def send(members: dict[int, SecureMember], count: int) -> None:
    """With acks=all, over the plain listener; each is acknowledged."""
    bootstrap = ",".join(member.bootstrap for member in members.values())
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0})
    failed: list[object] = []
    for number in range(count):
        producer.produce(
            "t", str(number).encode(), on_delivery=lambda error, _: error and failed.append(error)
        )
    assert producer.flush(60) == 0
    assert not failed


def test_rules_hold_while_brokers_come_and_go(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    with KeeperProcess(tmp_path / "keeper", tick_ms=500) as keeper:
        put_scram_user(keeper.address)
        made = [
            SecureMember(
                tmp_path / f"broker-{number}",
                number,
                {
                    "zookeeper.connect": keeper.address,
                    **listener_settings(authority, number, "SASL_SSL"),
                    **RULES,
                },
            )
            for number in (1, 2, 3)
        ]
        with running(made) as members:
            operator = operator_of(members, authority)

            def create() -> bool:
                topic = NewTopic("t", 1, replica_assignment=[[1, 2, 3]])
                try:
                    operator.create_topics([topic], request_timeout=20)["t"].result(30)
                except KafkaException as error:
                    return bool(error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS)
                return True

            wait_until(create, "no topic", seconds=60, pause=0.5)
            allow(operator, AclOperation.WRITE)

            def in_sync() -> set[int]:
                return set(operator.list_topics("t", timeout=20).topics["t"].partitions[0].isrs)

            wait_until(lambda: in_sync() == {1, 2, 3}, lambda: str(in_sync()), seconds=60, pause=0.2)
            # All of them know the rule: who may write, may be told so by any.
            send(members, 200)
            assert {told(member) for member in members.values()} == {DENIED}

            members[1].kill()
            rest = {number: members[number] for number in (2, 3)}
            operator = operator_of(rest, authority)
            wait_until(lambda: 1 not in in_sync(), lambda: str(in_sync()), seconds=60, pause=0.2)
            send(rest, 200)
            assert {told(member) for member in rest.values()} == {DENIED}
            # What is said while one is away, it knows when it is back.
            allow(operator, AclOperation.READ)
            wait_until(
                lambda: {told(member) for member in rest.values()} == {0},
                lambda: str([told(member) for member in rest.values()]),
                seconds=30,
            )
            members[1].launch()
            members[1].wait()
            wait_until(lambda: 1 in in_sync(), lambda: str(in_sync()), seconds=60, pause=0.2)
            wait_until(
                lambda: {told(member) for member in members.values()} == {0},
                lambda: str([told(member) for member in members.values()]),
                seconds=30,
            )
            send(members, 200)
            forget(operator, AclOperation.READ)
            wait_until(
                lambda: {told(member) for member in members.values()} == {DENIED},
                lambda: str([told(member) for member in members.values()]),
                seconds=30,
            )
            for member in members.values():
                assert "Traceback" not in member.log_text
                assert PASSWORD not in member.log_text
                # Brokers are refused nothing of each other.
                assert f"User:{USER} is Denied" not in member.log_text
