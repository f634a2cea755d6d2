"""CreatePartitions (37): lets topics grow. Versions 0 to 3.

A topic that stands twice in one request is refused with INVALID_REQUEST.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.topic_plan import MorePartitions
from fastlog.errors import KafkaError
from fastlog.server.admin.admin_errors import outcome, repeated, repeated_error, told
from fastlog.server.quotas.mutations import MutationQuota, mutation_quota
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.topics import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

# Topics that grow by so many partitions (or one by more) go in one change: others need not wait for all.
_PARTITIONS_AT_ONCE: Final = 64
_TELLS_QUOTA_FROM: Final = 3
"""THROTTLING_QUOTA_EXCEEDED for what goes beyond `controller_mutation_rate`; before, it is done."""


@handles(ApiKey.CREATE_PARTITIONS)
async def handle(ctx: RequestContext, request: CreatePartitionsRequest) -> CreatePartitionsResponse:
    """Grows the topics, some at a time."""
    twice = await ctx.pace.run(repeated(topic.name for topic in request.topics))
    quota = mutation_quota(ctx, _TELLS_QUOTA_FROM)
    results: dict[str, CreatePartitionsTopicResult] = {}
    some: list[MorePartitions] = []
    partitions = 0
    async for topic in ctx.pace.each(request.topics):
        if topic.name in results:
            continue
        result = results[topic.name] = CreatePartitionsTopicResult(name=topic.name)
        wanted, result.error_code, result.error_message = await outcome(_wanted(topic, topic.name in twice))
        if wanted is None:
            continue
        known = ctx.broker.cluster.topics.get(topic.name)
        size = max(1, topic.count - (0 if known is None else len(known.partitions)))
        if some and partitions + size > _PARTITIONS_AT_ONCE:
            await _grow(ctx, some, request, results, quota)
            some, partitions = [], 0
        some.append(wanted)
        partitions += size
    if some:
        await _grow(ctx, some, request, results, quota)
    return CreatePartitionsResponse(throttle_time_ms=quota.told(), results=list(results.values()))


async def _wanted(topic: CreatePartitionsTopic, twice: bool) -> MorePartitions:
    if twice:
        raise repeated_error(f"topic '{topic.name}'")
    assignments = None if topic.assignments is None else [item.broker_ids for item in topic.assignments]
    return MorePartitions(topic.name, topic.count, assignments)


async def _grow(
    ctx: RequestContext,
    some: list[MorePartitions],
    request: CreatePartitionsRequest,
    results: dict[str, CreatePartitionsTopicResult],
    quota: MutationQuota,
) -> None:
    if quota.is_limited and not request.validate_only:
        some = await _within(ctx, some, request.timeout_ms / 1000, results, quota)
        if not some:
            return
    work = ctx.broker.topics.create_more_partitions(some, request.validate_only, request.timeout_ms / 1000)
    grown, code, message = await outcome(work)
    for index, wanted in enumerate(some):
        result = results[wanted.name]
        if grown is None:
            result.error_code, result.error_message = code, message
        else:
            _, result.error_code, result.error_message = await outcome(told(grown[index]))


async def _within(
    ctx: RequestContext,
    some: list[MorePartitions],
    seconds: float,
    results: dict[str, CreatePartitionsTopicResult],
    quota: MutationQuota,
) -> list[MorePartitions]:
    """Those that the client's quota still has room for. What is refused for other reasons uses nothing."""
    grown, code, message = await outcome(ctx.broker.topics.create_more_partitions(some, True, seconds))
    kept: list[MorePartitions] = []
    for index, wanted in enumerate(some):
        result, known = results[wanted.name], ctx.broker.cluster.topics.get(wanted.name)
        if grown is None:
            result.error_code, result.error_message = code, message
            continue
        _, result.error_code, result.error_message = await outcome(told(grown[index]))
        if result.error_code:
            continue
        try:
            quota.take(wanted.total - (0 if known is None else len(known.partitions)))
            kept.append(wanted)
        except KafkaError as error:
            result.error_code, result.error_message = int(error.code), error.message
    return kept
