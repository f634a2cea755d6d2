"""Access rules, users and quotas: who may do what, who may log in, who may use how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastlog.client.admin.acl_values import AclBinding, AclFilter, AclPatternType, AclResourceType
from fastlog.client.admin.acls import describe_acls
from fastlog.client.admin.client_quotas import QuotaName, describe_client_quotas
from fastlog.client.admin.users import describe_users
from fastlog.client.errors import ClientError
from fastlog.verbs.desk import Desk
from fastlog.verbs.pages import page_of
from fastlog.verbs.registry import verb
from fastlog.verbs.topics import Cursor, Limit, Pattern, matcher
from fastlog.wire.acl_types import title

__all__ = [
    "DEFAULT",
    "AclPage",
    "AclRow",
    "QuotaPage",
    "QuotaRow",
    "UserPage",
    "UserRow",
    "acl_row",
    "list_acls",
    "list_quotas",
    "list_users",
]

DEFAULT: Final = "<default>"
"""In rows of quotas: all that have none of their own."""


@dataclass(frozen=True, slots=True)
class AclRow:
    """A rule, in the words of Kafka's tools: Topic, literal, Read, Allow."""

    resource: str
    name: str
    pattern: str
    principal: str
    host: str
    operation: str
    permission: str


@dataclass(frozen=True, slots=True)
class AclPage:
    """Some rules."""

    acls: list[AclRow]
    next_cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user with one SCRAM mechanism."""

    user: str
    mechanism: str
    iterations: int


@dataclass(frozen=True, slots=True)
class UserPage:
    """Some users."""

    users: list[UserRow]
    next_cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """A limit of a user, client or address; `<default>` is all without their own."""

    user: str | None
    client: str | None
    ip: str | None
    quota: str
    limit: float


@dataclass(frozen=True, slots=True)
class QuotaPage:
    """Some limits."""

    quotas: list[QuotaRow]
    next_cursor: str | None
    total: int


def acl_row(rule: AclBinding) -> AclRow:
    """A rule as a row."""
    return AclRow(
        resource=title(rule.resource_type.name),
        name=rule.resource_name,
        pattern=rule.pattern_type.name.lower(),
        principal=rule.principal,
        host=rule.host,
        operation=title(rule.operation.name),
        permission=title(rule.permission.name),
    )


@verb("read")
async def list_acls(
    desk: Desk,
    *,
    topic: Annotated[str | None, "Only rules that bear on this topic."] = None,
    group: Annotated[str | None, "Only rules that bear on this group."] = None,
    principal: Annotated[str | None, "Only rules of this principal, such as User:alice."] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> AclPage:
    """Lists access rules: all, or those that bear on a topic or group, or are of a principal."""
    kind, name = AclResourceType.ANY, None
    if topic is not None:
        kind, name = AclResourceType.TOPIC, topic
    elif group is not None:
        kind, name = AclResourceType.GROUP, group
    pattern = AclPatternType.ANY if name is None else AclPatternType.MATCH
    which = AclFilter(kind, name, principal, pattern_type=pattern)
    rules = sorted(await describe_acls(desk.cluster, which), key=_order)
    rows = [acl_row(rule) for rule in rules]
    places = {row: f"{at:09}" for at, row in enumerate(rows)}
    shown, after = page_of(
        rows, lambda row: (places[row], places[row]), kind="acls", cursor=cursor, limit=limit
    )
    return AclPage(shown, after, len(rows))


def _order(rule: AclBinding) -> tuple[object, ...]:
    whom = (rule.principal, rule.host, rule.operation, rule.permission)
    return (rule.resource_type, rule.resource_name, rule.pattern_type, *whom)


@verb("read")
async def list_users(
    desk: Desk, *, pattern: Pattern = None, cursor: Cursor = None, limit: Limit = 100
) -> UserPage:
    """Lists the users that log in by SCRAM, with their mechanisms."""
    wanted = matcher(pattern)
    rows = [
        UserRow(name, mechanism, iterations)
        for name, found in sorted((await describe_users(desk.cluster)).items())
        if not isinstance(found, ClientError) and wanted(name)
        for mechanism, iterations in sorted(found.items())
    ]
    shown, after = page_of(
        rows,
        lambda row: (row.user, f"{row.user} {row.mechanism}"),
        kind="users",
        cursor=cursor,
        limit=limit,
    )
    return UserPage(shown, after, len(rows))


@verb("read")
async def list_quotas(desk: Desk, *, cursor: Cursor = None, limit: Limit = 100) -> QuotaPage:
    """Lists quotas of users, clients and addresses."""
    rows = [
        QuotaRow(
            _shown(whose.user),
            _shown(whose.client_id),
            _shown(whose.ip),
            key,
            int(value) if value.is_integer() else value,
        )
        for whose, limits in (await describe_client_quotas(desk.cluster)).items()
        for key, value in sorted(limits.items())
    ]
    shown, after = page_of(
        rows,
        lambda row: ("", "\0".join((row.user or "", row.client or "", row.ip or "", row.quota))),
        kind="quotas",
        cursor=cursor,
        limit=limit,
    )
    return QuotaPage(shown, after, len(rows))


def _shown(name: str | QuotaName | None) -> str | None:
    return DEFAULT if isinstance(name, QuotaName) else name
