"""`fastlog` over TLS and SASL, and `fastlog user`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.certificates import Authority
from tests.harness.cli import fastlog
from tests.integration.running import RunningBroker


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningBroker, Authority]]:
    """A broker with PLAINTEXT, and SASL_SSL under another name."""
    directory = tmp_path_factory.mktemp("secure")
    authority = Authority(directory / "tls")
    settings = {
        "listeners": "PLAINTEXT://127.0.0.1:0,OUT://127.0.0.1:0",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,OUT:SASL_SSL",
        "advertised.listeners": "PLAINTEXT://127.0.0.1:0,OUT://localhost:0",
        "ssl.keystore.type": "PEM",
        "listener.name.out.ssl.keystore.location": str(authority.store("broker")),
        "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
    }
    running = RunningBroker(directory / "data", settings)
    running.start()
    try:
        yield running, authority
    finally:
        running.close()


@pytest.mark.timeout(180)
def test_users(running: tuple[RunningBroker, Authority], tmp_path: Path) -> None:
    broker, _ = running
    secret = tmp_path / "password"
    secret.write_text("wonder\n")
    where = {"bootstrap": broker.bootstrap}
    done = fastlog("user", "set-password", "alice", "--password-file", str(secret), **where)
    assert done.stdout == b"user alice has a new password (SCRAM-SHA-256, SCRAM-SHA-512)\n"
    options = ("--mechanism", "SCRAM-SHA-512", "--iterations", "4096", "--password-file", str(secret))
    fastlog("user", "set-password", "bob", *options, **where)
    assert json.loads(fastlog("user", "list", "-o", "json", **where).stdout) == [
        {"user": "alice", "mechanism": "SCRAM-SHA-256", "iterations": 8192},
        {"user": "alice", "mechanism": "SCRAM-SHA-512", "iterations": 8192},
        {"user": "bob", "mechanism": "SCRAM-SHA-512", "iterations": 4096},
    ]
    assert fastlog("user", "delete", "bob", "--yes", **where).stdout == b"deleted user bob\n"
    assert b"does not exist" in fastlog("user", "list", "bob", code=1, **where).stderr
    assert fastlog("user", "delete", "bob", "--yes", code=1, **where).stdout == b""
    few = ("--iterations", "100", "--password-file", str(secret))
    assert b"Too few iterations" in fastlog("user", "set-password", "eve", *few, code=1, **where).stderr


@pytest.mark.timeout(180)
def test_everything_else_over_sasl_ssl(running: tuple[RunningBroker, Authority], tmp_path: Path) -> None:
    broker, authority = running
    secret = tmp_path / "password"
    secret.write_text("builder")
    fastlog("user", "set-password", "carl", "--password-file", str(secret), bootstrap=broker.bootstrap)
    config = tmp_path / "client.properties"
    where = f"localhost:{broker.broker.endpoints['OUT'][1]}"

    def run(
        *words: str, user: str = "carl:builder", trust: Path | None = None, code: int = 0, stdin: bytes = b""
    ) -> bytes:
        name, _, password = user.partition(":")
        module = "org.apache.kafka.common.security.scram.ScramLoginModule"
        config.write_text(
            f"security.protocol=SASL_SSL\nssl.truststore.type=PEM\n"
            f"ssl.truststore.location={trust or authority.certificate}\nsasl.mechanism=SCRAM-SHA-256\n"
            f'sasl.jaas.config={module} required username="{name}" password="{password}";\n'
        )
        done = fastlog(*words, "--client-config", str(config), bootstrap=where, code=code, stdin=stdin)
        return done.stdout if code == 0 else done.stderr

    run("topic", "create", "secured", "-p", "3")
    run("produce", "secured", stdin=b"one\ntwo\n")
    assert sorted(run("consume", "secured", "-e").splitlines()) == [b"one", b"two"]
    said = run("topic", "list", user="carl:guess", code=1)
    assert b"invalid credentials" in said
    assert b"guess" not in said
    # A broker that somebody else vouches for gets no password.
    stranger = Authority(tmp_path / "other", "other").certificate
    assert b"certificate" in run("topic", "list", trust=stranger, code=3)
