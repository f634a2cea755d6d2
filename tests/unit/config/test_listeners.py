"""listeners, advertised.listeners and their kin."""

from __future__ import annotations

import pytest

from fastlog.config.listeners import (
    Endpoint,
    SecurityProtocol,
    host_and_port,
    parse_endpoints,
    parse_protocol_map,
    with_real_hosts,
)
from fastlog.errors import ConfigError
from tests.unit.config.helpers import config_of

PLAIN = dict.fromkeys(("PLAINTEXT", "A", "B", "CONTROLLER"), SecurityProtocol.PLAINTEXT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PLAINTEXT://:9092", [("PLAINTEXT", "", 9092)]),
        ("plaintext://localhost:0", [("PLAINTEXT", "localhost", 0)]),
        ("A://10.0.0.1:1, B://my-host.example:2", [("A", "10.0.0.1", 1), ("B", "my-host.example", 2)]),
        ("A://[::1]:9092", [("A", "::1", 9092)]),
        ("A://[::]:9092,B://0.0.0.0:9092", [("A", "::", 9092), ("B", "0.0.0.0", 9092)]),  # noqa: S104 - parsed, not bound to
        ("A://:0,B://:0", [("A", "", 0), ("B", "", 0)]),
    ],
)
def test_parses(text: str, expected: list[tuple[str, str, int]]) -> None:
    found = parse_endpoints("listeners", text, PLAIN)
    assert [(endpoint.name, endpoint.host, endpoint.port) for endpoint in found] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one"),
        ("localhost:9092", "not of the form"),
        ("A://localhost", "not of the form"),
        ("A://::1:9092", "not of the form"),
        ("A://h:99999", "99999 .* is not from 0 to 65535"),
        ("A://h:-1", "-1 .* is not from 0 to 65535"),
        ("C://h:1", "the listener name C has no entry"),
        ("A://h:1,A://h:2", "name A occurs more than once"),
        ("A://h:1,B://i:1", "port 1 is used more than once"),
        ("A://10.0.0.1:1,B://10.0.0.2:1", "port 1 is used more than once"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^listeners: .*{message}"):
        parse_endpoints("listeners", text, PLAIN)


def test_protocol_map() -> None:
    assert parse_protocol_map("internal:PLAINTEXT, EXTERNAL:sasl_ssl,") == {
        "INTERNAL": SecurityProtocol.PLAINTEXT,
        "EXTERNAL": SecurityProtocol.SASL_SSL,
    }
    for wrong in ("A", ":SSL", "A:TLS"):
        with pytest.raises(ConfigError, match=r"listener\.security\.protocol\.map"):
            parse_protocol_map(wrong)


def test_every_interface_is_advertised_by_name() -> None:
    endpoints = (Endpoint("A", "", 1), Endpoint("B", "0.0.0.0", 2), Endpoint("C", "10.0.0.1", 3))  # noqa: S104
    assert [item.host for item in with_real_hosts(endpoints, "me.example")] == ["me.example"] * 2 + [
        "10.0.0.1"
    ]
    assert [item.is_everywhere for item in endpoints] == [True, True, False]
    assert with_real_hosts(endpoints[:1])[0].host != ""


def test_host_and_port() -> None:
    assert host_and_port("::1", 9092) == "[::1]:9092"
    assert str(Endpoint("A", "localhost", 9092)) == "A://localhost:9092"


def test_bare_configuration() -> None:
    listeners = config_of().listeners
    assert [str(endpoint) for endpoint in listeners.bound] == ["PLAINTEXT://127.0.0.1:9092"]
    assert listeners.advertised == listeners.bound
    assert listeners.inter_broker == "PLAINTEXT"


def test_kraft_combined_mode_leaves_the_controller_listener_closed() -> None:
    listeners = config_of(
        {
            "process.roles": "broker,controller",
            "node.id": "7",
            "controller.listener.names": "CONTROLLER",
            "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "advertised.listeners": "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
        }
    ).listeners
    assert [str(endpoint) for endpoint in listeners.bound] == ["PLAINTEXT://:9092"]
    assert [str(endpoint) for endpoint in listeners.advertised] == ["PLAINTEXT://localhost:9092"]
    assert [endpoint.name for endpoint in listeners.closed] == ["CONTROLLER"]


def test_two_networks() -> None:
    listeners = config_of(
        {
            "listeners": "INSIDE://:9092,OUTSIDE://:9093",
            "listener.security.protocol.map": "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT",
            "advertised.listeners": "INSIDE://10.0.0.1:9092,OUTSIDE://kafka.example:19092",
            "inter.broker.listener.name": "inside",
        }
    ).listeners
    outside = listeners.advertised_for("OUTSIDE")
    assert outside is not None
    assert (outside.host, outside.port) == ("kafka.example", 19092)
    assert listeners.advertised_for("NOWHERE") is None
    assert listeners.inter_broker == "INSIDE"


CONTROL = {
    "zookeeper.connect": "z:2181",
    "listeners": "CONTROL://:9091,PLAINTEXT://:9092",
    "listener.security.protocol.map": "CONTROL:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "control.plane.listener.name": "control",
}


def test_a_listener_of_the_controller_is_open_in_a_cluster_alone() -> None:
    listeners = config_of(CONTROL).listeners
    assert [endpoint.name for endpoint in listeners.bound] == ["CONTROL", "PLAINTEXT"]
    assert (listeners.inter_broker, listeners.control_plane) == ("PLAINTEXT", "CONTROL")
    assert listeners.among_brokers == ("PLAINTEXT", "CONTROL")
    assert not listeners.closed
    alone = config_of({key: value for key, value in CONTROL.items() if key != "zookeeper.connect"}).listeners
    assert [endpoint.name for endpoint in alone.bound] == ["PLAINTEXT"]
    assert [endpoint.name for endpoint in alone.closed] == ["CONTROL"]
    assert (alone.control_plane, alone.among_brokers) == (None, ("PLAINTEXT",))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inter.broker.listener.name": "CONTROL"}, "they must differ"),
        ({"listeners": "CONTROL://:9091"}, "is the only listener"),
        ({"control.plane.listener.name": "OTHER"}, "OTHER is not an advertised listener"),
        ({"advertised.listeners": "PLAINTEXT://a:1"}, "CONTROL is not an advertised listener"),
        ({"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT"}, "CONTROL"),
    ],
)
def test_a_listener_of_the_controller_that_cannot_be(values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(CONTROL | values)


NAMES = {"listeners": "A://:1", "listener.security.protocol.map": "A:PLAINTEXT,B:PLAINTEXT"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"listeners": "SASL_SSL://:9093"}, "ssl.keystore.location: is not set"),
        ({"listeners": "SASL_PLAINTEXT://:9093"}, r"GSSAPI \(Kerberos\) is not supported"),
        ({"advertised.listeners": "PLAINTEXT://0.0.0.0:9092"}, "clients cannot connect to"),
        ({**NAMES, "advertised.listeners": "B://h:1"}, r"B://h:1 is not among listeners \(A\)"),
        ({**NAMES, "inter.broker.listener.name": "B"}, "B is not an advertised listener"),
        (
            {**NAMES, "inter.broker.listener.name": "A", "security.inter.broker.protocol": "PLAINTEXT"},
            "cannot be set together",
        ),
        ({**NAMES, "security.inter.broker.protocol": "SSL"}, "no advertised listener is called SSL"),
        (
            {"listeners": "CONTROLLER://:1", "controller.listener.names": "CONTROLLER"},
            "all of them belong to a controller",
        ),
        ({"listeners": "A://:1"}, "A has no entry in"),
    ],
)
def test_contradictions(values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(values)


def test_one_odd_listener_name_is_fine_among_brokers() -> None:
    assert config_of(NAMES).listeners.inter_broker == "A"
