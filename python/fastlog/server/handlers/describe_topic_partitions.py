"""DescribeTopicPartitions (75): topics page by page (KIP-966). Version 0.

At most `response_partition_limit` partitions (one at least), and no more than
max.request.partition.size.limit, in one answer; `next_cursor` says where to go on. No topics in the request
ask for all. Topics come in the order of their names, as the cursor needs it. A cursor at a negative
partition, or at a topic that the request does not name, is INVALID_REQUEST for every topic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.coordination.topic_names import topic_name_problem
from fastlog.errors import ErrorCode
from fastlog.server.admin.authorized_operations import topic_operations
from fastlog.server.requests.registry import handles
from fastlog.server.requests.replica_lookup import is_offline
from fastlog.wire import ApiKey
from fastlog.wire.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
)

if TYPE_CHECKING:
    from fastlog.coordination.cluster_view import TopicState
    from fastlog.server.requests.context import BrokerServices, RequestContext
    from fastlog.wire import Steps


@handles(ApiKey.DESCRIBE_TOPIC_PARTITIONS)
def handle(
    ctx: RequestContext, request: DescribeTopicPartitionsRequest
) -> Steps[DescribeTopicPartitionsResponse]:
    """Answers from the cluster's current state."""
    topics = ctx.broker.cluster.topics
    wanted = {topic.name for topic in request.topics}
    names = sorted(wanted or topics)
    hidden = yield from _hidden(ctx, names, is_all=not wanted)
    if not wanted:
        names = [name for name in names if name not in hidden]
    first_topic, first_partition = "", 0
    if request.cursor is not None:
        first_topic, first_partition = request.cursor.topic_name, request.cursor.partition_index
        if first_partition < 0 or (wanted and first_topic not in wanted):
            return _refused(request)
    most = ctx.broker.config.max_request_partition_size_limit
    left = max(min(request.response_partition_limit, most), 1)
    response = DescribeTopicPartitionsResponse()
    for name in names:
        yield
        if name < first_topic:
            continue
        start = first_partition if name == first_topic else 0
        state = topics.get(name)
        if state is None or name in hidden:
            response.topics.append(_refused_topic(name) if name in hidden else _missing(ctx, name))
            continue
        if left == 0:
            response.next_cursor = Cursor(name, start)
            break
        end = min(len(state.partitions), start + left)
        response.topics.append(
            DescribeTopicPartitionsResponseTopic(
                name=name,
                topic_id=state.topic_id,
                is_internal=state.internal,
                partitions=[_partition(ctx.broker, state, index) for index in range(start, end)],
                topic_authorized_operations=topic_operations(ctx, name),
            )
        )
        left -= max(0, end - start)
        if end < len(state.partitions):
            response.next_cursor = Cursor(name, end)
            break
    return response


def _refused(request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse:
    code = int(ErrorCode.INVALID_REQUEST)
    return DescribeTopicPartitionsResponse(
        topics=[
            DescribeTopicPartitionsResponseTopic(error_code=code, name=topic.name) for topic in request.topics
        ]
    )


def _partition(
    broker: BrokerServices, topic: TopicState, index: int
) -> DescribeTopicPartitionsResponsePartition:
    state, me = topic.partitions[index], broker.replicas.node_id
    offline = is_offline(broker, topic.name, index)
    alive = broker.cluster.is_alive
    is_led = alive(state.leader) and not (offline and state.leader == me)
    leader = state.leader if is_led else -1
    code = ErrorCode.NONE if leader >= 0 else ErrorCode.LEADER_NOT_AVAILABLE
    return DescribeTopicPartitionsResponsePartition(
        error_code=int(code),
        partition_index=index,
        leader_id=leader,
        leader_epoch=state.leader_epoch,
        replica_nodes=list(state.replicas),
        isr_nodes=list(state.isr),
        eligible_leader_replicas=[],
        last_known_elr=[],
        offline_replicas=[
            node
            for node in state.replicas
            if not alive(node) or node in state.offline or (offline and node == me)
        ],
    )


def _hidden(ctx: RequestContext, names: list[str], *, is_all: bool) -> Steps[set[str]]:
    """Topics that the client may not describe."""
    if ctx.ask is None:
        return set()
    from fastlog.server.access.topics import not_described  # with an authorizer alone

    hidden = yield from not_described(ctx.ask, names, is_all=is_all)
    ctx.ask.tell()
    return hidden


def _refused_topic(name: str) -> DescribeTopicPartitionsResponseTopic:
    return DescribeTopicPartitionsResponseTopic(
        error_code=int(ErrorCode.TOPIC_AUTHORIZATION_FAILED), name=name
    )


def _missing(ctx: RequestContext, name: str) -> DescribeTopicPartitionsResponseTopic:
    invalid = topic_name_problem(name) is not None
    code = ErrorCode.INVALID_TOPIC_EXCEPTION if invalid else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return DescribeTopicPartitionsResponseTopic(
        error_code=int(code), name=name, topic_authorized_operations=topic_operations(ctx, name)
    )
