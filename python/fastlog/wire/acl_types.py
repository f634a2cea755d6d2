"""The numbers of access rules on the wire, with the names that Kafka's znodes and tools have for them
(`AclOperation`, `ResourceType`, `PatternType`, `AclPermissionType`).
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Operation", "PatternType", "Permission", "Resource", "title"]


class Resource(IntEnum):
    """Types of resources."""

    ANY = 1
    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7

    @property
    def title(self) -> str:
        """`TransactionalId`: in paths, logs and the output of tools."""
        return title(self.name)


class PatternType(IntEnum):
    """How a name in a rule, or in a filter, is meant. `ANY` and `MATCH` are for filters."""

    ANY = 1
    MATCH = 2
    LITERAL = 3
    PREFIXED = 4


class Operation(IntEnum):
    """What may be done. `ANY` is for filters, `ALL` for rules."""

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

    @property
    def title(self) -> str:
        """`DescribeConfigs`."""
        return title(self.name)


class Permission(IntEnum):
    """Whether a rule allows or denies. `ANY` is for filters."""

    ANY = 1
    DENY = 2
    ALLOW = 3

    @property
    def title(self) -> str:
        """`Deny`."""
        return title(self.name)


def title(name: str) -> str:
    """`DescribeConfigs` out of `DESCRIBE_CONFIGS`."""
    return "".join(part.capitalize() for part in name.split("_"))
