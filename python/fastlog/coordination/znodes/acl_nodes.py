"""The nodes of access rules, as Kafka 3.9 has them in ZooKeeper mode (`ZkAclStore`, `ZkAclChangeStore`).

    /kafka-acl/Topic/NAME                      rules of a literal name, or of all (`*`)
    /kafka-acl-changes/acl_changes_N           TOPIC:NAME
    /kafka-acl-extended/prefixed/Topic/NAME    rules of a prefix (KIP-290)
    /kafka-acl-extended-changes/acl_changes_N  the same as JSON: resourceType, name, patternType

Names are in the paths as they are. What cannot be there (`/`, control characters) has no rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from fastlog.coordination.access.rules import (
    Operation,
    Pattern,
    PatternType,
    Permission,
    Resource,
    Rule,
    malformed_principal,
)
from fastlog.coordination.store import MetadataDamaged
from fastlog.coordination.znodes import node_json

__all__ = [
    "CHANGES",
    "PERSISTENT",
    "ROOTS",
    "SEQUENCE",
    "change_of",
    "changed_pattern",
    "decode_rules",
    "encode_rules",
    "impossible_name",
    "path_of",
    "resource_of",
]

ROOTS: Final = {PatternType.LITERAL: "/kafka-acl", PatternType.PREFIXED: "/kafka-acl-extended/prefixed"}
CHANGES: Final = {
    PatternType.LITERAL: "/kafka-acl-changes",
    PatternType.PREFIXED: "/kafka-acl-extended-changes",
}
_RESOURCES: Final = tuple(resource for resource in Resource if resource is not Resource.ANY)
PERSISTENT: Final = (
    *CHANGES.values(),
    *(f"{root}/{resource.title}" for root in ROOTS.values() for resource in _RESOURCES),
)
"""What is made at the start."""
_IMPOSSIBLE: Final = re.compile(r"[/\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]")
SEQUENCE: Final = "acl_changes_"

_E = TypeVar("_E", Resource, Operation, Permission, PatternType)


def path_of(pattern: Pattern) -> str:
    """The node with the rules of a pattern."""
    return f"{ROOTS[pattern.kind]}/{pattern.resource.title}/{pattern.name}"


def impossible_name(name: str) -> bool:
    """Whether a resource cannot have rules, since no node can have its name."""
    return not name or name in (".", "..") or _IMPOSSIBLE.search(name) is not None


def resource_of(title: str) -> Resource | None:
    """The type of resources whose rules are below a node of this name; None for one that nobody knows."""
    try:
        return _named(Resource, title)
    except ValueError:
        return None


def encode_rules(rules: Iterable[Rule]) -> bytes:
    """The data of a pattern's node."""
    return node_json.dump(
        {
            "version": 1,
            "acls": [
                {
                    "principal": rule.principal,
                    "permissionType": rule.permission.title,
                    "operation": rule.operation.title,
                    "host": rule.host,
                }
                for rule in rules
            ],
        }
    )


def decode_rules(path: str, data: bytes | None) -> tuple[Rule, ...]:
    """The rules in a pattern's node, each once. Raises MetadataDamaged."""
    if not data:
        return ()
    listed = node_json.load(path, data).get("acls")
    if not isinstance(listed, list):
        raise MetadataDamaged(f"{path} lists no rules")
    return tuple(dict.fromkeys(_rule(path, fields) for fields in listed))


def change_of(pattern: Pattern) -> tuple[str, bytes]:
    """(start of the path, data) of the notification that the rules of a pattern have changed."""
    start = f"{CHANGES[pattern.kind]}/{SEQUENCE}"
    if pattern.kind is PatternType.LITERAL:
        return start, f"{pattern.resource.name}:{pattern.name}".encode()
    return start, node_json.dump(
        {
            "version": 1,
            "resourceType": pattern.resource.name,
            "name": pattern.name,
            "patternType": pattern.kind.name,
        }
    )


def changed_pattern(kind: PatternType, path: str, data: bytes | None) -> Pattern:
    """What a notification names. Raises MetadataDamaged."""
    try:
        if kind is PatternType.LITERAL:
            title, colon, name = (data or b"").decode("utf-8").partition(":")
            if not colon:
                raise ValueError(title)
            return Pattern(_named(Resource, title), name, kind)
        fields = node_json.load(path, data)
        resource = _named(Resource, str(fields.get("resourceType")))
        return Pattern(resource, str(fields["name"]), _named(PatternType, str(fields.get("patternType"))))
    except (ValueError, KeyError) as error:
        raise MetadataDamaged(f"{path} names no resource: {error}") from None


def _rule(path: str, fields: Any) -> Rule:
    try:
        principal, host = fields["principal"], fields["host"]
        if not isinstance(principal, str) or not isinstance(host, str) or malformed_principal(principal):
            raise ValueError(principal)
        operation = _named(Operation, str(fields["operation"]))
        permission = _named(Permission, str(fields["permissionType"]))
        return Rule(principal, host, operation, permission)
    except (TypeError, KeyError, ValueError) as error:
        raise MetadataDamaged(f"{path} holds what is no rule: {ascii(error)[:200]}") from None


def _named(kind: type[_E], text: str) -> _E:
    """As Kafka reads it: `DescribeConfigs`, `DESCRIBE_CONFIGS`, in upper or lower case. Raises ValueError."""
    wanted = text.replace("_", "").lower()
    for member in kind:
        if member.name.replace("_", "").lower() == wanted and member.name not in ("ANY", "MATCH"):
            return member
    raise ValueError(text)
