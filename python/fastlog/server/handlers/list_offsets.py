"""ListOffsets (2): the earliest and latest offset of a partition, and offsets by time.

| timestamp | from | answer                                                                              |
|-----------|------|-------------------------------------------------------------------------------------|
| -1        | 0    | where a consumer reads next: high watermark, or last stable offset (read_committed);|
|           |      | where the log ends for a follower                                                   |
| -2        | 0    | log start offset                                                                    |
| -3        | 7    | the record with the largest timestamp (KIP-734)                                     |
| -4        | 8    | earliest offset on this disk: the log start offset (no tiered storage)              |
| -5        | 9    | last offset in tiered storage: none, -1 with epoch -1                               |
| >= 0      | 1    | the first record at or after that time; -1 when none is readable                    |

Version 0 answers with a list of segment offsets, newest first, by the time of each segment's last change in
Kafka; here by the segment's largest record timestamp. The log end, and a segment without timestamps, are as
new as the question. From 4 on leader epochs are checked and answered. Only the leader answers, but to a
debugging replica (-2). While a new leader's high watermark is below the start of its epoch it may be below
what consumers have seen: the latest offset, and times beyond it, are OFFSET_NOT_AVAILABLE
(LEADER_NOT_AVAILABLE before version 5; KIP-207). A partition that is asked about twice gets INVALID_REQUEST.
Searches read the log, so they run in threads of their own.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.native import FastlogNativeError
from fastlog.server.admin.admin_errors import repeated
from fastlog.server.fetch.rows import upper_offset
from fastlog.server.requests.registry import handles
from fastlog.server.requests.replica_lookup import find_leader, find_replica
from fastlog.wire import ApiKey
from fastlog.wire.messages.offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)

if TYPE_CHECKING:
    from fastlog.replication.partition import Partition
    from fastlog.server.requests.context import RequestContext

_LOG: Final = logging.getLogger(__name__)
LATEST: Final = -1
EARLIEST: Final = -2
MAX_TIMESTAMP: Final = -3
EARLIEST_LOCAL: Final = -4
LATEST_TIERED: Final = -5
_FIRST_VERSION: Final = {LATEST: 0, EARLIEST: 0, MAX_TIMESTAMP: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9}
_EPOCHS_FROM: Final = 4
_NOT_AVAILABLE_FROM: Final = 5
_CONSUMER: Final = -1
_DEBUGGING: Final = -2
_NONE: Final = -1
_OFFSET_BYTES: Final = 40
"""A number in a list."""


@handles(ApiKey.LIST_OFFSETS)
async def handle(ctx: RequestContext, request: ListOffsetsRequest) -> ListOffsetsResponse:
    """Answers partition by partition, in the order of the request."""
    twice = await ctx.pace.run(
        repeated(
            (topic.name, partition.partition_index)
            for topic in request.topics
            for partition in topic.partitions
        )
    )
    return ListOffsetsResponse(
        topics=[
            ListOffsetsTopicResponse(
                name=topic.name,
                partitions=[
                    _error(partition, ErrorCode.INVALID_REQUEST)
                    if (topic.name, partition.partition_index) in twice
                    else await _list(ctx, request, topic.name, partition)
                    async for partition in ctx.pace.each(topic.partitions)
                ],
            )
            async for topic in ctx.pace.each(request.topics)
        ]
    )


async def _list(
    ctx: RequestContext, request: ListOffsetsRequest, topic: str, asked: ListOffsetsPartition
) -> ListOffsetsPartitionResponse:
    version = ctx.header.api_version
    if asked.timestamp < 0 and version < _FIRST_VERSION.get(asked.timestamp, version + 1):
        return _error(asked, ErrorCode.UNSUPPORTED_VERSION)
    find = find_replica if request.replica_id == _DEBUGGING else find_leader
    replica, error = find(ctx.broker, topic, asked.partition_index, asked.current_leader_epoch)
    if replica is None:
        return _error(asked, error)
    try:
        if version == 0:
            return ListOffsetsPartitionResponse(
                partition_index=asked.partition_index,
                old_style_offsets=await _old_style(ctx, replica, asked, _limit(replica, request)),
            )
        found = await _find(ctx, replica, asked.timestamp, _limit(replica, request))
    except FastlogNativeError as failure:
        # What cannot be read in one log is told for it alone: the others are answered.
        _LOG.warning("looking for an offset in %s-%d: %s", topic, asked.partition_index, failure)
        return _error(asked, failure.code)
    if (found is None or asked.timestamp == LATEST) and _lags(replica, request):
        if version < _NOT_AVAILABLE_FROM:
            return _error(asked, ErrorCode.LEADER_NOT_AVAILABLE)
        return _error(asked, ErrorCode.OFFSET_NOT_AVAILABLE)
    if found is None:
        return _error(asked, ErrorCode.NONE)
    timestamp, offset, epoch = found
    return ListOffsetsPartitionResponse(
        partition_index=asked.partition_index,
        timestamp=timestamp,
        offset=offset,
        leader_epoch=epoch if version >= _EPOCHS_FROM else _NONE,
    )


def _limit(replica: Partition, request: ListOffsetsRequest) -> int:
    """Up to where (exclusive) whoever asks may look."""
    if request.replica_id == _CONSUMER:
        return upper_offset(replica, request.isolation_level)
    return replica.end_offset


def _lags(replica: Partition, request: ListOffsetsRequest) -> bool:
    """Whether a consumer may have seen more than this new leader knows to be replicated."""
    return (
        request.replica_id == _CONSUMER and replica.is_leader and replica.high_watermark < replica.epoch_start
    )


async def _find(
    ctx: RequestContext, replica: Partition, timestamp: int, upper: int
) -> tuple[int, int, int] | None:
    """(timestamp, offset, leader epoch), or None when there is no such record below `upper`."""
    log = replica.log
    if timestamp == LATEST:
        return _NONE, upper, replica.leader_epoch
    if timestamp in (EARLIEST, EARLIEST_LOCAL):
        start = log.log_start_offset
        return _NONE, start, _epoch_at(replica, start)
    if timestamp == LATEST_TIERED:
        return _NONE, _NONE, _NONE
    if timestamp == MAX_TIMESTAMP:
        found = await ctx.broker.searches.run(log.max_timestamp_offset)
    else:
        found = await ctx.broker.searches.run(log.offset_for_timestamp, timestamp, upper)
    return found if found is not None and found[1] < upper else None


def _epoch_at(replica: Partition, offset: int) -> int:
    """The leader epoch that wrote `offset`, or -1: the smallest known epoch that ends above it."""
    log = replica.log
    low, high = 0, log.latest_epoch
    if high < 0:
        return _NONE
    while low < high:
        middle = (low + high) // 2
        if log.end_offset_for_epoch(middle)[1] > offset:
            high = middle
        else:
            low = middle + 1
    epoch, _ = log.end_offset_for_epoch(low)
    return epoch


async def _old_style(
    ctx: RequestContext, replica: Partition, asked: ListOffsetsPartition, end: int
) -> list[int]:
    now_ms = ctx.broker.clock.now_ms()
    offsets = await ctx.broker.searches.run(_segment_offsets, replica, asked, now_ms, end)
    ctx.pace.grow(len(offsets) * _OFFSET_BYTES)
    return offsets


def _segment_offsets(replica: Partition, asked: ListOffsetsPartition, now_ms: int, end: int) -> list[int]:
    """Offsets of version 0: log end and starts of segments, falling, at most `max_num_offsets`.

    The log end has the time of the question, as in Kafka (`UnifiedLog.legacyFetchOffsetsBefore`). Blocks: it
    may have to go over a segment on the disk.
    """
    log = replica.log
    start = log.log_start_offset
    segments = log.segments()
    offsets = [max(base, start) for base, _, _ in segments]
    times = [stamp if stamp >= 0 else now_ms for _, _, stamp in segments]
    if segments and segments[-1][1] > 0:
        offsets.append(end)
        times.append(now_ms)
    if asked.timestamp == LATEST:
        newest = len(offsets)
    elif asked.timestamp == EARLIEST:
        newest = 1
    else:
        newest = max((index + 1 for index, stamp in enumerate(times) if stamp <= asked.timestamp), default=0)
    chosen = sorted((min(offset, end) for offset in offsets[:newest]), reverse=True)
    return list(dict.fromkeys(chosen))[: max(asked.max_num_offsets, 0)]


def _error(asked: ListOffsetsPartition, code: int) -> ListOffsetsPartitionResponse:
    return ListOffsetsPartitionResponse(
        partition_index=asked.partition_index, error_code=int(code), timestamp=_NONE, offset=_NONE
    )
