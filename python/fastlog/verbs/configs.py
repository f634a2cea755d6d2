"""Settings of topics, brokers and groups: read them with their sources, change single keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastlog.client.admin import configs as admin
from fastlog.client.admin.configs import ConfigChange, ConfigEntry, ConfigOperation, ConfigResource
from fastlog.client.admin.configs import ConfigSource as Source
from fastlog.client.errors import ClientError
from fastlog.verbs.desk import Desk
from fastlog.verbs.problems import BadArgument
from fastlog.verbs.registry import DryRun, verb

__all__ = [
    "ConfigDescription",
    "ConfigPlan",
    "ConfigRow",
    "SettingChange",
    "alter_configs",
    "describe_configs",
    "plan_settings",
]

ResourceType = Literal["topic", "broker", "group"]
ResourceName = Annotated[
    str, "Name of the topic or group, id of the broker; empty: the default of all brokers."
]
Changes = Annotated[dict[str, str | None], "New values by key; null: back to the default."]

_OWN: Final = {
    "topic": (Source.TOPIC,),
    "broker": (Source.BROKER, Source.BROKER_DEFAULT, Source.STATIC),
    "group": (Source.GROUP,),
}


@dataclass(frozen=True, slots=True)
class Synonym:
    """A place that a value could come from, in order of precedence."""

    name: str
    value: str | None
    source: str


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """A setting, and where its value comes from. That of a sensitive one is None."""

    name: str
    value: str | None
    source: str
    type: str | None
    read_only: bool
    sensitive: bool
    synonyms: list[Synonym]


@dataclass(frozen=True, slots=True)
class ConfigDescription:
    """The settings of one thing."""

    resource_type: str
    resource: str
    configs: list[ConfigRow]


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A key with its values before and after; `after` None: whatever the default is."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class ConfigPlan:
    """What is changed of one thing."""

    executed: bool
    summary: str
    resource_type: str
    resource: str
    changes: list[SettingChange]


def resource_of(kind: str, name: str) -> ConfigResource:
    """The resource. Raises BadArgument."""
    if kind == "topic":
        return ConfigResource.topic(name)
    if kind == "group":
        return ConfigResource.group(name)
    if name and not (name.isascii() and name.isdecimal() and int(name) < 2**31):
        raise BadArgument(f"resource: {name[:50]!r} is no id of a broker")
    return ConfigResource.broker(int(name) if name else None)


@verb("read")
async def describe_configs(
    desk: Desk,
    *,
    resource_type: Annotated[ResourceType, "Of what."],
    resource: ResourceName = "",
    every: Annotated[bool, "Those that nobody has set for it, too."] = True,
) -> ConfigDescription:
    """Shows settings of a topic, broker or group: value, source, type, and the values behind it."""
    entries = await _entries(desk, resource_of(resource_type, resource))
    return ConfigDescription(
        resource_type,
        resource,
        [_row(entry) for entry in entries if every or entry.source in _OWN[resource_type]],
    )


async def _entries(desk: Desk, resource: ConfigResource) -> tuple[ConfigEntry, ...]:
    found = (await admin.describe_configs(desk.cluster, [resource], synonyms=True))[resource]
    if isinstance(found, ClientError):
        raise found
    return found


def _row(entry: ConfigEntry) -> ConfigRow:
    return ConfigRow(
        name=entry.name,
        value=entry.value,
        source=entry.source.name.lower(),
        type=entry.type,
        read_only=entry.read_only,
        sensitive=entry.sensitive,
        synonyms=[Synonym(name, value, source.name.lower()) for name, value, source in entry.synonyms],
    )


async def plan_settings(
    desk: Desk, resource: ConfigResource, changes: dict[str, str | None], *, dry_run: bool
) -> list[SettingChange]:
    """Has the broker check the changes, or do them; their values before. Raises BrokerError."""
    if not changes:
        raise BadArgument("configs: nothing is to be changed")
    if len(changes) > 200:
        raise BadArgument(f"configs: {len(changes)} keys are more than 200")
    before = {entry.name: entry.value for entry in await _entries(desk, resource)}
    rows = [
        ConfigChange(name, ConfigOperation.DELETE)
        if value is None
        else ConfigChange(name, ConfigOperation.SET, value)
        for name, value in changes.items()
    ]
    error = (await admin.alter_configs(desk.cluster, {resource: rows}, validate_only=dry_run))[resource]
    if error is not None:
        raise error
    return [SettingChange(name, before.get(name), value) for name, value in changes.items()]


@verb("write")
async def alter_configs(
    desk: Desk,
    *,
    resource_type: Annotated[ResourceType, "Of what."],
    resource: ResourceName = "",
    configs: Changes,
    dry_run: DryRun = True,
) -> ConfigPlan:
    """Changes single settings of a topic, broker or group; the others stay. Brokers check the plan, too."""
    rows = await plan_settings(desk, resource_of(resource_type, resource), configs, dry_run=dry_run)
    words = ", ".join(
        f"{row.name} back to the default" if row.after is None else f"{row.name}={row.after}" for row in rows
    )
    title = f"{resource_type} {resource}" if resource else "all brokers"
    return ConfigPlan(not dry_run, f"set of {title}: {words}", resource_type, resource, rows)
