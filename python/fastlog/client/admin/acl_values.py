"""Access rules as values (KIP-11, KIP-290). Numbers are those of Kafka's `acl` and `resource` enums."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from fastlog.wire.messages.common import UNKNOWN_OPERATIONS

__all__ = [
    "AclBinding",
    "AclFilter",
    "AclOperation",
    "AclPatternType",
    "AclPermission",
    "AclResourceType",
    "operations_of",
]


class _Known(IntEnum):
    """Numbers that this package does not know are UNKNOWN."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls(0)


class AclOperation(_Known):
    """What may be done. ANY is for filters, ALL for rules."""

    UNKNOWN = 0
    ANY = 1
    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12
    CREATE_TOKENS = 13
    DESCRIBE_TOKENS = 14
    TWO_PHASE_COMMIT = 15


class AclResourceType(_Known):
    """Of what kind a resource is. ANY is for filters."""

    UNKNOWN = 0
    ANY = 1
    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    """Its only name is `kafka-cluster`."""
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7


class AclPatternType(_Known):
    """How a rule names resources. ANY and MATCH (all that would apply to a name) are for filters."""

    UNKNOWN = 0
    ANY = 1
    MATCH = 2
    LITERAL = 3
    """A name, or `*` for all."""
    PREFIXED = 4
    """All names that begin so."""


class AclPermission(_Known):
    """What a rule says. A DENY is stronger than any ALLOW; ANY is for filters."""

    UNKNOWN = 0
    ANY = 1
    DENY = 2
    ALLOW = 3


@dataclass(frozen=True, slots=True)
class AclBinding:
    """A rule: `principal` (`User:alice`, `User:*`) may do `operation` with a resource, from `host`."""

    resource_type: AclResourceType
    resource_name: str
    principal: str
    operation: AclOperation
    permission: AclPermission = AclPermission.ALLOW
    host: str = "*"
    pattern_type: AclPatternType = AclPatternType.LITERAL


@dataclass(frozen=True, slots=True)
class AclFilter:
    """Which rules are meant: those that agree with all that is given. Without anything: all."""

    resource_type: AclResourceType = AclResourceType.ANY
    resource_name: str | None = None
    principal: str | None = None
    operation: AclOperation = AclOperation.ANY
    permission: AclPermission = AclPermission.ANY
    host: str | None = None
    pattern_type: AclPatternType = AclPatternType.ANY

    @classmethod
    def of(cls, rule: AclBinding) -> Self:
        """That rule and no other."""
        return cls(
            rule.resource_type,
            rule.resource_name,
            rule.principal,
            rule.operation,
            rule.permission,
            rule.host,
            rule.pattern_type,
        )


def operations_of(bits: int) -> frozenset[AclOperation] | None:
    """The operations of a bit field in an answer (KIP-430); None where none were asked for."""
    if bits == UNKNOWN_OPERATIONS:
        return None
    return frozenset(operation for operation in AclOperation if operation and bits >> operation & 1)
