"""Clients of every kind over SSL and SASL_SSL, and Apache Kafka's tools that keep the users."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.harness.broker_process import BrokerProcess
from tests.harness.certificates import Authority
from tests.harness.net import free_port
from tests.harness.tls import TlsClient, client_context
from tests.harness.waiting import wait_until
from tests.peers.apache_kafka import (
    CONFIG_COMMAND,
    CONSOLE_CONSUMER,
    KAFKA_3,
    KAFKA_4,
    JavaTools,
    console_producer_class,
)
from tests.peers.kcat import kcat

PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
JAAS_KEY = "listener.name.sasl_ssl.plain.sasl.jaas.config"


@dataclass(frozen=True)
class Secured:
    """A broker with a listener of each kind: the ports of those with TLS, and who issued its certificate."""

    broker: BrokerProcess
    authority: Authority
    ssl: int
    sasl: int


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """PLAINTEXT for the operator, SSL with client certificates, SASL_SSL with three mechanisms."""
    directory = tmp_path_factory.mktemp("secure")
    authority = Authority(directory / "tls")
    authority.store("broker")
    authority.pkcs12("broker", "changeit")
    authority.store("client", "/CN=client")
    ssl_port, sasl_port, plain_port = free_port(), free_port(), free_port()
    file = directory / "server.properties"
    file.write_text(
        "\n".join(
            [
                f"listeners=PLAINTEXT://127.0.0.1:{plain_port},SSL://127.0.0.1:{ssl_port},"
                f"SASL_SSL://127.0.0.1:{sasl_port}",
                "ssl.keystore.type=PKCS12",
                f"ssl.keystore.location={directory}/tls/broker.p12",
                "ssl.keystore.password=changeit",
                "ssl.truststore.type=PEM",
                f"ssl.truststore.location={authority.certificate}",
                "ssl.client.auth=required",
                "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
                f'{JAAS_KEY}={PLAIN_MODULE} required user_alice="wonder";',
            ]
        )
    )
    broker = BrokerProcess(directory / "broker")
    broker.port = plain_port
    # --listen would take the place of the listeners in the file.
    program = (
        "import sys; from fastlog.cli.broker.main import main; arguments = sys.argv[1:]; "
        "at = arguments.index('--listen'); main(arguments[:at] + arguments[at + 2 :])"
    )
    broker._command = [sys.executable, "-c", program, str(file)]
    with broker:
        add_user(broker, "bob", "builder")
        yield Secured(broker, authority, ssl_port, sasl_port)
        assert broker.process.poll() is None, broker.log_text[-4000:]
        assert "Traceback" not in broker.log_text, broker.log_text[-4000:]


def add_user(broker: BrokerProcess, name: str, password: str, version: str = KAFKA_3) -> str:
    """By kafka-configs."""
    credentials = f"SCRAM-SHA-256=[iterations=8192,password={password}],SCRAM-SHA-512=[password={password}]"
    done = JavaTools(version).run(
        CONFIG_COMMAND,
        *("--bootstrap-server", broker.bootstrap, "--alter", "--add-config", credentials),
        *("--entity-type", "users", "--entity-name", name),
    )
    return done.stdout.decode()


def client_properties(secured: Secured, directory: Path, lines: list[str]) -> Path:
    """A file of settings of Java's clients."""
    path = directory / "client.properties"
    trust = ["ssl.truststore.type=PEM", f"ssl.truststore.location={secured.authority.certificate}"]
    path.write_text("\n".join([*trust, *lines]))
    return path


@pytest.mark.java
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("version", "way"),
    [(KAFKA_3, "SSL"), (KAFKA_4, "SSL"), (KAFKA_3, "SCRAM-SHA-512"), (KAFKA_4, "PLAIN")],
)
def test_java(secured: Secured, tmp_path: Path, version: str, way: str) -> None:
    tools, topic = JavaTools(version), f"java-{version}-{way}"
    if way == "SSL":
        store = secured.authority.directory / "client.store.pem"
        lines = ["security.protocol=SSL", "ssl.keystore.type=PEM", f"ssl.keystore.location={store}"]
        port = secured.ssl
    else:
        module, user, password = (
            (PLAIN_MODULE, "alice", "wonder") if way == "PLAIN" else (SCRAM_MODULE, "bob", "builder")
        )
        lines = [
            "security.protocol=SASL_SSL",
            f"sasl.mechanism={way}",
            f'sasl.jaas.config={module} required username="{user}" password="{password}";',
        ]
        port = secured.sasl
    file = client_properties(secured, tmp_path, lines)
    where = ("--bootstrap-server", f"localhost:{port}", "--topic", topic)
    sent = b"".join(b"value %d %s\n" % (index, b"x" * 500) for index in range(2000))
    option = "--command-config" if version == KAFKA_4 else "--producer.config"
    tools.run(console_producer_class(version), *where, option, str(file), stdin=sent)
    option = "--command-config" if version == KAFKA_4 else "--consumer.config"
    done = tools.run(
        CONSOLE_CONSUMER,
        *where,
        *("--partition", "0", "--offset", "earliest", "--max-messages", "2000", "--timeout-ms", "30000"),
        *(option, str(file)),
    )
    assert done.stdout.endswith(sent)


@pytest.mark.java
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("version", [KAFKA_3, KAFKA_4])
def test_kafka_configs_keeps_users(secured: Secured, version: str) -> None:
    name = f"user {version}"
    where = ("--bootstrap-server", secured.broker.bootstrap, "--entity-type", "users", "--entity-name", name)
    tools = JavaTools(version)
    assert (
        add_user(secured.broker, name, "secret", version) == f"Completed updating config for user {name}.\n"
    )
    said = tools.run(CONFIG_COMMAND, *where, "--describe").stdout.decode()
    assert said == (
        f"SCRAM credential configs for user-principal '{name}' are "
        "SCRAM-SHA-256=iterations=8192, SCRAM-SHA-512=iterations=4096\n"
    )
    tools.run(CONFIG_COMMAND, *where, "--alter", "--delete-config", "SCRAM-SHA-256")
    said = tools.run(CONFIG_COMMAND, *where, "--describe").stdout.decode()
    assert said.endswith(" are SCRAM-SHA-512=iterations=4096\n")


@pytest.mark.parametrize(
    ("way", "user", "password"),
    [("SSL", "", ""), ("PLAIN", "alice", "wonder"), ("SCRAM-SHA-256", "bob", "builder")],
)
def test_kcat(secured: Secured, way: str, user: str, password: str) -> None:
    directory = secured.authority.directory
    settings = [f"ssl.ca.location={secured.authority.certificate}"]
    if way == "SSL":
        settings += ["security.protocol=SSL", f"ssl.certificate.location={directory}/client.pem"]
        settings += [f"ssl.key.location={directory}/client.key"]
    else:
        settings += ["security.protocol=SASL_SSL", f"sasl.mechanism={way}"]
        settings += [f"sasl.username={user}", f"sasl.password={password}"]
    port = secured.ssl if way == "SSL" else secured.sasl
    command, environment = kcat()
    common = [command, "-b", f"localhost:{port}", "-t", f"kcat-{way}"]
    common += [part for setting in settings for part in ("-X", setting)]
    sent = b"".join(b"%d %s\n" % (index, b"y" * 300) for index in range(1000))
    run = partial(subprocess.run, check=True, timeout=40, capture_output=True, env=environment)
    run([*common, "-P"], input=sent)
    done = run([*common, "-C", "-e", "-q"])
    assert done.stdout == sent


@pytest.mark.parametrize(
    ("mechanism", "user", "password"),
    [(None, "", ""), ("PLAIN", "alice", "wonder"), ("SCRAM-SHA-512", "bob", "builder")],
)
def test_kafka_python(secured: Secured, mechanism: str | None, user: str, password: str) -> None:
    directory = secured.authority.directory
    settings: dict[str, object] = {"ssl_cafile": str(secured.authority.certificate)}
    if mechanism is None:
        settings |= {"security_protocol": "SSL", "bootstrap_servers": f"localhost:{secured.ssl}"}
        settings |= {"ssl_certfile": f"{directory}/client.pem", "ssl_keyfile": f"{directory}/client.key"}
    else:
        settings |= {"security_protocol": "SASL_SSL", "bootstrap_servers": f"localhost:{secured.sasl}"}
        settings |= {
            "sasl_mechanism": mechanism,
            "sasl_plain_username": user,
            "sasl_plain_password": password,
        }
    program = [sys.executable, "-m", "tests.compat.clients.secure_python", f"python-{mechanism}"]
    done = subprocess.run(
        [*program, json.dumps(settings)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_sighup_renews_certificates_and_users(secured: Secured) -> None:
    """The same files and the same keys, with other contents; who is connected stays."""
    directory = secured.authority.directory
    context = client_context(
        secured.authority.certificate, (directory / "client.pem", directory / "client.key")
    )
    old = TlsClient(secured.ssl, context)
    assert old.ask() == 0
    secured.authority.store("broker")
    secured.authority.pkcs12("broker", "changeit")
    file = Path(secured.broker._command[-1])
    file.write_text(file.read_text().replace('user_alice="wonder"', 'user_alice="wonder" user_frank="new"'))
    secured.broker.process.send_signal(signal.SIGHUP)

    def renewed() -> bool:
        client = TlsClient(secured.ssl, context)
        try:
            return client.serial() != old.serial()
        finally:
            client.close()

    wait_until(renewed, lambda: secured.broker.log_text[-2000:], seconds=20)
    assert old.ask(2) == 0
    old.close()
    test_kafka_python(secured, "PLAIN", "frank", "new")
    # What waits for the next start is named; what has been taken over is not.
    assert "what waits for the next start" not in secured.broker.log_text


def test_no_secret_is_in_the_log(secured: Secured) -> None:
    text = secured.broker.log_text
    assert [secret for secret in ("changeit", "wonder", "builder") if secret in text] == []
