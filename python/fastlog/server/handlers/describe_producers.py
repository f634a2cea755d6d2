"""DescribeProducers (61): the producers that a replica of a partition remembers (KIP-664). Version 0.

Clients ask the leader, or any replica that they mean: that is what `kafka-transactions.sh find-hanging
--broker-id` does with all that a broker holds.

There may be a hundred thousand of them: they are told some at a time, each as it is when it is its turn, and
an answer with too many fails as large answers do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.topic_names import topic_name_problem
from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.server.requests.replica_lookup import find_replica
from fastlog.wire import ApiKey
from fastlog.wire.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)

if TYPE_CHECKING:
    from fastlog.native.shapes import ActiveProducer
    from fastlog.server.requests.context import RequestContext

_NO_PRODUCER: Final = -1
_AT_ONCE: Final = 512
_STATE_BYTES: Final = 160
"""A `ProducerState` with its numbers."""


@handles(ApiKey.DESCRIBE_PRODUCERS)
async def handle(ctx: RequestContext, request: DescribeProducersRequest) -> DescribeProducersResponse:
    """Producer state from memory, per partition."""
    response = DescribeProducersResponse()
    described: set[tuple[str, int]] = set()
    async for topic in ctx.pace.each(request.topics):
        of_topic = TopicResponse(name=topic.name)
        response.topics.append(of_topic)
        async for index in ctx.pace.each(topic.partition_indexes):
            # One that is named twice is described once: it may have thousands of producers.
            if (topic.name, index) not in described:
                described.add((topic.name, index))
                of_topic.partitions.append(await _describe(ctx, topic.name, index))
    return response


async def _describe(ctx: RequestContext, topic: str, partition: int) -> PartitionResponse:
    problem = topic_name_problem(topic)
    if problem is not None:
        return PartitionResponse(
            partition_index=partition,
            error_code=int(ErrorCode.INVALID_TOPIC_EXCEPTION),
            error_message=problem,
        )
    replica, error = find_replica(ctx.broker, topic, partition)
    if replica is None:
        return PartitionResponse(
            partition_index=partition, error_code=int(error), error_message=ErrorCode.of(error).text
        )
    response = PartitionResponse(partition_index=partition)
    above = _NO_PRODUCER
    while True:
        # The lock on them is that of the writer, who holds it while the disk writes.
        rows = await ctx.broker.searches.run(replica.log.active_producers, above, _AT_ONCE)
        response.active_producers += [_state(row) for row in rows]
        ctx.pace.grow(len(rows) * _STATE_BYTES)
        await ctx.pace.pause()
        if len(rows) < _AT_ONCE:
            return response
        above = rows[-1][0]


def _state(row: ActiveProducer) -> ProducerState:
    producer_id, epoch, sequence, timestamp, coordinator_epoch, txn_start_offset = row
    return ProducerState(producer_id, epoch, sequence, timestamp, coordinator_epoch, txn_start_offset)
