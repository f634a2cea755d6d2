"""Where secrets could come out: answers, logs, the HTTP port, error texts; and headers that are believed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fastlog.config.definitions import BROKER_KEYS
from fastlog.config.types import ConfigType
from fastlog.errors import ErrorCode
from fastlog.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from tests.harness.broker_process import BrokerProcess
from tests.harness.certificates import Authority
from tests.harness.link import Link
from tests.harness.net import free_port, wait_for_port
from tests.harness.plain_link import PlainLink
from tests.harness.tls import TlsClient, client_context

MODULES = "org.apache.kafka.common.security"
SECRETS = {
    name: f"hidden-{name}-7d1" for name in ("plain", "scram", "key", "provided", "token", "given", "env")
}
BROKER, TOPIC = 4, 2
MAPPING = r"RULE:^CN=(\\w+)$/$1/,RULE:^CN=admin,OU=(\\w+)$/admin/"


class Secretive(BrokerProcess):
    """A broker whose configuration is full of them, at the most talkative level of its log."""

    ssl: int
    sasl: int
    http: int


@pytest.fixture(scope="module")
def secretive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Secretive, Authority]]:
    """With listeners of all kinds, a provider, an HTTP port with a token."""
    directory = tmp_path_factory.mktemp("secretive")
    authority = Authority(directory / "tls")
    authority.store("broker")
    authority.issue("odd", "/CN=a,OU=admin/O=x+O=admin/CN=admin")
    store = authority.pkcs12("broker", SECRETS["key"])
    provided = directory / "provided.properties"
    provided.write_text(f"password={SECRETS['provided']}\n")
    ssl_port, sasl_port, http_port = free_port(), free_port(), free_port()
    settings = {
        "config.providers": "file",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL:SASL_PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": str(store),
        "ssl.keystore.password": SECRETS["key"],
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
        "listener.name.ssl.ssl.client.auth": "required",
        "listener.name.ssl.ssl.principal.mapping.rules": MAPPING,
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        "listener.name.sasl.plain.sasl.jaas.config": f"{MODULES}.plain.PlainLoginModule required "
        f'user_a="{SECRETS["plain"]}" user_b="${{file:{provided}:password}}";',
        "listener.name.sasl.scram-sha-256.sasl.jaas.config": f"{MODULES}.scram.ScramLoginModule required "
        f'username="x" password="{SECRETS["scram"]}";',
        "delegation.token.secret.key": "${file:" + f"{provided}:password" + "}",
        "fastlog.http.token": SECRETS["token"],
    }
    file = directory / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    broker = Secretive(
        directory / "broker",
        command=[sys.executable, "-m", "fastlog.cli.broker.main", str(file)],
        settings={"fastlog.log.level": "DEBUG", "fastlog.http.port": str(http_port)},
        environment={**os.environ, "SECRET_OF_THE_HOST": SECRETS["env"]},
        listeners=[f"SSL://127.0.0.1:{ssl_port}", f"SASL://127.0.0.1:{sasl_port}"],
    )
    broker.ssl, broker.sasl, broker.http = ssl_port, sasl_port, http_port
    with broker:
        for port in (ssl_port, sasl_port):
            wait_for_port("127.0.0.1", port, process=broker.process)
        yield broker, authority


def described(broker: BrokerProcess, kind: int, name: str) -> dict[str, str | None]:
    """All settings of a resource, with those of their synonyms."""
    found: dict[str, str | None] = {}
    with Link(broker.port) as link:
        request = DescribeConfigsRequest([DescribeConfigsResource(kind, name)], True, True)
        answer = link.call(request, 4)
    for row in answer.results[0].configs:  # type: ignore[attr-defined]
        found[row.name] = row.value
        found |= {f"{row.name} by {synonym.name}": synonym.value for synonym in row.synonyms}
    return found


def test_no_answer_has_a_secret(secretive: tuple[Secretive, Authority]) -> None:
    """CVE-2019-12399: neither passwords nor what a provider gave for other keys."""
    broker, _ = secretive
    found = described(broker, BROKER, "1")
    assert len(found) > 300
    passwords = [name for name, key in BROKER_KEYS.items() if key.type is ConfigType.PASSWORD]
    assert passwords
    assert {found[name] for name in passwords} == {None}
    shown = json.dumps(found)
    assert [secret for secret in SECRETS.values() if secret in shown] == []


def test_references_that_come_through_the_api(secretive: tuple[Secretive, Authority]) -> None:
    """CVE-2024-31141: they stay what they are."""
    broker, _ = secretive
    text = "${env:SECRET_OF_THE_HOST}${file:/etc/passwd:root}"
    for kind, name, key in (
        (BROKER, "1", "cruise.control.metrics.topic"),
        (TOPIC, "t", "leader.replication.throttled.replicas"),
    ):
        with Link(broker.port) as link:
            row = AlterableConfig(name=key, config_operation=0, value=text)
            resource = AlterConfigsResource(resource_type=kind, resource_name=name, configs=[row])
            answer = link.call(IncrementalAlterConfigsRequest(resources=[resource]), 1)
        code = answer.responses[0].error_code  # type: ignore[attr-defined]
        assert SECRETS["env"] not in repr(answer)
        assert "root:x" not in repr(answer)
        if code == ErrorCode.NONE:
            assert described(broker, kind, name)[key] in (text, None)


def test_who_a_certificate_names(secretive: tuple[Secretive, Authority]) -> None:
    """NATS 2026-33248: a comma in a name, two values in one part, two common names: it is not `admin`."""
    broker, authority = secretive
    directory = authority.directory
    for subject in ("/CN=a,OU=admin", "/CN=a/CN=admin", "/CN=admin+OU=admin", "/O=x/CN=x,CN=admin"):
        certificate = authority.issue("odd", subject)
        with (
            pytest.raises((OSError, ConnectionError)),
            closing(TlsClient(broker.ssl, client_context(directory / "ca.pem", certificate))) as client,
        ):
            client.ask()
    plain = TlsClient(broker.ssl, client_context(directory / "ca.pem", authority.issue("odd", "/CN=alice")))
    assert plain.ask() == 0
    plain.close()


def answered(port: int, path: str, *headers: tuple[str, str]) -> tuple[int, str]:
    """(status, body) of the HTTP port."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_headers_of_proxies_are_not_believed(secretive: tuple[Secretive, Authority]) -> None:
    """ZooKeeper CVE-2024-51504: who says that it comes from here is a stranger like others."""
    broker, _ = secretive
    names = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Host", "X-Original-URL")
    for name in names:
        assert answered(broker.http, "/metrics", (name, "127.0.0.1"))[0] == 401
        right = ("Authorization", f"Bearer {SECRETS['token']}")
        assert (
            answered(broker.http, "/metrics", ("Host", "evil.example"), (name, "localhost"), right)[0] == 421
        )
    assert answered(broker.http, "/metrics", right)[0] == 200


def test_the_http_port_tells_no_secret(secretive: tuple[Secretive, Authority]) -> None:
    """NATS 2026-33247: neither the configuration nor the command line, also not to who has the token."""
    broker, _ = secretive
    right = ("Authorization", f"Bearer {SECRETS['token']}")
    for path in ("/", "/metrics", "/livez", "/readyz", "/startupz", "/config", "/debug", "/varz"):
        _, body = answered(broker.http, path, right)
        assert [name for name, secret in SECRETS.items() if secret in body] == [], path


def test_what_a_start_prints(tmp_path: Path) -> None:
    """Redpanda CVE-2023-24619: --print-config and what is wrong with a configuration show no secret."""
    file = tmp_path / "server.properties"
    secret = SECRETS["given"]
    lines = [
        "listeners=SASL_PLAINTEXT://127.0.0.1:0",
        "sasl.enabled.mechanisms=PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config="
        f'{MODULES}.plain.PlainLoginModule required user_a="{secret}";',
        f"ssl.keystore.password={secret}",
        f"password.encoder.secret={secret}",
        f"fastlog.zookeeper.digest=me:{secret}",
    ]
    for more, option in (
        ([], "--print-config"),
        ([f"ssl.keystore.pasword={secret}"], "--check-config"),
        ([f"listener.name.x.ssl.keystore.key={secret}"], "--check-config"),
    ):
        file.write_text("\n".join(lines + more))
        command = [sys.executable, "-m", "fastlog.cli.broker.main", option, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout + done.stderr
        assert secret not in done.stdout + done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "10.0.0.1"])  # noqa: S104 - refused
def test_the_http_port_is_not_open_to_all(tmp_path: Path, host: str) -> None:
    """Redpanda CVE-2026-82266: off loopback and without a token there is no start."""
    command = [sys.executable, "-m", "fastlog.cli.broker.main", "--data-dir", str(tmp_path)]
    command += ["--set", f"fastlog.http.host={host}", "--listen", f"127.0.0.1:{free_port()}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "fastlog.http" in done.stderr


def test_the_log_has_no_secret(secretive: tuple[Secretive, Authority]) -> None:
    """ZooKeeper CVE-2026-24308: at any level, from the start on, with logins that went wrong."""
    broker, _ = secretive
    for user, secret in (("a", SECRETS["plain"]), ("b", SECRETS["provided"])):
        with PlainLink(broker.sasl, user, secret):
            pass
    for user, secret in (("a", SECRETS["given"]), (SECRETS["env"], "x")):
        with pytest.raises(AssertionError), PlainLink(broker.sasl, user, secret):
            pass
    text = broker.log_text
    assert "DEBUG" in text
    assert [name for name, secret in SECRETS.items() if secret in text] == []
