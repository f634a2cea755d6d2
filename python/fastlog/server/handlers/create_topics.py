"""CreateTopics (19): makes topics, each on its own merits. Versions 0 to 7.

| version | news                                                                                      |
|---------|-------------------------------------------------------------------------------------------|
| 1       | validate_only; error messages                                                             |
| 4       | -1 partitions or replicas mean the broker's defaults (taken in older versions too)        |
| 5       | the answer tells partitions, replication factor and all configs with their sources        |
| 7       | the answer tells the topic id                                                             |

A name that stands twice in one request is refused with INVALID_REQUEST; the other topics are made. The
answer comes when the partitions are there, so that the timeout has nothing to limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.config.describe import describe_topic
from fastlog.coordination.cluster_view import TopicState
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.admin_errors import outcome, repeated, repeated_error
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext

_DETAILS_FROM: Final = 5


@handles(ApiKey.CREATE_TOPICS)
async def handle(ctx: RequestContext, request: CreateTopicsRequest) -> CreateTopicsResponse:
    """Creates the topics one after the other."""
    twice = repeated(topic.name for topic in request.topics)
    results: dict[str, CreatableTopicResult] = {}
    for topic in request.topics:
        if topic.name not in results:
            results[topic.name] = await _create(ctx, topic, request.validate_only, topic.name in twice)
    return CreateTopicsResponse(topics=list(results.values()))


async def _create(
    ctx: RequestContext, topic: CreatableTopic, validate_only: bool, twice: bool
) -> CreatableTopicResult:
    state, code, message = await outcome(_make(ctx, topic, validate_only, twice))
    if state is None:
        return CreatableTopicResult(name=topic.name, error_code=code, error_message=message)
    result = CreatableTopicResult(name=topic.name, topic_id=bytes(16) if validate_only else state.topic_id)
    if ctx.header.api_version >= _DETAILS_FROM:
        result.num_partitions = len(state.partitions)
        result.replication_factor = len(state.partitions[0].replicas)
        result.configs = [
            CreatableTopicConfigs(
                name=entry.name,
                value=entry.value,
                read_only=entry.read_only,
                config_source=int(entry.source),
                is_sensitive=entry.key.sensitive,
            )
            for entry in describe_topic(state.configs, ctx.broker.config)
        ]
    return result


async def _make(ctx: RequestContext, topic: CreatableTopic, validate_only: bool, twice: bool) -> TopicState:
    if twice:
        raise repeated_error(f"topic '{topic.name}'")
    keys = repeated(config.name for config in topic.configs)
    if keys:
        raise repeated_error(f"config {', '.join(sorted(keys))}")
    assignments = {item.partition_index: item.broker_ids for item in topic.assignments}
    if len(assignments) != len(topic.assignments):
        raise KafkaError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, "a partition is assigned more than once")
    return await ctx.broker.topics.create(
        topic.name,
        topic.num_partitions,
        topic.replication_factor,
        assignments or None,
        {config.name: config.value for config in topic.configs},
        validate_only,
    )
