"""Access rules and filters as requests have them: numbers and texts, which are looked at here.

All of it raises KafkaError(INVALID_REQUEST).
"""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

from fastlog.coordination.access.rules import (
    CLUSTER_NAME,
    Filter,
    Operation,
    Pattern,
    PatternType,
    Permission,
    Resource,
    Rule,
    malformed_principal,
)
from fastlog.coordination.znodes.acl_nodes import impossible_name
from fastlog.errors import ErrorCode, KafkaError
from fastlog.wire.messages.acls import AclCreation

__all__ = ["filter_of", "rule_of"]

_OF_FILTERS: Final = ("ANY", "MATCH")

E = TypeVar("E", Resource, PatternType, Operation, Permission)


class FilterFields(Protocol):
    """The fields of a filter, in DescribeAcls and DeleteAcls."""

    resource_type_filter: int
    resource_name_filter: str | None
    pattern_type_filter: int
    principal_filter: str | None
    host_filter: str | None
    operation: int
    permission_type: int


def filter_of(fields: FilterFields) -> Filter:
    """What a request asks for."""
    return Filter(
        _known(Resource, fields.resource_type_filter, "resource type"),
        fields.resource_name_filter,
        _known(PatternType, fields.pattern_type_filter, "pattern type"),
        fields.principal_filter,
        fields.host_filter,
        _known(Operation, fields.operation, "operation"),
        _known(Permission, fields.permission_type, "permission type"),
    )


def rule_of(fields: AclCreation) -> tuple[Pattern, Rule]:
    """A rule that a request adds."""
    pattern = Pattern(
        _definite(Resource, fields.resource_type, "resource type"),
        fields.resource_name,
        _definite(PatternType, fields.resource_pattern_type, "pattern type"),
    )
    rule = Rule(
        fields.principal,
        fields.host,
        _definite(Operation, fields.operation, "operation"),
        _definite(Permission, fields.permission_type, "permission type"),
    )
    if pattern.resource is Resource.CLUSTER and pattern.name != CLUSTER_NAME:
        raise _invalid(f"The only valid name for the CLUSTER resource is {CLUSTER_NAME}")
    if not pattern.name:
        raise _invalid("Invalid empty resource name")
    if impossible_name(pattern.name):
        raise _invalid("Failed to create ACL: no resource can have this name and rules")
    if malformed_principal(rule.principal):
        raise _invalid("expected a string in format principalType:principalName")
    return pattern, rule


def _known(kind: type[E], number: int, what: str) -> E:
    try:
        return kind(number)
    except ValueError:
        raise _invalid(f"unknown {what} {number}") from None


def _definite(kind: type[E], number: int, what: str) -> E:
    found = _known(kind, number, what)
    if found.name in _OF_FILTERS:
        raise _invalid(f"{what} {found.name} is for filters alone")
    return found


def _invalid(words: str) -> KafkaError:
    return KafkaError(ErrorCode.INVALID_REQUEST, words)
