"""Configurations of topics, brokers and groups: read them, change single keys."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from fastlog.client.admin.answer_errors import failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import BrokerError, ClientError
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey
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
    "Change",
    "ConfigEntry",
    "ConfigSource",
    "Operation",
    "Resource",
    "ResourceType",
    "alter_configs",
    "describe_configs",
]


class ResourceType(IntEnum):
    """What is configured (Kafka's ConfigResource.Type)."""

    TOPIC = 2
    BROKER = 4
    GROUP = 32


class Resource(NamedTuple):
    """A thing that is configured. A broker with an empty name stands for the default of all brokers."""

    kind: ResourceType
    name: str

    @property
    def node(self) -> int | None:
        """The broker that has to be asked itself, if one has."""
        return int(self.name) if self.kind is ResourceType.BROKER and self.name else None


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


class Operation(IntEnum):
    """What a change does (Kafka's AlterConfigOp.OpType)."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one key; `value` is None for DELETE."""

    name: str
    operation: Operation
    value: str | None = None


async def describe_configs(
    cluster: Cluster,
    resources: Iterable[Resource],
    *,
    keys: Sequence[str] | None = None,
    synonyms: bool = False,
) -> dict[Resource, tuple[ConfigEntry, ...] | ClientError]:
    """All keys of each resource, or those named, in order of their names. Brokers are asked themselves."""
    result: dict[Resource, tuple[ConfigEntry, ...] | ClientError] = {}

    async def ask(node: int | None, asked: list[Resource]) -> None:
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
        try:
            answer = await cluster.request(body, DescribeConfigsResponse, node=node, lowest=int(synonyms))
        except BrokerError as error:
            result.update(dict.fromkeys(asked, error))
            return
        for item, row in zip(asked, answer.results, strict=False):
            result[item] = failure(row.error_code, row.error_message, body.API) or tuple(
                sorted((_entry(config) for config in row.configs), key=lambda entry: entry.name)
            )

    await asyncio.gather(*(ask(node, asked) for node, asked in _by_node(resources).items()))
    return result


async def alter_configs(
    cluster: Cluster, changes: Mapping[Resource, Sequence[Change]], *, validate_only: bool = False
) -> dict[Resource, ClientError | None]:
    """Changes keys of resources, each resource as a whole or not at all (KIP-339, Kafka 2.3 and later)."""
    result: dict[Resource, ClientError | None] = {}

    async def ask(node: int | None, asked: list[Resource]) -> None:
        body = IncrementalAlterConfigsRequest(
            resources=[
                AlterConfigsResource(
                    resource_type=item.kind,
                    resource_name=item.name,
                    configs=[
                        AlterableConfig(
                            name=change.name, config_operation=change.operation, value=change.value
                        )
                        for change in changes[item]
                    ],
                )
                for item in asked
            ],
            validate_only=validate_only,
        )
        answer = await cluster.request(body, IncrementalAlterConfigsResponse, node=node, repeat=False)
        found = {(row.resource_type, row.resource_name): row for row in answer.responses}
        for item in asked:
            row = found.get((item.kind, item.name))
            if row is None:
                text = "the answer leaves the resource out"
                result[item] = BrokerError(ErrorCode.UNKNOWN_SERVER_ERROR, text, api=body.API)
            else:
                result[item] = failure(row.error_code, row.error_message, ApiKey.INCREMENTAL_ALTER_CONFIGS)

    await asyncio.gather(*(ask(node, asked) for node, asked in _by_node(changes).items()))
    return result


def _by_node(resources: Iterable[Resource]) -> dict[int | None, list[Resource]]:
    nodes: defaultdict[int | None, list[Resource]] = defaultdict(list)
    for item in resources:
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
