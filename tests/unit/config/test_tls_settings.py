"""What is configured of TLS for a listener, and what is refused before any file is looked at."""

from __future__ import annotations

import pytest

from fastlog.config.tls_settings import TlsSettings
from fastlog.errors import ConfigError
from tests.unit.config.helpers import config_of

STORE = {"ssl.keystore.type": "PEM", "ssl.keystore.location": "/k.pem"}
TRUST = {"ssl.truststore.type": "PEM", "ssl.truststore.location": "/t.pem"}


def settings_of(values: dict[str, str], listener: str = "SSL") -> TlsSettings:
    """Those of a broker's only listener."""
    return config_of({"listeners": f"{listener}://:9093", **values}).listeners.tls[listener]


def test_plain_listeners_have_none() -> None:
    assert not config_of({"listeners": "PLAINTEXT://:9092", **STORE}).listeners.tls


def test_defaults_are_kafka_s() -> None:
    found = settings_of(STORE)
    assert found.protocols == ("TLSv1.2", "TLSv1.3")
    assert (found.client_auth, found.ciphers, found.truststore) == ("none", (), None)
    assert (found.principal_rules, found.allow_dn_changes, found.allow_san_changes) == (
        "DEFAULT",
        False,
        False,
    )


def test_the_prefix_of_a_listener_goes_first() -> None:
    values = {
        **STORE,
        "listeners": "IN://:1,OUT://:2",
        "listener.security.protocol.map": "IN:SSL,OUT:SSL",
        "inter.broker.listener.name": "IN",
        "listener.name.out.ssl.keystore.location": "/out.pem",
        "listener.name.out.ssl.enabled.protocols": "TLSv1.3",
    }
    tls = config_of(values).listeners.tls
    assert {name: found.keystore.location for name, found in tls.items()} == {
        "IN": "/k.pem",
        "OUT": "/out.pem",
    }
    assert tls["OUT"].protocols == ("TLSv1.3",)
    assert tls["OUT"].keystore.key == "listener.name.out.ssl.keystore.location"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "ssl.keystore.location: is not set"),
        (
            {**STORE, "ssl.keystore.type": "BCFKS"},
            "ssl.keystore.type: 'BCFKS' is not one of JKS, PEM, PKCS12",
        ),
        ({**STORE, "ssl.keystore.password": "x"}, "ssl.keystore.password: cannot be set for PEM"),
        ({**STORE, "ssl.enabled.protocols": "TLSv1.1,TLSv1.2"}, "ssl.enabled.protocols: 'TLSv1.1' is not"),
        ({**STORE, "ssl.client.auth": "required"}, "ssl.client.auth: required needs a trust store"),
        ({**STORE, **TRUST, "ssl.client.auth": "reqired"}, "ssl.client.auth: 'reqired' is not allowed"),
        (
            {**STORE, "ssl.engine.factory.class": "org.x.Y"},
            "ssl.engine.factory.class: org.x.Y is a Java class",
        ),
        ({**STORE, "ssl.keystore.key": "k", "ssl.keystore.certificate.chain": "c"}, "cannot be set together"),
        (
            {"ssl.keystore.type": "PEM", "ssl.keystore.key": "k"},
            "goes together with ssl.keystore.certificate",
        ),
        ({"ssl.keystore.key": "k", "ssl.keystore.certificate.chain": "c"}, "ssl.keystore.type: must be PEM"),
        ({**STORE, "ssl.truststore.certificates": "c"}, "ssl.truststore.type: must be PEM"),
        ({**STORE, **TRUST, "ssl.truststore.certificates": "c"}, "cannot be set together"),
    ],
)
def test_contradictions_are_refused(values: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(values)
    assert problem in str(caught.value)


def test_secrets_are_not_shown() -> None:
    values = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.key": "SECRET1",
        "ssl.keystore.certificate.chain": "SECRET2",
        "ssl.key.password": "SECRET3",
        **TRUST,
    }
    found = settings_of(values)
    assert "SECRET1" in (found.keystore.pem or "")
    assert "SECRET" not in repr(found)
    assert "SECRET" not in repr(config_of({"listeners": "SSL://:9093", **values}).listeners)
