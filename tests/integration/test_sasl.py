"""Listeners with SASL: real clients, the order of things before it is known who asks, sessions that end."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from fastlog.errors import ErrorCode
from fastlog.wire.messages.api_versions import ApiVersionsRequest
from fastlog.wire.messages.metadata import MetadataRequest
from fastlog.wire.messages.sasl import SaslAuthenticateRequest, SaslHandshakeRequest
from tests.harness.waiting import wait_until
from tests.integration.running import RawClient, RunningBroker

PLAIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="wonder";'
SETTINGS = {
    "listeners": "PLAINTEXT://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0",
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
    "listener.name.sasl_plaintext.plain.sasl.jaas.config": PLAIN,
    "listener.name.sasl_plaintext.plain.connections.max.reauth.ms": "3000",
    "fastlog.oauthbearer.unsecured.tokens": "true",
    "connection.failed.authentication.delay.ms": "200",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """One broker for the module; user `bob` has SCRAM credentials."""
    running = RunningBroker(tmp_path_factory.mktemp("sasl"), SETTINGS)
    running.start()
    try:
        alter_users(running, upserts={"bob": "builder", "Zoë,=": "pässword"})
        yield running
    finally:
        running.close()


def address(running: RunningBroker) -> str:
    """Of the listener with SASL."""
    return f"127.0.0.1:{running.broker.endpoints['SASL_PLAINTEXT'][1]}"


def raw(running: RunningBroker) -> RawClient:
    """A connection of bytes to it."""
    return RawClient(running.broker.endpoints["SASL_PLAINTEXT"][1])


def alter_users(running: RunningBroker, upserts: dict[str, str], deletions: tuple[str, ...] = ()) -> None:
    """Sets and drops users of both mechanisms, by librdkafka's admin client."""
    admin = AdminClient({"bootstrap.servers": running.bootstrap})
    changes: list[Any] = []
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        changes += [
            UserScramCredentialUpsertion(name, ScramCredentialInfo(mechanism, 4096), password.encode())
            for name, password in upserts.items()
        ]
        changes += [UserScramCredentialDeletion(name, mechanism) for name in deletions]
    for future in admin.alter_user_scram_credentials(changes).values():
        future.result(timeout=10)


def principals(running: RunningBroker) -> set[str]:
    """Of all connections."""

    async def look() -> set[str]:
        table = running.broker._table
        assert table is not None
        return {connection.session.principal for connection in table._connections}

    return running.run(look())


# -- clients --------------------


@pytest.mark.parametrize(
    ("mechanism", "user", "password"),
    [("PLAIN", "alice", "wonder"), ("SCRAM-SHA-256", "bob", "builder"), ("SCRAM-SHA-512", "bob", "builder")],
)
async def test_aiokafka(running: RunningBroker, mechanism: str, user: str, password: str) -> None:
    common = {
        "bootstrap_servers": address(running),
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": user,
        "sasl_plain_password": password,
    }
    topic = f"aiokafka-{mechanism}"
    async with AIOKafkaProducer(**common) as producer:
        await producer.send_and_wait(topic, b"x" * 100_000)
        assert f"User:{user}" in await asyncio.to_thread(principals, running)
    async with AIOKafkaConsumer(**common) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        async with asyncio.timeout(20):
            assert len((await consumer.getone()).value) == 100_000


@pytest.mark.parametrize(
    ("mechanism", "user", "password"),
    [
        ("PLAIN", "alice", "wonder"),
        ("SCRAM-SHA-256", "Zoë,=", "pässword"),
        ("SCRAM-SHA-512", "bob", "builder"),
    ],
)
def test_librdkafka(running: RunningBroker, mechanism: str, user: str, password: str) -> None:
    settings = {
        "bootstrap.servers": address(running),
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password,
    }
    told: list[object] = []
    producer = Producer(settings)
    producer.produce("librdkafka", b"v", on_delivery=lambda error, _: told.append(error))
    producer.flush(15)
    assert told == [None]


def test_librdkafka_with_tokens(running: RunningBroker) -> None:
    def give(_config: str) -> tuple[str, float]:
        return unsigned("carol"), time.time() + 300

    settings = {
        "bootstrap.servers": address(running),
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "OAUTHBEARER",
        "oauth_cb": give,
    }
    told: list[object] = []
    producer = Producer(settings)
    producer.produce("librdkafka", b"v", on_delivery=lambda error, _: told.append(error))
    producer.flush(15)
    assert told == [None]
    assert "User:carol" in principals(running)


def test_renewed_and_dropped_users_hold_for_new_logins(running: RunningBroker) -> None:
    def says(password: str) -> bool:
        settings = {
            "bootstrap.servers": address(running),
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.username": "dave",
            "sasl.password": password,
            "message.timeout.ms": 2000,
            "log_level": 0,
        }
        told: list[object] = []
        producer = Producer(settings)
        producer.produce("librdkafka", b"v", on_delivery=lambda error, _: told.append(error))
        producer.flush(5)
        # An error of librdkafka's cannot be compared with None.
        return [error is None for error in told] == [True]

    alter_users(running, {"dave": "first"})
    assert says("first")
    alter_users(running, {"dave": "second"})
    assert says("second")
    assert not says("first")
    alter_users(running, {}, ("dave",))
    assert not says("second")


def test_users_are_described(running: RunningBroker) -> None:
    admin = AdminClient({"bootstrap.servers": running.bootstrap})
    found = admin.describe_user_scram_credentials(["bob"])["bob"].result(timeout=10)
    assert sorted(info.iterations for info in found.scram_credential_infos) == [4096, 4096]
    with pytest.raises(Exception, match="RESOURCE_NOT_FOUND"):
        admin.describe_user_scram_credentials(["nobody"])["nobody"].result(timeout=10)


# -- the order of things --------------------


def shake_hands(client: RawClient, mechanism: str, version: int = 1) -> Any:
    """Chooses a mechanism."""
    return client.ask(SaslHandshakeRequest(mechanism=mechanism), version)


def authenticate(client: RawClient, token: bytes, version: int = 2) -> Any:
    """One token."""
    return client.ask(SaslAuthenticateRequest(auth_bytes=token), version)


def log_in(client: RawClient, token: bytes = b"\0alice\0wonder") -> Any:
    """By PLAIN."""
    assert shake_hands(client, "PLAIN").error_code == 0
    return authenticate(client, token)


def test_the_usual_way(running: RunningBroker) -> None:
    with raw(running) as client:
        versions = client.ask(ApiVersionsRequest(client_software_name="t", client_software_version="1"), 3)
        assert len(versions.api_keys) > 40
        answer = log_in(client)
        assert (answer.error_code, answer.session_lifetime_ms) == (0, 3000)
        assert client.ask(MetadataRequest(topics=[]), 9).cluster_id
        # Who is in need not log in.
        assert authenticate(client, b"x").error_code == ErrorCode.ILLEGAL_SASL_STATE


def test_version_0_has_bare_tokens(running: RunningBroker) -> None:
    with raw(running) as client:
        assert shake_hands(client, "PLAIN", 0).error_code == 0
        token = b"\0alice\0wonder"
        client.socket.sendall(struct.pack(">i", len(token)) + token)
        assert client.receive_frame() == b""
        assert client.ask(MetadataRequest(topics=[]), 9).cluster_id
    with raw(running) as client:
        assert shake_hands(client, "PLAIN", 0).error_code == 0
        client.socket.sendall(struct.pack(">i", 1) + b"x")
        assert client.is_closed()


@pytest.mark.parametrize("mechanism", ["GSSAPI", "SCRAM-SHA-1", "", "plain", "DIGEST-MD5"])
def test_an_unknown_mechanism_is_told_which_there_are(running: RunningBroker, mechanism: str) -> None:
    with raw(running) as client:
        answer = shake_hands(client, mechanism)
        assert answer.error_code == ErrorCode.UNSUPPORTED_SASL_MECHANISM
        assert answer.mechanisms == SETTINGS["sasl.enabled.mechanisms"].split(",")
        assert client.is_closed()


def test_a_failure_is_answered_late_and_ends_the_connection(running: RunningBroker) -> None:
    for token, words in (
        (b"\0alice\0wrong", "Authentication failed: Invalid username or password"),
        (b"\0eve\0wonder", "Authentication failed: Invalid username or password"),
    ):
        with raw(running) as client:
            assert shake_hands(client, "PLAIN").error_code == 0
            began = time.monotonic()
            answer = authenticate(client, token)
            assert time.monotonic() - began >= 0.2
            assert (answer.error_code, answer.error_message) == (58, words)
            assert client.is_closed()


def metadata(correlation_id: int) -> bytes:
    """A request of somebody who has not logged in."""
    body = struct.pack(">hhihi", 3, 1, correlation_id, -1, 0)
    return struct.pack(">i", len(body)) + body


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(metadata(1), id="another API"),
        pytest.param(struct.pack(">ihhi", 8, 99, 0, 1), id="no API"),
        pytest.param(struct.pack(">ihhihi", 14, 36, 0, 1, -1, 0), id="a token before the handshake"),
        pytest.param(struct.pack(">i", 2**31 - 1), id="the largest frame"),
        pytest.param(struct.pack(">i", 524_289), id="a frame over the limit"),
        pytest.param(
            struct.pack(">i", 8192) + struct.pack(">hhi", 17, 1, 1) + bytes(8184), id="a large handshake"
        ),
        pytest.param(struct.pack(">ihhihh", 16, 17, 1, 1, -1, 2000) + b"xxxx", id="a name that is longer"),
        # CVE-2022-34917: an array of two thousand millions.
        pytest.param(struct.pack(">ihhihi", 14, 18, 0, 1, -1, 2**31 - 1), id="an array"),
        pytest.param(b"`\x82\x02k\x06\t*\x86H" * 4, id="a token of Kafka 0.9"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
    ],
)
def test_whatever_else_comes_before_ends_the_connection(running: RunningBroker, sent: bytes) -> None:
    with raw(running) as client:
        client.socket.sendall(sent)
        assert client.is_closed() or sent[4:6] == b"\x00\x12"


def test_versions_are_asked_for_once(running: RunningBroker) -> None:
    with raw(running) as client:
        # A version that nobody knows may be followed by one that is.
        client.socket.sendall(struct.pack(">ihhihb", 11, 18, 99, 7, -1, 0))
        assert client.receive_frame()[4:6] == struct.pack(">h", ErrorCode.UNSUPPORTED_VERSION)
        assert client.ask(ApiVersionsRequest(), 0).error_code == 0
        client.send(ApiVersionsRequest(), 0)
        assert client.is_closed()


def test_a_request_while_a_token_is_due(running: RunningBroker) -> None:
    with raw(running) as client:
        assert shake_hands(client, "PLAIN").error_code == 0
        client.send(ApiVersionsRequest(), 0)
        assert client.receive_frame()[4:6] == struct.pack(">h", ErrorCode.ILLEGAL_SASL_STATE)
        assert client.is_closed()
    with raw(running) as client:
        assert shake_hands(client, "PLAIN").error_code == 0
        client.socket.sendall(metadata(2))
        assert client.is_closed()


def test_what_was_sent_ahead_is_not_answered_before_the_login(running: RunningBroker) -> None:
    with raw(running) as client:
        client.send(SaslHandshakeRequest(mechanism="PLAIN"), 1)
        client.send(SaslAuthenticateRequest(auth_bytes=b"\0alice\0wrong"), 1)
        client.socket.sendall(metadata(9) * 3)
        client.receive_frame()
        assert client.receive_frame()[4:6] == struct.pack(">h", 58)
        assert client.is_closed()


# -- sessions that end --------------------


def test_a_session_ends_unless_it_is_renewed(running: RunningBroker) -> None:
    with raw(running) as renewed, raw(running) as silent:
        for client in (renewed, silent):
            assert log_in(client).session_lifetime_ms == 3000
        for _ in range(3):
            time.sleep(1.2)
            assert log_in(renewed).session_lifetime_ms == 3000
            assert renewed.ask(MetadataRequest(topics=[]), 9).cluster_id
        silent.send(MetadataRequest(topics=[]), 9)
        assert silent.is_closed()


def test_a_session_is_renewed_by_the_same_user_and_mechanism(running: RunningBroker) -> None:
    with raw(running) as client:
        log_in(client)
        time.sleep(1.1)
        assert shake_hands(client, "SCRAM-SHA-256").error_code == ErrorCode.SASL_AUTHENTICATION_FAILED
        assert client.is_closed()
    with raw(running) as client:
        log_in(client)
        assert log_in(client).error_code == 0
        # Again within a second: KIP-368.
        assert shake_hands(client, "PLAIN").error_code == ErrorCode.ILLEGAL_SASL_STATE


def unsigned(subject: str, seconds: float = 300) -> str:
    """A token without a signature."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": subject, "iat": now, "exp": now + seconds})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join(encoded) + "."


def oauth(subject: str, seconds: float = 300) -> bytes:
    """The client's message."""
    return f"n,,\x01auth=Bearer {unsigned(subject, seconds)}\x01\x01".encode()


def test_a_token_s_end_is_the_session_s(running: RunningBroker) -> None:
    with raw(running) as client:
        assert shake_hands(client, "OAUTHBEARER").error_code == 0
        answer = authenticate(client, oauth("carol", 2))
        assert 1500 < answer.session_lifetime_ms <= 2000
        time.sleep(2.1)
        client.send(MetadataRequest(topics=[]), 9)
        assert client.is_closed()
    with raw(running) as client:
        assert shake_hands(client, "OAUTHBEARER").error_code == 0
        authenticate(client, oauth("carol"))
        assert shake_hands(client, "OAUTHBEARER").error_code == 0
        answer = authenticate(client, oauth("mallory"))
        assert (answer.error_code, "Cannot change principals" in answer.error_message) == (58, True)
        assert client.is_closed()


def test_a_bad_token_is_explained_and_then_fails(running: RunningBroker) -> None:
    with raw(running) as client:
        assert shake_hands(client, "OAUTHBEARER").error_code == 0
        answer = authenticate(client, b"n,,\x01auth=Bearer a.b.c\x01\x01")
        assert (answer.error_code, answer.auth_bytes) == (0, b'{"status":"invalid_token"}')
        answer = authenticate(client, b"\x01")
        assert (answer.error_code, answer.error_message) == (58, '{"status":"invalid_token"}')
        assert client.is_closed()


def test_frames_are_small_until_then_and_large_afterwards(running: RunningBroker) -> None:
    with raw(running) as client:
        log_in(client)
        topic = "t" * 200
        many = MetadataRequest(topics=None, allow_auto_topic_creation=False)
        assert client.ask(many, 9).cluster_id
        body = struct.pack(">hhih", 3, 1, 5, -1) + struct.pack(">i", 4000)
        body += (struct.pack(">h", len(topic)) + topic.encode()) * 4000
        assert len(body) > 524_288
        client.socket.sendall(struct.pack(">i", len(body)) + body)
        assert client.receive_frame()[:4] == struct.pack(">i", 5)


def test_nobody_stays_outside_for_ever(tmp_path: Path) -> None:
    running = RunningBroker(tmp_path, {**SETTINGS, "fastlog.authentication.timeout.ms": "500"})
    running.start()
    try:
        with raw(running) as idle, raw(running) as half, raw(running) as inside:
            assert log_in(inside).error_code == 0
            assert shake_hands(half, "PLAIN").error_code == 0
            assert idle.is_closed()
            assert half.is_closed()
            time.sleep(1)
            assert inside.ask(MetadataRequest(topics=[]), 9).cluster_id
    finally:
        running.close()


def test_users_of_plain_are_read_again(tmp_path: Path) -> None:
    """What SIGHUP does with the file: for logins from then on."""
    running = RunningBroker(tmp_path, SETTINGS)
    running.start()
    try:
        key = "listener.name.sasl_plaintext.plain.sasl.jaas.config"
        with raw(running) as before:
            assert log_in(before).error_code == 0
            found = running.broker.config
            values = dict(found.layers.settings.values)
            from dataclasses import replace

            values[key] = replace(values[key], text=PLAIN.replace("wonder", "renewed"))
            settings = replace(found.layers.settings, values=values)
            fresh = type(found).from_settings(settings)

            async def renew() -> None:
                running.broker.renew(fresh)

            running.run(renew())
            with raw(running) as late, raw(running) as new:
                assert log_in(late).error_code == 58
                assert log_in(new, b"\0alice\0renewed").error_code == 0
            assert before.ask(MetadataRequest(topics=[]), 9).cluster_id
    finally:
        running.close()


def test_users_survive_a_restart(tmp_path: Path) -> None:
    running = RunningBroker(tmp_path, SETTINGS)
    running.start()
    try:
        alter_users(running, {"erin": "stays"})
        running.stop()
        running.start()
        settings = {
            "bootstrap.servers": address(running),
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "erin",
            "sasl.password": "stays",
        }
        producer = Producer(settings)
        told: list[object] = []
        producer.produce("t", b"v", on_delivery=lambda error, _: told.append(error))
        producer.flush(15)
        assert told == [None]
    finally:
        running.close()


def test_failures_are_counted(running: RunningBroker) -> None:
    closed = running.broker.services.metrics.closed
    before = closed["failed authentication"]
    with raw(running) as client:
        shake_hands(client, "PLAIN")
        authenticate(client, b"\0x\0y")
    wait_until(lambda: closed["failed authentication"] == before + 1, "it is counted", seconds=5)
