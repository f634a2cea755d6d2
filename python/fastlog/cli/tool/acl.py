"""`fastlog acl`: who may do what."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fastlog.cli.tool.failure_reports import UsageProblem, describe_error
from fastlog.cli.tool.invocation import Session, new_app, verb
from fastlog.cli.tool.outcomes import confirm
from fastlog.cli.tool.output import Column
from fastlog.cli.tool.values import one_of
from fastlog.wire.acl_types import Operation, PatternType, Permission, Resource

if TYPE_CHECKING:
    from fastlog.client import ClientError
    from fastlog.client.admin.acl_values import AclBinding, AclFilter

__all__ = ["app"]

app: Final = new_app("Access rules: who may do what, where the brokers have an authorizer.")

_CLUSTER: Final = "kafka-cluster"
_NOTHING_NAMED: Final = (
    "name a --topic, --group, --transactional-id, --delegation-token or --user-principal, or the --cluster"
)
_COLUMNS: Final = (
    Column("resource", "resource"),
    Column("name", "name"),
    Column("pattern", "pattern"),
    Column("principal", "principal"),
    Column("host", "host"),
    Column("operation", "operation"),
    Column("permission", "permission"),
)
_OPERATIONS: Final = [member.title for member in Operation if member is not Operation.ANY]


def _names(what: str) -> Any:
    return typer.Option(f"--{what}", metavar="NAME", help=f"Of this {what.replace('-', ' ')}. Repeatable.")


TopicOption = Annotated[list[str] | None, _names("topic")]
GroupOption = Annotated[list[str] | None, _names("group")]
TransactionOption = Annotated[list[str] | None, _names("transactional-id")]
TokenOption = Annotated[list[str] | None, _names("delegation-token")]
OwnerOption = Annotated[
    list[str] | None,
    typer.Option("--user-principal", metavar="USER", help="Of the delegation tokens of a user. Repeatable."),
]
ClusterOption = Annotated[bool, typer.Option("--cluster", help="Of the cluster itself.")]
AllowOption = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="USER", help="Who may: alice, User:alice, or '*' for all. Repeatable."),
]
DenyOption = Annotated[
    list[str] | None, typer.Option("--deny", metavar="USER", help="Who may not. Repeatable.")
]
HostOption = Annotated[
    list[str] | None,
    typer.Option("--host", metavar="ADDRESS", help="From this address [every one]. Repeatable."),
]
OperationOption = Annotated[
    list[str] | None,
    typer.Option(
        "--operation",
        metavar="NAME",
        help=f"{', '.join(_OPERATIONS)}. Repeatable.",
        autocompletion=one_of(*_OPERATIONS),
    ),
]
PatternOption = Annotated[
    str | None,
    typer.Option(
        "--pattern",
        metavar="TYPE",
        help="How names are meant: literal or prefixed; to list and remove also any, and match for all "
        "rules that bear on a name.",
        autocompletion=one_of("literal", "prefixed", "any", "match"),
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@verb(app, "list")
async def list_rules(
    session: Session,
    topic: TopicOption = None,
    group: GroupOption = None,
    transactional_id: TransactionOption = None,
    delegation_token: TokenOption = None,
    user_principal: OwnerOption = None,
    cluster: ClusterOption = False,
    pattern: PatternOption = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="USER", help="Rules of this user only.")
    ] = None,
) -> None:
    """Lists rules: all, or those of resources."""
    from fastlog.client.admin.acls import describe_acls

    resources = _resources(
        topic, group, transactional_id, delegation_token, user_principal, cluster=cluster
    ) or [(Resource.ANY, None)]
    kind = _pattern(pattern, PatternType.ANY)
    principal = None if user is None else _principal(user)
    found: dict[AclBinding, None] = {}
    async with session.connect() as connected:
        for resource, name in resources:
            wanted = _filter(resource, name, kind, principal)
            found.update(dict.fromkeys(await describe_acls(connected, wanted)))
    _show(session, [_row(rule) for rule in sorted(found, key=_order)])


@verb(app, "add")
async def add(
    session: Session,
    topic: TopicOption = None,
    group: GroupOption = None,
    transactional_id: TransactionOption = None,
    delegation_token: TokenOption = None,
    user_principal: OwnerOption = None,
    cluster: ClusterOption = False,
    allow: AllowOption = None,
    deny: DenyOption = None,
    host: HostOption = None,
    operation: OperationOption = None,
    pattern: PatternOption = None,
) -> None:
    """Adds rules: one for each resource, user, operation and host."""
    from fastlog.client.admin.acls import create_acls

    kind = _pattern(pattern, PatternType.LITERAL)
    if kind not in (PatternType.LITERAL, PatternType.PREFIXED):
        raise UsageProblem("--pattern: a rule is literal or prefixed")
    resources = _resources(topic, group, transactional_id, delegation_token, user_principal, cluster=cluster)
    if not resources:
        raise UsageProblem(_NOTHING_NAMED)
    who = _principals(allow, deny)
    if not who:
        raise UsageProblem("say who is meant: --allow or --deny")
    if not operation:
        raise UsageProblem("say what is meant: --operation, All for everything")
    rules = [
        _rule(
            resource,
            name or "",
            PatternType.LITERAL if resource is Resource.CLUSTER else kind,
            principal,
            address,
            what,
            permission,
        )
        for (resource, name), (permission, principal), what, address in product(
            resources, who, _operations(operation), host or ["*"]
        )
    ]
    async with session.connect() as connected:
        outcomes = await create_acls(connected, rules)
    rows = []
    for rule in rules:
        error = outcomes[rule]
        rows.append(_row(rule, "added", error))
        if error is not None:
            session.item_failed(_words(rule), error)
    _show(session, rows)


@verb(app, "remove")
async def remove(
    session: Session,
    topic: TopicOption = None,
    group: GroupOption = None,
    transactional_id: TransactionOption = None,
    delegation_token: TokenOption = None,
    user_principal: OwnerOption = None,
    cluster: ClusterOption = False,
    allow: AllowOption = None,
    deny: DenyOption = None,
    host: HostOption = None,
    operation: OperationOption = None,
    pattern: PatternOption = None,
    yes: YesOption = False,
) -> None:
    """Removes rules of resources. It shows them and asks first."""
    from fastlog.client import ClientError
    from fastlog.client.admin.acls import delete_acls, describe_acls

    resources = _resources(topic, group, transactional_id, delegation_token, user_principal, cluster=cluster)
    if not resources:
        raise UsageProblem(_NOTHING_NAMED)
    kind = _pattern(pattern, PatternType.LITERAL)
    who: list[tuple[Permission, str | None]] = [*_principals(allow, deny)] or [(Permission.ANY, None)]
    hosts: list[str | None] = [*(host or ())] or [None]
    filters: list[AclFilter] = [
        _filter(resource, name, kind, principal, address, what, permission)
        for (resource, name), (permission, principal), what, address in product(
            resources, who, _operations(operation or []) or [Operation.ANY], hosts
        )
    ]
    async with session.connect() as connected:
        if not yes:
            meant = {rule for wanted in filters for rule in await describe_acls(connected, wanted)}
            if not meant:
                raise UsageProblem("there are no such rules")
            confirm("remove\n" + "\n".join(f"  {_words(rule)}" for rule in sorted(meant, key=_order)) + "\n?")
        outcomes = await delete_acls(connected, filters)
    removed: dict[AclBinding, ClientError | None] = {}
    for outcome in outcomes.values():
        if isinstance(outcome, ClientError):
            raise outcome
        removed |= dict.fromkeys(outcome.rows) | outcome.errors
    rows = []
    for rule in sorted(removed, key=_order):
        error = removed[rule]
        rows.append(_row(rule, "removed", error))
        if error is not None:
            session.item_failed(_words(rule), error)
    _show(session, rows)


def _show(session: Session, rows: list[dict[str, Any]]) -> None:
    session.out.table(_COLUMNS, rows)
    session.out.document(rows)


def _row(rule: AclBinding, done: str | None = None, error: ClientError | None = None) -> dict[str, Any]:
    from fastlog.verbs.access import acl_row
    from fastlog.verbs.plain import plain

    row: dict[str, Any] = plain(acl_row(rule))
    if done is not None:
        row["status"] = done if error is None else "failed"
        row["error"] = None if error is None else describe_error(error)
    return row


def _words(rule: AclBinding) -> str:
    shown = _row(rule)
    prefix = "" if shown["pattern"] == "literal" else f" ({shown['pattern']})"
    return (
        f"{shown['permission']} {rule.principal} {shown['operation']} from {rule.host} on "
        f"{shown['resource']} {rule.resource_name}{prefix}"
    )


def _order(rule: AclBinding) -> tuple[Any, ...]:
    """By what a rule is for."""
    whom = (rule.principal, rule.host, rule.operation, rule.permission)
    return (rule.resource_type, rule.resource_name, rule.pattern_type, *whom)


def _rule(
    resource: Resource,
    name: str,
    pattern: PatternType,
    principal: str,
    host: str,
    operation: Operation,
    permission: Permission,
) -> AclBinding:
    """The client's own types know numbers that brokers of another release have."""
    from fastlog.client.admin import acl_values as values

    return values.AclBinding(
        values.AclResourceType(resource),
        name,
        principal,
        values.AclOperation(operation),
        values.AclPermission(permission),
        host,
        values.AclPatternType(pattern),
    )


def _filter(
    resource: Resource,
    name: str | None,
    pattern: PatternType,
    principal: str | None,
    host: str | None = None,
    operation: Operation = Operation.ANY,
    permission: Permission = Permission.ANY,
) -> AclFilter:
    from fastlog.client.admin import acl_values as values

    return values.AclFilter(
        values.AclResourceType(resource),
        name,
        principal,
        values.AclOperation(operation),
        values.AclPermission(permission),
        host,
        values.AclPatternType(pattern),
    )


_OF_OPTIONS: Final = (
    Resource.TOPIC,
    Resource.GROUP,
    Resource.TRANSACTIONAL_ID,
    Resource.DELEGATION_TOKEN,
    Resource.USER,
)


def _resources(*named: list[str] | None, cluster: bool) -> list[tuple[Resource, str | None]]:
    """What is named: topics, groups, transactional ids, tokens, users."""
    found: list[tuple[Resource, str | None]] = [
        (resource, _principal(name) if resource is Resource.USER and name != "*" else name)
        for resource, names in zip(_OF_OPTIONS, named, strict=True)
        for name in names or ()
    ]
    return [*found, (Resource.CLUSTER, _CLUSTER)] if cluster else found


def _pattern(text: str | None, default: PatternType) -> PatternType:
    if text is None:
        return default
    try:
        return PatternType[text.upper()]
    except KeyError:
        raise UsageProblem(f"--pattern {text}: must be literal, prefixed, any or match") from None


def _operations(given: list[str]) -> list[Operation]:
    known = {member.name.replace("_", ""): member for member in Operation}
    found = []
    for text in given:
        operation = known.get(text.replace("-", "").replace("_", "").upper())
        if operation is None or operation is Operation.ANY:
            raise UsageProblem(f"--operation {text}: must be one of {', '.join(_OPERATIONS)}")
        found.append(operation)
    return list(dict.fromkeys(found))


def _principals(allow: list[str] | None, deny: list[str] | None) -> list[tuple[Permission, str]]:
    found = [(Permission.ALLOW, _principal(name)) for name in allow or ()]
    return [*found, *((Permission.DENY, _principal(name)) for name in deny or ())]


def _principal(name: str) -> str:
    return name if name.startswith("User:") else f"User:{name}"
