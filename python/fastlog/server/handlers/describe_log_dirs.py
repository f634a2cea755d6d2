"""DescribeLogDirs (35): log directories, the sizes of their partitions, and their disks. Versions 0 to 4.

A directory that is offline is listed with KAFKA_STORAGE_ERROR. Null topics ask for all of them. `offset_lag`
is the distance from log end to high watermark. From version 4 on total and usable bytes of the volume.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.memory.answer_memory import ROW_BYTES
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.cluster import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext
    from fastlog.storage.log_dir import LogDirectory

_UNKNOWN_BYTES: Final = -1
Wanted = dict[str, set[int]] | None


@handles(ApiKey.DESCRIBE_LOG_DIRS)
async def handle(ctx: RequestContext, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse:
    """Sizes come from memory; the space of the volumes is asked for in a thread."""
    wanted: Wanted = None
    if request.topics is not None:
        wanted = defaultdict(set)
        async for topic in ctx.pace.each(request.topics):
            wanted[topic.topic].update(topic.partitions)
    return DescribeLogDirsResponse(
        results=[await _describe(ctx, directory, wanted) for directory in ctx.broker.logs.directories]
    )


async def _describe(ctx: RequestContext, directory: LogDirectory, wanted: Wanted) -> DescribeLogDirsResult:
    path = str(directory.path.absolute())
    if not directory.online:
        return DescribeLogDirsResult(error_code=int(ErrorCode.KAFKA_STORAGE_ERROR), log_dir=path)
    topics: defaultdict[str, list[DescribeLogDirsPartition]] = defaultdict(list)
    async for entry in ctx.pace.each(ctx.broker.logs.table.in_directory(directory)):
        if wanted is not None and entry.partition not in wanted.get(entry.topic, ()):
            continue
        ctx.pace.grow(ROW_BYTES)
        replica = ctx.broker.replicas.get(entry.topic, entry.partition)
        end = entry.log.log_end_offset
        topics[entry.topic].append(
            DescribeLogDirsPartition(
                partition_index=entry.partition,
                partition_size=entry.log.size_bytes,
                offset_lag=0 if replica is None else max(0, end - replica.high_watermark),
            )
        )
    try:
        volume = await asyncio.to_thread(shutil.disk_usage, directory.path)
        total, usable = volume.total, volume.free
    except OSError:
        total = usable = _UNKNOWN_BYTES
    return DescribeLogDirsResult(
        log_dir=path,
        topics=[DescribeLogDirsTopic(name, partitions) for name, partitions in sorted(topics.items())],
        total_bytes=total,
        usable_bytes=usable,
    )
