"""OffsetCommit (8): positions of a group, remembered when they are in the log. Versions 0 to 9.

A partition that does not exist gets UNKNOWN_TOPIC_OR_PARTITION, a text that is longer than
offset.metadata.max.bytes OFFSET_METADATA_TOO_LARGE; the other offsets are committed all the same. Version 1
brings a time of its own, versions 2 to 4 a time of retention. Version 0 has no generation: it is a commit
from outside of the group (Kafka kept these in ZooKeeper, and refuses them without one). Members of the
consumer protocol need version 9, which knows member epochs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.commits import Committer
from fastlog.coordination.groups.offsets import NO_TIMESTAMP, CommittedOffset
from fastlog.errors import ErrorCode
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext

_DEFAULT_RETENTION: Final = -1
_EPOCHS_FROM: Final = 9


@handles(ApiKey.OFFSET_COMMIT)
async def handle(ctx: RequestContext, request: OffsetCommitRequest) -> OffsetCommitResponse:
    """Answers when the offsets are appended."""
    now_ms = ctx.broker.clock.now_ms()
    expires = NO_TIMESTAMP
    if request.retention_time_ms != _DEFAULT_RETENTION:
        expires = now_ms + request.retention_time_ms
    limit = ctx.broker.config.offset_metadata_max_bytes
    refused: dict[tuple[str, int], ErrorCode] = {}
    offsets: dict[tuple[str, int], CommittedOffset] = {}
    for topic in request.topics:
        found = ctx.broker.cluster.topics.get(topic.name)
        count = 0 if found is None else len(found.partitions)
        for item in topic.partitions:
            key = (topic.name, item.partition_index)
            if not 0 <= item.partition_index < count:
                refused[key] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            elif len(item.committed_metadata or "") > limit:
                refused[key] = ErrorCode.OFFSET_METADATA_TOO_LARGE
            else:
                offsets[key] = _committed(item, now_ms, expires)
    who = Committer(
        request.member_id,
        request.group_instance_id,
        request.generation_id_or_member_epoch,
        knows_epochs=ctx.header.api_version >= _EPOCHS_FROM,
    )
    error = await ctx.broker.groups.commits.commit(request.group_id, who, offsets)
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                topic.name,
                [
                    OffsetCommitResponsePartition(
                        item.partition_index, int(refused.get((topic.name, item.partition_index), error))
                    )
                    for item in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def _committed(item: OffsetCommitRequestPartition, now_ms: int, expires: int) -> CommittedOffset:
    own_time = item.commit_timestamp != NO_TIMESTAMP
    return CommittedOffset(
        offset=item.committed_offset,
        leader_epoch=item.committed_leader_epoch,
        metadata=item.committed_metadata or "",
        commit_timestamp_ms=item.commit_timestamp if own_time else now_ms,
        expire_timestamp_ms=expires,
    )
