"""Access rules: who may do what to a node (`ZKDatabase`, `PrepRequestProcessor.fixupACL`)."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from typing import Final, TypeAlias

from fastlog.coordination.zookeeper.codes import Permission
from fastlog.coordination.zookeeper.errors import AuthFailed, InvalidAcl, NoAuth
from fastlog.coordination.zookeeper.structures import OPEN, Acl

Identity: TypeAlias = tuple[str, str]
"""(scheme, id): what a connection has shown itself to be, as it stands in a rule."""

SUPER: Final[Identity] = ("super", "")
"""Whom no rule keeps out, as in ZooKeeper: here the process that the keeper runs in. No packet proves it."""
_MAX_RULES: Final = 1000
_MAX_IDENTITY: Final = 1024
"""Characters of an identity: one rule `auth` stands for all identities of its caller."""


def authenticate(scheme: str, auth: bytes) -> Identity:
    """The identity that an auth packet proves. Raises AuthFailed."""
    if scheme != "digest":
        raise AuthFailed(f"the scheme {scheme[:100]!r} is not known here")
    try:
        user, _, _ = auth.decode().partition(":")
    except UnicodeDecodeError:
        raise AuthFailed("a digest that is not text") from None
    if b":" not in auth:
        raise AuthFailed("a digest has the form user:password")
    if len(user) > _MAX_IDENTITY:
        raise AuthFailed(f"a user of {len(user)} characters: there may be {_MAX_IDENTITY}")
    return "digest", f"{user}:{base64.b64encode(_sha1(auth)).decode()}"


def _sha1(data: bytes) -> bytes:
    import hashlib  # not free, and hardly anybody authenticates

    # The protocol says so; the rules in the tree are these digests.
    return hashlib.sha1(data, usedforsecurity=False).digest()


def resolve(acls: Sequence[Acl], identities: Sequence[Identity]) -> tuple[Acl, ...]:
    """The rules as they are stored: `auth` becomes all that the caller is. Raises InvalidAcl."""
    if acls == OPEN:
        return OPEN
    if len(acls) > _MAX_RULES:
        raise InvalidAcl(f"more than {_MAX_RULES} rules")
    resolved: dict[Acl, None] = {}
    for rule in acls:
        for entry in _resolve_one(rule, identities):
            resolved[entry] = None
        if len(resolved) > _MAX_RULES:
            raise InvalidAcl(f"the rules stand for more than {_MAX_RULES}")
    if not resolved:
        raise InvalidAcl("a node needs a rule")
    return tuple(resolved)


def _resolve_one(rule: Acl, identities: Sequence[Identity]) -> list[Acl]:
    if rule.scheme == "auth":
        own = [
            Acl(rule.permissions, *identity) for identity in identities if identity[0] not in ("ip", "super")
        ]
        if not own:
            raise InvalidAcl("the scheme auth needs a caller that is authenticated")
        return own
    if len(rule.id) > 2 * _MAX_IDENTITY or not _is_valid(rule.scheme, rule.id):
        raise InvalidAcl(f"no rule: {rule.scheme[:100]!r} {rule.id[:200]!r}")
    return [rule]


def _is_valid(scheme: str, name: str) -> bool:
    if scheme == "world":
        return name == "anyone"
    if scheme == "digest":
        return name.count(":") == 1
    if scheme == "ip":
        return _network(name) is not None
    return scheme in ("sasl", "x509") and bool(name)


def _network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError:
        return None


def allowed(acls: Sequence[Acl], permission: int, identities: Sequence[Identity]) -> bool:
    """Whether the rules give the caller one of the bits of `permission`."""
    if acls is OPEN or SUPER in identities:
        return True
    for rule in acls:
        if rule.permissions & permission and (
            rule.scheme == "world" or any(_matches(rule, identity) for identity in identities)
        ):
            return True
    return False


def _matches(rule: Acl, identity: Identity) -> bool:
    if rule.scheme != identity[0]:
        return False
    if rule.scheme != "ip":
        return rule.id == identity[1]
    network = _network(rule.id)
    try:
        return network is not None and ipaddress.ip_address(identity[1]) in network
    except ValueError:
        return False


def require(acls: Sequence[Acl], permission: int, identities: Sequence[Identity], path: str) -> None:
    """Raises NoAuth unless `allowed`."""
    if not allowed(acls, permission, identities):
        raise NoAuth(path)


def shown(acls: tuple[Acl, ...], identities: Sequence[Identity]) -> tuple[Acl, ...]:
    """The rules as a caller may see them: digests are for administrators only (ZOOKEEPER-1392)."""
    if allowed(acls, Permission.ADMIN, identities):
        return acls
    return tuple(
        Acl(rule.permissions, rule.scheme, rule.id.partition(":")[0] + ":x")
        if rule.scheme == "digest"
        else rule
        for rule in acls
    )
