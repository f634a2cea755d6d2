"""Configurations of topics, brokers, their loggers, and groups: read them, change single keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

from fastlog.client.admin.answer_errors import each_of, failure
from fastlog.client.admin.retries import in_parts
from fastlog.client.admin.setting_values import SettingValue, as_text
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
)
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)

__all__ = [
    "ConfigChange",
    "ConfigChanges",
    "ConfigEntry",
    "ConfigOperation",
    "ConfigResource",
    "ConfigResourceType",
    "ConfigSource",
    "alter_configs",
    "describe_configs",
]


class ConfigResourceType(IntEnum):
    """What is configured (Kafka's ConfigResource.Type)."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


class ConfigResource(NamedTuple):
    """A thing that is configured. A broker with an empty name stands for the default of all brokers."""

    kind: ConfigResourceType
    name: str

    @classmethod
    def topic(cls, name: str) -> Self:
        """A topic."""
        return cls(ConfigResourceType.TOPIC, name)

    @classmethod
    def broker(cls, node: int | None = None) -> Self:
        """A broker by its node id, or the default of all."""
        return cls(ConfigResourceType.BROKER, "" if node is None else str(node))

    @classmethod
    def loggers(cls, node: int) -> Self:
        """The levels of a broker's loggers (KIP-412)."""
        return cls(ConfigResourceType.BROKER_LOGGER, str(node))

    @classmethod
    def group(cls, name: str) -> Self:
        """A consumer group (KIP-848)."""
        return cls(ConfigResourceType.GROUP, name)

    @property
    def node(self) -> int | None:
        """The broker that has to be asked itself, if one has. Raises ValueError for a name that is no id."""
        of_one = self.kind in (ConfigResourceType.BROKER, ConfigResourceType.BROKER_LOGGER)
        return int(self.name) if of_one and self.name else None


class ConfigSource(IntEnum):
    """Where a value comes from (Kafka's DescribeConfigsResponse.ConfigSource)."""

    UNKNOWN = 0
    TOPIC = 1
    BROKER = 2
    """Set at run time, for one broker."""
    BROKER_DEFAULT = 3
    """Set at run time, for all brokers."""
    STATIC = 4
    """From the broker's own configuration file, flags or environment."""
    DEFAULT = 5
    LOGGER = 6
    CLIENT_METRICS = 7
    GROUP = 8

    @classmethod
    def _missing_(cls, value: object) -> ConfigSource:
        return cls.UNKNOWN


_TYPES = {
    1: "boolean",
    2: "string",
    3: "int",
    4: "short",
    5: "long",
    6: "double",
    7: "list",
    8: "class",
    9: "password",
}


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """One key. The value of a sensitive key is None. `synonyms` are (name, value, source) by precedence."""

    name: str
    value: str | None
    source: ConfigSource
    read_only: bool
    sensitive: bool
    type: str | None
    synonyms: tuple[tuple[str, str | None, ConfigSource], ...] = ()

    @property
    def is_default(self) -> bool:
        """Whether nobody has set it."""
        return self.source is ConfigSource.DEFAULT


class ConfigOperation(IntEnum):
    """What a change does (Kafka's AlterConfigOp.OpType)."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A change of one key; `value` is None for DELETE."""

    name: str
    operation: ConfigOperation
    value: str | None = None


ConfigChanges = Mapping[str, "SettingValue | None"] | Sequence[ConfigChange]
"""New values by key (None: back to the default), or changes, which can append and subtract as well."""


async def describe_configs(
    cluster: Cluster,
    resources: Iterable[ConfigResource],
    *,
    keys: Sequence[str] | None = None,
    synonyms: bool = False,
) -> dict[ConfigResource, tuple[ConfigEntry, ...] | ClientError]:
    """All keys of each resource, or those named, in order of their names. Brokers are asked themselves."""

    async def ask(
        node: int | None, asked: Collection[ConfigResource]
    ) -> Mapping[ConfigResource, tuple[ConfigEntry, ...] | ClientError]:
        body = DescribeConfigsRequest(
            resources=[
                DescribeConfigsResource(
                    resource_type=item.kind,
                    resource_name=item.name,
                    configuration_keys=None if keys is None else list(keys),
                )
                for item in asked
            ],
            include_synonyms=synonyms,
        )
        answer = await cluster.request(body, DescribeConfigsResponse, node=node, lowest=int(synonyms))
        found: dict[ConfigResource, tuple[ConfigEntry, ...] | ClientError] = {
            item: failure(row.error_code, row.error_message, answer)
            or tuple(sorted((_entry(config) for config in row.configs), key=lambda entry: entry.name))
            for item, row in zip(asked, answer.results, strict=False)
        }
        return each_of(asked, found, answer)

    return await in_parts(_by_node(resources), ask)


async def alter_configs(
    cluster: Cluster, changes: Mapping[ConfigResource, ConfigChanges], *, validate_only: bool = False
) -> dict[ConfigResource, ClientError | None]:
    """Changes keys of resources, each resource as a whole or not at all (KIP-339, Kafka 2.3 and later).

    Brokers and their loggers are told themselves. Not sent again once it may have been carried out.
    """
    wanted = {resource: _as_changes(given) for resource, given in changes.items()}

    async def ask(
        node: int | None, asked: Collection[ConfigResource]
    ) -> Mapping[ConfigResource, ClientError | None]:
        body = IncrementalAlterConfigsRequest(
            resources=[
                AlterConfigsResource(
                    resource_type=item.kind,
                    resource_name=item.name,
                    configs=[
                        AlterableConfig(
                            name=change.name, config_operation=change.operation, value=change.value
                        )
                        for change in wanted[item]
                    ],
                )
                for item in asked
            ],
            validate_only=validate_only,
        )
        answer = await cluster.request(body, IncrementalAlterConfigsResponse, node=node, repeat=False)
        rows = {(row.resource_type, row.resource_name): row for row in answer.responses}
        found = {
            item: failure(row.error_code, row.error_message, answer)
            for item in asked
            if (row := rows.get((item.kind, item.name))) is not None
        }
        return each_of(asked, found, answer)

    return await in_parts(_by_node(wanted), ask)


def _as_changes(given: ConfigChanges) -> Sequence[ConfigChange]:
    if not isinstance(given, Mapping):
        return given
    return [
        ConfigChange(key, ConfigOperation.DELETE)
        if value is None
        else ConfigChange(key, ConfigOperation.SET, as_text(value))
        for key, value in given.items()
    ]


def _by_node(resources: Iterable[ConfigResource]) -> dict[int | None, list[ConfigResource]]:
    nodes: defaultdict[int | None, list[ConfigResource]] = defaultdict(list)
    for item in dict.fromkeys(resources):
        nodes[item.node].append(item)
    return nodes


def _entry(row: DescribeConfigsResourceResult) -> ConfigEntry:
    if row.config_source < 0:  # version 0 only knows whether it is the default
        source = ConfigSource.DEFAULT if row.is_default else ConfigSource.UNKNOWN
    else:
        source = ConfigSource(row.config_source)
    return ConfigEntry(
        name=row.name,
        value=row.value,
        source=source,
        read_only=row.read_only,
        sensitive=row.is_sensitive,
        type=_TYPES.get(row.config_type),
        synonyms=tuple((item.name, item.value, ConfigSource(item.source)) for item in row.synonyms),
    )
