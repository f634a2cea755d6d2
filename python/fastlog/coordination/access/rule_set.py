"""The rules in force, and what they decide: as Kafka's `AclAuthorizer` does in ZooKeeper mode.

| step                                                                                            |
|-------------------------------------------------------------------------------------------------|
| rules of the resource: of its name, of `*`, and of every prefix of its name                      |
| a Deny of the operation, or of All, for this principal or `User:*`, at this host or `*`: no       |
| an Allow of the operation, of All, or of one that implies it (`IMPLIED_BY`): yes                 |
| else: no                                                                                         |

Rules are kept by pattern and principal, patterns with prefixes by their prefix: a decision looks once for
each length that a prefix of that type has, however many rules there are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from fastlog.coordination.access.rules import (
    EVERYBODY,
    WILDCARD,
    Operation,
    Pattern,
    PatternType,
    Permission,
    Resource,
    Rule,
)

__all__ = ["IMPLIED_BY", "RuleSet"]

IMPLIED_BY: Final[Mapping[Operation, frozenset[Operation]]] = MappingProxyType(
    {
        Operation.DESCRIBE: frozenset(
            {Operation.READ, Operation.WRITE, Operation.DELETE, Operation.ALTER, Operation.DESCRIBE}
        ),
        Operation.DESCRIBE_CONFIGS: frozenset({Operation.ALTER_CONFIGS, Operation.DESCRIBE_CONFIGS}),
    }
)
"""Who may do one of these may do that, too: when they are allowed, not when they are denied."""

_ByPrincipal = dict[str, tuple[Rule, ...]]
_NOBODY: Final[_ByPrincipal] = {}


class RuleSet:
    """Used on the event loop. `on_change` is called after each change."""

    def __init__(self) -> None:
        self._rules: dict[Pattern, _ByPrincipal] = {}
        self._lengths: dict[Resource, Counter[int]] = defaultdict(Counter)
        """How many patterns of a type have prefixes of a length."""
        self._of_principal: dict[str, dict[Pattern, None]] = defaultdict(dict)
        self._count = 0
        self.on_change: Callable[[], object] = lambda: None

    def __len__(self) -> int:
        return self._count

    def patterns(self) -> Iterator[Pattern]:
        """Those that have rules."""
        return iter(self._rules)

    def of(self, pattern: Pattern) -> Iterator[Rule]:
        """The rules of a pattern."""
        for rules in self._rules.get(pattern, _NOBODY).values():
            yield from rules

    def replace(self, changed: Mapping[Pattern, Iterable[Rule]]) -> None:
        """These are the rules of these patterns from now on."""
        for pattern, rules in changed.items():
            self._remove(pattern)
            self._put(pattern, rules)
        if changed:
            self.on_change()

    def replace_all(self, rules: Mapping[Pattern, Iterable[Rule]]) -> None:
        """There are these, and no others."""
        for pattern in list(self._rules):
            if pattern not in rules:
                self._remove(pattern)
        for pattern, of_pattern in rules.items():
            self._remove(pattern)
            self._put(pattern, of_pattern)
        self.on_change()

    def allows(
        self,
        principal: str,
        host: str,
        operation: Operation,
        resource: Resource,
        name: str,
        *,
        unless_found: bool = False,
    ) -> bool:
        """Whether the rules let somebody do that. `unless_found`: the answer where no rule names the
        resource, in no way and for nobody."""
        implying = IMPLIED_BY.get(operation, frozenset({operation}))
        is_named = is_allowed = False
        for pattern in self._bearing_on(resource, name):
            rules = self._rules.get(pattern)
            if rules is None:
                continue
            is_named = True
            for who in (principal, EVERYBODY):
                for _, at, what, permission in rules.get(who, ()):
                    if at not in (WILDCARD, host):
                        continue
                    if permission is Permission.ALLOW:
                        is_allowed |= what is Operation.ALL or what in implying
                    elif what in (Operation.ALL, operation):
                        return False
        return is_allowed if is_named else unless_found

    def allows_any(
        self, principal: str, host: str, operation: Operation, resource: Resource, *, unless_denied: bool
    ) -> bool:
        """Whether somebody may do that to any resource of a type at all
        (`AclAuthorizer.authorizeByResourceType`). `unless_denied`: the answer unless all are denied.

        Here nothing is implied by something else.
        """
        denied: set[Pattern] = set()
        allowed: set[Pattern] = set()
        for who in {principal, EVERYBODY}:
            for pattern in self._of_principal.get(who, ()):
                if pattern.resource is not resource:
                    continue
                for _, at, what, permission in self._rules[pattern][who]:
                    if at in (WILDCARD, host) and what in (Operation.ALL, operation):
                        (allowed if permission is Permission.ALLOW else denied).add(pattern)
        every = Pattern(resource, WILDCARD)
        if every in denied:
            return False
        if unless_denied or every in allowed:
            return True
        return any(not _is_dominated(pattern, denied) for pattern in allowed)

    def _bearing_on(self, resource: Resource, name: str) -> Iterator[Pattern]:
        yield Pattern(resource, WILDCARD)
        if name != WILDCARD:
            yield Pattern(resource, name)
        for length in self._lengths[resource]:
            if length <= len(name):
                yield Pattern(resource, name[:length], PatternType.PREFIXED)

    def _put(self, pattern: Pattern, rules: Iterable[Rule]) -> None:
        by_principal: dict[str, dict[Rule, None]] = {}
        for rule in rules:
            by_principal.setdefault(rule.principal, {})[rule] = None
        if not by_principal:
            return
        self._rules[pattern] = {who: tuple(found) for who, found in by_principal.items()}
        self._count += sum(map(len, by_principal.values()))
        if pattern.kind is PatternType.PREFIXED:
            self._lengths[pattern.resource][len(pattern.name)] += 1
        for who in by_principal:
            self._of_principal[who][pattern] = None

    def _remove(self, pattern: Pattern) -> None:
        gone = self._rules.pop(pattern, None)
        if gone is None:
            return
        self._count -= sum(map(len, gone.values()))
        if pattern.kind is PatternType.PREFIXED:
            lengths, length = self._lengths[pattern.resource], len(pattern.name)
            lengths[length] -= 1
            if not lengths[length]:
                del lengths[length]
        for who in gone:
            patterns = self._of_principal[who]
            del patterns[pattern]
            if not patterns:
                del self._of_principal[who]


def _is_dominated(allowed: Pattern, denied: set[Pattern]) -> bool:
    """Whether all that a pattern allows is denied by a shorter prefix, or by the same name."""
    if allowed.kind is PatternType.LITERAL and allowed in denied:
        return True
    prefixes = (allowed.name[:length] for length in range(len(allowed.name) + 1))
    return any(Pattern(allowed.resource, prefix, PatternType.PREFIXED) in denied for prefix in prefixes)
