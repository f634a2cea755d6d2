"""CreatePartitions (37): lets topics grow. Versions 0 to 3.

A topic that stands twice in one request is refused with INVALID_REQUEST.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.coordination.cluster_view import TopicState
from fastlog.server.admin_errors import outcome, repeated, repeated_error
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.topics import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext


@handles(ApiKey.CREATE_PARTITIONS)
async def handle(ctx: RequestContext, request: CreatePartitionsRequest) -> CreatePartitionsResponse:
    """Grows the topics one after the other."""
    twice = repeated(topic.name for topic in request.topics)
    results: dict[str, CreatePartitionsTopicResult] = {}
    for topic in request.topics:
        if topic.name in results:
            continue
        _, code, message = await outcome(_grow(ctx, topic, request.validate_only, topic.name in twice))
        results[topic.name] = CreatePartitionsTopicResult(
            name=topic.name, error_code=code, error_message=message
        )
    return CreatePartitionsResponse(results=list(results.values()))


async def _grow(
    ctx: RequestContext, topic: CreatePartitionsTopic, validate_only: bool, twice: bool
) -> TopicState:
    if twice:
        raise repeated_error(f"topic '{topic.name}'")
    assignments = None if topic.assignments is None else [item.broker_ids for item in topic.assignments]
    return await ctx.broker.topics.create_partitions(topic.name, topic.count, assignments, validate_only)
