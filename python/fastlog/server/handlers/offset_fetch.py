"""OffsetFetch (9): what groups have committed. Versions 0 to 9.

One group up to version 7, several from 8 on (KIP-709). No topics (null, from version 2 on): all offsets. A
partition without a commit has offset -1 and no error; a topic without partitions is left out. Errors of the
group are on every partition up to version 1, at the top from 2 on, with the group from 8 on. From 9 on
members say who they are and in which epoch; one that does not know its epoch in a consumer group gets
UNKNOWN_MEMBER_ID or STALE_MEMBER_EPOCH.

With `require_stable` (from 7 on, KIP-447) a partition whose offset an open transaction may change has offset
-1 and UNSTABLE_OFFSET_COMMIT: who reads what transactions have committed comes again.

A partition that a request names twice is told once, as Kafka does: metadata is a thousand times longer than
the number that asks for it. So is one that is asked for again with the group named again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from fastlog.coordination.groups.committed_offsets import CommittedOffset, TopicPartition
from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.group_offsets import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

_TOP_LEVEL_ERROR_FROM: Final = 2
_GROUPS_FROM: Final = 8
_NOTHING: Final = CommittedOffset(offset=-1, leader_epoch=-1, metadata="", commit_timestamp_ms=-1)
_STABLE: Final[frozenset[TopicPartition]] = frozenset()
_UNSTABLE: Final = int(ErrorCode.UNSTABLE_OFFSET_COMMIT)

_FEW: Final = 32
"""So many partitions and topics of a group are told at once."""
_ROWS_PER_STEP: Final = 2 * _FEW
"""Small groups are told together: most answers are made before they need turns."""
_AT_ONCE: Final = 256
_LOT: Final = 32
"""Partitions between two moments at which others may go first: each takes a microsecond or two."""

Asked = Sequence[OffsetFetchRequestTopic | OffsetFetchRequestTopics] | None
Offsets = Mapping[TopicPartition, CommittedOffset]
Row = TypeVar("Row")
Wanted = list[tuple[str, list[int]]]
Told = dict[str, set[int]]
"""Partitions of a group that the answer has already, by topic."""


@handles(ApiKey.OFFSET_FETCH)
def handle(
    ctx: RequestContext, request: OffsetFetchRequest
) -> OffsetFetchResponse | Steps[OffsetFetchResponse]:
    """Answers from memory: at once if it is little."""
    if ctx.header.api_version < _GROUPS_FROM:
        return _little(ctx, request) or _single(ctx, request.group_id, request.topics, request.require_stable)
    if len(request.groups) == 1:
        (group,) = request.groups
        error = ctx.broker.groups.commits.error(group.group_id, group.member_id, group.member_epoch)
        answer = _little_of_group(ctx, group, error, request.require_stable)
        if answer is not None:
            return OffsetFetchResponse(groups=[answer])
    return _several(ctx, request)


def _little(ctx: RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse | None:
    """The answer in versions for one group; None when it is not certain to be small."""
    commits = ctx.broker.groups.commits
    if commits.error(request.group_id) is not ErrorCode.NONE:
        return None
    if request.require_stable and commits.unstable(request.group_id):
        return None
    rows = _few(commits.fetch(request.group_id), request.topics, OffsetFetchResponsePartition)
    if rows is None:
        return None
    return OffsetFetchResponse(topics=[OffsetFetchResponseTopic(*topic) for topic in rows.items()])


def _little_of_group(
    ctx: RequestContext, group: OffsetFetchRequestGroup, error: ErrorCode, require_stable: bool
) -> OffsetFetchResponseGroup | None:
    """The answer for one group of several; None when it is not certain to be small."""
    if error is not ErrorCode.NONE:
        return OffsetFetchResponseGroup(group.group_id, [], int(error))
    if require_stable and ctx.broker.groups.commits.unstable(group.group_id):
        return None
    committed = ctx.broker.groups.commits.fetch(group.group_id)
    rows = _few(committed, group.topics, OffsetFetchResponsePartitions)
    if rows is None:
        return None
    topics = [OffsetFetchResponseTopics(*topic) for topic in rows.items()]
    return OffsetFetchResponseGroup(group.group_id, topics, 0)


def _few(committed: Offsets, asked: Asked, row: Callable[..., Row]) -> dict[str, list[Row]] | None:
    """Rows by topic of what a group has committed; None when they may be many, or are named twice."""
    topics: dict[str, list[Row]] = {}
    if asked is None:
        if len(committed) > _FEW:
            return None
        for (name, index), (offset, epoch, metadata, _, _) in committed.items():
            rows = topics.get(name)
            if rows is None:
                rows = topics[name] = []
            rows.append(row(index, offset, epoch, metadata, 0))
        return topics
    left = _FEW
    for topic in asked:
        name, indexes = topic.name, topic.partition_indexes
        left -= len(indexes) + 1
        if left < 0 or name in topics or len(set(indexes)) < len(indexes):
            return None
        if indexes:
            rows = topics[name] = []
            for index in indexes:
                offset, epoch, metadata, _, _ = committed.get((name, index), _NOTHING)
                rows.append(row(index, offset, epoch, metadata, 0))
    return topics


def _several(ctx: RequestContext, request: OffsetFetchRequest) -> Steps[OffsetFetchResponse]:
    response = OffsetFetchResponse()
    told_of: dict[str, Told] = {}
    told_whole: set[str] = set()
    named_once = len({group.group_id for group in request.groups}) == len(request.groups)
    rows = 0
    yield
    for group in request.groups:
        if rows >= _ROWS_PER_STEP:
            rows = 0
            yield
        group_id = group.group_id
        if group_id in told_whole:
            continue
        error = ctx.broker.groups.commits.error(group_id, group.member_id, group.member_epoch)
        little = _little_of_group(ctx, group, error, request.require_stable) if named_once else None
        rows += 1
        if little is not None:
            response.groups.append(little)
            for topic in little.topics:
                rows += 1 + len(topic.partitions)
            continue
        if error is ErrorCode.NONE and group.topics is None:
            told_whole.add(group_id)
        is_first = group_id not in told_of
        told = told_of.setdefault(group_id, {})
        answer = yield from _group(ctx, group_id, group.topics, error, told, request.require_stable)
        if is_first or answer.topics or answer.error_code:
            response.groups.append(answer)
    return response


def _group(
    ctx: RequestContext,
    group_id: str,
    asked: Asked,
    error: ErrorCode,
    told: Told,
    require_stable: bool,
) -> Steps[OffsetFetchResponseGroup]:
    answer = OffsetFetchResponseGroup(group_id, [], int(error))
    if error is not ErrorCode.NONE:
        return answer
    commits = ctx.broker.groups.commits
    unstable = commits.unstable(group_id) if require_stable else _STABLE
    committed, wanted = yield from _wanted(commits.fetch(group_id), asked, told)
    for name, indexes in wanted:
        topic = OffsetFetchResponseTopics(name)
        answer.topics.append(topic)
        for index in indexes:
            is_unstable = (name, index) in unstable
            found = _NOTHING if is_unstable else committed.get((name, index), _NOTHING)
            code = _UNSTABLE if is_unstable else 0
            topic.partitions.append(
                OffsetFetchResponsePartitions(index, found.offset, found.leader_epoch, found.metadata, code)
            )
            if not len(topic.partitions) % _LOT:
                yield
        yield
    return answer


def _single(
    ctx: RequestContext, group_id: str, asked: Asked, require_stable: bool
) -> Steps[OffsetFetchResponse]:
    error = ctx.broker.groups.commits.error(group_id)
    failed = error is not ErrorCode.NONE
    if failed and ctx.header.api_version >= _TOP_LEVEL_ERROR_FROM:
        return OffsetFetchResponse(error_code=int(error))
    offsets = {} if failed else ctx.broker.groups.commits.fetch(group_id)
    unstable = ctx.broker.groups.commits.unstable(group_id) if require_stable and not failed else _STABLE
    committed, wanted = yield from _wanted(offsets, asked, {})
    answer = OffsetFetchResponse()
    for name, indexes in wanted:
        topic = OffsetFetchResponseTopic(name)
        answer.topics.append(topic)
        for index in indexes:
            is_unstable = (name, index) in unstable
            found = _NOTHING if is_unstable else committed.get((name, index), _NOTHING)
            code = _UNSTABLE if is_unstable else int(error)
            topic.partitions.append(
                OffsetFetchResponsePartition(index, found.offset, found.leader_epoch, found.metadata, code)
            )
            if not len(topic.partitions) % _LOT:
                yield
        yield
    return answer


def _all(committed: Offsets, told: Told) -> Steps[tuple[Offsets, Wanted]]:
    by_topic: dict[str, list[int]] = {}
    for number, (topic, partition) in enumerate(committed):
        if partition not in told.get(topic, ()):
            by_topic.setdefault(topic, []).append(partition)
        if number % _LOT == _LOT - 1:
            yield
    return committed, list(by_topic.items())


def _wanted(committed: Offsets, asked: Asked, told: Told) -> Steps[tuple[Offsets, Wanted]]:
    """(offsets as they are now, what to tell of them): what is not in `told` yet, which is added to it."""
    if asked is None:
        return (yield from _all(dict(committed), told))
    by_topic: dict[str, dict[int, None]] = {}
    many = len(asked) > _AT_ONCE or any(len(topic.partition_indexes) > _AT_ONCE for topic in asked)
    if many:
        # They are told in several turns, but are those of one moment.
        committed = dict(committed)
    for row in asked:
        known = told.setdefault(row.name, set())
        for index in row.partition_indexes:
            if index not in known:
                known.add(index)
                by_topic.setdefault(row.name, {})[index] = None
            if many:
                yield
        if many:
            yield
    return committed, [(topic, list(indexes)) for topic, indexes in by_topic.items()]
