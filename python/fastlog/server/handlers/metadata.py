"""Metadata (3): brokers, topics, partitions and leaders, and topics that come into being by being asked for.

Versions 0 to 12. All topics: an empty list in version 0, null from 1 on. Auto-creation needs the broker's
auto.create.topics.enable, the request's flag (from version 4 on; before that always set) and a legal name
that is not an internal topic's; the topic is there before the answer goes out. From 12 on topics may be
asked for by id.

| code                       | when                                                                         |
|----------------------------|------------------------------------------------------------------------------|
| UNKNOWN_TOPIC_OR_PARTITION | no such topic, and not to be created                                         |
| INVALID_TOPIC_EXCEPTION    | no such topic, and none could have this name                                 |
| UNKNOWN_TOPIC_ID           | no topic with this id                                                        |
| LEADER_NOT_AVAILABLE       | per partition: no leader, or (before version 6) it lacks the listener        |
| LISTENER_NOT_FOUND         | per partition, from version 6 on: the leader lacks the client's listener     |
| others                     | why auto-creation failed: INVALID_REPLICATION_FACTOR, POLICY_VIOLATION, ...  |
| INVALID_REQUEST            | id or null name before version 12: no place for it, the connection is closed |
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from fastlog.coordination.topic_names import is_internal, topic_name_problem
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.authorized_operations import CLUSTER_OPERATIONS, TOPIC_OPERATIONS
from fastlog.server.registry import EncodedResponse, handles
from fastlog.wire import ZERO_UUID, ApiKey, encode_response
from fastlog.wire.messages.common import UNKNOWN_OPERATIONS
from fastlog.wire.messages.metadata import (
    MetadataRequest,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)

if TYPE_CHECKING:
    from fastlog.coordination.cluster_view import ClusterSnapshot, PartitionState, TopicState
    from fastlog.server.context import RequestContext

IDS_FROM: Final = 12
_LISTENER_NOT_FOUND_FROM: Final = 6
_ALL_OPERATIONS_UNTIL: Final = 10

Failures = dict[str, KafkaError]


@handles(ApiKey.METADATA)
async def handle(ctx: RequestContext, request: MetadataRequest) -> EncodedResponse:
    """Creates what has to be created, then answers from the cluster's current state."""
    version = ctx.header.api_version
    names, ids = _asked(request, version)
    if (
        names is not None
        and request.allow_auto_topic_creation
        and ctx.broker.config.auto_create_topics_enable
    ):
        failures = await _create_missing(ctx, names)
        if failures:
            return _answer(ctx, request, names, ids, failures)
    question = (
        version,
        ctx.listener,
        names,
        ids,
        request.include_topic_authorized_operations,
        request.include_cluster_authorized_operations,
    )
    return ctx.broker.metadata_cache.get(
        ctx.broker.cluster.generation, question, lambda: _answer(ctx, request, names, ids, {})
    )


def _asked(request: MetadataRequest, version: int) -> tuple[tuple[str, ...] | None, tuple[bytes, ...]]:
    """(names, ids); no names at all stand for every topic. When there is an id the names do not count."""
    topics = request.topics
    if topics is None or (version == 0 and not topics):
        return None, ()
    ids = tuple(dict.fromkeys(topic.topic_id for topic in topics if topic.topic_id != ZERO_UUID))
    if version < IDS_FROM and (ids or any(topic.name is None for topic in topics)):
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"version {version} asks for topics by name only")
    names = () if ids else tuple(dict.fromkeys(topic.name for topic in topics if topic.name is not None))
    return names, ids


async def _create_missing(ctx: RequestContext, names: tuple[str, ...]) -> Failures:
    failures: Failures = {}
    for name in names:
        if name in ctx.broker.cluster.topics or is_internal(name) or topic_name_problem(name) is not None:
            continue
        try:
            await ctx.broker.topics.create(name)
        except KafkaError as error:
            if error.code is not ErrorCode.TOPIC_ALREADY_EXISTS:
                failures[name] = error
            elif name not in ctx.broker.cluster.topics:
                # Another request creates it at this moment, or it is being deleted: the client asks again.
                failures[name] = KafkaError(ErrorCode.LEADER_NOT_AVAILABLE)
        await asyncio.sleep(0)
    return failures


def _answer(
    ctx: RequestContext,
    request: MetadataRequest,
    names: tuple[str, ...] | None,
    ids: tuple[bytes, ...],
    failures: Failures,
) -> EncodedResponse:
    version, listener = ctx.header.api_version, ctx.listener
    snapshot = ctx.broker.cluster.snapshot
    reachable = {broker.id for broker in snapshot.brokers if listener in broker.endpoints}
    unreachable = (
        ErrorCode.LISTENER_NOT_FOUND
        if version >= _LISTENER_NOT_FOUND_FROM
        else ErrorCode.LEADER_NOT_AVAILABLE
    )
    operations = TOPIC_OPERATIONS if request.include_topic_authorized_operations else UNKNOWN_OPERATIONS
    topics = [
        *_by_id(snapshot, ids, reachable, unreachable, operations),
        *_by_name(snapshot, names, failures, reachable, unreachable, operations),
    ]
    wants_cluster = request.include_cluster_authorized_operations and version <= _ALL_OPERATIONS_UNTIL
    response = MetadataResponse(
        brokers=[
            MetadataResponseBroker(
                node_id=broker.id,
                host=broker.endpoints[listener][0],
                port=broker.endpoints[listener][1],
                rack=broker.rack,
            )
            for broker in snapshot.brokers
            if broker.id in reachable
        ],
        cluster_id=snapshot.cluster_id,
        controller_id=snapshot.controller_id,
        topics=topics,
        cluster_authorized_operations=CLUSTER_OPERATIONS if wants_cluster else UNKNOWN_OPERATIONS,
    )
    return EncodedResponse(encode_response(response, version, 0))


def _by_id(
    snapshot: ClusterSnapshot,
    ids: tuple[bytes, ...],
    reachable: set[int],
    unreachable: ErrorCode,
    operations: int,
) -> list[MetadataResponseTopic]:
    found = []
    for topic_id in ids:
        state = snapshot.topics_by_id.get(topic_id)
        if state is None:
            found.append(
                MetadataResponseTopic(
                    error_code=int(ErrorCode.UNKNOWN_TOPIC_ID), name=None, topic_id=topic_id
                )
            )
        else:
            found.append(_topic(state, reachable, unreachable, operations))
    return found


def _by_name(
    snapshot: ClusterSnapshot,
    names: tuple[str, ...] | None,
    failures: Failures,
    reachable: set[int],
    unreachable: ErrorCode,
    operations: int,
) -> list[MetadataResponseTopic]:
    if names is None:
        return [_topic(state, reachable, unreachable, operations) for state in snapshot.topics.values()]
    found = []
    for name in names:
        state = snapshot.topics.get(name)
        if state is not None:
            found.append(_topic(state, reachable, unreachable, operations))
            continue
        code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if name in failures:
            code = failures[name].code
        elif topic_name_problem(name) is not None:
            code = ErrorCode.INVALID_TOPIC_EXCEPTION
        found.append(
            MetadataResponseTopic(
                error_code=int(code),
                name=name,
                is_internal=is_internal(name),
                topic_authorized_operations=operations,
            )
        )
    return found


def _topic(
    state: TopicState, reachable: set[int], unreachable: ErrorCode, operations: int
) -> MetadataResponseTopic:
    return MetadataResponseTopic(
        name=state.name,
        topic_id=state.topic_id,
        is_internal=state.internal,
        partitions=[
            _partition(index, partition, reachable, unreachable)
            for index, partition in enumerate(state.partitions)
        ],
        topic_authorized_operations=operations,
    )


def _partition(
    index: int, state: PartitionState, reachable: set[int], unreachable: ErrorCode
) -> MetadataResponsePartition:
    code = ErrorCode.NONE
    if state.leader < 0:
        code = ErrorCode.LEADER_NOT_AVAILABLE
    elif state.leader not in reachable:
        code = unreachable
    return MetadataResponsePartition(
        error_code=int(code),
        partition_index=index,
        leader_id=-1 if code else state.leader,
        leader_epoch=state.leader_epoch,
        replica_nodes=list(state.replicas),
        isr_nodes=list(state.isr),
        offline_replicas=[node for node in state.replicas if node not in reachable],
    )
