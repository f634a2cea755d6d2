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
    from collections.abc import Mapping

    from fastlog.client.admin.client_quotas import QuotaEntity
    from fastlog.client.cluster import Cluster

    Entity = Mapping[str, str | None]

__all__ = ["app"]

app: Final = new_app("Quotas of users, clients and addresses.")

_DEFAULT: Final = "<default>"
_USER: Final = "user"
_CLIENT: Final = "client-id"
_IP: Final = "ip"
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
_OF_ADDRESSES: Final = ("connection_creation_rate",)


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
    entity = _entity((user, user_defaults), (client, client_defaults), (ip, ip_defaults))
    async with session.connect() as cluster:
        found = await _describe(cluster, entity)
    rows: list[dict[str, Any]] = [
        {
            "user": _shown(whose.user),
            "client": _shown(whose.client_id),
            "ip": _shown(whose.ip),
            "quota": key,
            "limit": int(limit) if limit.is_integer() else limit,
        }
        for whose, limits in found.items()
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
    entity = _needed((user, user_defaults), (client, client_defaults), (ip, ip_defaults))
    keys = [_key(name, entity) for name in names or ()]
    if not yes:
        confirm(f"remove {', '.join(keys) if keys else 'all quotas'} of {_words(entity)}?")
    if not keys:
        async with session.connect() as cluster:
            found = await _describe(cluster, entity, strict=True)
        keys = [key for limits in found.values() for key in limits]
    if keys:
        await _alter(session, entity, dict.fromkeys(keys), "removed")
    else:
        session.out.line(f"{_words(entity)} has no quotas")
        session.out.document({"entity": dict(entity), "status": "unchanged", "error": None})


async def _alter(session: Session, entity: Entity, changes: dict[str, float | None], what: str) -> None:
    from fastlog.client.admin.client_quotas import QuotaEntity, alter_client_quotas

    whose = QuotaEntity(**_named(entity))
    async with session.connect() as cluster:
        error = (await alter_client_quotas(cluster, {whose: changes}))[whose]
    words = _words(entity)
    if error is not None:
        session.item_failed(f"quota of {words}", error)
        session.out.document(failed_row("entity", words, error))
    else:
        session.out.line(f"{what} quotas of {words}: {', '.join(sorted(changes))}")
        session.out.document({"entity": dict(entity), "status": what, "error": None})


async def _describe(
    cluster: Cluster, entity: Entity, *, strict: bool = False
) -> dict[QuotaEntity, dict[str, float]]:
    from fastlog.client.admin.client_quotas import describe_client_quotas

    return await describe_client_quotas(cluster, **_named(entity), strict=strict)


def _named(entity: Entity) -> dict[str, Any]:
    """The parts as the library names them."""
    from fastlog.client.admin.client_quotas import QuotaName

    return {
        kind.replace("-", "_"): QuotaName.DEFAULT if name is None else name for kind, name in entity.items()
    }


def _shown(name: object) -> object:
    return name if name is None or isinstance(name, str) else _DEFAULT


def _needed(user: Given, client: Given, ip: Given) -> Entity:
    entity = _entity(user, client, ip)
    if not entity:
        raise UsageProblem("whose quota? give --user, --client, both, or --ip, or their defaults")
    return entity


def _entity(user: Given, client: Given, ip: Given) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for kind, option, (name, is_default) in (
        (_USER, "user", user),
        (_CLIENT, "client", client),
        (_IP, "ip", ip),
    ):
        if name is not None and is_default:
            raise UsageProblem(f"--{option} and --{option}-defaults exclude each other")
        if name is not None or is_default:
            found[kind] = name
    if _IP in found and len(found) > 1:
        raise UsageProblem("--ip goes alone")
    return found


def _key(name: str, entity: Entity) -> str:
    key = _NAMES.get(name, name)
    of_addresses = _IP in entity
    allowed = [key for key in _NAMES.values() if (key in _OF_ADDRESSES) == of_addresses]
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
