"""DeleteTopics (20): deletes topics by name, from version 6 on also by id. Versions 0 to 6.

TOPIC_DELETION_DISABLED (INVALID_REQUEST before version 3) when delete.topic.enable is false. A topic that
stands twice in one request, or is given by name and id at once, is refused with INVALID_REQUEST. What is
asked for twice in the same words is answered once, whether or not it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.cluster_view import TopicState
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.admin.admin_errors import outcome, repeated, repeated_error, told
from fastlog.server.quotas.mutations import MutationQuota, mutation_quota
from fastlog.server.requests.registry import handles
from fastlog.wire import ZERO_UUID, ApiKey
from fastlog.wire.messages.topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_IDS_FROM: Final = 6
_DISABLED_FROM: Final = 3
_TELLS_QUOTA_FROM: Final = 5
"""THROTTLING_QUOTA_EXCEEDED for what goes beyond `controller_mutation_rate`; before, it is done."""
# Topics of so many partitions (or one of more) go in one change: others need not wait for all of them.
_PARTITIONS_AT_ONCE: Final = 64
_NOTHING: Final = (None, ZERO_UUID)


@handles(ApiKey.DELETE_TOPICS)
async def handle(ctx: RequestContext, request: DeleteTopicsRequest) -> DeleteTopicsResponse:
    """Deletes the topics, some at a time."""
    if ctx.header.api_version >= _IDS_FROM:
        asked = request.topics
    else:
        asked = [DeleteTopicState(name=name) async for name in ctx.pace.each(request.topic_names)]
    states = [_find(ctx, item) async for item in ctx.pace.each(asked)]
    twice = await ctx.pace.run(repeated(state.topic_id for state in states if state is not None))
    same = await ctx.pace.run(repeated(_words(item) for item in asked if _words(item) != _NOTHING))
    quota = mutation_quota(ctx, _TELLS_QUOTA_FROM)
    answered: set[tuple[str | None, bytes]] = set()
    responses: list[DeletableTopicResult] = []
    some: list[tuple[DeletableTopicResult, str | bytes]] = []
    partitions = 0
    async for item, state in ctx.pace.each(zip(asked, states, strict=True)):
        words = _words(item)
        if words in answered:
            continue
        if words in same:
            answered.add(words)
        result = DeletableTopicResult(name=item.name, topic_id=item.topic_id)
        responses.append(result)
        if state is not None:
            result.name, result.topic_id = state.name, state.topic_id
        is_twice = words in same or (state is not None and state.topic_id in twice)
        allowed = _topic(ctx, item, is_twice, state, quota)
        topic, result.error_code, result.error_message = await outcome(allowed)
        if topic is None:
            continue
        size = 1 if state is None else len(state.partitions)
        if some and partitions + size > _PARTITIONS_AT_ONCE:
            await _delete(ctx, some, request.timeout_ms / 1000)
            some, partitions = [], 0
        some.append((result, topic))
        partitions += size
    if some:
        await _delete(ctx, some, request.timeout_ms / 1000)
    return DeleteTopicsResponse(throttle_time_ms=quota.told(), responses=responses)


def _words(item: DeleteTopicState) -> tuple[str | None, bytes]:
    return item.name, bytes(item.topic_id)


def _find(ctx: RequestContext, item: DeleteTopicState) -> TopicState | None:
    if item.name is not None:
        return ctx.broker.cluster.topics.get(item.name)
    return ctx.broker.cluster.topic_by_id(item.topic_id)


async def _topic(
    ctx: RequestContext, item: DeleteTopicState, twice: bool, state: TopicState | None, quota: MutationQuota
) -> str | bytes:
    """The name or id of a topic that may be deleted."""
    if not ctx.broker.config.delete_topic_enable:
        disabled = ctx.header.api_version >= _DISABLED_FROM
        code = ErrorCode.TOPIC_DELETION_DISABLED if disabled else ErrorCode.INVALID_REQUEST
        raise KafkaError(code, "delete.topic.enable is false on this broker")
    if item.name is not None and item.topic_id != ZERO_UUID:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "a topic is given by its name or by its id, not by both")
    if item.name is None and item.topic_id == ZERO_UUID:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "a topic is given by its name or by its id")
    if twice:
        raise repeated_error("the topic")
    if state is not None:
        quota.take(len(state.partitions))
    return item.topic_id if item.name is None else item.name


async def _delete(
    ctx: RequestContext, some: list[tuple[DeletableTopicResult, str | bytes]], seconds: float
) -> None:
    work = ctx.broker.topics.delete_all([topic for _, topic in some], seconds)
    deleted, code, message = await outcome(work)
    for index, (result, _) in enumerate(some):
        if deleted is None:
            result.error_code, result.error_message = code, message
        else:
            _, result.error_code, result.error_message = await outcome(told(deleted[index]))
