"""TLS and SASL of the library and of the command line, on Apache Kafka 3.9 and 4."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastlog import AsyncConsumer, AsyncProducer, Cluster, Consumer, Producer, errors
from fastlog.wire.messages.scram import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    ScramCredentialUpsertion,
)
from tests.harness.certificates import make_certificate
from tests.harness.cli import fastlog
from tests.harness.net import free_port
from tests.peers.apache_kafka import KAFKA_3, KAFKA_4, ApacheKafka

pytestmark = [pytest.mark.timeout(180), pytest.mark.java]

MODULES = "org.apache.kafka.common.security"
USER, PASSWORD = "alice", "alice's secret, with = and ,"


@dataclass
class Secured:
    """A broker with a listener for each kind of security."""

    ssl: str
    sasl_ssl: str
    sasl_plaintext: str
    certificate: str
    key: str


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(KAFKA_3, id="kafka-3", marks=pytest.mark.whole),
        pytest.param(KAFKA_4, id="kafka-4"),
    ],
)
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory: Path = tmp_path_factory.mktemp("library-security")
    certificate, key = make_certificate(directory)
    store = directory / "store.pem"
    store.write_text(key.read_text() + certificate.read_text())
    broker = ApacheKafka(directory / "kafka", version=request.param, heap="400m")
    ports = {name: free_port() for name in ("SSL", "SASL_SSL", "SASL_PLAINTEXT", "CONTROLLER")}
    clients = f"PLAINTEXT://127.0.0.1:{broker.port}," + ",".join(
        f"{name}://localhost:{port}" for name, port in ports.items() if name != "CONTROLLER"
    )
    settings = {
        "listeners": f"{clients},CONTROLLER://127.0.0.1:{ports['CONTROLLER']}",
        "advertised.listeners": clients,
        "controller.quorum.voters": f"1@127.0.0.1:{ports['CONTROLLER']}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,"
        "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificate),
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        "connections.max.reauth.ms": "3000",
    }
    for listener in ("sasl_ssl", "sasl_plaintext"):
        for mechanism, module in {
            "plain": f'{MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
            "scram-sha-256": f"{MODULES}.scram.ScramLoginModule required;",
            "scram-sha-512": f"{MODULES}.scram.ScramLoginModule required;",
            "oauthbearer": f"{MODULES}.oauthbearer.OAuthBearerLoginModule required "
            'unsecuredLoginStringClaim_sub="broker";',
        }.items():
            settings[f"listener.name.{listener}.{mechanism}.sasl.jaas.config"] = module
    broker._settings = settings
    with broker:
        yield Secured(
            f"localhost:{ports['SSL']}",
            f"localhost:{ports['SASL_SSL']}",
            f"localhost:{ports['SASL_PLAINTEXT']}",
            str(certificate),
            str(key),
        )


async def add_user(kafka: Secured, certificate: str) -> None:
    """Makes the user known for both kinds of SCRAM, over the listener with TLS."""
    rows = [
        ScramCredentialUpsertion(
            USER, kind, 4096, b"salt", hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), b"salt", 4096)
        )
        for kind, digest in ((1, "sha256"), (2, "sha512"))
    ]
    from fastlog.client.producer import ProducerConfig

    config = ProducerConfig(
        bootstrap_servers=kafka.ssl,
        security_protocol="SSL",
        ssl_cafile=kafka.certificate,
        ssl_certfile=certificate,
        ssl_keyfile=kafka.key,
    )
    async with Cluster.of(config) as cluster:
        for row in rows:
            body = AlterUserScramCredentialsRequest(upsertions=[row])
            answer = await cluster.controller_request(body, AlterUserScramCredentialsResponse)
            assert [result.error_code for result in answer.results] == [0]


def token() -> str:
    """An unsigned JWT, as Kafka takes them where nothing else is configured."""
    parts = ({"alg": "none"}, {"sub": USER, "iat": time.time(), "exp": time.time() + 60})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join(encoded) + "."


def test_tls_with_a_certificate_of_the_clients_own(kafka: Secured) -> None:
    options = {
        "security_protocol": "SSL",
        "ssl_cafile": kafka.certificate,
        "ssl_certfile": kafka.certificate,
        "ssl_keyfile": kafka.key,
    }
    with Producer(kafka.ssl, **options) as producer:  # type: ignore[arg-type]
        # More than one TLS record, both ways.
        producer.send_many("tls", [b"%04d" % number * 500 for number in range(1000)]).result(60)
    with Consumer(kafka.ssl, auto_offset_reset="earliest", **options) as consumer:  # type: ignore[arg-type]
        consumer.assign([("tls", 0)])
        found = []
        while len(found) < 1000:
            found += consumer.consume(1000, 30)
    assert [record.value for record in found] == [b"%04d" % number * 500 for number in range(1000)]


def test_what_is_wrong_with_tls_is_said(kafka: Secured) -> None:
    with (
        pytest.raises(errors.ClientError, match="certificate is not accepted"),
        Producer(kafka.sasl_ssl, security_protocol="SSL"),
    ):
        pass
    with (
        pytest.raises(errors.ClientError),
        Producer(kafka.ssl, security_protocol="SSL", ssl_cafile=kafka.certificate, request_timeout_ms=5000),
    ):
        pass  # no certificate of its own
    with (
        pytest.raises(errors.ClientError, match=r"security\.protocol"),
        Producer(kafka.ssl, request_timeout_ms=5000),
    ):
        pass
    with pytest.raises(errors.ConfigError, match=r"ssl\.cafile: /nowhere cannot be read"):
        Producer(kafka.ssl, security_protocol="SSL", ssl_cafile="/nowhere")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
async def test_every_mechanism_lets_the_right_user_in_and_goes_on_when_sessions_end(
    kafka: Secured, mechanism: str
) -> None:
    options: dict[str, object] = {"sasl_mechanism": mechanism}
    if mechanism == "OAUTHBEARER":
        options["sasl_oauth_token"] = token
    else:
        options |= {"sasl_username": USER, "sasl_password": PASSWORD}
    if mechanism.startswith("SCRAM"):
        await add_user(kafka, kafka.certificate)
    plain = {"bootstrap_servers": kafka.sasl_plaintext, "security_protocol": "SASL_PLAINTEXT", **options}
    secure = {
        "bootstrap_servers": kafka.sasl_ssl,
        "security_protocol": "SASL_SSL",
        "ssl_cafile": kafka.certificate,
        **options,
    }
    topic = mechanism.lower()
    begun = time.monotonic()
    number = 0
    async with (
        AsyncProducer(**secure) as producer,  # type: ignore[arg-type]
        AsyncConsumer(auto_offset_reset="earliest", **plain) as consumer,  # type: ignore[arg-type]
    ):
        await producer.send(topic, b"0")
        await consumer.assign([(topic, 0)])
        # Longer than a session lasts.
        while time.monotonic() - begun < 5:
            (record,) = await consumer.consume(1, timeout=30)
            assert record.value == b"%d" % number
            number += 1
            await producer.send(topic, b"%d" % number)
    assert number >= 3


async def test_the_wrong_user_is_kept_out_and_told_why(kafka: Secured) -> None:
    for mechanism in ("PLAIN", "SCRAM-SHA-256"):
        with pytest.raises(errors.SaslAuthenticationFailed) as caught:
            async with AsyncProducer(
                kafka.sasl_plaintext,
                security_protocol="SASL_PLAINTEXT",
                sasl_mechanism=mechanism,  # type: ignore[arg-type]
                sasl_username=USER,
                sasl_password="guess",  # noqa: S106
            ):
                pass
        assert caught.value.fatal
        assert "guess" not in str(caught.value)


def test_the_command_line_takes_a_file_of_properties(kafka: Secured, tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n"
        f"sasl.username={USER}\nsasl.password={PASSWORD}\nssl.cafile={kafka.certificate}\n"
    )
    before = ["--client-config", str(file)]
    fastlog(*before, "produce", "command-line", stdin=b"a\nb\n", bootstrap=kafka.sasl_ssl)
    assert fastlog(*before, "consume", "command-line", "-e", bootstrap=kafka.sasl_ssl).stdout == b"a\nb\n"
    file.write_text("security.protocl=SSL\n")
    wrong = fastlog(*before, "topic", "list", bootstrap=kafka.sasl_ssl, code=2)
    assert b"did you mean security.protocol?" in wrong.stderr
