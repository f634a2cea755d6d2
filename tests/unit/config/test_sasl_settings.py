"""What is configured of SASL for a listener, and what is refused."""

from __future__ import annotations

import pytest

from fastlog.config import BrokerConfig, ConfigurationRules
from fastlog.config.sasl_settings import SaslSettings
from fastlog.errors import ConfigError, KafkaError
from tests.unit.config.helpers import config_of

PLAIN_KEY = "listener.name.sasl_plaintext.plain.sasl.jaas.config"
PLAIN_LINE = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_a="secret";'
SCRAM = {"sasl.enabled.mechanisms": "SCRAM-SHA-512"}
OAUTH = {
    "sasl.enabled.mechanisms": "OAUTHBEARER",
    "sasl.oauthbearer.jwks.endpoint.url": "https://idp.example/jwks",
}


def config(values: dict[str, str]) -> BrokerConfig:
    """A broker with one listener that has SASL."""
    return config_of({"listeners": "SASL_PLAINTEXT://:9092", **values})


def settings_of(values: dict[str, str]) -> SaslSettings:
    """Those of its listener."""
    return config(values).listeners.sasl["SASL_PLAINTEXT"]


def test_plain() -> None:
    found = settings_of({"sasl.enabled.mechanisms": "PLAIN", PLAIN_KEY: PLAIN_LINE})
    assert found.plain_users == {"a": "secret"}
    assert "secret" not in repr(found)


def test_lifetimes_are_of_a_mechanism_a_listener_or_all() -> None:
    values = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        PLAIN_KEY: PLAIN_LINE,
        "connections.max.reauth.ms": "1000",
        "listener.name.sasl_plaintext.connections.max.reauth.ms": "2000",
        "listener.name.sasl_plaintext.scram-sha-256.connections.max.reauth.ms": "3000",
    }
    assert settings_of(values).max_reauth_ms == {"PLAIN": 2000, "SCRAM-SHA-256": 3000, "SCRAM-SHA-512": 2000}


def test_tokens() -> None:
    found = settings_of({**OAUTH, "sasl.oauthbearer.expected.audience": "a,b"}).oauth
    assert found is not None
    assert (found.audiences, found.issuer, found.skew_seconds) == (("a", "b"), None, 30)
    unsigned = settings_of(
        {"sasl.enabled.mechanisms": "OAUTHBEARER", "fastlog.oauthbearer.unsecured.tokens": "true"}
    )
    assert unsigned.oauth is not None
    assert unsigned.oauth.jwks_url is None


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "sasl.enabled.mechanisms: GSSAPI (Kerberos) is not supported"),
        ({"sasl.enabled.mechanisms": "SCRAM-SHA-1"}, "'SCRAM-SHA-1' is not one of"),
        ({"sasl.enabled.mechanisms": "PLAIN"}, f"{PLAIN_KEY}: is not set"),
        # Without the prefix of listener and mechanism it says nothing about a broker's users.
        ({"sasl.enabled.mechanisms": "PLAIN", "sasl.jaas.config": PLAIN_LINE}, f"{PLAIN_KEY}: is not set"),
        ({"sasl.enabled.mechanisms": "OAUTHBEARER"}, "there is nothing to verify tokens with"),
        ({**OAUTH, "sasl.oauthbearer.jwks.endpoint.url": "http://169.254.169.254/x"}, "must be https://"),
        ({**OAUTH, "sasl.oauthbearer.jwks.endpoint.url": "ftp://x/y"}, "must be https://"),
        (
            {**OAUTH, "sasl.oauthbearer.jwks.endpoint.url": "http://localhost@evil.example/"},
            "must be https://",
        ),
    ],
)
def test_what_is_refused(values: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(values)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        PLAIN_KEY,
        "listener.name.sasl_plaintext.sasl.enabled.mechanisms",
        "listener.name.sasl_plaintext.oauthbearer.sasl.oauthbearer.jwks.endpoint.url",
        "listener.name.sasl_plaintext.connections.max.reauth.ms",
    ],
)
def test_who_may_come_in_is_not_changed_through_the_api(name: str) -> None:
    """As Kafka's for a listener that is there; CVE-2023-25194, CVE-2025-27817."""
    current = config(SCRAM)
    rules = ConfigurationRules(lambda: current)
    with pytest.raises(KafkaError, match="cannot be changed through the API"):
        rules.check_broker(1, {name: PLAIN_LINE if name == PLAIN_KEY else "1"})
    # For a listener that is not there it is kept, as Kafka does, and does nothing when there is one.
    rules.check_broker(1, {name.replace("sasl_plaintext", "other"): PLAIN_LINE if name == PLAIN_KEY else "1"})
    planted = config_of({"listeners": "SASL_PLAINTEXT://:9092", **SCRAM}, broker={name: "PLAIN"})
    assert planted.listeners.sasl["SASL_PLAINTEXT"].mechanisms == ("SCRAM-SHA-512",)
