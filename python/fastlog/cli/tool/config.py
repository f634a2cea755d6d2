"""`fastlog config`: settings of topics, brokers and groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fastlog.cli.tool.completion import complete_groups, complete_topics
from fastlog.cli.tool.failure_reports import UsageProblem
from fastlog.cli.tool.invocation import Session, new_app, verb
from fastlog.cli.tool.outcomes import failed_row
from fastlog.cli.tool.output import Column
from fastlog.cli.tool.values import parse_assignments

if TYPE_CHECKING:
    from fastlog.client.admin.configs import ConfigChange, ConfigEntry, ConfigResource

__all__ = ["app"]

app: Final = new_app("Settings of topics, brokers and groups.")

TopicOption = Annotated[
    list[str] | None,
    typer.Option(
        "--topic", "-t", metavar="NAME", help="A topic. Repeatable.", autocompletion=complete_topics
    ),
]
BrokerOption = Annotated[
    list[int] | None, typer.Option("--broker", metavar="ID", help="A broker. Repeatable.")
]
BrokerDefaultOption = Annotated[
    bool, typer.Option("--broker-default", help="What holds for all brokers that set nothing themselves.")
]
GroupOption = Annotated[
    list[str] | None,
    typer.Option(
        "--group", "-g", metavar="NAME", help="A group. Repeatable.", autocompletion=complete_groups
    ),
]
_COLUMNS: Final = (
    Column("name", "name"),
    Column("value", "value"),
    Column("source", "source"),
    Column("note", "note"),
)


@verb(app, "describe")
async def describe(
    session: Session,
    topic: TopicOption = None,
    broker: BrokerOption = None,
    broker_default: BrokerDefaultOption = False,
    group: GroupOption = None,
    every: Annotated[bool, typer.Option("--all", help="Those that nobody has set, too.")] = False,
) -> None:
    """Shows what is set, and where it comes from."""
    from fastlog.client import ClientError
    from fastlog.client.admin.configs import describe_configs

    resources = _resources(topic, broker, broker_default, group)
    async with session.connect() as cluster:
        found = await describe_configs(cluster, resources)
    rows: list[dict[str, Any]] = []
    for resource in resources:
        kind, name = _kind(resource), resource.name
        entries = found[resource]
        if isinstance(entries, ClientError):
            session.item_failed(_title(resource), entries)
            continue
        shown = [_entry(entry) for entry in entries if every or _is_set(kind, entry)]
        rows.append({"resource_type": kind, "resource": name, "configs": shown})
        session.out.table(_COLUMNS, [row | {"note": _note(row)} for row in shown], title=_title(resource))
    session.out.document(rows)


@verb(app, "alter")
async def alter(
    session: Session,
    topic: TopicOption = None,
    broker: BrokerOption = None,
    broker_default: BrokerDefaultOption = False,
    group: GroupOption = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Set a key. Repeatable.")
    ] = None,
    delete: Annotated[
        list[str] | None,
        typer.Option("--delete", "-d", metavar="KEY", help="Back to the default. Repeatable."),
    ] = None,
    append: Annotated[
        list[str] | None,
        typer.Option("--append", metavar="KEY=VALUE", help="Add to a list. Repeatable."),
    ] = None,
    subtract: Annotated[
        list[str] | None,
        typer.Option("--subtract", metavar="KEY=VALUE", help="Take from a list. Repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only ask whether it would work.")] = False,
) -> None:
    """Changes single keys; the others stay as they are."""
    from fastlog.client.admin.configs import alter_configs

    resources = _resources(topic, broker, broker_default, group)
    changes = _changes(set_ or [], delete or [], append or [], subtract or [])
    async with session.connect() as cluster:
        found = await alter_configs(cluster, dict.fromkeys(resources, changes), validate_only=dry_run)
    rows: list[dict[str, Any]] = []
    status = "checked" if dry_run else "altered"
    for resource in resources:
        row: dict[str, Any] = {"resource_type": _kind(resource)}
        error = found[resource]
        if error is not None:
            session.item_failed(_title(resource), error)
            rows.append(row | failed_row("resource", resource.name, error))
        else:
            rows.append(row | {"resource": resource.name, "status": status, "error": None})
            session.out.line(f"{'would alter' if dry_run else 'altered'} {_title(resource)}")
    session.out.document(rows)


def _resources(
    topics: Sequence[str] | None,
    brokers: Sequence[int] | None,
    broker_default: bool,
    groups: Sequence[str] | None,
) -> list[ConfigResource]:
    from fastlog.client.admin.configs import ConfigResource

    found = [
        *(ConfigResource.topic(name) for name in topics or []),
        *(ConfigResource.broker(node) for node in brokers or []),
        *([ConfigResource.broker()] if broker_default else []),
        *(ConfigResource.group(name) for name in groups or []),
    ]
    if not found:
        raise UsageProblem("of what? give --topic, --broker, --broker-default or --group")
    return list(dict.fromkeys(found))


def _changes(
    set_: Sequence[str], delete: Sequence[str], append: Sequence[str], subtract: Sequence[str]
) -> list[ConfigChange]:
    from fastlog.client.admin.configs import ConfigChange, ConfigOperation

    changes = [
        *(
            ConfigChange(key, ConfigOperation.SET, value)
            for key, value in parse_assignments(set_, "--set").items()
        ),
        *(ConfigChange(key, ConfigOperation.DELETE) for key in delete),
        *(
            ConfigChange(key, ConfigOperation.APPEND, value)
            for key, value in parse_assignments(append, "--append").items()
        ),
        *(
            ConfigChange(key, ConfigOperation.SUBTRACT, value)
            for key, value in parse_assignments(subtract, "--subtract").items()
        ),
    ]
    if not changes:
        raise UsageProblem("nothing to change: give --set, --delete, --append or --subtract")
    return changes


def _kind(resource: ConfigResource) -> str:
    return resource.kind.name.lower()


def _title(resource: ConfigResource) -> str:
    return f"{_kind(resource)} {resource.name}" if resource.name else "all brokers"


def _is_set(kind: str, entry: ConfigEntry) -> bool:
    """Set for this very thing; a broker's own file counts for the broker, not for its topics."""
    from fastlog.client.admin.configs import ConfigSource

    own = {
        "topic": (ConfigSource.TOPIC,),
        "broker": (ConfigSource.BROKER, ConfigSource.BROKER_DEFAULT, ConfigSource.STATIC),
        "group": (ConfigSource.GROUP,),
    }
    return entry.source in own[kind]


def _entry(entry: ConfigEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "value": entry.value,
        "source": entry.source.name.lower(),
        "type": entry.type,
        "read_only": entry.read_only,
        "sensitive": entry.sensitive,
    }


def _note(row: dict[str, Any]) -> str:
    notes = [*(["sensitive"] if row["sensitive"] else []), *(["read-only"] if row["read_only"] else [])]
    return ", ".join(notes)
