"""OffsetFetch (9): what groups have committed. Versions 0 to 9.

One group up to version 7, several from 8 on (KIP-709). No topics (null, from version 2 on): all offsets. A
partition without a commit has offset -1 and no error; a topic without partitions is left out. Errors of the
group are on every partition up to version 1, at the top from 2 on, with the group from 8 on. From 9 on
members say who they are and in which epoch; one that does not know its epoch in a consumer group gets
UNKNOWN_MEMBER_ID or STALE_MEMBER_EPOCH.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.offsets import CommittedOffset, TopicPartition
from fastlog.errors import ErrorCode
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.group_offsets import (
    OffsetFetchRequest,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext

_TOP_LEVEL_ERROR_FROM: Final = 2
_GROUPS_FROM: Final = 8
_NOTHING: Final = CommittedOffset(offset=-1, leader_epoch=-1, metadata="", commit_timestamp_ms=-1)

Wanted = list[tuple[str, list[int]]]


@handles(ApiKey.OFFSET_FETCH)
def handle(ctx: RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse:
    """Answers from memory."""
    if ctx.header.api_version >= _GROUPS_FROM:
        return OffsetFetchResponse(
            groups=[
                _group(
                    ctx,
                    group.group_id,
                    None
                    if group.topics is None
                    else [(topic.name, topic.partition_indexes) for topic in group.topics],
                    ctx.broker.groups.commits.error(group.group_id, group.member_id, group.member_epoch),
                )
                for group in request.groups
            ]
        )
    wanted = None
    if request.topics is not None:
        wanted = [(topic.name, topic.partition_indexes) for topic in request.topics]
    return _single(ctx, request.group_id, wanted)


def _group(
    ctx: RequestContext, group_id: str, wanted: Wanted | None, error: ErrorCode
) -> OffsetFetchResponseGroup:
    if error is not ErrorCode.NONE:
        return OffsetFetchResponseGroup(group_id, [], int(error))
    committed = ctx.broker.groups.commits.fetch(group_id)
    topics = [
        OffsetFetchResponseTopics(
            name,
            [
                OffsetFetchResponsePartitions(index, found.offset, found.leader_epoch, found.metadata, 0)
                for index, found in _offsets(committed, name, indexes)
            ],
        )
        for name, indexes in _all(committed, wanted)
    ]
    return OffsetFetchResponseGroup(group_id, topics, 0)


def _single(ctx: RequestContext, group_id: str, wanted: Wanted | None) -> OffsetFetchResponse:
    error = ctx.broker.groups.commits.error(group_id)
    failed = error is not ErrorCode.NONE
    if failed and ctx.header.api_version >= _TOP_LEVEL_ERROR_FROM:
        return OffsetFetchResponse(error_code=int(error))
    committed = {} if failed else ctx.broker.groups.commits.fetch(group_id)
    return OffsetFetchResponse(
        topics=[
            OffsetFetchResponseTopic(
                name,
                [
                    OffsetFetchResponsePartition(
                        index, found.offset, found.leader_epoch, found.metadata, int(error)
                    )
                    for index, found in _offsets(committed, name, indexes)
                ],
            )
            for name, indexes in _all(committed, wanted)
        ]
    )


def _all(committed: Mapping[TopicPartition, CommittedOffset], wanted: Wanted | None) -> Wanted:
    if wanted is not None:
        return [(name, indexes) for name, indexes in wanted if indexes]
    by_topic: dict[str, list[int]] = {}
    for topic, partition in committed:
        by_topic.setdefault(topic, []).append(partition)
    return list(by_topic.items())


def _offsets(
    committed: Mapping[TopicPartition, CommittedOffset], topic: str, indexes: list[int]
) -> list[tuple[int, CommittedOffset]]:
    return [(index, committed.get((topic, index), _NOTHING)) for index in indexes]
