"""Who comes into a console by certificates, by a password file, and as a user of the cluster."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from fastlog import Admin
from fastlog.admin import AclBinding, AclOperation, AclResourceType, ScramUpsertion
from fastlog.console.sessions import hash_password
from tests.harness.certificates import Authority
from tests.harness.console import ConsoleProcess
from tests.harness.tls import client_context
from tests.integration.conftest import BrokerFactory
from tests.integration.running import RunningBroker

GUARDED = {
    "listeners": "PLAINTEXT://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0",
    "sasl.enabled.mechanisms": "SCRAM-SHA-256",
    "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
    "super.users": "User:ANONYMOUS;User:console",
}


@pytest.mark.timeout(240)
def test_certificates_and_passwords_over_tls(broker: RunningBroker, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    certificate, key = authority.issue("console")
    served = ("--tls-cert", str(certificate), "--tls-key", str(key))
    own = client_context(authority.certificate, authority.issue("ada"))
    with ConsoleProcess(
        broker.bootstrap, *served, "--tls-client-ca", str(authority.certificate), context=own
    ) as console:
        assert console.get("session")["who"] == "certificate"
        assert console.post("create_topic", topic="t")["executed"] is False
        assert (
            console.ask("POST", "/api/create_topic", body={"topic": "t"}, headers={"Origin": None}).status
            == 403
        )
        console._context = client_context(authority.certificate)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            console.ask("GET", "/api/session")

    users = tmp_path / "users"
    users.write_text(f"ada:{hash_password('geheim')}\n")
    anybody = client_context(authority.certificate)
    with ConsoleProcess(broker.bootstrap, *served, "--password-file", str(users), context=anybody) as console:
        assert console.ask("GET", "/api/session").status == 401
        for body in ({"user": "ada", "password": "wrong"}, {"user": "eve", "password": "geheim"}):
            assert console.ask("POST", "/api/login", body=body).json["error"]["code"] == "WRONG_PASSWORD"
        found = console.ask("POST", "/api/login", body={"user": "ada", "password": "geheim"})
        assert found.status == 200
        cookie = found.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("httponly", "secure", "samesite=strict"))
        assert console.log_in(user="ada", password="geheim").get("session")["who"] == "ada"  # noqa: S106
        assert "geheim" not in console.said


@pytest.mark.timeout(240)
def test_visitors_come_as_users_of_the_cluster(start_broker: BrokerFactory, tmp_path: Path) -> None:
    broker = start_broker(**GUARDED)
    with Admin(broker.bootstrap) as admin:
        admin.create_topics(["shared", "secret"]).check()
        words = [ScramUpsertion(name, f"{name}'s", "SCRAM-SHA-256") for name in ("console", "ada", "eve")]
        admin.alter_users(words).check()
        kind, operation = AclResourceType.TOPIC, AclOperation
        admin.create_acls(
            [
                AclBinding(kind, "shared", "User:ada", operation.DESCRIBE),
                AclBinding(kind, "shared", "User:ada", operation.DELETE),
            ]
        ).check()
    file = tmp_path / "client.properties"
    file.write_text(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\n"
        "sasl.username=console\nsasl.password=console's\n"
    )
    address = f"127.0.0.1:{broker.broker.endpoints['SASL_PLAINTEXT'][1]}"
    with ConsoleProcess(address, "--client-config", str(file), "--sasl-login", "--allow-writes") as console:
        wrong = console.ask("POST", "/api/login", body={"user": "ada", "password": "eve's"})
        assert (wrong.status, wrong.json["error"]["code"]) == (401, "WRONG_PASSWORD")
        console.log_in(user="ada", password="ada's")  # noqa: S106
        assert console.get("session")["who"] == "ada"
        assert [row["topic"] for row in console.get("list_topics")["topics"]] == ["shared"]
        shown = console.get("history", kind="records_per_second", names="shared,secret")["series"]
        assert [row["name"] for row in shown] == ["shared"]
        refused = console.post("purge", 403, topic="secret", dry_run=False)
        assert (
            "AUTHORIZATION" in refused["error"]["code"]
            or refused["error"]["code"] == "UNKNOWN_TOPIC_OR_PARTITION"
        )
        gone = console.post("delete_topics", topics=["shared"], dry_run=False)["topics"]
        assert [row["status"] for row in gone] == ["deleted"]
        assert console.get("audit")["notes"][0]["who"] == "ada"
        console.log_in(user="eve", password="eve's")  # noqa: S106
        assert console.get("list_topics")["topics"] == []
        console.ask("POST", "/api/logout", body={})
        assert console.ask("GET", "/api/session").status == 401
        assert "ada's" not in console.said
