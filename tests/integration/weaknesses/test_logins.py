"""What those try who log in: names of others, old proofs, tokens that nobody has signed."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from fastlog.errors import ConfigError, ErrorCode
from fastlog.server.security.sasl import plain as plain_module
from fastlog.server.security.sasl.mechanism import AuthenticationFailed
from fastlog.server.security.sasl.plain import PlainServer
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from fastlog.wire.messages.metadata import MetadataRequest
from fastlog.wire.messages.sasl import SaslAuthenticateRequest, SaslHandshakeRequest
from tests.harness.batches import batch
from tests.harness.json_tokens import AUDIENCE, ISSUER, TokenIssuer
from tests.harness.scram_client import ScramClient
from tests.integration.requests import fetch, make_topic, produce
from tests.integration.running import RawClient, RunningBroker

KAFKA = "org.apache.kafka.common.security."
JAAS = f"{KAFKA}plain.PlainLoginModule required"
USERS = f'{JAAS} user_alice="a" user_bob="b" user_ANONYMOUS="x";'
REFUSED = ErrorCode.SASL_AUTHENTICATION_FAILED
INVALID = b'{"status":"invalid_token"}'


class Guarded(RunningBroker):
    """`alice` and `bob` log in by PLAIN and by SCRAM, whoever has a token of `issuer` by OAUTHBEARER."""

    def __init__(self, directory: Path, settings: dict[str, str] | None = None) -> None:
        self.issuer = TokenIssuer(directory / "idp")
        super().__init__(
            directory / "data",
            {
                "listeners": "PLAINTEXT://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0",
                "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,OAUTHBEARER",
                "listener.name.sasl_plaintext.plain.sasl.jaas.config": USERS,
                "sasl.oauthbearer.jwks.endpoint.url": self.issuer.key_set.as_uri(),
                "sasl.oauthbearer.expected.issuer": ISSUER,
                "sasl.oauthbearer.expected.audience": AUDIENCE,
                "connection.failed.authentication.delay.ms": "20",
                **(settings or {}),
            },
        )

    def raw(self) -> RawClient:
        """A connection of nobody yet."""
        return RawClient(self.broker.endpoints["SASL_PLAINTEXT"][1])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One for the module."""
    running = Guarded(tmp_path_factory.mktemp("guarded"))
    running.start()
    try:
        admin = AdminClient({"bootstrap.servers": running.bootstrap})
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
        users = {"alice": b"a", "bob": b"b", "ANONYMOUS": b"x"}
        changes = [UserScramCredentialUpsertion(name, info, secret) for name, secret in users.items()]
        for future in admin.alter_user_scram_credentials(changes).values():
            future.result(timeout=10)
        yield running
    finally:
        running.close()


def begin(client: RawClient, mechanism: str) -> None:
    assert client.ask(SaslHandshakeRequest(mechanism=mechanism), 1).error_code == 0


def token(client: RawClient, data: bytes) -> Any:
    return client.ask(SaslAuthenticateRequest(auth_bytes=data), 2)


def refused(client: RawClient, data: bytes) -> bool:
    """Whether this is the end."""
    answer = token(client, data)
    return answer.error_code == REFUSED and client.is_closed()


# -- PLAIN and SCRAM --------------------


def test_in_the_name_of_another(guarded: Guarded) -> None:
    """CVE-2017-12610: alice's password and bob's name."""
    with guarded.raw() as client:
        begin(client, "PLAIN")
        assert refused(client, b"bob\0alice\0a")
    with guarded.raw() as client:
        begin(client, "SCRAM-SHA-256")
        assert refused(client, ScramClient("alice", "a", header="n,a=bob,").first())
    # The name in the header counts, whatever the proof was made for.
    with guarded.raw() as client:
        begin(client, "SCRAM-SHA-256")
        honest = ScramClient("alice", "a", header="n,a=alice,")
        answer = token(client, honest.first())
        assert refused(client, honest.final(bytes(answer.auth_bytes), header="n,a=bob,"))


@pytest.mark.parametrize("user", ["alice", "nobody"])
@pytest.mark.parametrize("password", ["wrong", "w" * 10_000, "a\u0161"])
def test_how_long_it_takes_tells_nothing(user: str, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2021-38153: one comparison in constant time, of the same number of bytes, whoever it is."""
    compared: list[tuple[int, int]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return hmac.compare_digest(left, right)

    class Watched:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(plain_module, "hmac", Watched)
    with pytest.raises(AuthenticationFailed):
        PlainServer(lambda: {"alice": "a"}).step(f"\0{user}\0{password}".encode())
    assert compared == [(32, 32)]


@pytest.mark.parametrize("kind", ["old", "prefixed", "foreign", "shorter", "replayed"])
def test_nonces(guarded: Guarded, kind: str) -> None:
    """CVE-2024-56128: a last message with another nonce than that of this exchange, or an old one."""
    with guarded.raw() as client:
        begin(client, "SCRAM-SHA-256")
        exchange = ScramClient("alice", "a")
        before = bytes(token(client, exchange.first()).auth_bytes)
        proof = exchange.final(before)
        assert token(client, proof).error_code == 0
    with guarded.raw() as client:
        begin(client, "SCRAM-SHA-256")
        exchange = ScramClient("alice", "a")
        answer = bytes(token(client, exchange.first()).auth_bytes)
        nonce = answer.decode()[2:].partition(",")[0]
        nonces = {
            "old": before.decode()[2:].partition(",")[0],
            "prefixed": f"x{nonce}",
            "foreign": "clientnonce" + "0" * 32,
            "shorter": nonce[len(exchange.nonce) :],
        }
        assert refused(client, proof if kind == "replayed" else exchange.final(answer, nonce=nonces[kind]))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "OAUTHBEARER"])
def test_nobody_logs_in_as_those_who_need_not(guarded: Guarded, mechanism: str) -> None:
    """`User:ANONYMOUS` may be a super user that comes from this host alone: it is no name to log in by."""
    with guarded.raw() as client:
        begin(client, mechanism)
        if mechanism == "PLAIN":
            assert refused(client, b"\0ANONYMOUS\0x")
        elif mechanism == "OAUTHBEARER":
            assert refused(client, said(guarded.issuer.token("ANONYMOUS")))
        else:
            exchange = ScramClient("ANONYMOUS", "x")
            answer = token(client, exchange.first())
            assert refused(client, exchange.final(bytes(answer.auth_bytes)))


def test_a_large_token_of_who_is_known(guarded: Guarded) -> None:
    """Large frames are for records: a token is as small in the second login as in the first."""
    with guarded.raw() as client:
        begin(client, "OAUTHBEARER")
        assert token(client, said(guarded.issuer.token("carol"))).error_code == 0
        # The session has an end, and so it may be renewed.
        begin(client, "OAUTHBEARER")
        client.send(SaslAuthenticateRequest(auth_bytes=bytes(600_000)), 1)
        assert client.is_closed()


def test_a_salt_without_an_end(guarded: Guarded) -> None:
    """Whoever says a name is told its salt."""
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
    admin = AdminClient({"bootstrap.servers": guarded.bootstrap})
    for size, problem in ((1024, None), (1025, "must not be longer")):
        change = UserScramCredentialUpsertion("dave", info, b"x", bytes(size))
        (future,) = admin.alter_user_scram_credentials([change]).values()
        if problem is None:
            future.result(timeout=10)
        else:
            with pytest.raises(KafkaException, match=problem):
                future.result(timeout=10)


# -- tokens --------------------


def said(text: str) -> bytes:
    """A token as a client sends it."""
    return f"n,,\x01auth=Bearer {text}\x01\x01".encode()


def is_refused_token(guarded: Guarded, text: str) -> bool:
    with guarded.raw() as client:
        begin(client, "OAUTHBEARER")
        answer = token(client, said(text))
        assert (answer.error_code, bytes(answer.auth_bytes)) == (0, INVALID)
        return refused(client, b"\x01")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "HS256", "HS512", "RS256"])
def test_signatures_that_are_none(guarded: Guarded, algorithm: str) -> None:
    """Pulsar CVE-2021-22160: no signature, one with the public key as the secret, none at all under RS256."""
    _, claims, _ = guarded.issuer.token("root").split(".")
    head = (
        base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": "first"}).encode())
        .rstrip(b"=")
        .decode()
    )
    signed = f"{head}.{claims}"
    signature = b""
    if algorithm.startswith("HS"):
        (key,) = json.loads(guarded.issuer.key_set.read_text())["keys"]
        for secret in (guarded.issuer.public_pem(), key["n"].encode(), b""):
            signature = hmac.digest(secret, signed.encode(), f"sha{algorithm[2:]}")
            encoded = base64.urlsafe_b64encode(signature).decode().rstrip("=")
            assert is_refused_token(guarded, f"{signed}.{encoded}")
        return
    assert is_refused_token(guarded, f"{signed}.")
    assert is_refused_token(guarded, f"{signed}.AA")


def test_tokens_for_others(guarded: Guarded, tmp_path: Path) -> None:
    """CVE-2026-110985 and its kind: another issuer, other readers, somebody else's key."""
    issuer = guarded.issuer
    for claims in ({"iss": "https://evil.example"}, {"aud": "elsewhere"}, {"iss": None}, {"sub": " "}):
        assert is_refused_token(guarded, issuer.token("root", **claims))
    assert is_refused_token(guarded, TokenIssuer(tmp_path).token("root"))
    with guarded.raw() as client:
        begin(client, "OAUTHBEARER")
        assert token(client, said(issuer.token("carol"))).error_code == 0
        assert client.ask(MetadataRequest(topics=[]), 9).cluster_id


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "there is nothing to verify tokens with"),
        # What it says of a file that holds no keys shows nothing of it.
        ("file:///etc/passwd", "no keys can be read from"),
        ("http://169.254.169.254/latest/meta-data", "must be https://"),
        ("http://localhost.evil.example/jwks", "must be https://"),
        ("gopher://127.0.0.1/", "must be https://"),
        ("https://127.0.0.1:1/jwks", "no keys can be read from"),
    ],
)
def test_without_keys_there_is_no_start(tmp_path: Path, url: str, problem: str) -> None:
    """CVE-2026-33557, CVE-2025-27817."""
    running = Guarded(tmp_path, {"sasl.oauthbearer.jwks.endpoint.url": url})
    try:
        with pytest.raises(ConfigError) as caught:
            running.start()
        assert problem in str(caught.value)
        assert "root:" not in str(caught.value)
    finally:
        running._broker = None
        running.close()


def test_a_token_ends_while_a_fetch_waits(guarded: Guarded) -> None:
    """Pulsar CVE-2023-31007: what comes after the end is not for the one whose token it was."""
    with guarded.connect() as other:
        make_topic(other, "ending")
    with guarded.raw() as client, guarded.connect() as other:
        begin(client, "OAUTHBEARER")
        assert 0 < token(client, said(guarded.issuer.token("carol", 2))).session_lifetime_ms <= 2000
        client.send(fetch("ending", 0, max_wait_ms=20_000), 12)
        time.sleep(2.5)
        other.ask(produce("ending", batch(b"secret")), 9)
        try:
            assert b"secret" not in client.receive_frame()
        except ConnectionError:
            return
        client.send(MetadataRequest(topics=[]), 9)
        assert client.is_closed()


# -- the API --------------------


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("listener.name.sasl_plaintext.plain.sasl.jaas.config", f"{KAFKA}plain.PlainLoginModule"),
        *(
            (f"{prefix}sasl.jaas.config", f"com.sun.security.auth.module.{name}")
            # Of a listener that is there, of one that may come, and of none.
            for prefix in ("listener.name.sasl_plaintext.plain.", "listener.name.new.plain.", "")
            for name in ("JndiLoginModule", "LdapLoginModule")
        ),
    ],
)
def test_login_modules_through_the_api(guarded: Guarded, name: str, module: str) -> None:
    """CVE-2023-25194, CVE-2025-27818, CVE-2025-27819: whoever may change configurations loads no class."""
    line = f'{module} required user.provider.url="ldap://evil.example" user_mallory="m";'
    row = AlterableConfig(name=name, config_operation=0, value=line)
    for broker in ("1", ""):
        resource = AlterConfigsResource(resource_type=4, resource_name=broker, configs=[row])
        with guarded.connect() as client:
            (answer,) = client.ask(IncrementalAlterConfigsRequest(resources=[resource]), 1).responses
        assert answer.error_code == ErrorCode.INVALID_REQUEST
        assert "evil" not in (answer.error_message or "")
    with guarded.raw() as client:
        begin(client, "PLAIN")
        assert refused(client, b"\0mallory\0m")
