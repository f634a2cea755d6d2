"""Access rules, users and quotas: add and take away."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastlog.client.admin import users as scram
from fastlog.client.admin.acl_values import (
    AclBinding,
    AclFilter,
    AclOperation,
    AclPatternType,
    AclPermission,
    AclResourceType,
)
from fastlog.client.admin.acls import create_acls, delete_acls, describe_acls
from fastlog.client.admin.client_quotas import (
    QuotaEntity,
    QuotaName,
    alter_client_quotas,
    describe_client_quotas,
)
from fastlog.client.errors import BrokerError, ClientError
from fastlog.errors import ErrorCode
from fastlog.verbs.access import DEFAULT, AclRow, acl_row
from fastlog.verbs.desk import Desk
from fastlog.verbs.problems import BadArgument, NotFound
from fastlog.verbs.registry import DryRun, verb
from fastlog.wire.acl_types import title

__all__ = ["alter_quotas", "create_acl", "delete_acl", "delete_user", "set_password"]

_CLUSTER: Final = "kafka-cluster"
_RESOURCES: Final = {
    title(item.name): item
    for item in AclResourceType
    if item not in (AclResourceType.UNKNOWN, AclResourceType.ANY)
}
_OPERATIONS: Final = {
    title(item.name): item for item in AclOperation if item not in (AclOperation.UNKNOWN, AclOperation.ANY)
}
_QUOTAS: Final = frozenset(
    {"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"}
)
_OF_ADDRESSES: Final = frozenset({"connection_creation_rate"})
_MAX_PASSWORD: Final = 1024

Resource = Annotated[str, f"One of {', '.join(_RESOURCES)}."]
Operation = Annotated[str, f"One of {', '.join(_OPERATIONS)}."]
Principal = Annotated[str, "Such as User:alice, or User:* for all."]
User = Annotated[str, "The name."]


@dataclass(frozen=True, slots=True)
class AclPlan:
    """A rule that comes or goes."""

    executed: bool
    summary: str
    acl: AclRow


@dataclass(frozen=True, slots=True)
class UserPlan:
    """A user who gets or loses passwords; `exists`: there is one of that name before."""

    executed: bool
    summary: str
    user: str
    mechanisms: list[str]
    exists: bool


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A limit before and after; None: there is none."""

    name: str
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class QuotaPlan:
    """What is changed for whom."""

    executed: bool
    summary: str
    user: str | None
    client: str | None
    ip: str | None
    changes: list[LimitChange]


def _rule(
    resource: str, name: str, principal: str, operation: str, permission: str, host: str, pattern: str
) -> AclBinding:
    kind, what = _RESOURCES.get(resource), _OPERATIONS.get(operation)
    if kind is None:
        raise BadArgument(f"resource: {resource[:50]!r} is none of {', '.join(_RESOURCES)}")
    if what is None:
        raise BadArgument(f"operation: {operation[:50]!r} is none of {', '.join(_OPERATIONS)}")
    if not principal.partition(":")[2]:
        raise BadArgument(f"principal: {principal[:100]!r} is none; expected such as User:alice")
    if not name and kind is not AclResourceType.CLUSTER:
        raise BadArgument("name: is empty")
    return AclBinding(
        kind,
        name or _CLUSTER,
        principal,
        what,
        AclPermission[permission.upper()],
        host,
        AclPatternType[pattern.upper()],
    )


def _words(row: AclRow) -> str:
    prefix = "" if row.pattern == "literal" else f" ({row.pattern})"
    what = f"{row.resource} {row.name}{prefix}"
    return f"{row.permission} {row.principal} {row.operation} from {row.host} on {what}"


@verb("write")
async def create_acl(
    desk: Desk,
    *,
    resource: Resource,
    principal: Principal,
    operation: Operation,
    name: Annotated[str, "Name of the resource; * for all."] = "",
    permission: Annotated[Literal["Allow", "Deny"], "A Deny is stronger than any Allow."] = "Allow",
    host: Annotated[str, "From this address; * for every one."] = "*",
    pattern: Annotated[Literal["literal", "prefixed"], "How the name is meant."] = "literal",
    dry_run: DryRun = True,
) -> AclPlan:
    """Adds an access rule; one that is there already stays as it is."""
    rule = _rule(resource, name, principal, operation, permission, host, pattern)
    row = acl_row(rule)
    if dry_run:
        await describe_acls(desk.cluster, AclFilter.of(rule))  # SECURITY_DISABLED is told now
    else:
        error = (await create_acls(desk.cluster, [rule]))[rule]
        if error is not None:
            raise error
    return AclPlan(not dry_run, f"add {_words(row)}", row)


@verb("write")
async def delete_acl(
    desk: Desk,
    *,
    resource: Resource,
    principal: Principal,
    operation: Operation,
    name: Annotated[str, "Name of the resource."] = "",
    permission: Annotated[Literal["Allow", "Deny"], "As it is in the rule."] = "Allow",
    host: Annotated[str, "As it is in the rule."] = "*",
    pattern: Annotated[Literal["literal", "prefixed"], "As it is in the rule."] = "literal",
    dry_run: DryRun = True,
) -> AclPlan:
    """Takes one access rule away, the very one that is named."""
    rule = _rule(resource, name, principal, operation, permission, host, pattern)
    row = acl_row(rule)
    if not await describe_acls(desk.cluster, AclFilter.of(rule)):
        raise NotFound(f"there is no rule {_words(row)}")
    if not dry_run:
        outcome = (await delete_acls(desk.cluster, [rule]))[rule]
        if isinstance(outcome, ClientError):
            raise outcome
        outcome.check()
    return AclPlan(not dry_run, f"remove {_words(row)}", row)


async def _mechanisms(desk: Desk, user: str) -> dict[str, int]:
    found = (await scram.describe_users(desk.cluster, [user]))[user]
    if not isinstance(found, ClientError):
        return found
    if found.code is ErrorCode.RESOURCE_NOT_FOUND:
        return {}
    raise found


@verb("write")
async def set_password(
    desk: Desk,
    *,
    user: User,
    password: Annotated[str, "It leaves this process salted, and is in no log."],
    mechanisms: Annotated[list[str] | None, "SCRAM-SHA-256, SCRAM-SHA-512; both without it."] = None,
    dry_run: DryRun = True,
) -> UserPlan:
    """Makes a user that logs in by SCRAM, or gives one another password."""
    wanted = list(dict.fromkeys(mechanisms or scram.MECHANISMS))
    unknown = [name for name in wanted if name not in scram.MECHANISMS]
    if unknown:
        raise BadArgument(f"mechanisms: {unknown[0][:50]!r} is none of {', '.join(scram.MECHANISMS)}")
    if not user or not 1 <= len(password) <= _MAX_PASSWORD:
        raise BadArgument(f"password: must have 1 to {_MAX_PASSWORD} characters, and the user a name")
    exists = bool(await _mechanisms(desk, user))
    if not dry_run:
        changes = [scram.ScramUpsertion(user, password, name) for name in wanted]
        error = (await scram.alter_users(desk.cluster, changes))[user]
        if error is not None:
            raise error
    what = "give another password to" if exists else "make"
    return UserPlan(not dry_run, f"{what} user {user} ({', '.join(wanted)})", user, wanted, exists)


@verb("write")
async def delete_user(desk: Desk, *, user: User, dry_run: DryRun = True) -> UserPlan:
    """Takes a user's passwords away. Who is logged in stays until the session ends."""
    there = sorted(await _mechanisms(desk, user))
    if not there:
        raise BrokerError(ErrorCode.RESOURCE_NOT_FOUND, f"there is no user {user}")
    if not dry_run:
        error = (await scram.alter_users(desk.cluster, [scram.ScramDeletion(user, name) for name in there]))[
            user
        ]
        if error is not None:
            raise error
    return UserPlan(not dry_run, f"delete user {user} ({', '.join(there)})", user, there, exists=True)


@verb("write")
async def alter_quotas(
    desk: Desk,
    *,
    quotas: Annotated[
        dict[str, float | None],
        f"Limits by name ({', '.join(sorted(_QUOTAS | _OF_ADDRESSES))}); null takes one away.",
    ],
    user: Annotated[str | None, f"Of this user; {DEFAULT}: of all without their own."] = None,
    client: Annotated[str | None, f"Of this client id; {DEFAULT}: of all without their own."] = None,
    ip: Annotated[str | None, f"Of this address; {DEFAULT}: of all without their own."] = None,
    dry_run: DryRun = True,
) -> QuotaPlan:
    """Sets limits of a user, a client id, both, or an address; others that there are stay."""
    allowed = _QUOTAS if ip is None else _OF_ADDRESSES
    if (ip is None) == (user is None and client is None):
        raise BadArgument("whose? give user, client, both, or ip alone")
    for name, value in quotas.items():
        if name not in allowed:
            raise BadArgument(f"quotas: {name[:50]!r} is none of {', '.join(sorted(allowed))}")
        if value is not None and not 0 < value < math.inf:
            raise BadArgument(f"quotas.{name}: must be more than 0")
    if not quotas:
        raise BadArgument("quotas: nothing is to be changed")
    whose = QuotaEntity(_entity(user), _entity(client), _entity(ip))
    now = await describe_client_quotas(
        desk.cluster, user=whose.user, client_id=whose.client_id, ip=whose.ip, strict=True
    )
    before = now.get(whose, {})
    error = (await alter_client_quotas(desk.cluster, {whose: quotas}, validate_only=dry_run))[whose]
    if error is not None:
        raise error
    rows = [LimitChange(name, before.get(name), value) for name, value in quotas.items()]
    title_of = ", ".join(
        f"{kind} {name}" for kind, name in (("user", user), ("client", client), ("ip", ip)) if name
    )
    words = ", ".join(f"{row.name} {'none' if row.after is None else f'{row.after:.12g}'}" for row in rows)
    return QuotaPlan(not dry_run, f"limits of {title_of}: {words}", user, client, ip, rows)


def _entity(name: str | None) -> str | Literal[QuotaName.DEFAULT] | None:
    return QuotaName.DEFAULT if name == DEFAULT else name
