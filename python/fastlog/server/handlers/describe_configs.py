"""DescribeConfigs (32): settings of topics, groups and this broker, and their sources. Versions 0 to 4.

Version 0 has no sources, and says of no value that it is the default (Kafka 3.9 does not either); 1 adds
sources and synonyms, 3 types and documentation. Passwords are null. A BROKER with an empty name stands for
the run-time overrides of all brokers. BROKER_LOGGER lists the loggers with their levels, which cannot be
changed over the wire. A GROUP need not exist.
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
from fastlog.server.admin.config_resources import (
    ResourceType,
    broker_resource,
    group_resource,
    topic_resource,
    unsupported,
)
from fastlog.server.requests.registry import handles
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
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

# Descriptions that are kept while a request is answered: of topics that all differ none is used again.
_KNOWN: Final = 64
_ENTRY_BYTES: Final = 400
"""One of them, with its synonyms."""

Known = dict[tuple[int, str, frozenset[tuple[str, str]]], list[DescribeConfigsResourceResult]]


@handles(ApiKey.DESCRIBE_CONFIGS)
def handle(ctx: RequestContext, request: DescribeConfigsRequest) -> Steps[DescribeConfigsResponse]:
    """Answers from memory. Of a resource that is named twice settings are told once: what is said of it may
    be a thousand times longer than its name."""
    response = DescribeConfigsResponse()
    told_of: dict[tuple[int, str], list[DescribeConfigsResourceResult]] = {}
    known: Known = {}
    for item in request.resources:
        resource = (item.resource_type, item.resource_name)
        told = told_of.get(resource)
        result = _describe(ctx, request, item, known)
        if told is None:
            told_of[resource] = result.configs
        else:
            names = {entry.name for entry in told}
            result.configs = [entry for entry in result.configs if entry.name not in names]
            told_of[resource] = told + result.configs
        if told is None or result.configs:
            response.results.append(result)
        yield
    return response


def _describe(
    ctx: RequestContext, request: DescribeConfigsRequest, resource: DescribeConfigsResource, known: Known
) -> DescribeConfigsResult:
    result = DescribeConfigsResult(resource_type=resource.resource_type, resource_name=resource.resource_name)
    # An empty list asks for everything too (KAFKA-9432: old clients send it).
    wanted = set(resource.configuration_keys or ())
    try:
        configs = _configs(ctx, request, resource, known)
    except KafkaError as error:
        result.error_code, result.error_message = int(error.code), error.message
        return result
    result.configs = [entry for entry in configs if entry.name in wanted] if wanted else configs
    return result


def _configs(
    ctx: RequestContext, request: DescribeConfigsRequest, resource: DescribeConfigsResource, known: Known
) -> list[DescribeConfigsResourceResult]:
    """All configs of a resource, made once in a request for all topics with the same overrides."""
    is_topic = resource.resource_type == ResourceType.TOPIC
    overrides = topic_resource(ctx, resource.resource_name).configs if is_topic else {}
    # Names do not matter for topics: their overrides do.
    name = "" if is_topic else resource.resource_name
    question = (resource.resource_type, name, frozenset(overrides.items()))
    configs = known.get(question)
    if configs is None:
        if resource.resource_type == ResourceType.BROKER_LOGGER:
            configs = _loggers(ctx, resource.resource_name)
        else:
            configs = [_entry(ctx, request, entry) for entry in _entries(ctx, resource)]
        ctx.pace.grow(len(configs) * _ENTRY_BYTES)
        if len(known) < _KNOWN:
            known[question] = configs
    return configs


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
