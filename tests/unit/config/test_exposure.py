"""What a configuration leaves open."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.config.exposure import exposures
from tests.unit.config.helpers import config_of, write

PLAIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_a="x";'
TLS = {"ssl.keystore.type": "PEM", "ssl.keystore.location": "/none.pem"}
TRUST = {"ssl.truststore.type": "PEM", "ssl.truststore.location": "/none.pem", "ssl.client.auth": "required"}
TOKEN = {"fastlog.http.token": "0123456789abcdef"}
SCRAM = {"sasl.enabled.mechanisms": "SCRAM-SHA-512"}
OAUTH = {"sasl.enabled.mechanisms": "OAUTHBEARER"}
JWKS = {"sasl.oauthbearer.jwks.endpoint.url": "https://idp.example/keys"}
RULES = {"authorizer.class.name": "kafka.security.authorizer.AclAuthorizer"}
IN = "whoever is let in may do everything"
PINNED = {"sasl.oauthbearer.expected.issuer": "i", "sasl.oauthbearer.expected.audience": "a"}


KEEPER = {
    "fastlog.keeper.security.protocol": "SSL",
    "listener.name.keeper.ssl.client.auth": "required",
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": "/t.pem",
}
AMONG = {
    **SCRAM,
    "security.inter.broker.protocol": "SASL_SSL",
    "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
    "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
        'org.apache.kafka.common.security.scram.ScramLoginModule required username="a" password="b";'
    ),
}
DIGEST = {"zookeeper.set.acl": "true", "fastlog.zookeeper.digest": "a:b"}


@pytest.mark.parametrize(
    ("values", "open_", "weak"),
    [
        ({"listeners": "PLAINTEXT://127.0.0.1:1"}, [], ["on this host"]),
        ({"listeners": "PLAINTEXT://:1"}, ["whoever reaches port 1"], ["no TLS"]),
        ({"listeners": "PLAINTEXT://10.0.0.1:1"}, ["whoever reaches 10.0.0.1:1"], ["no TLS"]),
        ({"listeners": "SSL://:1", **TLS}, ["whoever reaches port 1"], [IN]),
        ({"listeners": "SSL://:1", **TLS, **TRUST}, [], [IN]),
        ({"listeners": "SASL_SSL://:1", **TLS, **SCRAM}, [], [IN]),
        ({"listeners": "SASL_PLAINTEXT://:1", **SCRAM}, [], ["no TLS", IN]),
        (
            {"listeners": "SASL_SSL://:1", **TLS, **SCRAM, "delegation.token.secret.key": "k"},
            ["tokens for anybody"],
            [IN],
        ),
        ({"listeners": "SASL_SSL://:1", **TLS, **SCRAM, **RULES, "delegation.token.secret.key": "k"}, [], []),
        (
            {
                "listeners": "SASL_PLAINTEXT://:1",
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.sasl_plaintext.plain.sasl.jaas.config": PLAIN,
            },
            ["passwords can be read"],
            ["no TLS", IN],
        ),
        ({"listeners": "SASL_SSL://:1", **TLS, **OAUTH, **JWKS}, [], ["other services", IN]),
        ({"listeners": "SASL_SSL://:1", **TLS, **OAUTH, **JWKS, **PINNED}, [], [IN]),
        (
            {"listeners": "SASL_SSL://:1", **TLS, **OAUTH, "fastlog.oauthbearer.unsecured.tokens": "true"},
            ["unsigned tokens"],
            [IN],
        ),
        ({"listeners": "SASL_SSL://:1", **TLS, **SCRAM, **RULES}, [], []),
        (
            {"listeners": "SASL_SSL://:1", **TLS, **SCRAM, "super.users": "User:a"},
            ["has no effect without authorizer.class.name"],
            ["whoever is let in"],
        ),
        (
            {"listeners": "SASL_SSL://:1", **TLS, **SCRAM, **RULES, "allow.everyone.if.no.acl.found": "true"},
            [],
            ["that no rule names"],
        ),
        (
            {
                "listeners": "SASL_SSL://:1",
                **TLS,
                **SCRAM,
                "fastlog.http.host": "::",
                "fastlog.http.anonymous": "true",
            },
            [],
            [IN, "metrics"],
        ),
        (
            {"listeners": "SASL_SSL://:1", **TLS, **SCRAM, "fastlog.http.host": "::", **TOKEN},
            [],
            [IN, "on the way"],
        ),
        (
            {
                "listeners": "SASL_SSL://:1",
                **TLS,
                **SCRAM,
                "fastlog.http.host": "::",
                **TOKEN,
                "fastlog.http.ssl.keystore.location": "/none.pem",
            },
            [],
            [IN],
        ),
        ({"listeners": "PLAINTEXT://:1", **RULES}, [], ["no TLS"]),
        (
            {"listeners": "PLAINTEXT://:1", **RULES, "super.users": "User:ANONYMOUS"},
            ["is above all rules"],
            ["no TLS"],
        ),
        ({"listeners": "PLAINTEXT://127.0.0.1:1", **RULES, "super.users": "User:ANONYMOUS"}, [], []),
        (
            {"listeners": "SASL_SSL://:1", **TLS, **SCRAM, "fastlog.keeper.listen": "[::]:2181"},
            ["all metadata"],
            [IN, "said to it"],
        ),
        (
            {"listeners": "SASL_SSL://:1", **TLS, **SCRAM, **KEEPER, "fastlog.keeper.listen": "[::]:2181"},
            [],
            [IN],
        ),
        (
            {"listeners": "SASL_SSL://:1", **TLS, **AMONG, "zookeeper.connect": "zk:2181,127.0.0.1/x"},
            ["all metadata"],
            [IN, "no TLS"],
        ),
        ({"listeners": "SASL_SSL://:1", **TLS, **AMONG, "zookeeper.connect": "127.0.0.1:2181"}, [], [IN]),
        (
            {"listeners": "SASL_SSL://:1", **TLS, **AMONG, **DIGEST, "zookeeper.connect": "zk"},
            ["password can be read"],
            [IN, "no TLS"],
        ),
        ({"listeners": "SASL_SSL://:1", **TLS, **SCRAM, "fastlog.keeper.listen": "[::1]:2181"}, [], [IN]),
    ],
)
def test_what_is_open_and_what_is_weak(values: dict[str, str], open_: list[str], weak: list[str]) -> None:
    found = exposures(config_of(values))
    assert [item.is_open for item in found] == [True] * len(open_) + [False] * len(weak)
    for item, words in zip(found, [*open_, *weak], strict=True):
        assert words in item.what


def test_files_that_others_can_read(tmp_path: Path) -> None:
    store = write(tmp_path / "key.pem", "x")
    file = write(
        tmp_path / "server.properties",
        f"listeners=SASL_SSL://:1\nssl.keystore.type=PEM\nssl.keystore.location={store}\n"
        "sasl.enabled.mechanisms=SCRAM-SHA-512\nssl.key.password=hunter2\n",
    )
    for path in (store, file):
        path.chmod(0o640)
    assert [item.where for item in exposures(config_of(file=file))] == [
        "authorizer.class.name",
        "the configuration",
        "ssl.keystore.location",
    ]
    for path in (store, file):
        path.chmod(0o600)
    assert [item.where for item in exposures(config_of(file=file))] == ["authorizer.class.name"]
