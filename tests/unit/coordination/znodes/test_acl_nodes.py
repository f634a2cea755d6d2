"""Access rules in Kafka's nodes."""

from __future__ import annotations

import json

import pytest

from fastlog.coordination.access.rules import Operation, Pattern, PatternType, Permission, Resource, Rule
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import acl_nodes

RULE = Rule("User:CN=é,O=x", "10.0.0.1", Operation.DESCRIBE_CONFIGS, Permission.DENY)
PREFIX = Pattern(Resource.TRANSACTIONAL_ID, "a b", PatternType.PREFIXED)


def test_paths_and_notifications() -> None:
    topic = Pattern(Resource.TOPIC, "t:1")
    assert acl_nodes.path_of(topic) == "/kafka-acl/Topic/t:1"
    assert acl_nodes.path_of(PREFIX) == "/kafka-acl-extended/prefixed/TransactionalId/a b"
    assert acl_nodes.change_of(topic) == ("/kafka-acl-changes/acl_changes_", b"TOPIC:t:1")
    start, data = acl_nodes.change_of(PREFIX)
    assert start == "/kafka-acl-extended-changes/acl_changes_"
    assert json.loads(data) == {
        "version": 1,
        "resourceType": "TRANSACTIONAL_ID",
        "name": "a b",
        "patternType": "PREFIXED",
    }
    for pattern in (topic, PREFIX):
        assert acl_nodes.changed_pattern(pattern.kind, "p", acl_nodes.change_of(pattern)[1]) == pattern
    assert acl_nodes.changed_pattern(PatternType.LITERAL, "p", b"Topic:t") == Pattern(Resource.TOPIC, "t")


def test_rules_as_kafka_writes_them() -> None:
    data = acl_nodes.encode_rules([RULE])
    assert json.loads(data) == {
        "version": 1,
        "acls": [
            {
                "principal": "User:CN=é,O=x",
                "permissionType": "Deny",
                "operation": "DescribeConfigs",
                "host": "10.0.0.1",
            }
        ],
    }
    assert acl_nodes.decode_rules("p", data) == (RULE,)
    assert acl_nodes.decode_rules("p", None) == acl_nodes.decode_rules("p", b"") == ()


def test_case_does_not_matter_and_twice_is_once() -> None:
    fields = json.loads(acl_nodes.encode_rules([RULE]))["acls"][0]
    other = {**fields, "operation": "DESCRIBE_CONFIGS", "permissionType": "DENY"}
    data = json.dumps({"version": 1, "acls": [fields, other]}).encode()
    assert acl_nodes.decode_rules("p", data) == (RULE,)


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "Any"},
        {"operation": "Fly"},
        {"permissionType": "Match"},
        {"principal": "nobody"},
        {"principal": 1},
        {"host": None},
    ],
)
def test_what_is_no_rule(change: dict[str, object]) -> None:
    fields = json.loads(acl_nodes.encode_rules([RULE]))["acls"][0]
    data = json.dumps({"version": 1, "acls": [{**fields, **change}]}).encode()
    with pytest.raises(MetadataDamaged):
        acl_nodes.decode_rules("p", data)


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"acls":1}', b'{"acls":[1]}', b'{"acls":[{}]}'])
def test_what_are_no_rules(data: bytes) -> None:
    with pytest.raises(MetadataDamaged):
        acl_nodes.decode_rules("p", data)


@pytest.mark.parametrize("data", [None, b"", b"TOPIC", b"Fish:t", b"\xff:t"])
def test_what_is_no_notification(data: bytes | None) -> None:
    with pytest.raises(MetadataDamaged):
        acl_nodes.changed_pattern(PatternType.LITERAL, "p", data)
    with pytest.raises(MetadataDamaged):
        acl_nodes.changed_pattern(PatternType.PREFIXED, "p", data)


def test_names_that_no_node_can_have() -> None:
    impossible = ("", ".", "..", "a/b", "a\0", "\x85", "\ud800", "\uf000", "\ufff0")
    assert [name for name in impossible if not acl_nodes.impossible_name(name)] == []
    assert not any(map(acl_nodes.impossible_name, ("a", "*", "a b", "...", "é", "Kafka-cluster")))
