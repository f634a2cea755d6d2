"""IncrementalAlterConfigs (44): changes single settings of topics, brokers, groups (KIP-339). Versions 0, 1.

Operations: SET, DELETE, and for lists APPEND and SUBTRACT (INVALID_CONFIG for other keys). INVALID_REQUEST
for a null value, a resource or a key that stands twice, an unknown operation, and (KAFKA-13609) whatever a
broker may not be set to; INVALID_CONFIG for what a topic or group may not be set to. Topics take effect at
once, groups with the next heartbeat of each member; of broker settings only those that Kafka calls dynamic
and that have an effect here may be changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.coordination.lifecycle import ConfigOp, ConfigOpType
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.admin_errors import outcome, repeated_error
from fastlog.server.config_resources import (
    ResourceType,
    broker_resource,
    group_resource,
    topic_resource,
    unsupported,
)
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext


@handles(ApiKey.INCREMENTAL_ALTER_CONFIGS)
async def handle(
    ctx: RequestContext, request: IncrementalAlterConfigsRequest
) -> IncrementalAlterConfigsResponse:
    """Changes the resources one after the other."""
    keys = [(item.resource_type, item.resource_name) for item in request.resources]
    responses = {}
    for key, item in zip(keys, request.resources, strict=True):
        if key in responses:
            continue
        _, code, message = await outcome(_alter(ctx, item, request.validate_only, keys.count(key) > 1))
        responses[key] = AlterConfigsResourceResponse(
            error_code=code, error_message=message, resource_type=key[0], resource_name=key[1]
        )
    return IncrementalAlterConfigsResponse(responses=list(responses.values()))


async def _alter(ctx: RequestContext, item: AlterConfigsResource, validate_only: bool, twice: bool) -> None:
    if twice:
        raise repeated_error("the resource")
    ops = [_op(config) for config in item.configs]
    match item.resource_type:
        case ResourceType.TOPIC:
            topic_resource(ctx, item.resource_name)
            await ctx.broker.topics.alter_configs(item.resource_name, ops, validate_only)
        case ResourceType.BROKER:
            node_id = broker_resource(ctx, item.resource_name)
            await ctx.broker.topics.alter_broker_configs(node_id, ops, validate_only)
        case ResourceType.GROUP:
            group_id = group_resource(item.resource_name)
            await ctx.broker.topics.alter_group_configs(group_id, ops, validate_only)
        case other:
            raise unsupported(other)


def _op(config: AlterableConfig) -> ConfigOp:
    try:
        kind = ConfigOpType(config.config_operation)
    except ValueError:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST, f"unknown operation {config.config_operation} on {config.name}"
        ) from None
    if config.value is None and kind is not ConfigOpType.DELETE:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"no value is given for {config.name}")
    return ConfigOp(config.name, kind, config.value)
