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

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from fastlog.coordination.groups.committed_offsets import CommittedOffset, TopicPartition
from fastlog.errors import ErrorCode
from fastlog.server.requests.registry import SmallResponse, handles
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
    from fastlog.coordination.groups.commits import Commits
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Steps

_TOP_LEVEL_ERROR_FROM: Final = 2
_GROUPS_FROM: Final = 8
_NOTHING: Final = CommittedOffset(offset=-1, leader_epoch=-1, metadata="", commit_timestamp_ms=-1)
_STABLE: Final[frozenset[TopicPartition]] = frozenset()
_UNSTABLE: Final = int(ErrorCode.UNSTABLE_OFFSET_COMMIT)

_FEW: Final = 32
"""So many partitions and topics of a group, and so many groups, are told at once."""
_METADATA_PER_ROW: Final = 64
"""Bytes of metadata that count as one more row."""
_AT_ONCE: Final = 256
_LOT: Final = 32
"""Partitions between two moments at which others may go first: each takes a microsecond or two."""

Asked = Sequence[OffsetFetchRequestTopic | OffsetFetchRequestTopics] | None
Offsets = Mapping[TopicPartition, CommittedOffset]
Row = TypeVar("Row")
Topic = TypeVar("Topic")
Wanted = list[tuple[str, list[int]]]
Told = dict[str, set[int]]
"""Partitions of a group that the answer has already, by topic."""


@handles(ApiKey.OFFSET_FETCH)
def handle(ctx: RequestContext, request: OffsetFetchRequest) -> SmallResponse | Steps[OffsetFetchResponse]:
    """Answers from memory: at once if it is little."""
    if ctx.header.api_version < _GROUPS_FROM:
        return _little(ctx, request) or _single(ctx, request.group_id, request.topics, request.require_stable)
    return _little_of_groups(ctx, request) or _several(ctx, request)


def _little_of_groups(ctx: RequestContext, request: OffsetFetchRequest) -> SmallResponse | None:
    """The answer for groups that are named once, and of which there is nothing wrong; None when it is not
    certain to be small."""
    groups = request.groups
    if len(groups) > _FEW or (len(groups) > 1 and len({group.group_id for group in groups}) < len(groups)):
        return None
    answers: list[OffsetFetchResponseGroup] = []
    commits, require_stable = ctx.broker.groups.commits, request.require_stable
    for group in groups:
        group_id = group.group_id
        committed = commits.served(group_id, group.member_id, group.member_epoch)
        if committed is None or (require_stable and commits.has_unstable(group_id)):
            return None
        topics = _few(committed, group.topics, OffsetFetchResponseTopics, OffsetFetchResponsePartitions)
        if topics is None:
            return None
        answers.append(OffsetFetchResponseGroup(group_id, topics, 0))
    return SmallResponse(OffsetFetchResponse(groups=answers))


def _little(ctx: RequestContext, request: OffsetFetchRequest) -> SmallResponse | None:
    """The answer in versions for one group; None when it is not certain to be small."""
    commits = ctx.broker.groups.commits
    committed = commits.served(request.group_id)
    if committed is None or (request.require_stable and commits.has_unstable(request.group_id)):
        return None
    topics = _few(committed, request.topics, OffsetFetchResponseTopic, OffsetFetchResponsePartition)
    return None if topics is None else SmallResponse(OffsetFetchResponse(topics=topics))


def _little_of_group(
    commits: Commits, group: OffsetFetchRequestGroup, error: ErrorCode, require_stable: bool
) -> OffsetFetchResponseGroup | None:
    """The answer for one group of several; None when it is not certain to be small."""
    group_id = group.group_id
    if error is not ErrorCode.NONE:
        return OffsetFetchResponseGroup(group_id, [], int(error))
    if require_stable and commits.has_unstable(group_id):
        return None
    committed = commits.fetch(group_id)
    topics = _few(committed, group.topics, OffsetFetchResponseTopics, OffsetFetchResponsePartitions)
    return None if topics is None else OffsetFetchResponseGroup(group_id, topics, 0)


def _few(
    committed: Offsets,
    asked: Asked,
    topic_of: Callable[[str, list[Row]], Topic],
    row: Callable[[int, int, int, str, int], Row],
) -> list[Topic] | None:
    """What a group has committed, by topic; None when it may be much, or is named twice."""
    if asked is None:
        return _few_of_all(committed, topic_of, row)
    left = _FEW - len(asked)
    if left < 0 or (len(asked) > 1 and len({topic.name for topic in asked}) < len(asked)):
        return None
    topics: list[Topic] = []
    known = committed.get
    for topic in asked:
        name, indexes = topic.name, topic.partition_indexes
        left -= len(indexes)
        if left < 0 or len(set(indexes)) < len(indexes):
            return None
        if indexes:
            rows: list[Row] = []
            for index in indexes:
                offset, epoch, metadata, _, _ = known((name, index), _NOTHING)
                rows.append(row(index, offset, epoch, metadata, 0))
                if metadata:
                    left -= len(metadata) // _METADATA_PER_ROW
            topics.append(topic_of(name, rows))
    return topics if left >= 0 else None


def _few_of_all(
    committed: Offsets,
    topic_of: Callable[[str, list[Row]], Topic],
    row: Callable[[int, int, int, str, int], Row],
) -> list[Topic] | None:
    left = _FEW - len(committed)
    if left < 0:
        return None
    topics: dict[str, list[Row]] = {}
    for (name, index), (offset, epoch, metadata, _, _) in committed.items():
        rows = topics.get(name)
        if rows is None:
            rows = topics[name] = []
        rows.append(row(index, offset, epoch, metadata, 0))
        if metadata:
            left -= len(metadata) // _METADATA_PER_ROW
    return [topic_of(*topic) for topic in topics.items()] if left >= 0 else None


def _several(ctx: RequestContext, request: OffsetFetchRequest) -> Steps[OffsetFetchResponse]:
    response = OffsetFetchResponse()
    commits = ctx.broker.groups.commits
    told_of: dict[str, Told] = {}
    told_whole: set[str] = set()
    named_once = len({group.group_id for group in request.groups}) == len(request.groups)
    for group in request.groups:
        yield
        group_id = group.group_id
        if group_id in told_whole:
            continue
        error = commits.error(group_id, group.member_id, group.member_epoch)
        little = _little_of_group(commits, group, error, request.require_stable) if named_once else None
        if little is not None:
            response.groups.append(little)
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
    unstable = commits.unstable(group_id, _few_keys(asked)) if require_stable else _STABLE
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
    unstable: Collection[TopicPartition] = _STABLE
    if require_stable and not failed:
        unstable = ctx.broker.groups.commits.unstable(group_id, _few_keys(asked))
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
    many = _few_keys(asked) is None
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
    if not many:
        # The same: nothing came in between so far.
        keys = [(topic, index) for topic, indexes in by_topic.items() for index in indexes]
        committed = {key: committed[key] for key in keys if key in committed}
    return committed, [(topic, list(indexes)) for topic, indexes in by_topic.items()]


def _few_keys(asked: Asked) -> list[TopicPartition] | None:
    """The partitions that are asked for; None when they may be many."""
    if asked is None or sum([1 + len(topic.partition_indexes) for topic in asked]) > _AT_ONCE:
        return None
    return [(topic.name, index) for topic in asked for index in topic.partition_indexes]
