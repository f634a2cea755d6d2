"""OffsetDelete (47): a group forgets offsets of topics that its members do not use (KIP-496). Version 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.group_offsets import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)

if TYPE_CHECKING:
    from fastlog.coordination.groups.committed_offsets import TopicPartition
    from fastlog.server.requests.context import RequestContext


@handles(ApiKey.OFFSET_DELETE)
async def handle(ctx: RequestContext, request: OffsetDeleteRequest) -> OffsetDeleteResponse:
    """Answers when the tombstones are appended. Partitions that do not exist are an error, as in Kafka."""
    known: dict[TopicPartition, ErrorCode] = {}
    async for topic in ctx.pace.each(request.topics):
        if (found := ctx.broker.cluster.topics.get(topic.name)) is not None:
            async for item in ctx.pace.each(topic.partitions):
                if 0 <= item.partition_index < len(found.partitions):
                    known[(topic.name, item.partition_index)] = ErrorCode.NONE
    error, codes = await ctx.broker.groups.commits.delete(request.group_id, known)
    if error is not ErrorCode.NONE:
        return OffsetDeleteResponse(error_code=int(error))

    def code(topic: str, partition: int) -> int:
        key = (topic, partition)
        return int(codes.get(key) or known.get(key, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))

    return OffsetDeleteResponse(
        topics=[
            OffsetDeleteResponseTopic(
                topic.name,
                [
                    OffsetDeleteResponsePartition(
                        item.partition_index, code(topic.name, item.partition_index)
                    )
                    async for item in ctx.pace.each(topic.partitions)
                ],
            )
            async for topic in ctx.pace.each(request.topics)
        ]
    )
