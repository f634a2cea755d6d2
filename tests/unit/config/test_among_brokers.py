"""What a listener says of how this broker reaches others over it, and what is refused."""

from __future__ import annotations

import pytest

from fastlog.config.listener_config import ListenerConfig
from fastlog.config.sasl_settings import Login
from fastlog.errors import ConfigError
from tests.unit.config.helpers import config_of

TLS = {"ssl.keystore.type": "PEM", "ssl.keystore.location": "/k.pem"}
BASE = {
    "listeners": "PLAINTEXT://:1,BROKERS://:2",
    "inter.broker.listener.name": "BROKERS",
    "zookeeper.connect": "zk:2181",
}
SCRAM_KEY = "listener.name.brokers.scram-sha-512.sasl.jaas.config"
SCRAM_LINE = (
    'org.apache.kafka.common.security.scram.ScramLoginModule required username="me" password="secret";'
)
SCRAM = {
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,BROKERS:SASL_PLAINTEXT",
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
    SCRAM_KEY: SCRAM_LINE,
}
SSL = {"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,BROKERS:SSL", **TLS}
OAUTH = {
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,BROKERS:SASL_PLAINTEXT",
    "sasl.enabled.mechanisms": "OAUTHBEARER",
    "sasl.mechanism.inter.broker.protocol": "OAUTHBEARER",
    "sasl.oauthbearer.jwks.endpoint.url": "https://idp.example/jwks",
}


def listeners(*parts: dict[str, str]) -> ListenerConfig:
    """Of a broker that has others."""
    values = dict(BASE)
    for part in parts:
        values |= part
    return config_of(values).listeners


def test_user_and_password_are_those_of_the_listener_s_line() -> None:
    found = listeners(SCRAM).sasl["BROKERS"]
    assert found.login == Login("SCRAM-SHA-512", "me", "secret")
    assert "secret" not in repr(found)


def test_a_token_comes_from_a_file() -> None:
    found = listeners(OAUTH, {"sasl.oauthbearer.token.endpoint.url": "file:///run/token"}).sasl["BROKERS"]
    assert found.login == Login("OAUTHBEARER", token_file="/run/token")  # noqa: S106 - a path


def test_certificates_are_a_client_s_too_and_names_are_compared_unless_said_otherwise() -> None:
    found = listeners(SSL).tls["BROKERS"]
    assert (found.among_brokers, found.check_names) == (True, True)
    off = {"listener.name.brokers.ssl.endpoint.identification.algorithm": ""}
    assert not listeners(SSL, off).tls["BROKERS"].check_names


def test_a_broker_that_is_alone_needs_no_login() -> None:
    alone = {**BASE, **SCRAM}
    del alone["zookeeper.connect"], alone[SCRAM_KEY]
    assert config_of(alone).listeners.sasl["BROKERS"].login is None
    alone["fastlog.keeper.listen"] = "127.0.0.1:2181"
    with pytest.raises(ConfigError, match="has no username and no password"):
        config_of(alone)


def test_what_brokers_ask_is_taken_over_their_listeners_and_those_that_are_named() -> None:
    assert [listeners(SSL).takes_brokers(name) for name in ("BROKERS", "PLAINTEXT")] == [True, False]
    both = {"fastlog.inter.broker.listeners.accepted": "plaintext"}
    assert listeners(SSL, both).takes_brokers("PLAINTEXT")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({**SCRAM, SCRAM_KEY: ""}, f"{SCRAM_KEY}: has no username and no password"),
        (
            {**SCRAM, SCRAM_KEY: SCRAM_LINE.replace('password="secret"', 'tokenauth="true"')},
            f"{SCRAM_KEY}: has no password",
        ),
        (
            {**SCRAM, "sasl.mechanism.inter.broker.protocol": "PLAIN"},
            r"sasl.mechanism.inter.broker.protocol: is PLAIN, .* \(SCRAM-SHA-512\)",
        ),
        (
            {k: v for k, v in SCRAM.items() if k != "sasl.mechanism.inter.broker.protocol"},
            "is GSSAPI, which is not among",
        ),
        (
            {**OAUTH, "sasl.oauthbearer.token.endpoint.url": "https://idp.example/token"},
            "must be file:///",
        ),
        ({**SSL, "ssl.endpoint.identification.algorithm": "ldaps"}, "'ldaps' is not https, or empty"),
        ({**SSL, "fastlog.inter.broker.listeners.accepted": "OTHER"}, "OTHER is not among listeners"),
    ],
)
def test_what_is_refused(values: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        listeners(values)
    assert "secret" not in str(caught.value)
