"""OffsetCommit (8): positions of a group, remembered when they are in the log. Versions 0 to 9.

A partition that does not exist gets UNKNOWN_TOPIC_OR_PARTITION, a text that is longer than
offset.metadata.max.bytes (`text_length` counts as Kafka does) OFFSET_METADATA_TOO_LARGE; the other offsets
are committed all the same. Version 1 brings a time of its own, versions 2 to 4 a time of retention. Version 0
has no generation: it is a commit from outside of the group (Kafka kept these in ZooKeeper, and refuses them
without one). Members of the consumer protocol need version 9, which knows member epochs.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from fastlog.coordination.groups.commits import Committer
from fastlog.coordination.groups.committed_offsets import NO_TIMESTAMP, CommittedOffset, TopicPartition
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.coordination.groups.records import encode_offsets_in_steps
from fastlog.coordination.groups.weight import OFFSET_BYTES
from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import Answer, handles_later
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
    from fastlog.wire import Steps

_DEFAULT_RETENTION: Final = -1
_EPOCHS_FROM: Final = 9
_NEVER: Final = (1 << 63) - 1
_AT_ONCE: Final = 256
_LOT: Final = 32
"""Partitions between two moments at which others may go first: each takes a microsecond or two."""

_FEW: Final = 60
"""So few partitions and topics are committed, and answered, at once: their answer is a small one, too."""

Rows = Sequence[OffsetCommitRequestPartition]


class _Offsets:
    """The offsets of one request: those that can be committed, and those that cannot."""

    __slots__ = ("_expires", "_limit", "_now_ms", "good", "refused", "weight")

    def __init__(self, ctx: RequestContext, request: OffsetCommitRequest) -> None:
        now_ms = self._now_ms = ctx.broker.clock.now_ms()
        self._expires = NO_TIMESTAMP
        if request.retention_time_ms != _DEFAULT_RETENTION:
            self._expires = min(now_ms + request.retention_time_ms, _NEVER)
        self._limit = ctx.broker.config.offset_metadata_max_bytes
        self.good: dict[TopicPartition, CommittedOffset] = {}
        self.refused: dict[TopicPartition, ErrorCode] = {}
        self.weight = 0
        """What the good ones weigh, or more."""

    def add(self, name: str, count: int, rows: Rows) -> None:
        """Sorts rows of a topic of so many partitions."""
        now_ms, expires, good = self._now_ms, self._expires, self.good
        self.weight += len(rows) * (OFFSET_BYTES + len(name))
        for row in rows:
            index, text, time_ms = row.partition_index, row.committed_metadata, row.commit_timestamp
            if not 0 <= index < count:
                self.refused[name, index] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                continue
            if text:
                if text_length(text) > self._limit:
                    self.refused[name, index] = ErrorCode.OFFSET_METADATA_TOO_LARGE
                    continue
                self.weight += len(text)
            good[name, index] = CommittedOffset(
                row.committed_offset,
                row.committed_leader_epoch,
                text or "",
                now_ms if time_ms == NO_TIMESTAMP else time_ms,
                expires,
            )

    def answers(self, name: str, rows: Rows, error: int) -> list[OffsetCommitResponsePartition]:
        """What these rows are answered with; `error` is the code of the good ones."""
        refused = self.refused
        if not refused:
            return [OffsetCommitResponsePartition(row.partition_index, error) for row in rows]
        indexes = [row.partition_index for row in rows]
        return [
            OffsetCommitResponsePartition(index, int(refused.get((name, index), error))) for index in indexes
        ]


@handles_later(ApiKey.OFFSET_COMMIT, lets_same=True)
def handle(
    ctx: RequestContext, request: OffsetCommitRequest, answer: Answer
) -> Coroutine[Any, Any, OffsetCommitResponse] | None:
    """Answers when the offsets are appended."""
    elements = len(request.topics)
    for topic in request.topics:
        elements += len(topic.partitions)
    if elements > _FEW:
        return _in_turns(ctx, request)
    offsets, topics = _Offsets(ctx, request), ctx.broker.cluster.topics
    for topic in request.topics:
        found = topics.get(topic.name)
        offsets.add(topic.name, 0 if found is None else len(found.partitions), topic.partitions)

    def then(code: ErrorCode) -> None:
        error = int(code)
        response = OffsetCommitResponse(
            topics=[
                OffsetCommitResponseTopic(topic.name, offsets.answers(topic.name, topic.partitions, error))
                for topic in request.topics
            ]
        )
        answer(response, None if error or offsets.refused else ())

    groups = ctx.broker.groups
    groups.commits.begin(request.group_id, _committer(ctx, request), offsets.good, then, offsets.weight)
    return None


async def _in_turns(ctx: RequestContext, request: OffsetCommitRequest) -> OffsetCommitResponse:
    offsets = _Offsets(ctx, request)
    seen: dict[str, TopicState] = {}
    await ctx.pace.run(_sort(ctx, request, offsets, seen))
    error = await _commit(ctx, request, offsets, seen)
    return await ctx.pace.run(_answer(request, offsets, int(error)))


def _committer(ctx: RequestContext, request: OffsetCommitRequest) -> Committer:
    return Committer(
        request.member_id,
        request.group_instance_id,
        request.generation_id_or_member_epoch,
        ctx.header.api_version >= _EPOCHS_FROM,
    )


def _sort(
    ctx: RequestContext, request: OffsetCommitRequest, offsets: _Offsets, seen: dict[str, TopicState]
) -> Steps[None]:
    """Which offsets can be committed, and which cannot; a step is a lot of partitions."""
    for topic in request.topics:
        found = ctx.broker.cluster.topics.get(topic.name)
        count = 0 if found is None else len(found.partitions)
        if found is not None:
            seen[topic.name] = found
        for first in range(0, len(topic.partitions), _LOT):
            offsets.add(topic.name, count, topic.partitions[first : first + _LOT])
            yield


def _answer(request: OffsetCommitRequest, offsets: _Offsets, error: int) -> Steps[OffsetCommitResponse]:
    answer = OffsetCommitResponse()
    for topic in request.topics:
        rows: list[OffsetCommitResponsePartition] = []
        answer.topics.append(OffsetCommitResponseTopic(topic.name, rows))
        for first in range(0, len(topic.partitions), _LOT):
            rows += offsets.answers(topic.name, topic.partitions[first : first + _LOT], error)
            yield
        if not rows:
            yield
    return answer


def text_length(text: str) -> int:
    """Java's String.length: UTF-16 units, so that a character beyond the basic plane counts twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


async def _commit(
    ctx: RequestContext, request: OffsetCommitRequest, offsets: _Offsets, seen: dict[str, TopicState]
) -> ErrorCode:
    """Commits what may still be committed: topics may have been deleted while others had their turns."""
    group_id, good, records = request.group_id, offsets.good, None
    if len(good) > _AT_ONCE:
        try:
            records = await ctx.pace.run(encode_offsets_in_steps(group_id, good))
        except BadGroupRecord:
            return ErrorCode.INVALID_COMMIT_OFFSET_SIZE
    topics = ctx.broker.cluster.topics
    gone = {name for name, state in seen.items() if not _is_same(state, topics.get(name))}
    if gone:
        offsets.refused.update((key, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) for key in good if key[0] in gone)
        good = {key: offset for key, offset in good.items() if key[0] not in gone}
        records = None
    return await ctx.broker.groups.commits.commit(group_id, _committer(ctx, request), good, records)


def _is_same(before: TopicState, now: TopicState | None) -> bool:
    return now is not None and now.topic_id == before.topic_id
