"""Listeners with TLS: clients, certificates, renewal without a cut, and those who never finish."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.harness.certificates import Authority, make_certificate
from tests.harness.tls import TlsClient, client_context
from tests.harness.waiting import wait_until
from tests.integration.running import RunningBroker

TWO = "PLAINTEXT://127.0.0.1:0,SSL://127.0.0.1:0"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Issues the certificates of a test."""
    made = Authority(tmp_path / "tls")
    made.store("broker", "/CN=broker")
    return made


def settings(authority: Authority, **more: str) -> dict[str, str]:
    """Of a broker that shows the authority's certificate."""
    return {
        "listeners": TWO,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(authority.directory / "broker.store.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
        **{name.replace("_", "."): text for name, text in more.items()},
    }


@pytest.fixture
def running(tmp_path: Path, authority: Authority, request: pytest.FixtureRequest) -> Iterator[RunningBroker]:
    """A broker with the settings that the test's `settings` mark adds."""
    more = getattr(request, "param", {})
    running = RunningBroker(tmp_path / "data", settings(authority, **more))
    running.start()
    try:
        yield running
    finally:
        running.close()


Connect = Callable[[int, ssl.SSLContext], TlsClient]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens connections, which end with the test."""
    with ExitStack() as stack:

        def opened(port: int, context: ssl.SSLContext) -> TlsClient:
            client = TlsClient(port, context)
            stack.callback(client.close)
            return client

        yield opened


def tls_port(running: RunningBroker) -> int:
    """The port of the listener with TLS."""
    return running.broker.endpoints["SSL"][1]


async def test_records_go_there_and_back(running: RunningBroker, authority: Authority) -> None:
    """Large batches as well, which without TLS would be sent from their files."""
    where = f"localhost:{tls_port(running)}"
    context = client_context(authority.certificate)
    values = [bytes([index % 251]) * size for index, size in enumerate([1, 100, 40_000, 900_000] * 5)]
    common = {"bootstrap_servers": where, "security_protocol": "SSL", "ssl_context": context}
    async with AIOKafkaProducer(**common, max_request_size=2_000_000) as producer:
        for value in values:
            await producer.send_and_wait("encrypted", value)
    async with AIOKafkaConsumer(**common, max_partition_fetch_bytes=8_000_000) as consumer:
        partition = TopicPartition("encrypted", 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        found: list[bytes] = []
        async with asyncio.timeout(20):
            while len(found) < len(values):
                found.append((await consumer.getone()).value)
    assert found == values


def test_a_plain_client_gets_no_answer(running: RunningBroker) -> None:
    with socket.create_connection(("127.0.0.1", tls_port(running)), timeout=5) as client:
        body = struct.pack(">hhih", 18, 0, 1, -1)
        client.sendall(struct.pack(">i", len(body)) + body)
        answer = client.recv(100)
        # An alert of TLS, and the end.
        assert answer[:1] in (b"", b"\x15")
    wait_until(
        lambda: running.broker.services.metrics.closed["failed handshake"] == 1, "it happens", seconds=5
    )


@pytest.mark.parametrize("running", [{"ssl_client_auth": "required"}], indirect=True)
def test_clients_without_a_trusted_certificate_stay_outside(
    running: RunningBroker, connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    port = tls_port(running)
    known = client_context(authority.certificate, authority.issue("alice"))
    client = connect(port, known)
    assert client.ask() == 0
    stranger = Authority(tmp_path / "other", "other")
    for context in (
        client_context(authority.certificate),
        client_context(authority.certificate, stranger.issue("mallory")),
    ):
        began = time.monotonic()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(port, context).ask()
        # connection.failed.authentication.delay.ms
        wait_until(lambda: len(running.broker._table or ()) == 1, "it happens", seconds=5)
        assert time.monotonic() - began >= 0.1
    assert client.ask(2) == 0


@pytest.mark.parametrize("running", [{"ssl_client_auth": "required"}], indirect=True)
@pytest.mark.parametrize(
    "when", ["expired", "of another authority", "signed by itself", "a server's chain only"]
)
def test_certificates_that_are_not_taken(
    running: RunningBroker, connect: Connect, authority: Authority, tmp_path: Path, when: str
) -> None:
    """In TLS 1.2, where the handshake fails, and in 1.3, where a client learns it with its first request."""
    if when == "expired":
        store = authority.expired("over")
        pair = store, store
    elif when == "signed by itself":
        pair = make_certificate(tmp_path)
    else:
        other = Authority(tmp_path / "other", "other")
        store = other.store("mallory", "/CN=broker")
        if when == "a server's chain only":
            # The right certificate behind the wrong one proves nothing.
            store.write_text(store.read_text() + (authority.directory / "broker.pem").read_text())
        pair = store, store
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = client_context(authority.certificate)
        context.load_cert_chain(*pair)
        context.minimum_version = context.maximum_version = version
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(tls_port(running), context).ask()
    assert (
        connect(tls_port(running), client_context(authority.certificate, authority.issue("alice"))).ask() == 0
    )


def test_nobody_shakes_hands_twice_on_a_connection(
    running: RunningBroker, connect: Connect, authority: Authority
) -> None:
    """Renegotiation of TLS 1.2 is work that a client could ask for without an end."""
    port = tls_port(running)
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{port}",
        "-tls1_2",
        "-CAfile",
        authority.certificate,
    ]
    done = subprocess.run(command, input=b"R\nR\nR\n", capture_output=True, timeout=40, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said.lower().replace("_", " "), said[-1000:]
    assert connect(port, client_context(authority.certificate)).ask() == 0


def principals(running: RunningBroker) -> list[str]:
    """Of all connections."""

    async def look() -> list[str]:
        table = running.broker._table
        assert table is not None
        return sorted(connection.session.principal for connection in table._connections)

    return running.run(look())


@pytest.mark.parametrize(
    "running",
    [
        {
            "ssl_client_auth": "requested",
            "ssl_principal_mapping_rules": "RULE:^CN=([A-Za-z]+),O=here$/$1/,RULE:^CN=(x)$/$1/",
        }
    ],
    indirect=True,
)
def test_the_principal_is_that_of_the_certificate(
    running: RunningBroker, connect: Connect, authority: Authority
) -> None:
    port = tls_port(running)
    nobody = connect(port, client_context(authority.certificate))
    alice = connect(port, client_context(authority.certificate, authority.issue("a", "/O=here/CN=alice")))
    assert (nobody.ask(), alice.ask()) == (0, 0)
    assert principals(running) == ["User:ANONYMOUS", "User:alice"]
    # A name that no rule knows is no user, and neither is that of those who have none.
    for subject in ("/O=there/CN=alice", "/O=here/CN=ANONYMOUS"):
        unknown = client_context(authority.certificate, authority.issue("b", subject))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(port, unknown).ask()


@pytest.mark.parametrize("running", [{"fastlog_authentication_timeout_ms": "700"}], indirect=True)
def test_half_open_handshakes_end(running: RunningBroker, connect: Connect, authority: Authority) -> None:
    port = tls_port(running)
    steady = connect(port, client_context(authority.certificate))
    assert steady.ask() == 0
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as silent,
        socket.create_connection(("127.0.0.1", port), timeout=5) as slow,
    ):
        slow.sendall(b"\x16\x03\x01\x02\x00\x01")
        for client in (silent, slow):
            assert client.recv(1) == b""
    assert running.broker.services.metrics.closed["not authenticated"] == 2
    time.sleep(1)
    assert steady.ask(2) == 0


@pytest.mark.parametrize("running", [{"fastlog_authentication_max_connections": "20"}], indirect=True)
def test_those_who_do_not_finish_do_not_keep_others_out(
    running: RunningBroker, connect: Connect, authority: Authority
) -> None:
    port = tls_port(running)
    context = client_context(authority.certificate)
    steady = connect(port, context)
    # A client takes its handshake for done before the broker does.
    assert steady.ask() == 0
    idle = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(60)]
    try:
        clients = [connect(port, context) for _ in range(5)]
        assert [client.ask(2) for client in (steady, *clients)] == [0] * 6
        wait_until(
            lambda: running.broker.services.metrics.closed["too many unauthenticated"] >= 40,
            "it happens",
            seconds=5,
        )
    finally:
        for client in idle:
            client.close()


async def test_a_renewed_certificate_is_shown_and_nobody_is_cut(
    running: RunningBroker, connect: Connect, authority: Authority
) -> None:
    port = tls_port(running)
    context = client_context(authority.certificate)
    before = connect(port, context)
    assert before.ask() == 0
    name = "listener.name.ssl.ssl.keystore.location"
    path = authority.directory / "broker.store.pem"

    def alter(value: Path) -> None:
        admin = AdminClient({"bootstrap.servers": running_address})
        entry = ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
        (future,) = admin.incremental_alter_configs([resource]).values()
        future.result(timeout=10)

    running_address = f"127.0.0.1:{running.broker.endpoints['PLAINTEXT'][1]}"
    new = authority.store("renewed", "/CN=broker")
    await asyncio.to_thread(alter, new)
    wait_until(lambda: connect(port, context).serial() != before.serial(), "it happens", seconds=5)
    second = connect(port, context)
    # The same path again, with another certificate in the file.
    authority.store("renewed", "/CN=broker")
    await asyncio.to_thread(alter, new)
    wait_until(
        lambda: connect(port, context).serial() not in (before.serial(), second.serial()),
        "it happens",
        seconds=5,
    )
    assert (before.ask(2), second.ask(2)) == (0, 0)
    # What could not take its place is refused, and not kept.
    third = connect(port, context).serial()
    for wrong in (authority.store("other", "/CN=other"), path.with_name("missing.pem")):
        with pytest.raises(Exception, match=r"ssl\.keystore\.location"):
            await asyncio.to_thread(alter, wrong)
    assert connect(port, context).serial() == third
