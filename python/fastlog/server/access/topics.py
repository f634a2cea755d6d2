"""Guards of APIs that name topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from fastlog.coordination.topic_names import topic_name_problem
from fastlog.errors import ErrorCode
from fastlog.server.access.gate import (
    LOT,
    Outcome,
    Part,
    by_name,
    code_of,
    given,
    guards,
    needs,
    on_cluster,
    without,
)
from fastlog.wire import ApiKey
from fastlog.wire.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    TopicRequest,
    TopicResponse,
)
from fastlog.wire.messages.offsets import (
    EpochEndOffset,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
    ListOffsetsTopicResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopic,
    OffsetForLeaderTopicResult,
)
from fastlog.wire.messages.topics import (
    CreatableTopicResult,
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeletableTopicResult,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
    DeleteRecordsTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)

if TYPE_CHECKING:
    from fastlog.server.access.asking import Ask
    from fastlog.server.access.table import Need
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire import Response, Steps

_NAME: Final = attrgetter("name")
_TOPIC: Final = attrgetter("topic")
_NOTHING: Final = -1
_IDS_FROM: Final = 6
_WORDS: Final = "Authorization failed."


def rows_of(
    topics: list[Any], topic: Callable[[Any, list[Any]], Any], rows: Callable[[Any], list[Any]]
) -> Steps[list[Any]]:
    """Rows of an answer for topics that were refused; a step is a topic."""
    found = []
    for refused in topics:
        found.append(topic(refused, rows(refused)))
        yield
    return found


def not_described(ask: Ask, names: Sequence[str], *, is_all: bool) -> Steps[set[str]]:
    """For DescribeTopicPartitions: names that may not be described. `is_all`: nobody has named them."""
    (need,) = needs(ApiKey.DESCRIBE_TOPIC_PARTITIONS, 1)
    may = ask.tries if is_all else ask.may
    hidden = set()
    for number, name in enumerate(names, start=1):
        if not may(need.operation, need.resource, name):
            hidden.add(name)
        if not number % LOT:
            yield
    return hidden


@guards(ApiKey.LIST_OFFSETS)
def list_offsets(_ctx: RequestContext, ask: Ask, request: ListOffsetsRequest) -> Steps[Outcome]:
    """Per partition, before anybody looks whether it is there."""
    (need,) = needs(request.API, 1)
    parts, code = (yield from by_name(ask, need, request.topics, _NAME)), code_of(need)

    def row(topic: ListOffsetsTopic) -> ListOffsetsTopicResponse:
        return ListOffsetsTopicResponse(
            topic.name,
            [
                ListOffsetsPartitionResponse(partition_index=each.partition_index, error_code=code)
                for each in topic.partitions
            ],
        )

    return without(request, "topics", parts, ListOffsetsResponse, "topics", row)


@guards(ApiKey.OFFSET_FOR_LEADER_EPOCH)
def offset_for_leader_epoch(
    _ctx: RequestContext, ask: Ask, request: OffsetForLeaderEpochRequest
) -> Steps[Outcome]:
    """Followers may ask for all; consumers per partition."""
    of_followers, need = needs(request.API, 2)
    if on_cluster(ask, of_followers):
        return None
    parts, code = (yield from by_name(ask, need, request.topics, _TOPIC)), code_of(need)

    def row(topic: OffsetForLeaderTopic) -> OffsetForLeaderTopicResult:
        return OffsetForLeaderTopicResult(
            topic.topic,
            [EpochEndOffset(partition=each.partition, error_code=code) for each in topic.partitions],
        )

    return without(request, "topics", parts, OffsetForLeaderEpochResponse, "topics", row)


@guards(ApiKey.DELETE_RECORDS)
def delete_records(_ctx: RequestContext, ask: Ask, request: DeleteRecordsRequest) -> Steps[Outcome]:
    """Per partition."""
    (need,) = needs(request.API, 1)
    parts, code = (yield from by_name(ask, need, request.topics, _NAME)), code_of(need)

    def row(topic: DeleteRecordsTopic) -> DeleteRecordsTopicResult:
        return DeleteRecordsTopicResult(
            topic.name,
            [DeleteRecordsPartitionResult(each.partition_index, _NOTHING, code) for each in topic.partitions],
        )

    return without(request, "topics", parts, DeleteRecordsResponse, "topics", row)


@guards(ApiKey.DESCRIBE_PRODUCERS)
def describe_producers(_ctx: RequestContext, ask: Ask, request: DescribeProducersRequest) -> Steps[Outcome]:
    """Per partition; a name that no topic can have is told first, as in Kafka."""
    (need,) = needs(request.API, 1)
    possible = [topic for topic in request.topics if topic_name_problem(topic.name) is None]
    _, denied = yield from by_name(ask, need, possible, _NAME)
    code, gone = code_of(need), {topic.name for topic in denied}
    allowed = [topic for topic in request.topics if topic.name not in gone]

    def row(topic: TopicRequest) -> TopicResponse:
        return TopicResponse(
            topic.name,
            [PartitionResponse(index, code, ErrorCode(code).text) for index in topic.partition_indexes],
        )

    return without(request, "topics", (allowed, denied), DescribeProducersResponse, "topics", row)


def _times(topics: Sequence[Any]) -> Steps[Counter[str]]:
    """How often names stand in a request."""
    times: Counter[str] = Counter()
    for number, topic in enumerate(topics, start=1):
        times[topic.name] += 1
        if not number % LOT:
            yield
    return times


@guards(ApiKey.CREATE_TOPICS)
def create_topics(_ctx: RequestContext, ask: Ask, request: CreateTopicsRequest) -> Steps[Outcome]:
    """By name. What stands twice in the request is told first. What a topic is made of is for those who may
    see its configs."""
    all_topics, need, details = needs(request.API, 3)
    times = yield from _times(request.topics)
    gone: set[str] = set()
    if not on_cluster(ask, all_topics):
        _, denied = yield from by_name(ask, need, request.topics, _NAME)
        gone = {topic.name for topic in denied if times[topic.name] == 1}
    hidden = set()
    for number, name in enumerate(times, start=1):
        if not ask.tries(details.operation, details.resource, name):
            hidden.add(name)
        if not number % LOT:
            yield
    if not gone and not hidden:
        return None
    request.topics = [topic for topic in request.topics if topic.name not in gone]
    refused = gone | {name for name, count in times.items() if count > 1}
    finish = partial(_made, gone=gone, hidden=hidden, refused=refused, code=code_of(need))
    return Part(request if request.topics else None, finish)


def _made(
    response: Response | None, *, gone: set[str], hidden: set[str], refused: set[str], code: int
) -> Steps[Response]:
    """Adds topics that may not be made, and hides what those are made of whose configs may not be seen. Of
    one that could not be made it is not told, unless it was refused before that was tried."""
    answer = given(response, CreateTopicsResponse)
    for name in gone:
        answer.topics.append(CreatableTopicResult(name=name, error_code=code, error_message=_WORDS))
    for number, result in enumerate(answer.topics, start=1):
        if result.name in hidden and (not result.error_code or result.name in refused):
            result.topic_config_error_code = int(ErrorCode.TOPIC_AUTHORIZATION_FAILED)
            result.num_partitions = result.replication_factor = _NOTHING
            result.configs = []
        if not number % LOT:
            yield
    return answer


@guards(ApiKey.DELETE_TOPICS)
def delete_topics(ctx: RequestContext, ask: Ask, request: DeleteTopicsRequest) -> Steps[Outcome]:
    """By name or id; an id is no secret, the name that goes with it is."""
    describe, need = needs(request.API, 2)
    by_id = ctx.header.api_version >= _IDS_FROM
    asked = request.topics if by_id else [DeleteTopicState(name=name) for name in request.topic_names]
    allowed: list[DeleteTopicState] = []
    results: dict[tuple[str | None, bytes], DeletableTopicResult] = {}
    for number, item in enumerate(asked, start=1):
        result = _refused_deletion(ctx, ask, describe, need, item)
        if result is None:
            allowed.append(item)
        else:
            results[item.name, bytes(item.topic_id)] = result
        if not number % LOT:
            yield
    if not results:
        return None

    def finish(response: Response | None) -> Steps[Response]:
        answer = given(response, DeleteTopicsResponse)
        answer.responses += results.values()
        yield
        return answer

    if by_id:
        request.topics = allowed
    else:
        request.topic_names = [item.name for item in allowed if item.name is not None]
    return Part(request if allowed else None, finish)


def _refused_deletion(
    ctx: RequestContext, ask: Ask, describe: Need, need: Need, item: DeleteTopicState
) -> DeletableTopicResult | None:
    """Why a topic may not be deleted. Of what is not there the handler says so."""
    name, topic_id, is_seen = item.name, bytes(item.topic_id), True
    if name is None:
        state = ctx.broker.cluster.topic_by_id(topic_id)
        if state is None:
            return None
        name = state.name
        is_seen = ask.tries(describe.operation, describe.resource, name)
    if ask.may(need.operation, need.resource, name) and is_seen:
        return None
    return DeletableTopicResult(name if is_seen else None, topic_id, code_of(need if is_seen else describe))


@guards(ApiKey.CREATE_PARTITIONS)
def create_partitions(_ctx: RequestContext, ask: Ask, request: CreatePartitionsRequest) -> Steps[Outcome]:
    """By name. What stands twice in the request is told first."""
    (need,) = needs(request.API, 1)
    times = yield from _times(request.topics)
    once = [topic for topic in request.topics if times[topic.name] == 1]
    _, denied = yield from by_name(ask, need, once, _NAME)
    code, gone = code_of(need), {topic.name for topic in denied}
    allowed = [topic for topic in request.topics if topic.name not in gone]

    def row(topic: CreatePartitionsTopic) -> CreatePartitionsTopicResult:
        return CreatePartitionsTopicResult(topic.name, code, _WORDS)

    return without(request, "topics", (allowed, denied), CreatePartitionsResponse, "results", row)
