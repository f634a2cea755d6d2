"""What a broker shows others over a listener of its own, and what may take the place of it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from fastlog.base.tasks import Supervisor
from fastlog.config import BrokerConfig, LiveConfig
from fastlog.errors import ConfigError
from fastlog.net.errors import ClientError
from fastlog.server.security.among_brokers import AmongBrokers
from fastlog.server.security.identity import Identity, check_renewal, load_identity
from fastlog.server.security.tls_listeners import TlsListeners
from tests.harness.certificates import Authority
from tests.unit.config.helpers import config_of


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs the brokers of this module."""
    return Authority(tmp_path_factory.mktemp("among"))


def values_of(store: Path, trust: Path, **more: str) -> dict[str, str]:
    """A broker of a cluster with TLS among brokers."""
    return {
        "listeners": "SSL://:9093",
        "security.inter.broker.protocol": "SSL",
        "zookeeper.connect": "zk",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(trust),
        **{name.replace("_", "."): text for name, text in more.items()},
    }


def load(store: Path, trust: Path, **more: str) -> Identity:
    """The identity of its listener."""
    return load_identity(config_of(values_of(store, trust, **more)).listeners.tls["SSL"])


def test_it_is_a_client_with_the_stores_of_the_listener(authority: Authority) -> None:
    found = load(authority.store("one"), authority.certificate)
    assert found.outgoing is not None
    assert found.outgoing.check_hostname
    assert found.outgoing.cert_store_stats()["x509"] == 1
    unchecked = load(authority.store("one"), authority.certificate, ssl_endpoint_identification_algorithm="")
    assert unchecked.outgoing is not None
    assert not unchecked.outgoing.check_hostname


def test_a_listener_for_clients_alone_is_none(authority: Authority) -> None:
    values = {
        **values_of(authority.store("one"), authority.certificate),
        "listeners": "PLAINTEXT://:1,SSL://:2",
    }
    values["security.inter.broker.protocol"] = "PLAINTEXT"
    assert load_identity(config_of(values).listeners.tls["SSL"]).outgoing is None


def test_a_certificate_that_the_own_trust_store_does_not_know(authority: Authority, tmp_path: Path) -> None:
    """As in Kafka: no other broker with these settings would be let in."""
    other = Authority(tmp_path, "other")
    with pytest.raises(ConfigError, match=r"brokers would not believe each other's certificates: .*issuer"):
        load(authority.store("one"), other.certificate)


def test_a_certificate_whose_time_is_over(authority: Authority) -> None:
    with pytest.raises(ConfigError, match=r"brokers would not believe .*: certificate has expired"):
        load(authority.expired("late"), authority.certificate)


def test_a_renewal_is_one_that_the_old_and_the_new_take(authority: Authority, tmp_path: Path) -> None:
    before = load(authority.store("one"), authority.certificate)
    check_renewal(before, load(authority.store("one"), authority.certificate))
    other = Authority(tmp_path, "other")
    both = tmp_path / "both.pem"
    both.write_text(authority.certificate.read_text() + other.certificate.read_text())
    # The trust store first, then the certificate: in one step the others would not believe it,
    with pytest.raises(ConfigError, match="would not believe each other's"):
        check_renewal(before, load(other.store("one"), both))
    between = load(authority.store("one"), both)
    check_renewal(before, between)
    # and it not the others, if what they have were dropped with it.
    with pytest.raises(ConfigError, match="would not believe each other's"):
        check_renewal(between, load(other.store("one"), other.certificate))
    check_renewal(between, load(other.store("one"), both))


async def test_what_a_dialer_is_told(authority: Authority) -> None:
    values = values_of(authority.store("one"), authority.certificate)
    values |= {
        "listeners": "SSL://:1,SASL_SSL://:2,PLAINTEXT://:3",
        "security.inter.broker.protocol": "SASL_SSL",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": (
            "org.apache.kafka.common.security.plain.PlainLoginModule required "
            'username="me" password="old" user_me="old";'
        ),
    }
    live = LiveConfig(config_of(values))
    tls = TlsListeners(live, Supervisor())
    try:
        await tls.open(live.current, lambda _: None)
        among = AmongBrokers(live, tls)
        found = among.security_of("SASL_SSL")
        assert found.tls is not None
        assert found.credentials is not None
        assert (found.protocol, found.credentials.username, found.credentials.password) == (
            "SASL_SSL",
            "me",
            "old",
        )
        assert among.security_of("PLAINTEXT").tls is None
        for name, words in (("SSL", "is not set up to reach"), ("OTHER", "no listener OTHER")):
            with pytest.raises(ClientError, match=words):
                among.security_of(name)
        again = dict(values)
        line = "listener.name.sasl_ssl.plain.sasl.jaas.config"
        again[line] = values[line].replace("old", "new")
        live.replace(cast("BrokerConfig", live.current.renewed_by(config_of(again))))
        renewed = among.security_of("SASL_SSL").credentials
        assert renewed is not None
        assert renewed.password == "new"  # noqa: S105
    finally:
        await tls.close()
