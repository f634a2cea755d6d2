"""Brokers that reach each other over a listener with TLS or SASL, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fastlog.coordination.scram_credentials import HASHES, ScramCredential
from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.zookeeper.client import ZkClient
from tests.harness.broker_process import BrokerProcess
from tests.harness.certificates import Authority
from tests.harness.net import free_port
from tests.harness.tree import at

SETTINGS: Final = {
    "zookeeper.session.timeout.ms": "6000",
    "min.insync.replicas": "2",
    "default.replication.factor": "3",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "3",
    "group.initial.rebalance.delay.ms": "0",
    "fastlog.shutdown.timeout.ms": "1000",
}
USER: Final = "broker"
PASSWORD: Final = "among-ourselves"  # noqa: S105


def listener_settings(authority: Authority, number: int, protocol: str) -> dict[str, str]:
    """Those of a listener BROKERS, by Kafka's keys: both kinds of brokers take them."""
    values = {
        "listener.security.protocol.map": f"PLAINTEXT:PLAINTEXT,BROKERS:{protocol}",
        "inter.broker.listener.name": "BROKERS",
    }
    if protocol.endswith("SSL"):
        values |= {
            "listener.name.brokers.ssl.keystore.type": "PEM",
            "listener.name.brokers.ssl.keystore.location": str(authority.store(f"broker-{number}")),
            "listener.name.brokers.ssl.truststore.type": "PEM",
            "listener.name.brokers.ssl.truststore.location": str(authority.certificate),
        }
    if protocol == "SSL":
        values["listener.name.brokers.ssl.client.auth"] = "required"
    if protocol.startswith("SASL"):
        values |= {
            "listener.name.brokers.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "listener.name.brokers.scram-sha-512.sasl.jaas.config": scram_line(PASSWORD),
        }
    return values


def scram_line(password: str) -> str:
    """Who a broker is to the others."""
    return (
        "org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="{USER}" password="{password}";'
    )


def put_scram_user(connect: str, password: str = PASSWORD) -> None:
    """What `kafka-configs --zookeeper` writes before the first broker is started."""
    import hashlib

    salt, rounds, mechanism = b"0123456789abcdef", 4096, "SCRAM-SHA-512"
    salted = hashlib.pbkdf2_hmac(HASHES[mechanism], password.encode(), salt, rounds)
    data = node_json.encode_config({mechanism: ScramCredential.of(mechanism, salt, salted, rounds).format()})

    async def put(client: ZkClient) -> None:
        if client.chroot:
            await ZkClient(client.session).ensure(client.chroot)
        path = paths.user_config(USER)
        await client.ensure(path)
        await client.set(path, data)

    at(connect, put)


class SecureMember(BrokerProcess):
    """One of them: a plain listener for clients, and BROKERS."""

    def __init__(self, directory: Path, number: int, settings: Mapping[str, str]) -> None:
        super().__init__(
            directory,
            settings={**SETTINGS, "broker.id": str(number), **settings},
            listeners=[f"BROKERS://127.0.0.1:{free_port()}"],
        )
        self.number = number

    def put(self, settings: Mapping[str, str]) -> None:
        """The same with names as they are."""
        self._settings |= settings


@contextmanager
def running(members: Iterable[SecureMember]) -> Iterator[dict[int, SecureMember]]:
    """All of them, killed at the end."""
    made = {member.number: member for member in members}
    try:
        for member in made.values():
            member.launch()
        for member in made.values():
            member.wait()
        yield made
    finally:
        for member in made.values():
            if member._process is not None and member._process.poll() is None:
                member.kill()
