"""A broker with listeners of every kind of security, and what a client has to know of each."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.harness.broker_process import BrokerProcess
from tests.harness.certificates import Authority
from tests.harness.json_tokens import AUDIENCE, ISSUER, TokenIssuer
from tests.harness.net import free_port, wait_for_port

MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
LISTENERS: Final = {
    "PLAINTEXT": "PLAINTEXT",
    "SSL": "SSL",
    "SASL_PLAINTEXT": "SASL_PLAINTEXT",
    "SASL_SSL": "SASL_SSL",
    "FETCHED": "SASL_SSL",
    "UNSIGNED": "SASL_PLAINTEXT",
}
"""By name: the protocol. FETCHED has its keys for tokens from a URL, UNSIGNED takes tokens without."""
USERS: Final = {"PLAIN": ("alice", "won der;=,"), "SCRAM": ("bob", 'b,u=i"lder')}
TOKEN_USER: Final = "carol"  # noqa: S105 - a name
_JAAS: Final = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@dataclass(frozen=True)
class SecureBroker:
    """A running one; `ports` by the names of `LISTENERS`."""

    broker: BrokerProcess
    authority: Authority
    issuer: TokenIssuer
    ports: dict[str, int]

    def address(self, listener: str) -> str:
        """host:port, by the name that stands in the certificate."""
        return f"localhost:{self.ports[listener]}"

    def way(self, listener: str, mechanism: str | None = None) -> dict[str, str]:
        """What a client has to know, as `clients/go/security.go` has it."""
        said: dict[str, str] = {}
        if LISTENERS[listener].endswith("SSL"):
            said["ca"] = str(self.authority.certificate)
        if mechanism is None:
            said["certificate"] = str(self.authority.directory / "client.pem")
            said["key"] = str(self.authority.directory / "client.key")
            return said
        said["mechanism"] = mechanism
        if mechanism == "OAUTHBEARER":
            return {**said, "token": self.issuer.token(TOKEN_USER)}
        user, password = USERS[mechanism.partition("-")[0]]
        return {**said, "user": user, "password": password}

    def variable(self, listener: str, mechanism: str | None = None) -> dict[str, str]:
        """The same in a variable of the environment."""
        return {"SECURITY": json.dumps(self.way(listener, mechanism))}


@contextmanager
def secure_broker(directory: Path) -> Iterator[SecureBroker]:
    """Starts it; user `alice` logs in by PLAIN, `bob` by SCRAM, whoever has a token by OAUTHBEARER."""
    authority, issuer = Authority(directory / "tls"), TokenIssuer(directory / "idp")
    authority.issue("client", "/CN=client")
    ports = {name: free_port() for name in LISTENERS}
    user, password = USERS["PLAIN"]
    plain = f'{_JAAS} user_{user}="{password}";'
    with _served(issuer.key_set) as url:
        keys = {
            "sasl_plaintext": issuer.key_set.as_uri(),
            "sasl_ssl": issuer.key_set.as_uri(),
            "fetched": url,
        }
        settings = {
            "listener.security.protocol.map": ",".join(
                f"{name}:{value}" for name, value in LISTENERS.items()
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(authority.store("broker")),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority.certificate),
            "listener.name.ssl.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            # The records of the data set carry timestamps of years ago.
            "log.retention.ms": "-1",
            "listener.name.unsigned.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.fetched.sasl.enabled.mechanisms": "OAUTHBEARER",
            "fastlog.oauthbearer.unsecured.tokens": "true",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": plain,
            "listener.name.sasl_ssl.plain.sasl.jaas.config": plain,
            # Clients that know how to log in again do so while a test runs.
            "listener.name.sasl_ssl.plain.connections.max.reauth.ms": "15000",
        }
        for name, value in keys.items():
            prefix = f"listener.name.{name}.sasl.oauthbearer."
            settings[f"{prefix}jwks.endpoint.url"] = value
            settings[f"{prefix}expected.issuer"] = ISSUER
            settings[f"{prefix}expected.audience"] = AUDIENCE
        broker = BrokerProcess(
            directory / "broker",
            settings=settings,
            listeners=[f"{name}://localhost:{port}" for name, port in ports.items() if name != "PLAINTEXT"],
        )
        broker.port = ports["PLAINTEXT"]
        with broker:
            for port in ports.values():
                wait_for_port("127.0.0.1", port, process=broker.process, timeout=60)
            _add_user(broker.bootstrap)
            yield SecureBroker(broker, authority, issuer, ports)
            assert broker.process.poll() is None, broker.log_text[-4000:]
            assert "Traceback" not in broker.log_text, broker.log_text[-4000:]


def _add_user(bootstrap: str) -> None:
    user, password = USERS["SCRAM"]
    changes = [
        UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), password.encode())
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
    ]
    # Without a name of its own it would be gone before the answer.
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.alter_user_scram_credentials(changes).values():
        future.result(timeout=20)


@contextmanager
def _served(path: Path) -> Iterator[str]:
    """A file by HTTP on this host."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/jwks"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
