"""DescribeConfigs (32): settings of topics, groups and this broker, and their sources. Versions 0 to 4.

Version 0 tells only whether a value is the default; 1 adds sources and synonyms, 3 types and documentation.
Passwords are null. A BROKER with an empty name stands for the run-time overrides of all brokers.
BROKER_LOGGER lists the loggers with their levels, which cannot be changed over the wire. A GROUP need
not exist.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from fastlog.config.describe import (
    ConfigEntry,
    describe_broker,
    describe_cluster_defaults,
    describe_group,
    describe_topic,
)
from fastlog.config.layers import ConfigSource
from fastlog.config.types import ConfigType
from fastlog.errors import KafkaError
from fastlog.server.config_resources import (
    ResourceType,
    broker_resource,
    group_resource,
    topic_resource,
    unsupported,
)
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext

_SOURCES_FROM: Final = 1


@handles(ApiKey.DESCRIBE_CONFIGS)
def handle(ctx: RequestContext, request: DescribeConfigsRequest) -> DescribeConfigsResponse:
    """Answers from memory."""
    return DescribeConfigsResponse(results=[_describe(ctx, request, item) for item in request.resources])


def _describe(
    ctx: RequestContext, request: DescribeConfigsRequest, resource: DescribeConfigsResource
) -> DescribeConfigsResult:
    result = DescribeConfigsResult(resource_type=resource.resource_type, resource_name=resource.resource_name)
    # An empty list asks for everything too (KAFKA-9432: old clients send it).
    wanted = set(resource.configuration_keys or ())
    try:
        if resource.resource_type == ResourceType.BROKER_LOGGER:
            configs = _loggers(ctx, resource.resource_name)
        else:
            configs = [_entry(ctx, request, entry) for entry in _entries(ctx, resource)]
    except KafkaError as error:
        result.error_code, result.error_message = int(error.code), error.message
        return result
    result.configs = [entry for entry in configs if not wanted or entry.name in wanted]
    return result


def _entries(ctx: RequestContext, resource: DescribeConfigsResource) -> list[ConfigEntry]:
    config = ctx.broker.config
    match resource.resource_type:
        case ResourceType.TOPIC:
            return describe_topic(topic_resource(ctx, resource.resource_name).configs, config)
        case ResourceType.BROKER:
            if broker_resource(ctx, resource.resource_name) is None:
                return describe_cluster_defaults(config)
            return describe_broker(config)
        case ResourceType.GROUP:
            overrides = ctx.broker.cluster.snapshot.group_configs
            return describe_group(overrides.get(group_resource(resource.resource_name), {}), config)
        case other:
            raise unsupported(other)


def _entry(
    ctx: RequestContext, request: DescribeConfigsRequest, entry: ConfigEntry
) -> DescribeConfigsResourceResult:
    synonyms = entry.synonyms if request.include_synonyms else ()
    return DescribeConfigsResourceResult(
        name=entry.name,
        value=entry.value,
        read_only=entry.read_only,
        is_default=ctx.header.api_version < _SOURCES_FROM and entry.source is ConfigSource.DEFAULT,
        config_source=int(entry.source),
        is_sensitive=entry.key.sensitive,
        synonyms=[
            DescribeConfigsSynonym(name=item.name, value=item.value, source=int(item.source))
            for item in synonyms
        ],
        config_type=int(entry.key.type),
        documentation=entry.key.doc if request.include_documentation else None,
    )


def _loggers(ctx: RequestContext, name: str) -> list[DescribeConfigsResourceResult]:
    if broker_resource(ctx, name) is None:
        raise unsupported(ResourceType.BROKER_LOGGER)
    names = sorted(name for name in logging.root.manager.loggerDict if name.split(".")[0] == "fastlog")
    return [
        DescribeConfigsResourceResult(
            name=logger,
            value=logging.getLevelName(logging.getLogger(logger).getEffectiveLevel()),
            read_only=True,
            config_source=int(ConfigSource.DYNAMIC_BROKER_LOGGER),
            config_type=int(ConfigType.STRING),
        )
        for logger in names
    ]
