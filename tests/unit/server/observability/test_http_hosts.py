"""For whom requests may be."""

from __future__ import annotations

import socket

import pytest

from fastlog.config import BrokerConfig, Flag, load_settings
from fastlog.server.observability.http_head import HttpRefusal, parse_head
from fastlog.server.observability.http_hosts import KnownHosts, hosts_of


def known(authority: str, **flags: str) -> bool:
    names = {
        "listeners": "PLAINTEXT://0.0.0.0:9092",
        "advertised.listeners": "PLAINTEXT://kafka.example:9092",
    }
    settings = load_settings(flags=[Flag(name, text) for name, text in {**names, **flags}.items()])
    return KnownHosts(hosts_of(BrokerConfig.from_settings(settings)))(authority)


@pytest.mark.parametrize(
    "authority",
    [
        "127.0.0.1",
        "127.0.0.1:9464",
        "10.244.3.17:9464",
        "192.0.2.1:80",
        "[::1]",
        "[::1]:9464",
        "[2001:db8::7]:9464",
        "[fe80::1%25eth0]:9464",
        "localhost",
        "localhost:9464",
        "LocalHost.:9464",
        "kafka.example:9464",
        "Kafka.Example.",
        socket.gethostname(),
    ],
)
def test_addresses_and_our_own_names(authority: str) -> None:
    assert known(authority)


@pytest.mark.parametrize(
    "authority",
    [
        "",
        ":9464",
        "evil.example.com",
        "evil.example.com:9464",
        "127.0.0.1.evil.example.com",
        "localhost.evil.example.com",
        "kafka.example.evil.com",
        "notlocalhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1@evil.example.com",
        "evil.example.com@127.0.0.1",
        "127.0.0.1, evil.example.com",
        "127.0.0.1 evil.example.com",
        "127.0.0.1:x",
        "[evil.example.com]",
        "[::1",
        "::1",
        "*",
    ],
)
def test_all_others(authority: str) -> None:
    assert not known(authority)


@pytest.mark.parametrize("authority", ["x", "x:9464", "fastlog-0.", "2130706433", "a.b", "evil.com"])
def test_probes_may_come_by_the_short_name_of_a_neighbour(authority: str) -> None:
    hosts = KnownHosts([])
    assert hosts(authority, for_probe=True) == (authority not in ("2130706433", "a.b", "evil.com"))
    assert not hosts(authority)
    assert hosts(None)


def test_names_that_are_allowed() -> None:
    allowed = {"fastlog.http.allowed.hosts": "metrics.example, Fastlog.ns.svc"}
    assert known("metrics.example:9464", **allowed)
    assert known("fastlog.ns.svc.", **allowed)
    assert not known("other.example", **allowed)
    assert known("anything.example", **{"fastlog.http.allowed.hosts": "*"})
    assert not known("an y:thing", **{"fastlog.http.allowed.hosts": "*"})


@pytest.mark.parametrize(
    ("head", "host"),
    [
        (b"GET / HTTP/1.1\r\nHost: a.example:1\r\n\r\n", "a.example:1"),
        (b"GET / HTTP/1.0\r\n\r\n", None),
        (b"GET http://b.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n", "b.example"),
        (b"GET http://b.example?q HTTP/1.1\r\nHost: a.example\r\n\r\n", "b.example"),
        (b"GET http:///x HTTP/1.1\r\nHost: a.example\r\n\r\n", ""),
    ],
)
def test_whom_a_request_is_for(head: bytes, host: str | None) -> None:
    assert parse_head(head).host == host


def test_two_hosts_are_refused() -> None:
    with pytest.raises(HttpRefusal):
        parse_head(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n")
