"""`fastlog acl`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.cli import fastlog
from tests.integration.access_rules import RuledBroker


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuledBroker]:
    running = RuledBroker(tmp_path_factory.mktemp("acl") / "data")
    running.start()
    try:
        yield running
    finally:
        running.close()


def listed(ruled: RuledBroker, *words: str) -> list[tuple[str, ...]]:
    found: list[dict[str, Any]] = json.loads(
        fastlog("acl", "list", "-o", "json", *words, bootstrap=ruled.bootstrap).stdout
    )
    return [tuple(row.values()) for row in found]


@pytest.mark.timeout(180)
def test_add_list_and_remove(ruled: RuledBroker) -> None:
    where = {"bootstrap": ruled.bootstrap}
    assert listed(ruled) == []
    add = ("acl", "add", "--allow", "alice", "--operation", "read", "--operation", "describe-configs")
    done = fastlog(*add, "--topic", "t", "--topic", "u", "--pattern", "prefixed", **where)
    assert done.stdout.count(b"User:alice") == 4
    fastlog("acl", "add", "--deny", "*", "--operation", "All", "--host", "10.0.0.1", "--group", "g", **where)
    fastlog("acl", "add", "--allow", "User:bob", "--operation", "Create", "--cluster", **where)
    grant = ("--operation", "CreateTokens", "--user-principal", "carol", "--user-principal", "*")
    fastlog("acl", "add", "--allow", "bob", *grant, **where)
    fastlog("acl", "add", "--allow", "bob", "--operation", "describe", "--delegation-token", "id", **where)
    token = ("DelegationToken", "id", "literal", "User:bob", "*", "Describe", "Allow")
    owners = [
        ("User", name, "literal", "User:bob", "*", "CreateTokens", "Allow") for name in ("*", "User:carol")
    ]
    assert listed(ruled, "--user-principal", "carol", "--delegation-token", "id") == [token, owners[1]]
    assert listed(ruled, "--user-principal", "carol", "--pattern", "match") == owners
    remove = ("acl", "remove", "--yes", "--delegation-token", "id")
    fastlog(*remove, "--user-principal", "User:carol", "--user-principal", "*", **where)
    group = ("Group", "g", "literal", "User:*", "10.0.0.1", "All", "Deny")
    cluster = ("Cluster", "kafka-cluster", "literal", "User:bob", "*", "Create", "Allow")
    topics = [
        ("Topic", name, "prefixed", "User:alice", "*", operation, "Allow")
        for name in ("t", "u")
        for operation in ("Read", "DescribeConfigs")
    ]
    assert listed(ruled) == [*topics, group, cluster]
    assert listed(ruled, "--topic", "tea", "--pattern", "match") == topics[:2]
    assert listed(ruled, "--user", "bob") == [cluster]
    assert listed(ruled, "--group", "g", "--cluster") == [group, cluster]
    assert b"User:bob" in fastlog("acl", "list", **where).stdout
    remove = ("acl", "remove", "--topic", "t", "--pattern", "any")
    assert b"--yes" in fastlog(*remove, code=2, **where).stderr
    fastlog(*remove, "--operation", "Read", "--yes", **where)
    assert listed(ruled) == [*topics[1:], group, cluster]
    fastlog("acl", "remove", "--topic", "t", "--topic", "u", "--pattern", "prefixed", "--yes", **where)
    fastlog("acl", "remove", "--group", "g", "--cluster", "--yes", **where)
    assert listed(ruled) == []


@pytest.mark.parametrize(
    "words",
    [
        ("add", "--allow", "a", "--operation", "Read"),
        ("add", "--topic", "t", "--operation", "Read"),
        ("add", "--topic", "t", "--allow", "a"),
        ("add", "--topic", "t", "--allow", "a", "--operation", "Fly"),
        ("add", "--topic", "t", "--allow", "a", "--operation", "Any"),
        ("add", "--topic", "t", "--allow", "a", "--operation", "Read", "--pattern", "match"),
        ("remove",),
        ("list", "--pattern", "regex"),
    ],
    ids=" ".join,
)
def test_what_is_not_said_well(ruled: RuledBroker, words: tuple[str, ...]) -> None:
    done = fastlog("acl", *words, code=2, bootstrap=ruled.bootstrap)
    assert done.stdout == b""
    assert done.stderr


def test_what_the_broker_refuses_is_told(ruled: RuledBroker) -> None:
    bad = ("acl", "add", "--topic", "a/b", "--topic", "good", "--allow", "a", "--operation", "Read")
    done = fastlog(*bad, code=1, bootstrap=ruled.bootstrap)
    assert b"a/b" in done.stderr
    assert [row[1] for row in listed(ruled)] == ["good"]
    fastlog("acl", "remove", "--topic", "good", "--yes", bootstrap=ruled.bootstrap)
