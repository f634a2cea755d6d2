"""OffsetForLeaderEpoch (23): where a leader epoch ended, so that a consumer notices a truncation (KIP-320).

Versions 0 to 4; from 2 on the asker's own leader epoch is checked. An unknown epoch is answered with -1 and
-1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.server.requests.registry import handles
from fastlog.server.requests.replica_lookup import find_leader
from fastlog.wire import ApiKey
from fastlog.wire.messages.offsets import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps


@handles(ApiKey.OFFSET_FOR_LEADER_EPOCH)
def handle(ctx: RequestContext, request: OffsetForLeaderEpochRequest) -> Steps[OffsetForLeaderEpochResponse]:
    """Answers from the epoch file, which is in memory."""
    response = OffsetForLeaderEpochResponse()
    for topic in request.topics:
        result = OffsetForLeaderTopicResult(topic=topic.topic)
        response.topics.append(result)
        yield
        for partition in topic.partitions:
            result.partitions.append(_end_of_epoch(ctx, topic.topic, partition))
            yield
    return response


def _end_of_epoch(ctx: RequestContext, topic: str, asked: OffsetForLeaderPartition) -> EpochEndOffset:
    replica, error = find_leader(ctx.broker, topic, asked.partition, asked.current_leader_epoch)
    if replica is None:
        return EpochEndOffset(partition=asked.partition, error_code=int(error))
    epoch, end_offset = replica.log.end_offset_for_epoch(asked.leader_epoch)
    return EpochEndOffset(partition=asked.partition, leader_epoch=epoch, end_offset=end_offset)
