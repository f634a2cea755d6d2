"""`fastlog quota`: what users, clients and addresses may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.invocation import Session, new_app, verb
from fastlog.cli.tool.outcomes import confirm, failed_row
from fastlog.cli.tool.output import Column
from fastlog.cli.tool.values import parse_rate

if TYPE_CHECKING:
    from fastlog.client.admin.quotas import Entity

__all__ = ["app"]

app: Final = new_app("Quotas of users, clients and addresses.")

_DEFAULT: Final = "<default>"
Given = tuple[str | None, bool]
"""A name, and whether the default is meant."""
UserOption = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Of this user.")]
ClientOption = Annotated[str | None, typer.Option("--client", metavar="ID", help="Of this client id.")]
AddressOption = Annotated[str | None, typer.Option("--ip", metavar="ADDRESS", help="Of this address.")]
AnyUserOption = Annotated[bool, typer.Option("--user-defaults", help="Of any user without one of its own.")]
AnyClientOption = Annotated[bool, typer.Option("--client-defaults", help="Of any client id without one.")]
AnyAddressOption = Annotated[bool, typer.Option("--ip-defaults", help="Of any address without one.")]
_COLUMNS: Final = (
    Column("user", "user"),
    Column("client", "client"),
    Column("ip", "ip"),
    Column("quota", "quota"),
    Column("limit", "limit", "number"),
)
_NAMES: Final = {
    "produce": "producer_byte_rate",
    "fetch": "consumer_byte_rate",
    "request": "request_percentage",
    "mutations": "controller_mutation_rate",
    "connections": "connection_creation_rate",
}
"""Short names of what can be limited; Kafka's own are taken, too."""
_OF_BYTES: Final = ("producer_byte_rate", "consumer_byte_rate")


@verb(app, "list")
async def list_quotas(
    session: Session,
    user: UserOption = None,
    client: ClientOption = None,
    ip: AddressOption = None,
    user_defaults: AnyUserOption = False,
    client_defaults: AnyClientOption = False,
    ip_defaults: AnyAddressOption = False,
) -> None:
    """Lists quotas: all, or those of somebody."""
    from fastlog.client.admin.quotas import CLIENT, IP, USER, describe_quotas

    entity = _entity((user, user_defaults), (client, client_defaults), (ip, ip_defaults))
    async with session.connect() as cluster:
        found = await describe_quotas(cluster, entity or None)

    def shown(parts: dict[str, str | None], kind: str) -> str | None:
        return None if kind not in parts else _DEFAULT if parts[kind] is None else parts[kind]

    rows: list[dict[str, Any]] = [
        {
            "user": shown(parts, USER),
            "client": shown(parts, CLIENT),
            "ip": shown(parts, IP),
            "quota": key,
            "limit": int(limit) if limit.is_integer() else limit,
        }
        for parts, limits in found
        for key, limit in sorted(limits.items())
    ]
    rows.sort(key=lambda row: tuple(str(row[name] or "") for name in ("user", "client", "ip", "quota")))
    session.out.table(_COLUMNS, rows)
    session.out.document(rows)


@verb(app, "set")
async def set_quota(
    session: Session,
    limits: Annotated[
        list[str],
        typer.Argument(
            metavar="QUOTA=LIMIT...",
            help="produce, fetch (bytes a second, such as 5M), request (percent of a thread), mutations "
            "(partitions a second), connections (new ones a second, with --ip).",
        ),
    ],
    user: UserOption = None,
    client: ClientOption = None,
    ip: AddressOption = None,
    user_defaults: AnyUserOption = False,
    client_defaults: AnyClientOption = False,
    ip_defaults: AnyAddressOption = False,
) -> None:
    """Sets limits; others that there are stay."""
    entity = _needed((user, user_defaults), (client, client_defaults), (ip, ip_defaults))
    changes: dict[str, float | None] = {}
    for item in limits:
        name, separator, text = item.partition("=")
        if not separator:
            raise UsageProblem(f"{item}: must be QUOTA=LIMIT")
        key = _key(name, entity)
        changes[key] = _limit(item, key, text)
    await _alter(session, entity, changes, "altered")


@verb(app, "remove")
async def remove(
    session: Session,
    names: Annotated[list[str] | None, typer.Argument(metavar="[QUOTA]...", help="These only.")] = None,
    user: UserOption = None,
    client: ClientOption = None,
    ip: AddressOption = None,
    user_defaults: AnyUserOption = False,
    client_defaults: AnyClientOption = False,
    ip_defaults: AnyAddressOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Removes limits: what is named, or all that the entity has."""
    from fastlog.client.admin.quotas import describe_quotas

    entity = _needed((user, user_defaults), (client, client_defaults), (ip, ip_defaults))
    keys = [_key(name, entity) for name in names or ()]
    if not yes:
        confirm(f"remove {', '.join(keys) if keys else 'all quotas'} of {_words(entity)}?")
    if not keys:
        async with session.connect() as cluster:
            found = await describe_quotas(cluster, entity, strict=True)
        keys = [key for _, limits in found for key in limits]
    if keys:
        await _alter(session, entity, dict.fromkeys(keys), "removed")
    else:
        session.out.line(f"{_words(entity)} has no quotas")
        session.out.document({"entity": dict(entity), "status": "unchanged", "error": None})


async def _alter(session: Session, entity: Entity, changes: dict[str, float | None], what: str) -> None:
    from fastlog.client.admin.quotas import alter_quota

    async with session.connect() as cluster:
        error = await alter_quota(cluster, entity, changes)
    words = _words(entity)
    if error is not None:
        session.item_failed(f"quota of {words}", error)
        session.out.document(failed_row("entity", words, error))
    else:
        session.out.line(f"{what} quotas of {words}: {', '.join(sorted(changes))}")
        session.out.document({"entity": dict(entity), "status": what, "error": None})


def _needed(user: Given, client: Given, ip: Given) -> Entity:
    entity = _entity(user, client, ip)
    if not entity:
        raise UsageProblem("whose quota? give --user, --client, both, or --ip, or their defaults")
    return entity


def _entity(user: Given, client: Given, ip: Given) -> dict[str, str | None]:
    from fastlog.client.admin.quotas import CLIENT, IP, USER

    found: dict[str, str | None] = {}
    for kind, option, (name, is_default) in (
        (USER, "user", user),
        (CLIENT, "client", client),
        (IP, "ip", ip),
    ):
        if name is not None and is_default:
            raise UsageProblem(f"--{option} and --{option}-defaults exclude each other")
        if name is not None or is_default:
            found[kind] = name
    if IP in found and len(found) > 1:
        raise UsageProblem("--ip goes alone")
    return found


def _key(name: str, entity: Entity) -> str:
    from fastlog.client.admin.quotas import IP, KEYS, KEYS_OF_ADDRESSES

    key = _NAMES.get(name, name)
    allowed = KEYS_OF_ADDRESSES if IP in entity else KEYS
    if key not in allowed:
        short = {long: each for each, long in _NAMES.items()}
        raise UsageProblem(f"{name}: must be one of {', '.join(short[each] for each in allowed)}")
    return key


def _limit(item: str, key: str, text: str) -> float:
    if key in _OF_BYTES:
        return parse_rate(text, item.partition("=")[0])
    try:
        limit = float(text)
    except ValueError:
        raise UsageProblem(f"{item}: {text!r} is no number") from None
    if not 0 < limit < float("inf"):
        raise UsageProblem(f"{item}: must be more than 0; `quota remove` takes a limit away")
    return limit


def _words(entity: Entity) -> str:
    return ", ".join(f"{kind} {_DEFAULT if name is None else name}" for kind, name in entity.items())
