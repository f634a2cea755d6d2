"""What an access rule says, and which rules a filter means (KIP-11, KIP-290)."""

from __future__ import annotations

from typing import Final, NamedTuple

from fastlog.wire.acl_types import Operation, PatternType, Permission, Resource

__all__ = [
    "CLUSTER_NAME",
    "EVERYBODY",
    "WILDCARD",
    "Filter",
    "Operation",
    "Pattern",
    "PatternType",
    "Permission",
    "Resource",
    "Rule",
    "malformed_principal",
]

WILDCARD: Final = "*"
"""As the name of a literal pattern: every resource of its type. As a host: every one."""
EVERYBODY: Final = "User:*"
CLUSTER_NAME: Final = "kafka-cluster"
"""The only resource of type Cluster."""


class Pattern(NamedTuple):
    """The resources of a rule: one by its name, all (`*`), or all whose names begin so."""

    resource: Resource
    name: str
    kind: PatternType = PatternType.LITERAL


class Rule(NamedTuple):
    """What somebody may, or may not, do with the resources of a pattern. `principal` is `Type:name`."""

    principal: str
    host: str
    operation: Operation
    permission: Permission


class Filter(NamedTuple):
    """Means patterns and rules. None, and `ANY`, let everything pass."""

    resource: Resource = Resource.ANY
    name: str | None = None
    kind: PatternType = PatternType.ANY
    principal: str | None = None
    host: str | None = None
    operation: Operation = Operation.ANY
    permission: Permission = Permission.ANY

    def means(self, pattern: Pattern) -> bool:
        """Whether it lets the rules of a pattern pass. `MATCH` means all that bear on the name."""
        if self.resource not in (Resource.ANY, pattern.resource):
            return False
        if self.kind not in (PatternType.ANY, PatternType.MATCH, pattern.kind):
            return False
        if self.name is None or self.name == pattern.name:
            return True
        if self.kind is not PatternType.MATCH:
            return False
        if pattern.kind is PatternType.PREFIXED:
            return self.name.startswith(pattern.name)
        return pattern.name == WILDCARD

    def passes(self, rule: Rule) -> bool:
        """Whether it lets a rule of such a pattern pass."""
        return (
            self.principal in (None, rule.principal)
            and self.host in (None, rule.host)
            and self.operation in (Operation.ANY, rule.operation)
            and self.permission in (Permission.ANY, rule.permission)
        )

    def patterns(self) -> tuple[Pattern, ...]:
        """The patterns that it names itself, whether or not there are rules; empty when it means more."""
        if self.resource is Resource.ANY or self.name is None or self.kind is PatternType.MATCH:
            return ()
        kinds = (PatternType.LITERAL, PatternType.PREFIXED) if self.kind is PatternType.ANY else (self.kind,)
        return tuple(Pattern(self.resource, self.name, kind) for kind in kinds)


def malformed_principal(text: str) -> bool:
    """Whether it is not of the form `Type:name`; the type ends at the first colon."""
    kind, colon, name = text.partition(":")
    return not (kind and colon and name)
