"""Guards of APIs that name groups and what they have committed."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeVar

from fastlog.coordination.access.rules import CLUSTER_NAME
from fastlog.errors import ErrorCode
from fastlog.server.access.gate import (
    LOT,
    Outcome,
    Part,
    Refused,
    by_name,
    code_of,
    given,
    guards,
    needs,
    on_cluster,
    refused,
    without,
)
from fastlog.server.access.topics import rows_of
from fastlog.wire import ApiKey
from fastlog.wire.messages.consumer_group_describe import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
)
from fastlog.wire.messages.consumer_group_describe import DescribedGroup as DescribedConsumerGroup
from fastlog.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from fastlog.wire.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from fastlog.wire.messages.group_admin import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
    DescribedGroup,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    ListGroupsRequest,
    ListGroupsResponse,
)
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
    OffsetDeleteRequest,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
    OffsetFetchRequest,
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
    from fastlog.server.access.asking import Ask
    from fastlog.server.access.table import Need
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Response, Steps

T = TypeVar("T")

_NAME: Final = attrgetter("name")
_BATCHED_FROM: Final = 4
_TOP_LEVEL_ERROR_FROM: Final = 2
_GROUPS_FROM: Final = 8
_GROUP_KEY: Final = 0
_SHARE_KEY: Final = 2
_NOWHERE: Final = -1
_NO_TOPICS: Final = "The group has described topic(s) that the client is not authorized to describe."


@guards(ApiKey.FIND_COORDINATOR)
def find_coordinator(ctx: RequestContext, ask: Ask, request: FindCoordinatorRequest) -> Steps[Outcome]:
    """By key, as a group, a transactional id, or of share groups."""
    group, transaction, share = needs(request.API, 3)
    if request.key_type >= _SHARE_KEY or request.key_type < _GROUP_KEY:
        # Of types that nobody knows the handler says so.
        if request.key_type != _SHARE_KEY or ask.may(share.operation, share.resource, CLUSTER_NAME):
            return None
        need, batched = share, ctx.header.api_version >= _BATCHED_FROM
        allowed: list[str] = []
        denied = request.coordinator_keys if batched else [request.key]
    else:
        need, batched = (group, transaction)[request.key_type], ctx.header.api_version >= _BATCHED_FROM
        keys = request.coordinator_keys if batched else [request.key]
        allowed, denied = yield from by_name(ask, need, keys, str)
    if denied and not batched:
        return Refused(_no_coordinator(need))
    code = ErrorCode(code_of(need))

    def row(key: str) -> Coordinator:
        return Coordinator(key, _NOWHERE, "", _NOWHERE, int(code), code.text)

    return without(
        request, "coordinator_keys", (allowed, denied), FindCoordinatorResponse, "coordinators", row
    )


def _no_coordinator(need: Need) -> FindCoordinatorResponse:
    code = ErrorCode(code_of(need))
    return FindCoordinatorResponse(
        error_code=int(code), error_message=code.text, node_id=_NOWHERE, host="", port=_NOWHERE
    )


@guards(ApiKey.CONSUMER_GROUP_HEARTBEAT)
def consumer_group_heartbeat(
    ctx: RequestContext, ask: Ask, request: ConsumerGroupHeartbeatRequest
) -> Steps[Outcome]:
    """As a whole: who may not see a topic cannot subscribe to it."""
    group, topic = needs(request.API, 2)
    if not ctx.broker.groups.table.serves_consumer_protocol():
        return None
    if not ask.may(group.operation, group.resource, request.group_id):
        return refused(ctx, request.API, group)
    _, denied = yield from by_name(ask, topic, request.subscribed_topic_names or (), str)
    return refused(ctx, request.API, topic) if denied else None


@guards(ApiKey.OFFSET_COMMIT)
def offset_commit(_ctx: RequestContext, ask: Ask, request: OffsetCommitRequest) -> Steps[Outcome]:
    """The group first; then per partition."""
    group, need = needs(request.API, 2)
    if ask.may(group.operation, group.resource, request.group_id):
        allowed, denied = yield from by_name(ask, need, request.topics, _NAME)
        code = code_of(need)
    else:
        allowed, denied, code = [], request.topics, code_of(group)
        if not denied:
            return Refused(OffsetCommitResponse())

    def row(topic: OffsetCommitRequestTopic) -> OffsetCommitResponseTopic:
        return OffsetCommitResponseTopic(
            topic.name,
            [OffsetCommitResponsePartition(each.partition_index, code) for each in topic.partitions],
        )

    return without(request, "topics", (allowed, denied), OffsetCommitResponse, "topics", row)


@guards(ApiKey.OFFSET_DELETE)
def offset_delete(ctx: RequestContext, ask: Ask, request: OffsetDeleteRequest) -> Steps[Outcome]:
    """The group first, at the top; then per partition."""
    group, need = needs(request.API, 2)
    if not ask.may(group.operation, group.resource, request.group_id):
        return refused(ctx, request.API, group)
    parts, code = (yield from by_name(ask, need, request.topics, _NAME)), code_of(need)

    def row(topic: OffsetDeleteRequestTopic) -> OffsetDeleteResponseTopic:
        return OffsetDeleteResponseTopic(
            topic.name,
            [OffsetDeleteResponsePartition(each.partition_index, code) for each in topic.partitions],
        )

    return without(request, "topics", parts, OffsetDeleteResponse, "topics", row, unless_failed=True)


@guards(ApiKey.OFFSET_FETCH)
def offset_fetch(ctx: RequestContext, ask: Ask, request: OffsetFetchRequest) -> Steps[Outcome]:
    """Groups first; then per partition. Of all that a group has, what may not be seen is left out."""
    group, need = needs(request.API, 2)
    if ctx.header.api_version < _GROUPS_FROM:
        return (yield from _single_group(ctx, ask, group, need, request))
    return (yield from _several_groups(ask, group, need, request))


def _single_group(
    ctx: RequestContext, ask: Ask, group: Need, need: Need, request: OffsetFetchRequest
) -> Steps[Outcome]:
    if not ask.may(group.operation, group.resource, request.group_id):
        code = code_of(group)
        if ctx.header.api_version >= _TOP_LEVEL_ERROR_FROM:
            return Refused(OffsetFetchResponse(error_code=code))
        topics = yield from _rows(request.topics or (), OffsetFetchResponseTopic, code)
        return Refused(OffsetFetchResponse(topics=topics))
    denied: list[OffsetFetchRequestTopic] = []
    if request.topics is not None:
        request.topics, denied = yield from by_name(ask, need, request.topics, _NAME)
        if not denied:
            return None
    is_all, code = request.topics is None, code_of(need)

    def finish(response: Response | None) -> Steps[Response]:
        answer = given(response, OffsetFetchResponse)
        if is_all:
            answer.topics, _ = yield from by_name(ask, need, answer.topics, _NAME)
        elif not answer.error_code:
            answer.topics += yield from _rows(denied, OffsetFetchResponseTopic, code)
        return answer

    return Part(request, finish)


def _several_groups(ask: Ask, group: Need, need: Need, request: OffsetFetchRequest) -> Steps[Outcome]:
    allowed, denied = yield from by_name(ask, group, request.groups, attrgetter("group_id"))
    hidden: dict[str, list[OffsetFetchRequestTopics]] = {}
    is_filtered = bool(denied)
    for asked in allowed:
        if asked.topics is None:
            is_filtered = True
            continue
        asked.topics, refused_topics = yield from by_name(ask, need, asked.topics, _NAME)
        if refused_topics:
            hidden.setdefault(asked.group_id, []).extend(refused_topics)
    if not is_filtered and not hidden:
        return None
    code, group_code = code_of(need), code_of(group)

    def finish(response: Response | None) -> Steps[Response]:
        answer = given(response, OffsetFetchResponse)
        for found in answer.groups:
            # Of what was asked for by name all is allowed: that costs a look each.
            found.topics, _ = yield from by_name(ask, need, found.topics, _NAME)
            refused_topics = hidden.pop(found.group_id, ())
            if not found.error_code:
                found.topics += yield from _rows(refused_topics, OffsetFetchResponseTopics, code)
        for number, asked in enumerate(denied, start=1):
            answer.groups.append(OffsetFetchResponseGroup(asked.group_id, [], group_code))
            if not number % LOT:
                yield
        return answer

    request.groups = allowed
    return Part(request if allowed else None, finish)


def _rows(topics: Iterable[object], kind: type[T], code: int) -> Steps[list[T]]:
    row = (
        OffsetFetchResponsePartition
        if issubclass(kind, OffsetFetchResponseTopic)
        else OffsetFetchResponsePartitions
    )
    return (
        yield from rows_of(
            list(topics),
            lambda topic, rows: kind(topic.name, rows),  # type: ignore[call-arg]
            lambda topic: [row(index, _NOWHERE, _NOWHERE, "", code) for index in topic.partition_indexes],
        )
    )


@guards(ApiKey.DESCRIBE_GROUPS)
def describe_groups(_ctx: RequestContext, ask: Ask, request: DescribeGroupsRequest) -> Steps[Outcome]:
    """Per group."""
    (need,) = needs(request.API, 1)
    parts = yield from by_name(ask, need, list(dict.fromkeys(request.groups)), str)
    code = code_of(need)

    def row(group_id: str) -> DescribedGroup:
        return DescribedGroup(error_code=code, group_id=group_id)

    return without(request, "groups", parts, DescribeGroupsResponse, "groups", row)


@guards(ApiKey.CONSUMER_GROUP_DESCRIBE)
def consumer_group_describe(
    ctx: RequestContext, ask: Ask, request: ConsumerGroupDescribeRequest
) -> Steps[Outcome]:
    """Per group: who describes one sees the topics of its members."""
    need, topic = needs(request.API, 2)
    if not ctx.broker.groups.table.serves_consumer_protocol():
        return None
    allowed, denied = yield from by_name(ask, need, list(dict.fromkeys(request.group_ids)), str)
    code = code_of(need)

    def finish(response: Response | None) -> Steps[Response]:
        answer = given(response, ConsumerGroupDescribeResponse)
        for index, group in enumerate(answer.groups):
            names = {
                assigned.topic_name
                for member in group.members
                for assignment in (member.assignment, member.target_assignment)
                for assigned in assignment.topic_partitions
            }
            yield
            _, hidden = yield from by_name(ask, topic, sorted(names), str)
            if hidden:
                answer.groups[index] = DescribedConsumerGroup(
                    error_code=code_of(topic), error_message=_NO_TOPICS, group_id=group.group_id
                )
        for group_id in denied:
            answer.groups.append(DescribedConsumerGroup(error_code=code, group_id=group_id))
            yield
        return answer

    request.group_ids = allowed
    return Part(request if allowed else None, finish)


@guards(ApiKey.DELETE_GROUPS)
def delete_groups(_ctx: RequestContext, ask: Ask, request: DeleteGroupsRequest) -> Steps[Outcome]:
    """Per group."""
    (need,) = needs(request.API, 1)
    parts = yield from by_name(ask, need, list(dict.fromkeys(request.groups_names)), str)
    code = code_of(need)

    def row(group_id: str) -> DeletableGroupResult:
        return DeletableGroupResult(group_id, code)

    return without(request, "groups_names", parts, DeleteGroupsResponse, "results", row)


@guards(ApiKey.LIST_GROUPS)
def list_groups(_ctx: RequestContext, ask: Ask, request: ListGroupsRequest) -> Outcome:
    """All, or those that may be described."""
    all_groups, need = needs(request.API, 2)
    if on_cluster(ask, all_groups):
        return None

    def finish(response: Response | None) -> Steps[Response]:
        answer = given(response, ListGroupsResponse)
        seen = []
        for number, group in enumerate(answer.groups, start=1):
            if ask.tries(need.operation, need.resource, group.group_id):
                seen.append(group)
            if not number % LOT:
                yield
        answer.groups = seen
        return answer

    return Part(request, finish)
