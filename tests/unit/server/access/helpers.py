"""An authorizer without a broker."""

from __future__ import annotations

from collections.abc import Callable

from fastlog.config.access_settings import AccessSettings
from fastlog.coordination.access.rule_set import RuleSet
from fastlog.coordination.access.rules import Operation, Pattern, PatternType, Permission, Resource, Rule
from fastlog.server.access.asking import Access
from fastlog.server.network.session import ListenerIdentity, Session

Rules = tuple[Rule, ...]


class Store:
    """Rules in memory."""

    def __init__(self) -> None:
        self._rules = RuleSet()

    @property
    def rules(self) -> RuleSet:
        """Those in force."""
        return self._rules

    async def change(self, pattern: Pattern, change: Callable[[Rules], Rules]) -> tuple[Rules, Rules]:
        """See `AccessRules`."""
        before = tuple(self.rules.of(pattern))
        after = change(before)
        self.rules.replace({pattern: after})
        return before, after


def access(*super_users: str, everyone: bool = False) -> Access:
    """One without rules."""
    return Access(Store(), AccessSettings(frozenset(super_users), everyone))


def allow(
    access: Access,
    principal: str,
    operation: Operation,
    name: str,
    resource: Resource = Resource.TOPIC,
    *,
    kind: PatternType = PatternType.LITERAL,
    permission: Permission = Permission.ALLOW,
) -> None:
    """Adds a rule."""
    pattern = Pattern(resource, name, kind)
    rule = Rule(principal, "*", operation, permission)
    access.rules.replace({pattern: (*access.rules.of(pattern), rule)})


def session(principal: str, peer: str = "10.0.0.1") -> Session:
    """Of somebody who is in."""
    return Session(ListenerIdentity("SASL"), peer=peer, principal=principal)
