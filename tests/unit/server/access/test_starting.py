"""What a broker says at its start when it would not let itself in."""

from __future__ import annotations

import logging
from itertools import product

import pytest

from fastlog.config import BrokerConfig, Flag, load_settings
from fastlog.server.access.starting import _check_brokers
from fastlog.wire.acl_types import Operation, Resource
from tests.harness.certificates import Authority
from tests.unit.server.access.helpers import access, allow

SCRAM_LINE = "org.apache.kafka.common.security.scram.ScramLoginModule required username={} password=x;"
PLAIN_LINE = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required username={} password=x user_{}=x;"
)
LISTENER = "listener.name.brokers"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a listener with TLS needs."""
    authority = Authority(tmp_path_factory.mktemp("tls"))
    return {
        f"{LISTENER}.ssl.keystore.type": "PEM",
        f"{LISTENER}.ssl.keystore.location": str(authority.store("broker")),
        f"{LISTENER}.ssl.truststore.type": "PEM",
        f"{LISTENER}.ssl.truststore.location": str(authority.certificate),
    }


def told(protocol: str, settings: dict[str, str], caplog: pytest.LogCaptureFixture, *may: str) -> str:
    """What is said of a member of a cluster whose brokers reach each other so, when these may."""
    values = {
        "listeners": "PLAINTEXT://127.0.0.1:1,BROKERS://127.0.0.1:2",
        "advertised.listeners": "PLAINTEXT://127.0.0.1:1,BROKERS://127.0.0.1:2",
        "listener.security.protocol.map": f"PLAINTEXT:PLAINTEXT,BROKERS:{protocol}",
        "inter.broker.listener.name": "BROKERS",
        "zookeeper.connect": "127.0.0.1:3",
        **settings,
    }
    found = load_settings(flags=[Flag(name, text) for name, text in values.items()])
    made = access()
    for principal in may:
        allow(made, principal, Operation.CLUSTER_ACTION, "kafka-cluster", Resource.CLUSTER)
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        _check_brokers(BrokerConfig.from_settings(found), made)
    return caplog.text


@pytest.mark.parametrize(
    ("protocol", "way"),
    [
        ("PLAINTEXT", "none"),
        *product(("SSL",), ("none", "requested", "required")),
        *product(("SASL_PLAINTEXT", "SASL_SSL"), ("PLAIN", "SCRAM-SHA-512")),
    ],
)
def test_who_brokers_are(
    protocol: str, way: str, stores: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = dict(stores) if protocol.endswith("SSL") else {}
    principal: str | None = "User:ANONYMOUS"
    if protocol == "SSL":
        settings[f"{LISTENER}.ssl.client.auth"] = way
        # The certificate says who it is.
        principal = "User:ANONYMOUS" if way == "none" else None
    if protocol.startswith("SASL_"):
        line = PLAIN_LINE.format("me", "me") if way == "PLAIN" else SCRAM_LINE.format("me")
        settings |= {
            f"{LISTENER}.sasl.enabled.mechanisms": way,
            "sasl.mechanism.inter.broker.protocol": way,
            f"{LISTENER}.{way.lower()}.sasl.jaas.config": line,
        }
        principal = "User:me"
    said = told(protocol, settings, caplog, "User:somebody")
    if principal is None:
        assert said == ""
        return
    assert f"as {principal} over BROKERS, which is not allowed ClusterAction at 127.0.0.1" in said
    assert ("keep others off that listener" in said) == (principal == "User:ANONYMOUS")
    assert told(protocol, settings, caplog, principal) == ""


def test_other_listeners_do_not_matter(caplog: pytest.LogCaptureFixture, stores: dict[str, str]) -> None:
    """Here PLAINTEXT is for clients alone."""
    settings = {**stores, f"{LISTENER}.ssl.client.auth": "required"}
    assert told("SSL", settings, caplog) == ""
