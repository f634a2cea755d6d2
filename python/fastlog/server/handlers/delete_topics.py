"""DeleteTopics (20): deletes topics by name, from version 6 on also by id. Versions 0 to 6.

TOPIC_DELETION_DISABLED (INVALID_REQUEST before version 3) when delete.topic.enable is false. A topic that
stands twice in one request, or is given by name and id at once, is refused with INVALID_REQUEST.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.cluster_view import TopicState
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.admin_errors import outcome, repeated_error
from fastlog.server.registry import handles
from fastlog.wire import ZERO_UUID, ApiKey
from fastlog.wire.messages.topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext

_IDS_FROM: Final = 6
_DISABLED_FROM: Final = 3


@handles(ApiKey.DELETE_TOPICS)
async def handle(ctx: RequestContext, request: DeleteTopicsRequest) -> DeleteTopicsResponse:
    """Deletes the topics one after the other."""
    if ctx.header.api_version >= _IDS_FROM:
        asked = request.topics
    else:
        asked = [DeleteTopicState(name=name) for name in request.topic_names]
    states = [_find(ctx, item) for item in asked]
    responses: list[DeletableTopicResult] = []
    for item, state in zip(asked, states, strict=True):
        twice = state is not None and states.count(state) > 1
        _, code, message = await outcome(_delete(ctx, item, twice))
        responses.append(
            DeletableTopicResult(
                name=state.name if state is not None else item.name,
                topic_id=state.topic_id if state is not None else item.topic_id,
                error_code=code,
                error_message=message,
            )
        )
    return DeleteTopicsResponse(responses=responses)


def _find(ctx: RequestContext, item: DeleteTopicState) -> TopicState | None:
    if item.name is not None:
        return ctx.broker.cluster.topics.get(item.name)
    return ctx.broker.cluster.topic_by_id(item.topic_id)


async def _delete(ctx: RequestContext, item: DeleteTopicState, twice: bool) -> TopicState:
    if not ctx.broker.config.delete_topic_enable:
        disabled = ctx.header.api_version >= _DISABLED_FROM
        code = ErrorCode.TOPIC_DELETION_DISABLED if disabled else ErrorCode.INVALID_REQUEST
        raise KafkaError(code, "delete.topic.enable is false on this broker")
    if item.name is not None and item.topic_id != ZERO_UUID:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "a topic is given by its name or by its id, not by both")
    if twice:
        raise repeated_error("the topic")
    state = await ctx.broker.topics.delete(item.topic_id if item.name is None else item.name)
    await ctx.broker.groups.commits.forget_topic(state.name)
    return state
