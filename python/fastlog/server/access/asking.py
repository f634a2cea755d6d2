"""What one principal may do: decisions of the rules, kept as long as these stay as they are, and their log.

    Access                  one of a broker: rules, super users
      Rights                one principal at one address: decisions that were made
        Ask                 one request: what it asked for and was refused, for the log

A decision that was made before is one look into a dictionary.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from fastlog.coordination.access.rules import Operation, Pattern, Resource, Rule

if TYPE_CHECKING:
    from fastlog.config.access_settings import AccessSettings
    from fastlog.coordination.access.rule_set import RuleSet
    from fastlog.server.network.session import Session

__all__ = ["LOGGER", "Access", "Ask", "Rights"]

LOGGER: Final = "kafka.authorizer.logger"
"""Kafka's name: denied operations at INFO, allowed ones at DEBUG, what was only tried at level 5."""
_LOG: Final = logging.getLogger(LOGGER)
_TRACE: Final = 5
_MOST_LINES: Final = 100
"""Of one request; how many more there were is said in one further line."""
_MOST_WEIGHT: Final = 16 * 1024 * 1024
_DECISION_BYTES: Final = 200
_KEPT_NAME: Final = 1000
"""Decisions about longer names are made each time."""
_IPV6_GROUPS: Final = 8
_ANY_NAME: Final = "NONE"
"""What Kafka's log has for any resource of a type."""

Question = tuple[Operation, Resource, str]
Rules = tuple[Rule, ...]

_GUARDED: Final = frozenset({Operation.CLUSTER_ACTION, Operation.ALTER, Operation.ALTER_CONFIGS})
"""What nobody may do with the cluster just because no rule names it."""
_NEVER_OPEN: Final = frozenset({Resource.USER, Resource.DELEGATION_TOKEN})
"""What no rule names of these is open to nobody: who makes a token for somebody, or sees one, can be them."""


class RuleStore(Protocol):
    """Where the rules are (`AccessRules`)."""

    @property
    def rules(self) -> RuleSet:
        """Those in force."""
        ...

    async def change(self, pattern: Pattern, change: Callable[[Rules], Rules]) -> tuple[Rules, Rules]:
        """See `AccessRules.change`."""
        ...


class Access:
    """The authorizer of a broker. Used on the event loop."""

    def __init__(self, store: RuleStore, settings: AccessSettings) -> None:
        self.store: Final = store
        self.rules: Final = store.rules
        self.settings: Final = settings
        self._rights: dict[tuple[str, str], Rights] = {}
        self._weight = 0
        self.rules.on_change = self.forget

    def ask(self, session: Session, api: str) -> Ask:
        """For one request of an API, as Kafka names it."""
        return Ask(self.rights(session.principal, session.peer), api)

    def rights(self, principal: str, peer: str) -> Rights:
        """Those of a principal at an address. They are others after each change of the rules."""
        rights = self._rights.get((principal, peer))
        if rights is None:
            self.weigh(_DECISION_BYTES)
            rights = self._rights[principal, peer] = Rights(self, principal, peer)
        return rights

    def weigh(self, size: int) -> None:
        """So many bytes more are kept. When it is too much all of it is forgotten."""
        self._weight += size
        if self._weight > _MOST_WEIGHT:
            self.forget()

    def forget(self) -> None:
        """All decisions are made anew."""
        for rights in self._rights.values():
            rights.retire()
        self._rights.clear()
        self._weight = 0


class Rights:
    """What one principal at one address may do."""

    __slots__ = ("_access", "_decided", "_is_known", "_is_super", "host", "principal")

    def __init__(self, access: Access, principal: str, peer: str) -> None:
        self._access = access
        self._decided: dict[Question, bool] = {}
        self._is_known = True
        """Whether it is told of changes, so that it may keep what it decides."""
        self._is_super = principal in access.settings.super_users
        self.principal: Final = principal
        self.host: Final = java_address(peer)

    def may(self, question: Question) -> bool:
        """Whether the operation is allowed on the resource."""
        found = self._decided.get(question)
        return self._decide(question) if found is None else found

    def may_any(self, operation: Operation, resource: Resource) -> bool:
        """Whether it is allowed on any resource of a type at all."""
        # No resource has an empty name.
        question = (operation, resource, "")
        found = self._decided.get(question)
        if found is None:
            found = self._is_super or self._access.rules.allows_any(
                self.principal,
                self.host,
                operation,
                resource,
                unless_denied=self._access.settings.allow_everyone,
            )
            self._keep(question, found)
        return found

    def retire(self) -> None:
        """Others are asked for this principal from now on: this one decides anew each time."""
        self._decided.clear()
        self._is_known = False

    def _decide(self, question: Question) -> bool:
        operation, resource, name = question
        everyone = self._access.settings.allow_everyone
        if resource in _NEVER_OPEN or (resource is Resource.CLUSTER and operation in _GUARDED):
            everyone = False
        found = self._is_super or self._access.rules.allows(
            self.principal, self.host, operation, resource, name, unless_found=everyone
        )
        self._keep(question, found)
        return found

    def _keep(self, question: Question, found: bool) -> None:
        size = len(question[2])
        if size <= _KEPT_NAME and self._is_known:
            self._decided[question] = found
            self._access.weigh(size + _DECISION_BYTES)


class Ask:
    """What a request asks for. `tell` writes down what it was refused, and what it was allowed."""

    __slots__ = ("_allowed", "_denied", "_tried", "api", "rights")

    def __init__(self, rights: Rights, api: str) -> None:
        self.rights: Final = rights
        self.api: Final = api
        self._denied: dict[Question, int] = {}
        self._allowed: dict[Question, int] | None = {} if _LOG.isEnabledFor(logging.DEBUG) else None
        self._tried: dict[Question, int] | None = {} if _LOG.isEnabledFor(_TRACE) else None

    def may(self, operation: Operation, resource: Resource, name: str) -> bool:
        """Whether it is allowed."""
        question = (operation, resource, name)
        if self.rights.may(question):
            if self._allowed is not None:
                self._allowed[question] = self._allowed.get(question, 0) + 1
            return True
        self._denied[question] = self._denied.get(question, 0) + 1
        return False

    def tries(self, operation: Operation, resource: Resource, name: str) -> bool:
        """The same where there is another way, or where what is not allowed is left out: a refusal is nothing
        that operators should hear of."""
        question = (operation, resource, name)
        if self.rights.may(question):
            if self._allowed is not None:
                self._allowed[question] = self._allowed.get(question, 0) + 1
            return True
        if self._tried is not None:
            self._tried[question] = self._tried.get(question, 0) + 1
        return False

    def may_any(self, operation: Operation, resource: Resource) -> bool:
        """Whether it is allowed on any resource of the type."""
        found = self.rights.may_any(operation, resource)
        if not found:
            self._denied[operation, resource, _ANY_NAME] = 0
        elif self._allowed is not None:
            self._allowed[operation, resource, _ANY_NAME] = 0
        return found

    def bits(self, resource: Resource, name: str, operations: int) -> int:
        """Those of `operations` (KIP-430) that are allowed."""
        found = 0
        for operation in Operation:
            if operations >> operation & 1 and self.rights.may((operation, resource, name)):
                found |= 1 << operation
        return found

    def tell(self) -> None:
        """To be called when all is asked: writes the log."""
        if self._denied:
            self._write(logging.INFO, "Denied", self._denied)
        if self._allowed:
            self._write(logging.DEBUG, "Allowed", self._allowed)
        if self._tried:
            self._write(_TRACE, "Denied", self._tried)

    def _write(self, level: int, outcome: str, questions: dict[Question, int]) -> None:
        told, total = 0, len(questions)
        while questions and told < _MOST_LINES:
            question = next(iter(questions))
            _log(level, self, outcome, question, questions.pop(question))
            told += 1
        questions.clear()
        if total > told:
            _LOG.log(
                level,
                "Principal = %s is %s %d more operations from host = %s for request = %s",
                *(_shown(self.rights.principal), outcome, total - told, self.rights.host, self.api),
            )


def java_address(peer: str) -> str:
    """An address as Java writes it, and as rules have it: IPv6 in full, without leading zeros."""
    if ":" not in peer:
        return peer
    import ipaddress  # seldom needed

    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return ":".join(f"{int(part, 16):x}" for part in address.exploded.split(":", _IPV6_GROUPS - 1))
    return str(address)


def _log(level: int, ask: Ask, outcome: str, question: Question, count: int) -> None:
    operation, resource, name = question
    kind = "UNKNOWN" if name == _ANY_NAME and not count else "LITERAL"
    _LOG.log(
        level,
        "Principal = %s is %s Operation = %s from host = %s on resource = %s:%s:%s for request = %s "
        "with resourceRefCount = %d",
        *(_shown(ask.rights.principal), outcome, operation.title, ask.rights.host),
        *(resource.title, kind, _shown(name), ask.api, count),
    )


def _shown(name: str) -> str:
    """A name for the log: in one line, and not too long."""
    text = name if name.isprintable() else ascii(name)[1:-1]
    return text if len(text) <= _KEPT_NAME else f"{text[:_KEPT_NAME]}..."
