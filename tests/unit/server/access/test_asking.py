"""Decisions are made once, kept within bounds, and written down as Kafka's authorizer does."""

from __future__ import annotations

import logging
import sys
import timeit
from collections.abc import Callable

import pytest

from fastlog.coordination.access.rules import CLUSTER_NAME, Operation, PatternType, Permission, Resource
from fastlog.server.access import asking
from fastlog.server.access.asking import LOGGER, Rights, java_address
from tests.unit.server.access.helpers import access, allow, session

READ, WRITE, DESCRIBE = Operation.READ, Operation.WRITE, Operation.DESCRIBE
TOPIC = Resource.TOPIC


def test_what_was_decided_is_not_decided_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = access()
    allow(made, "User:a", READ, "t")
    decisions: list[object] = []
    decide: Callable[..., bool] = made.rules.allows

    def counted(*args: object, **kwargs: object) -> bool:
        decisions.append(args)
        return decide(*args, **kwargs)

    monkeypatch.setattr(made.rules, "allows", counted)
    for _ in range(100):
        rights = made.rights("User:a", "10.0.0.1")
        assert rights.may((READ, TOPIC, "t"))
        assert not rights.may((WRITE, TOPIC, "t"))
    assert len(decisions) == 2


def test_rules_that_change_are_in_force_at_once() -> None:
    made = access()
    kept = made.rights("User:a", "10.0.0.1")
    assert not kept.may((READ, TOPIC, "t"))
    allow(made, "User:a", READ, "t")
    assert kept.may((READ, TOPIC, "t"))
    assert made.rights("User:a", "10.0.0.1") is not kept
    allow(made, "User:a", READ, "t", permission=Permission.DENY)
    assert not kept.may((READ, TOPIC, "t"))


def full(count: int) -> Rights:
    """Rights of one of many users under many rules."""
    made = access()
    for number in range(count):
        kind = PatternType.PREFIXED if number % 2 else PatternType.LITERAL
        allow(made, f"User:u{number % 100}", READ, f"topic-{number}-of-many", kind=kind)
    assert len(made.rules) == count
    return made.rights("User:u1", "10.0.0.1")


def lines_of(work: Callable[[], object]) -> int:
    """Python lines that are run."""
    count = 0

    def trace(_frame: object, event: str, _arg: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        work()
    finally:
        sys.settrace(None)
    return count


def test_a_check_costs_the_same_under_ten_thousand_rules() -> None:
    """A decision that was made is three lines, whatever there is; a new one does not grow with the rules."""
    few, many = full(100), full(10_000)
    known, new = (READ, TOPIC, "topic-1-of-many"), (READ, TOPIC, "topic-99-of-manyx")
    for rights in (few, many):
        rights.may(known)
    assert lines_of(lambda: few.may(known)) == lines_of(lambda: many.may(known)) <= 4
    # Prefixes are of two lengths more.
    assert lines_of(lambda: many.may(new)) < lines_of(lambda: few.may(new)) * 2
    best = min(timeit.repeat(lambda: many.may(known), number=20_000, repeat=5)) / 20_000
    assert best < 1e-6, f"{best * 1e9:.0f} ns"


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_MOST_WEIGHT", 100_000)
    made = access()
    rights = made.rights("User:a", "10.0.0.1")
    for number in range(2000):
        rights.may((READ, TOPIC, f"t{number}"))
        made.rights(f"User:{number}", "10.0.0.1")
        assert len(rights._decided) < 600
        assert len(made._rights) < 600
    long = (READ, TOPIC, "x" * 2000)
    rights.may(long)
    assert long not in rights._decided


def test_super_users_and_what_no_rule_names() -> None:
    made = access("User:root")
    assert made.rights("User:root", "10.0.0.1").may((Operation.ALTER, Resource.CLUSTER, CLUSTER_NAME))
    assert not made.rights("User:Root", "10.0.0.1").may((READ, TOPIC, "t"))
    allow(made, "User:root", READ, "t", permission=Permission.DENY)
    assert made.rights("User:root", "10.0.0.1").may((READ, TOPIC, "t"))
    everyone = access(everyone=True)
    anybody = everyone.rights("User:ANONYMOUS", "10.0.0.1")
    assert anybody.may((READ, TOPIC, "t"))
    allow(everyone, "User:b", READ, "t")
    assert not anybody.may((READ, TOPIC, "t"))
    assert anybody.may((READ, TOPIC, "other"))


@pytest.mark.parametrize("operation", [Operation.CLUSTER_ACTION, Operation.ALTER, Operation.ALTER_CONFIGS])
def test_the_cluster_is_not_open_because_no_rule_names_it(operation: Operation) -> None:
    """Kafka lets everybody act as a broker, and write rules, until the first rule names the cluster."""
    made = access(everyone=True)
    anybody = made.rights("User:ANONYMOUS", "10.0.0.1")
    assert not anybody.may((operation, Resource.CLUSTER, CLUSTER_NAME))
    assert anybody.may((Operation.DESCRIBE, Resource.CLUSTER, CLUSTER_NAME))
    assert anybody.may((operation, TOPIC, "t"))


@pytest.mark.parametrize("resource", [Resource.USER, Resource.DELEGATION_TOKEN])
def test_tokens_are_not_open_because_no_rule_names_them(resource: Resource) -> None:
    """Kafka lets everybody make tokens for everybody, and see them with their secrets."""
    made = access(everyone=True)
    for operation in (Operation.CREATE_TOKENS, Operation.DESCRIBE_TOKENS, Operation.DESCRIBE):
        assert not made.rights("User:a", "10.0.0.1").may((operation, resource, "User:b"))
    allow(made, "User:a", Operation.CREATE_TOKENS, "User:b", resource)
    assert made.rights("User:a", "10.0.0.1").may((Operation.CREATE_TOKENS, resource, "User:b"))


def test_any_resource_of_a_type() -> None:
    made = access()
    rights = made.rights("User:a", "10.0.0.1")
    assert not rights.may_any(WRITE, TOPIC)
    allow(made, "User:a", WRITE, "t")
    assert made.rights("User:a", "10.0.0.1").may_any(WRITE, TOPIC)
    allow(made, "User:a", WRITE, "t", permission=Permission.DENY)
    assert not rights.may_any(WRITE, TOPIC)


@pytest.mark.parametrize(
    ("peer", "text"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("fe80::a%eth0", "fe80:0:0:0:0:0:0:a"),
        ("2001:db8::ff00:42:8329", "2001:db8:0:0:0:ff00:42:8329"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("local:x", "local:x"),
        ("", ""),
    ],
)
def test_addresses_are_written_as_java_does(peer: str, text: str) -> None:
    assert java_address(peer) == text


def test_the_log_is_that_of_kafka(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    made = access()
    allow(made, "User:a", READ, "t")
    ask = made.ask(session("User:a"), "Fetch")
    for name in ("t", "u", "u"):
        ask.may(READ, TOPIC, name)
    ask.tries(DESCRIBE, TOPIC, "u")
    assert not caplog.messages
    ask.tell()
    ask.tell()
    assert caplog.messages == [
        "Principal = User:a is Denied Operation = Read from host = 10.0.0.1 on resource = Topic:LITERAL:u "
        "for request = Fetch with resourceRefCount = 2"
    ]
    assert caplog.records[0].levelno == logging.INFO


def test_what_is_allowed_is_logged_for_who_wants_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(5, LOGGER)
    made = access()
    allow(made, "User:a", READ, "t")
    ask = made.ask(session("User:a", "::1"), "Metadata")
    ask.may(READ, TOPIC, "t")
    ask.tries(Operation.CREATE, Resource.CLUSTER, CLUSTER_NAME)
    ask.may_any(WRITE, TOPIC)
    ask.tell()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.INFO,
            "Principal = User:a is Denied Operation = Write from host = 0:0:0:0:0:0:0:1 on resource = "
            "Topic:UNKNOWN:NONE for request = Metadata with resourceRefCount = 0",
        ),
        (
            logging.DEBUG,
            "Principal = User:a is Allowed Operation = Read from host = 0:0:0:0:0:0:0:1 on resource = "
            "Topic:LITERAL:t for request = Metadata with resourceRefCount = 1",
        ),
        (
            5,
            "Principal = User:a is Denied Operation = Create from host = 0:0:0:0:0:0:0:1 on resource = "
            "Cluster:LITERAL:kafka-cluster for request = Metadata with resourceRefCount = 1",
        ),
    ]


def test_one_request_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    ask = access().ask(session("User:a\nb"), "Metadata")
    for number in range(5000):
        ask.may(READ, TOPIC, f"t{number}")
    ask.may(READ, TOPIC, "x" * 5000)
    ask.tell()
    assert len(caplog.messages) == 101
    assert "is Denied 4901 more operations" in caplog.messages[-1]
    assert all("\n" not in line and len(line) < 2000 for line in caplog.messages)
