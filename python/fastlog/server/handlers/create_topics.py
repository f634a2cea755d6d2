"""CreateTopics (19): makes topics, each on its own merits. Versions 0 to 7.

| version | news                                                                                      |
|---------|-------------------------------------------------------------------------------------------|
| 1       | validate_only; error messages                                                             |
| 4       | -1 partitions or replicas mean the broker's defaults (taken in older versions too)        |
| 5       | the answer tells partitions, replication factor and all configs with their sources        |
| 7       | the answer tells the topic id                                                             |

A name that stands twice in one request is refused with INVALID_REQUEST; the other topics are made. Of a
setting that stands twice the last value counts. The answer comes when the partitions are there; in a cluster
it is REQUEST_TIMED_OUT when others have not done their part in time. Each part of a large request has that
time for itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.config.describe import describe_topic
from fastlog.coordination.cluster_view import TopicState
from fastlog.coordination.topic_names import topic_name_problem
from fastlog.coordination.topic_plan import NewTopic
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.admin.admin_errors import outcome, repeated, repeated_error
from fastlog.server.quotas.mutations import MutationQuota, mutation_quota
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_DETAILS_FROM: Final = 5
_TELLS_QUOTA_FROM: Final = 6
"""THROTTLING_QUOTA_EXCEEDED for what goes beyond `controller_mutation_rate`; before, it is done."""
_CONFIG_BYTES: Final = 160
"""A `CreatableTopicConfigs` with its value."""
# Topics of so many partitions (or one of more) are made in one change: others need not wait for all of them.
_PARTITIONS_AT_ONCE: Final = 64


@handles(ApiKey.CREATE_TOPICS)
async def handle(ctx: RequestContext, request: CreateTopicsRequest) -> CreateTopicsResponse:
    """Creates the topics, some at a time."""
    twice = await ctx.pace.run(repeated(topic.name for topic in request.topics))
    quota = mutation_quota(ctx, _TELLS_QUOTA_FROM)
    results: dict[str, CreatableTopicResult] = {}
    asked: list[NewTopic] = []
    async for topic in ctx.pace.each(request.topics):
        if topic.name in results:
            continue
        # The place in the answer.
        results[topic.name] = CreatableTopicResult(name=topic.name)
        new, code, message = await outcome(_new_topic(ctx, topic, topic.name in twice))
        if new is None:
            results[topic.name] = _refused(topic.name, code, message)
            continue
        if asked and _partitions([*asked, new]) > _PARTITIONS_AT_ONCE:
            await _create(ctx, asked, request, results, quota)
            asked = []
        asked.append(new)
    if asked:
        await _create(ctx, asked, request, results, quota)
    return CreateTopicsResponse(throttle_time_ms=quota.told(), topics=list(results.values()))


def _partitions(topics: list[NewTopic]) -> int:
    return sum(max(topic.partitions, len(topic.assignments or ()), 1) for topic in topics)


def _refused(name: str, code: int, message: str | None) -> CreatableTopicResult:
    return CreatableTopicResult(name=name, error_code=code, error_message=message)


async def _create(
    ctx: RequestContext,
    topics: list[NewTopic],
    request: CreateTopicsRequest,
    results: dict[str, CreatableTopicResult],
    quota: MutationQuota,
) -> None:
    validate_only, seconds = request.validate_only, request.timeout_ms / 1000
    if quota.is_limited and not validate_only:
        topics = await _within(ctx, topics, seconds, results, quota)
        if not topics:
            return
    states, code, message = await outcome(ctx.broker.topics.create_all(topics, validate_only, seconds))
    for index, topic in enumerate(topics):
        if states is None:
            results[topic.name] = _refused(topic.name, code, message)
            continue
        state = states[index]
        if isinstance(state, KafkaError):
            results[topic.name] = _refused(topic.name, int(state.code), state.message)
        else:
            results[topic.name] = _created(ctx, state, validate_only)


async def _within(
    ctx: RequestContext,
    topics: list[NewTopic],
    seconds: float,
    results: dict[str, CreatableTopicResult],
    quota: MutationQuota,
) -> list[NewTopic]:
    """Those that the client's quota still has room for. What is refused for other reasons uses nothing."""
    states, code, message = await outcome(ctx.broker.topics.create_all(topics, True, seconds))
    kept: list[NewTopic] = []
    for index, topic in enumerate(topics):
        try:
            if states is None:
                results[topic.name] = _refused(topic.name, code, message)
                continue
            state = states[index]
            if isinstance(state, KafkaError):
                raise state
            quota.take(len(state.partitions))
            kept.append(topic)
        except KafkaError as error:
            results[topic.name] = _refused(topic.name, int(error.code), error.message)
    return kept


def _created(ctx: RequestContext, state: TopicState, validate_only: bool) -> CreatableTopicResult:
    result = CreatableTopicResult(name=state.name, topic_id=bytes(16) if validate_only else state.topic_id)
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
        ctx.pace.grow(len(result.configs) * _CONFIG_BYTES)
    return result


async def _new_topic(ctx: RequestContext, topic: CreatableTopic, twice: bool) -> NewTopic:
    if twice:
        raise repeated_error(f"topic '{topic.name}'")
    # A name that cannot be taken comes before all that is wrong with the rest: the plan finds it.
    matters = topic_name_problem(topic.name) is None and topic.name not in ctx.broker.cluster.topics
    assignments = {item.partition_index: item.broker_ids for item in topic.assignments}
    if len(assignments) != len(topic.assignments) and matters:
        raise KafkaError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, "a partition is assigned more than once")
    return NewTopic(
        topic.name,
        topic.num_partitions,
        topic.replication_factor,
        assignments or None,
        {config.name: config.value for config in topic.configs},
    )
