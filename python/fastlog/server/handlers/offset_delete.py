"""OffsetDelete (47): a group forgets offsets of topics that its members do not use (KIP-496). Version 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.group_offsets import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext


@handles(ApiKey.OFFSET_DELETE)
async def handle(ctx: RequestContext, request: OffsetDeleteRequest) -> OffsetDeleteResponse:
    """Answers when the tombstones are appended. Partitions that do not exist are an error, as in Kafka."""
    known = [
        (topic.name, item.partition_index)
        for topic in request.topics
        if (found := ctx.broker.cluster.topics.get(topic.name)) is not None
        for item in topic.partitions
        if 0 <= item.partition_index < len(found.partitions)
    ]
    error, codes = await ctx.broker.groups.commits.delete(request.group_id, known)
    if error is not ErrorCode.NONE:
        return OffsetDeleteResponse(error_code=int(error))
    unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return OffsetDeleteResponse(
        topics=[
            OffsetDeleteResponseTopic(
                topic.name,
                [
                    OffsetDeleteResponsePartition(
                        item.partition_index, int(codes.get((topic.name, item.partition_index), unknown))
                    )
                    for item in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
