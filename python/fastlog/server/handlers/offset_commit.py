"""OffsetCommit (8): positions of a group, remembered when they are in the log. Versions 0 to 9.

A partition that does not exist gets UNKNOWN_TOPIC_OR_PARTITION, a text that is longer than
offset.metadata.max.bytes (`_length` counts as Kafka does) OFFSET_METADATA_TOO_LARGE; the other offsets are
committed all the same. Version 1 brings a time of its own, versions 2 to 4 a time of retention. Version 0 has
no generation: it is a commit from outside of the group (Kafka kept these in ZooKeeper, and refuses them
without one). Members of the consumer protocol need version 9, which knows member epochs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.commits import Committer
from fastlog.coordination.groups.committed_offsets import NO_TIMESTAMP, CommittedOffset
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.coordination.groups.records import encode_offsets_in_steps
from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)

if TYPE_CHECKING:
    from fastlog.coordination.cluster_view import TopicState
    from fastlog.server.requests.context import RequestContext

_DEFAULT_RETENTION: Final = -1
_EPOCHS_FROM: Final = 9
_NEVER: Final = (1 << 63) - 1
_AT_ONCE: Final = 256

Offsets = dict[tuple[str, int], CommittedOffset]


@handles(ApiKey.OFFSET_COMMIT)
async def handle(ctx: RequestContext, request: OffsetCommitRequest) -> OffsetCommitResponse:
    """Answers when the offsets are appended."""
    now_ms = ctx.broker.clock.now_ms()
    expires = NO_TIMESTAMP
    if request.retention_time_ms != _DEFAULT_RETENTION:
        expires = min(now_ms + request.retention_time_ms, _NEVER)
    limit = ctx.broker.config.offset_metadata_max_bytes
    refused: dict[tuple[str, int], ErrorCode] = {}
    offsets: Offsets = {}
    seen: dict[str, TopicState] = {}
    async for topic in ctx.pace.each(request.topics):
        found = ctx.broker.cluster.topics.get(topic.name)
        count = 0 if found is None else len(found.partitions)
        if found is not None:
            seen[topic.name] = found
        async for lot in ctx.pace.lots(topic.partitions):
            for item in lot:
                key = (topic.name, item.partition_index)
                if not 0 <= item.partition_index < count:
                    refused[key] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                elif _length(item.committed_metadata or "") > limit:
                    refused[key] = ErrorCode.OFFSET_METADATA_TOO_LARGE
                else:
                    offsets[key] = _committed(item, now_ms, expires)
    who = Committer(
        request.member_id,
        request.group_instance_id,
        request.generation_id_or_member_epoch,
        knows_epochs=ctx.header.api_version >= _EPOCHS_FROM,
    )
    error = await _commit(ctx, request.group_id, who, offsets, seen, refused)
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                topic.name,
                [
                    OffsetCommitResponsePartition(
                        item.partition_index, int(refused.get((topic.name, item.partition_index), error))
                    )
                    async for lot in ctx.pace.lots(topic.partitions)
                    for item in lot
                ],
            )
            async for topic in ctx.pace.each(request.topics)
        ]
    )


def _length(text: str) -> int:
    """Java's String.length: UTF-16 units, so that a character beyond the basic plane counts twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


async def _commit(
    ctx: RequestContext,
    group_id: str,
    who: Committer,
    offsets: Offsets,
    seen: dict[str, TopicState],
    refused: dict[tuple[str, int], ErrorCode],
) -> ErrorCode:
    """Commits what may still be committed: topics may have been deleted while others had their turns."""
    records = None
    if len(offsets) > _AT_ONCE:
        try:
            records = await ctx.pace.run(encode_offsets_in_steps(group_id, offsets))
        except BadGroupRecord:
            return ErrorCode.INVALID_COMMIT_OFFSET_SIZE
    topics = ctx.broker.cluster.topics
    gone = {name for name, state in seen.items() if not _is_same(state, topics.get(name))}
    if gone:
        refused.update((key, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) for key in offsets if key[0] in gone)
        offsets = {key: offset for key, offset in offsets.items() if key[0] not in gone}
        records = None
    return await ctx.broker.groups.commits.commit(group_id, who, offsets, records)


def _is_same(before: TopicState, now: TopicState | None) -> bool:
    return now is not None and now.topic_id == before.topic_id


def _committed(item: OffsetCommitRequestPartition, now_ms: int, expires: int) -> CommittedOffset:
    own_time = item.commit_timestamp != NO_TIMESTAMP
    return CommittedOffset(
        offset=item.committed_offset,
        leader_epoch=item.committed_leader_epoch,
        metadata=item.committed_metadata or "",
        commit_timestamp_ms=item.commit_timestamp if own_time else now_ms,
        expire_timestamp_ms=expires,
    )
