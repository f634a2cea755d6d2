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
from fastlog.server.admin.admin_errors import outcome, repeated, repeated_error
from fastlog.server.admin.config_batches import ConfigBatch, change_of
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)

if TYPE_CHECKING:
    from fastlog.coordination.config_changes import ConfigChange
    from fastlog.server.requests.context import RequestContext


@handles(ApiKey.INCREMENTAL_ALTER_CONFIGS)
async def handle(
    ctx: RequestContext, request: IncrementalAlterConfigsRequest
) -> IncrementalAlterConfigsResponse:
    """Changes the resources, some at a time."""
    twice = await ctx.pace.run(
        repeated((item.resource_type, item.resource_name) for item in request.resources)
    )
    responses: dict[tuple[int, str], AlterConfigsResourceResponse] = {}
    batch = ConfigBatch(ctx, request.validate_only)
    async for item in ctx.pace.each(request.resources):
        key = (item.resource_type, item.resource_name)
        if key in responses:
            continue
        response = responses[key] = AlterConfigsResourceResponse(resource_type=key[0], resource_name=key[1])
        change, response.error_code, response.error_message = await outcome(_change(ctx, item, key in twice))
        if change is not None:
            await batch.add(response, change)
    await batch.finish()
    return IncrementalAlterConfigsResponse(responses=list(responses.values()))


async def _change(ctx: RequestContext, item: AlterConfigsResource, twice: bool) -> ConfigChange:
    if twice:
        raise repeated_error("the resource")
    ops = [_op(config) async for config in ctx.pace.each(item.configs)]
    return change_of(ctx, item.resource_type, item.resource_name, ops)


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
