"""How ZooKeeper is reached, by Kafka's keys and fastlog's two, and what is refused."""

from __future__ import annotations

import pytest

from fastlog.config.zookeeper_settings import ZooKeeperSettings
from fastlog.errors import ConfigError
from tests.unit.config.helpers import config_of

LOGIN = {
    "fastlog.zookeeper.jaas.config": "org.apache.zookeeper.server.auth.DigestLoginModule required "
    'username="kafka" password="s3cret";'
}
TLS = {
    "zookeeper.ssl.client.enable": "true",
    "zookeeper.clientCnxnSocket": "org.apache.zookeeper.ClientCnxnSocketNetty",
    "zookeeper.ssl.truststore.location": "/trust.pem",
}
KEY = {"zookeeper.ssl.keystore.location": "/key.p12", "zookeeper.ssl.keystore.password": "s3cret"}
ACL = {"zookeeper.set.acl": "true"}


def settings_of(*parts: dict[str, str]) -> ZooKeeperSettings:
    """Of a broker at ZooKeeper."""
    values = {"zookeeper.connect": "zk:2181"}
    for part in parts:
        values |= part
    return config_of(values).zookeeper


def test_without_any_of_it() -> None:
    assert settings_of() == ZooKeeperSettings()


def test_a_login() -> None:
    found = settings_of(LOGIN)
    assert found.login == ("kafka", "s3cret")
    assert "s3cret" not in repr(found)
    assert settings_of({"fastlog.zookeeper.digest": "a:s3cret"}).digest == "a:s3cret"


def test_stores_have_the_types_that_their_names_tell() -> None:
    tls = settings_of(TLS, KEY).tls
    assert tls is not None
    assert tls.keystore is not None
    assert tls.truststore is not None
    assert (tls.keystore.type, tls.truststore.type) == ("PKCS12", "PEM")
    assert (tls.protocols, tls.check_names) == (("TLSv1.2", "TLSv1.3"), True)
    said = {
        "zookeeper.ssl.enabled.protocols": "TLSv1.3",
        "zookeeper.ssl.endpoint.identification.algorithm": "",
        "zookeeper.ssl.keystore.type": "PEM",
    }
    tls = settings_of(TLS, KEY, said).tls
    assert tls is not None
    assert tls.keystore is not None
    assert (tls.keystore.type, tls.protocols, tls.check_names) == ("PEM", ("TLSv1.3",), False)


@pytest.mark.parametrize("known", [LOGIN, {"fastlog.zookeeper.digest": "a:b"}, {**TLS, **KEY}])
def test_access_rules_need_somebody_that_they_are_for(known: dict[str, str]) -> None:
    assert settings_of(ACL, known).set_acl
    with pytest.raises(ConfigError, match="nobody knows who this broker is"):
        settings_of(ACL)
    with pytest.raises(ConfigError, match="nobody knows who this broker is"):
        settings_of(ACL, TLS)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"fastlog.zookeeper.jaas.config": 'com.sun.security.auth.module.Krb5LoginModule required a="b";'},
            "names a login module that is not one of org.apache.zookeeper",
        ),
        (
            {
                "fastlog.zookeeper.jaas.config": LOGIN["fastlog.zookeeper.jaas.config"].replace(
                    "password", "pw"
                )
            },
            "has no password",
        ),
        ({"fastlog.zookeeper.digest": "s3cret"}, "not of the form user:password"),
        ({**TLS, "zookeeper.ssl.ocsp.enable": "true"}, "ocsp.enable: is not supported"),
        ({**TLS, "zookeeper.ssl.enabled.protocols": "TLSv1.1"}, "'TLSv1.1' is not one of"),
        ({**TLS, "zookeeper.ssl.truststore.location": "/trust"}, "truststore.type: is not set, and /trust"),
    ],
)
def test_what_is_refused(values: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        settings_of(values)
    assert "s3cret" not in str(caught.value)


def test_a_keeper_of_its_own_is_no_zookeeper() -> None:
    with pytest.raises(ConfigError, match=r"to the keeper of this broker it is fastlog\.zookeeper\.digest"):
        config_of(LOGIN)
    assert config_of({**ACL, "fastlog.zookeeper.digest": "a:b"}).zookeeper.set_acl


def test_who_may_log_in_at_a_keeper() -> None:
    line = 'org.apache.zookeeper.server.auth.DigestLoginModule required user_kafka="s3cret";'
    assert config_of({"fastlog.keeper.jaas.config": line}).keeper_users == {"kafka": "s3cret"}
    assert not config_of({}).keeper_users
    with pytest.raises(ConfigError, match="names no users"):
        config_of({"fastlog.keeper.jaas.config": line.replace("user_", "username_")})


def test_a_keeper_that_listens_over_tls() -> None:
    listens = {"fastlog.keeper.listen": ":2181", "fastlog.keeper.security.protocol": "SSL"}
    store = {"listener.name.keeper.ssl.keystore.location": "/k.pem", "ssl.keystore.type": "PEM"}
    found = config_of({**listens, **store}).keeper_tls
    assert found is not None
    assert found.keystore.location == "/k.pem"
    assert config_of(store).keeper_tls is None
    with pytest.raises(ConfigError, match=r"ssl\.keystore\.location: is not set"):
        config_of(listens)
