"""Access rules decided the long way: all rules, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from fastlog.coordination.access.rules import Pattern, PatternType, Permission, Resource, Rule
from fastlog.wire.acl_types import Operation

Rules = Sequence[tuple[Pattern, Rule]]
_IMPLYING = {
    Operation.DESCRIBE: {Operation.READ, Operation.WRITE, Operation.DELETE, Operation.ALTER},
    Operation.DESCRIBE_CONFIGS: {Operation.ALTER_CONFIGS},
}


def bears(pattern: Pattern, resource: Resource, name: str) -> bool:
    """Whether the rules of a pattern are about a resource."""
    if pattern.resource is not resource:
        return False
    if pattern.kind is PatternType.PREFIXED:
        return name.startswith(pattern.name)
    return pattern.name in ("*", name)


def is_of(rule: Rule, principal: str, host: str) -> bool:
    """Whether a rule is about somebody."""
    return rule.principal in ("User:*", principal) and rule.host in ("*", host)


def allows(
    rules: Rules, who: tuple[str, str], operation: Operation, resource: Resource, name: str, everyone: bool
) -> bool:
    """The decision."""
    found = [rule for pattern, rule in rules if bears(pattern, resource, name)]
    if not found:
        return everyone
    mine = [rule for rule in found if is_of(rule, *who)]
    named = {operation, Operation.ALL}
    if any(rule.permission is Permission.DENY and rule.operation in named for rule in mine):
        return False
    named |= _IMPLYING.get(operation, set())
    return any(rule.permission is Permission.ALLOW and rule.operation in named for rule in mine)


def allows_any(
    rules: Rules, who: tuple[str, str], operation: Operation, resource: Resource, everyone: bool
) -> bool:
    """Whether the operation is allowed on any resource of a type (KAFKA-10619)."""
    mine = [
        (pattern, rule.permission)
        for pattern, rule in rules
        if pattern.resource is resource and is_of(rule, *who) and rule.operation in (operation, Operation.ALL)
    ]
    denied = {pattern for pattern, permission in mine if permission is Permission.DENY}
    allowed = {pattern for pattern, permission in mine if permission is Permission.ALLOW}
    if any(pattern.kind is PatternType.LITERAL and pattern.name == "*" for pattern in denied):
        return False
    if everyone:
        return True
    for pattern in allowed:
        if pattern.kind is PatternType.LITERAL and pattern.name == "*":
            return True
        if pattern.kind is PatternType.LITERAL and pattern in denied:
            continue
        if not any(
            other.kind is PatternType.PREFIXED and pattern.name.startswith(other.name) for other in denied
        ):
            return True
    return False
