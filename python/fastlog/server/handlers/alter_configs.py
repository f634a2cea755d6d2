"""AlterConfigs (33): replaces all overrides of a topic, broker or group at once. Versions 0 to 2.

The older way, kept for older tools: what the request leaves out falls back to its default. INVALID_REQUEST
for a null value, a resource or a key that stands twice, and (KAFKA-13609) whatever a broker may not be set
to; INVALID_CONFIG for what a topic or group may not be set to (`ConfigAdminManager.preprocess`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.admin_errors import outcome, repeated, repeated_error
from fastlog.server.config_resources import (
    ResourceType,
    broker_resource,
    group_resource,
    topic_resource,
    unsupported,
)
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.alter_configs import (
    AlterableConfig,
    AlterConfigsRequest,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext


@handles(ApiKey.ALTER_CONFIGS)
async def handle(ctx: RequestContext, request: AlterConfigsRequest) -> AlterConfigsResponse:
    """Sets the resources one after the other."""
    keys = [(item.resource_type, item.resource_name) for item in request.resources]
    responses = {}
    for key, item in zip(keys, request.resources, strict=True):
        if key in responses:
            continue
        _, code, message = await outcome(_replace(ctx, item, request.validate_only, keys.count(key) > 1))
        responses[key] = AlterConfigsResourceResponse(
            error_code=code, error_message=message, resource_type=key[0], resource_name=key[1]
        )
    return AlterConfigsResponse(responses=list(responses.values()))


async def _replace(ctx: RequestContext, item: AlterConfigsResource, validate_only: bool, twice: bool) -> None:
    if twice:
        raise repeated_error("the resource")
    configs = _values(item.configs)
    match item.resource_type:
        case ResourceType.TOPIC:
            topic_resource(ctx, item.resource_name)
            await ctx.broker.topics.replace_configs(item.resource_name, configs, validate_only)
        case ResourceType.BROKER:
            node_id = broker_resource(ctx, item.resource_name)
            await ctx.broker.topics.replace_broker_configs(node_id, configs, validate_only)
        case ResourceType.GROUP:
            group_id = group_resource(item.resource_name)
            await ctx.broker.topics.replace_group_configs(group_id, configs, validate_only)
        case other:
            raise unsupported(other)


def _values(configs: list[AlterableConfig]) -> dict[str, str]:
    twice = repeated(config.name for config in configs)
    if twice:
        raise repeated_error(f"config {', '.join(sorted(twice))}")
    values = {}
    for config in configs:
        if config.value is None:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"no value is given for {config.name}")
        values[config.name] = config.value
    return values
