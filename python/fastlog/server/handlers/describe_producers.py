"""DescribeProducers (61): the producers that a partition's leader remembers (KIP-664). Version 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.coordination.topic_names import topic_name_problem
from fastlog.errors import ErrorCode
from fastlog.server.partitions import find_leader
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext


@handles(ApiKey.DESCRIBE_PRODUCERS)
def handle(ctx: RequestContext, request: DescribeProducersRequest) -> DescribeProducersResponse:
    """Producer state from memory, per partition."""
    return DescribeProducersResponse(
        topics=[
            TopicResponse(
                name=topic.name,
                partitions=[_describe(ctx, topic.name, index) for index in topic.partition_indexes],
            )
            for topic in request.topics
        ]
    )


def _describe(ctx: RequestContext, topic: str, partition: int) -> PartitionResponse:
    problem = topic_name_problem(topic)
    if problem is not None:
        return PartitionResponse(
            partition_index=partition,
            error_code=int(ErrorCode.INVALID_TOPIC_EXCEPTION),
            error_message=problem,
        )
    replica, error = find_leader(ctx.broker, topic, partition)
    if replica is None:
        return PartitionResponse(
            partition_index=partition, error_code=int(error), error_message=ErrorCode.of(error).text
        )
    return PartitionResponse(
        partition_index=partition,
        active_producers=[
            ProducerState(
                producer_id=row[0],
                producer_epoch=row[1],
                last_sequence=row[2],
                last_timestamp=row[3],
                coordinator_epoch=row[4],
                current_txn_start_offset=row[5],
            )
            for row in replica.log.active_producers()
        ],
    )
