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
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)

if TYPE_CHECKING:
    from fastlog.coordination.cluster_view import TopicState
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

_DEFAULT_RETENTION: Final = -1
_EPOCHS_FROM: Final = 9
_NEVER: Final = (1 << 63) - 1
_AT_ONCE: Final = 256
_LOT: Final = 32
"""Partitions between two moments at which others may go first: each takes a microsecond or two."""

Offsets = dict[tuple[str, int], CommittedOffset]
Refused = dict[tuple[str, int], ErrorCode]


@handles(ApiKey.OFFSET_COMMIT)
async def handle(ctx: RequestContext, request: OffsetCommitRequest) -> OffsetCommitResponse:
    """Answers when the offsets are appended."""
    refused: Refused = {}
    offsets: Offsets = {}
    seen: dict[str, TopicState] = {}
    await ctx.pace.run(_sort(ctx, request, offsets, refused, seen))
    who = Committer(
        request.member_id,
        request.group_instance_id,
        request.generation_id_or_member_epoch,
        knows_epochs=ctx.header.api_version >= _EPOCHS_FROM,
    )
    error = await _commit(ctx, request.group_id, who, offsets, seen, refused)
    return await ctx.pace.run(_answer(request, refused, int(error)))


def _sort(
    ctx: RequestContext,
    request: OffsetCommitRequest,
    offsets: Offsets,
    refused: Refused,
    seen: dict[str, TopicState],
) -> Steps[None]:
    """Which offsets can be committed, and which cannot; a step is a lot of partitions."""
    now_ms = ctx.broker.clock.now_ms()
    expires = NO_TIMESTAMP
    if request.retention_time_ms != _DEFAULT_RETENTION:
        expires = min(now_ms + request.retention_time_ms, _NEVER)
    limit = ctx.broker.config.offset_metadata_max_bytes
    for topic in request.topics:
        name = topic.name
        found = ctx.broker.cluster.topics.get(name)
        count = 0 if found is None else len(found.partitions)
        if found is not None:
            seen[name] = found
        for number, item in enumerate(topic.partitions, start=1):
            index, text, time_ms = item.partition_index, item.committed_metadata, item.commit_timestamp
            if not 0 <= index < count:
                refused[name, index] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            elif text and _length(text) > limit:
                refused[name, index] = ErrorCode.OFFSET_METADATA_TOO_LARGE
            else:
                offsets[name, index] = CommittedOffset(
                    item.committed_offset,
                    item.committed_leader_epoch,
                    text or "",
                    now_ms if time_ms == NO_TIMESTAMP else time_ms,
                    expires,
                )
            if not number % _LOT:
                yield
        if topic is not request.topics[-1]:
            yield


def _answer(request: OffsetCommitRequest, refused: Refused, error: int) -> Steps[OffsetCommitResponse]:
    answer = OffsetCommitResponse()
    for topic in request.topics:
        if answer.topics:
            yield
        rows: list[OffsetCommitResponsePartition] = []
        answer.topics.append(OffsetCommitResponseTopic(topic.name, rows))
        for number, item in enumerate(topic.partitions, start=1):
            index = item.partition_index
            code = int(refused.get((topic.name, index), error)) if refused else error
            rows.append(OffsetCommitResponsePartition(index, code))
            if not number % _LOT:
                yield
    return answer


def _length(text: str) -> int:
    """Java's String.length: UTF-16 units, so that a character beyond the basic plane counts twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


async def _commit(
    ctx: RequestContext,
    group_id: str,
    who: Committer,
    offsets: Offsets,
    seen: dict[str, TopicState],
    refused: Refused,
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
