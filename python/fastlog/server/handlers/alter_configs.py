"""AlterConfigs (33): replaces all overrides of a topic, broker or group at once. Versions 0 to 2.

The older way, kept for older tools: what the request leaves out falls back to its default. INVALID_REQUEST
for a null value, a resource or a key that stands twice, and (KAFKA-13609) whatever a broker may not be set
to; INVALID_CONFIG for what a topic or group may not be set to (`ConfigAdminManager.preprocess`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.admin.admin_errors import outcome, repeated, repeated_error
from fastlog.server.admin.config_batches import ConfigBatch, change_of
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.alter_configs import (
    AlterableConfig,
    AlterConfigsRequest,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)

if TYPE_CHECKING:
    from fastlog.coordination.config_changes import ConfigChange
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps


@handles(ApiKey.ALTER_CONFIGS)
async def handle(ctx: RequestContext, request: AlterConfigsRequest) -> AlterConfigsResponse:
    """Sets the resources, some at a time."""
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
    return AlterConfigsResponse(responses=list(responses.values()))


async def _change(ctx: RequestContext, item: AlterConfigsResource, twice: bool) -> ConfigChange:
    if twice:
        raise repeated_error("the resource")
    configs = await ctx.pace.run(_values(item.configs))
    return change_of(ctx, item.resource_type, item.resource_name, configs)


def _values(configs: list[AlterableConfig]) -> Steps[dict[str, str]]:
    twice = yield from repeated(config.name for config in configs)
    if twice:
        raise repeated_error(f"config {', '.join(sorted(twice))}")
    values = {}
    for config in configs:
        if config.value is None:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"no value is given for {config.name}")
        values[config.name] = config.value
        yield
    return values
