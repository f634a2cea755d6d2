"""`fastlog quota`: limits are listed, set and removed."""

from __future__ import annotations

import json

import pytest

from tests.harness.cli import fastlog
from tests.integration.running import RunningBroker


@pytest.mark.timeout(180)
def test_quotas(broker: RunningBroker) -> None:
    at = broker.bootstrap

    def rows(*options: str) -> list[tuple[str | None, str | None, str | None, str, float]]:
        found = json.loads(fastlog("quota", "list", "-o", "json", *options, bootstrap=at).stdout)
        return [tuple(row[name] for name in ("user", "client", "ip", "quota", "limit")) for row in found]

    done = fastlog("quota", "set", "produce=5M", "request=12.5", "--user", "alice", bootstrap=at)
    assert done.stdout == b"altered quotas of user alice: producer_byte_rate, request_percentage\n"
    fastlog("quota", "set", "fetch=1000", "--user", "alice", "--client-defaults", bootstrap=at)
    fastlog("quota", "set", "mutations=0.5", "--client", "app", bootstrap=at)
    fastlog("quota", "set", "connections=7", "--ip", "10.0.0.1", bootstrap=at)
    alice = [
        ("alice", None, None, "producer_byte_rate", 5 << 20),
        ("alice", None, None, "request_percentage", 12.5),
        ("alice", "<default>", None, "consumer_byte_rate", 1000),
    ]
    app = (None, "app", None, "controller_mutation_rate", 0.5)
    address = (None, None, "10.0.0.1", "connection_creation_rate", 7)
    assert sorted(map(str, rows())) == sorted(map(str, [*alice, app, address]))
    assert rows("--user", "alice") == alice
    table = fastlog("quota", "list", "--client", "app", bootstrap=at).stdout.decode().splitlines()
    assert table[0].split() == ["USER", "CLIENT", "IP", "QUOTA", "LIMIT"]
    assert "controller_mutation_rate" in table[1]

    fastlog("quota", "remove", "produce", "--user", "alice", "--yes", bootstrap=at)
    assert rows("--user", "alice") == alice[1:]
    fastlog("quota", "remove", "--user", "alice", "--yes", bootstrap=at)
    said = fastlog("quota", "remove", "--user", "alice", "--yes", bootstrap=at).stdout
    assert said == b"user alice has no quotas\n"


@pytest.mark.timeout(120)
def test_what_is_refused(broker: RunningBroker) -> None:
    for words, why in (
        (("set", "produce=5M"), b"whose quota"),
        (("set", "produce", "--user", "a"), b"must be QUOTA=LIMIT"),
        (("set", "produce=x", "--user", "a"), b"is no rate"),
        (("set", "request=x", "--user", "a"), b"is no number"),
        (("set", "request=0", "--user", "a"), b"more than 0"),
        (("set", "connections=5", "--user", "a"), b"must be one of produce"),
        (("set", "produce=5", "--ip", "10.0.0.1"), b"must be one of connections"),
        (("list", "--ip", "10.0.0.1", "--user-defaults"), b"--ip goes alone"),
        (("list", "--ip", "10.0.0.1", "--ip-defaults"), b"exclude each other"),
    ):
        assert why in fastlog("quota", *words, bootstrap=broker.bootstrap, code=2).stderr, words
    answer = fastlog("quota", "set", "connections=5", "--ip", "host", bootstrap=broker.bootstrap, code=1)
    assert b"host is not a valid IP" in answer.stderr
