"""DeleteRecords (21): raises the log start offset of partitions. Versions 0 to 2.

Offset -1 stands for the high watermark. OFFSET_OUT_OF_RANGE above it or below -1; POLICY_VIOLATION on a
topic whose cleanup.policy lacks "delete"; the new log start offset is durable when the answer goes out
(`ReplicaManager.deleteRecords`). The answer waits until the followers whose brokers are alive have deleted
the records as well, which their fetches tell, for `timeout_ms` at most: then it says REQUEST_TIMED_OUT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.config import TopicConfig
from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import FastlogNativeError
from fastlog.server.admin.deletion_wait import Deletion, await_followers
from fastlog.server.requests.error_answers import error_code_of
from fastlog.server.requests.registry import handles
from fastlog.server.requests.replica_lookup import find_leader
from fastlog.wire import ApiKey
from fastlog.wire.messages.topics import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)

if TYPE_CHECKING:
    from fastlog.replication.partition import PartitionKey
    from fastlog.server.requests.context import RequestContext

HIGH_WATERMARK: Final = -1
_NO_OFFSET: Final = -1


@handles(ApiKey.DELETE_RECORDS)
async def handle(ctx: RequestContext, request: DeleteRecordsRequest) -> DeleteRecordsResponse:
    """Works through the partitions one after the other, and writes all of it down at the end."""
    topics = []
    done: dict[PartitionKey, list[DeleteRecordsPartitionResult]] = {}
    deletions: list[Deletion] = []
    async for topic in ctx.pace.each(request.topics):
        partitions: list[DeleteRecordsPartitionResult] = []
        async for item in ctx.pace.each(topic.partitions):
            row, deletion = await _answer(ctx, topic.name, item)
            partitions.append(row)
            if not row.error_code:
                done.setdefault((topic.name, row.partition_index), []).append(row)
            if deletion is not None and deletion.partition.followers:
                deletions.append(deletion)
        topics.append(DeleteRecordsTopicResult(name=topic.name, partitions=partitions))
    # A directory's checkpoint has all of its partitions: one for each of them would be a square.
    for key in await ctx.broker.logs.keep_log_starts(done):
        for row in done[key]:
            row.low_watermark, row.error_code = _NO_OFFSET, int(ErrorCode.KAFKA_STORAGE_ERROR)
    if deletions:
        kept = [deletion for deletion in deletions if not deletion.row.error_code]
        await await_followers(ctx, kept, request.timeout_ms)
    return DeleteRecordsResponse(topics=topics)


async def _answer(
    ctx: RequestContext, topic: str, item: DeleteRecordsPartition
) -> tuple[DeleteRecordsPartitionResult, Deletion | None]:
    row = DeleteRecordsPartitionResult(partition_index=item.partition_index, low_watermark=_NO_OFFSET)
    try:
        return row, await _delete(ctx, topic, item, row)
    except (KafkaError, FastlogNativeError, OSError) as error:
        row.error_code = int(error_code_of(error))
        return row, None


async def _delete(
    ctx: RequestContext, topic: str, item: DeleteRecordsPartition, row: DeleteRecordsPartitionResult
) -> Deletion:
    """The row gets the log start offset after it: the low watermark where there are no followers."""
    replica, code = find_leader(ctx.broker, topic, item.partition_index)
    if replica is None:
        raise KafkaError(ErrorCode.of(code))
    state = ctx.broker.cluster.topics.get(topic)
    if state is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    policy = TopicConfig.in_force(state.configs, ctx.broker.config.layers).values["cleanup.policy"]
    if isinstance(policy, tuple) and "delete" not in policy:
        raise KafkaError(ErrorCode.POLICY_VIOLATION, f"cleanup.policy of '{topic}' is {','.join(policy)}")
    high_watermark = replica.high_watermark
    offset = high_watermark if item.offset == HIGH_WATERMARK else item.offset
    if not 0 <= offset <= high_watermark:
        raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE, f"offset {offset} is not in [0, {high_watermark}]")
    row.low_watermark = await ctx.broker.logs.advance_log_start(topic, item.partition_index, offset)
    return Deletion(replica, offset, row)
