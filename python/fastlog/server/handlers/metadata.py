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
| LEADER_NOT_AVAILABLE       | per partition: no leader, it is dead, its log is offline, or (before version |
|                            | 6) it lacks the listener                                                     |
| LISTENER_NOT_FOUND         | per partition, from version 6 on: the leader lacks the client's listener     |
| REPLICA_NOT_AVAILABLE      | per partition, in version 0 alone: replicas are left out which are dead, or  |
|                            | lack the listener                                                            |
| others                     | why auto-creation failed: INVALID_REPLICATION_FACTOR, POLICY_VIOLATION, ...  |
| INVALID_REQUEST            | for all topics: an id or a null name before version 12                       |
| TOPIC_AUTHORIZATION_FAILED | it may not be described, or not be made; of all topics it is left out        |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from fastlog.coordination.topic_names import is_internal, topic_name_problem
from fastlog.coordination.topic_plan import NewTopic
from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import FastlogNativeError
from fastlog.server.admin.authorized_operations import cluster_operations, topic_operations
from fastlog.server.quotas.mutations import mutation_quota
from fastlog.server.requests.error_answers import error_code_of
from fastlog.server.requests.registry import EncodedResponse, handles
from fastlog.server.requests.replica_lookup import is_offline
from fastlog.server.requests.response_errors import errors_in_steps
from fastlog.wire import ZERO_UUID, ApiKey, encode_response_in_steps
from fastlog.wire.messages.common import UNKNOWN_OPERATIONS
from fastlog.wire.messages.metadata import (
    MetadataRequest,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)

if TYPE_CHECKING:
    from fastlog.coordination.cluster_view import ClusterSnapshot, TopicState
    from fastlog.server.requests.context import BrokerServices, RequestContext
    from fastlog.wire import Steps

IDS_FROM: Final = 12
_LISTENER_NOT_FOUND_FROM: Final = 6
_ALL_OPERATIONS_UNTIL: Final = 10
_PARTITIONS_PER_STEP: Final = 15  # less one, a power of two
_STEP_BYTES: Final = 512
"""What a topic takes before it is encoded."""
_NO_VERSION: Final = 2**15
_TOPICS_AT_ONCE: Final = 32
"""Topics that are made in one change: others need not wait for all of them."""

Asked = tuple[tuple[str, ...] | None, tuple[bytes, ...]]
Failures = dict[str, KafkaError]


class Hidden(NamedTuple):
    """Topics that were asked for and are not told of: names, ids, and names of topics not to be made."""

    names: tuple[str, ...] = ()
    ids: tuple[bytes, ...] = ()
    not_to_be_made: tuple[str, ...] = ()


NOTHING_HIDDEN: Final = Hidden()


@dataclass(frozen=True, slots=True)
class _Asker:
    """What depends on who asks: brokers that the listener reaches, the code of leaders that it does not."""

    broker: BrokerServices
    reachable: frozenset[int]
    unreachable: ErrorCode
    operations: Callable[[str], int]
    """The operations on a topic that are told."""
    leaves_out: bool
    """Whether replicas that it cannot reach are left out, which is an error then: in version 0."""


@handles(ApiKey.METADATA)
async def handle(ctx: RequestContext, request: MetadataRequest) -> EncodedResponse:
    """Creates what has to be created, then answers from the cluster's current state."""
    version = ctx.header.api_version
    if version < IDS_FROM and (await ctx.pace.run(_goes_by_id(request))):
        return await ctx.pace.run(_refused(ctx, request, version))
    names, ids = await ctx.pace.run(_asked(request, version))
    # Not needed any more. To free it together with the answer would take as long as several turns.
    request.topics = None
    creates = (
        names is not None
        and request.allow_auto_topic_creation
        and ctx.broker.config.auto_create_topics_enable
    )
    hidden = NOTHING_HIDDEN
    if ctx.ask is not None:
        from fastlog.server.access.seen_topics import seen  # with an authorizer alone

        asked, hidden = await ctx.pace.run(seen(ctx.ask, ctx.broker.cluster.snapshot, (names, ids), creates))
        (names, ids), creates = asked, creates and bool(asked[0])
        ctx.ask.tell()
    if names is not None and creates:
        failures = await _create_missing(ctx, names)
        if failures:
            return await ctx.pace.run(_answer(ctx, request, names, ids, failures, hidden))
    of_topics, of_cluster = (
        request.include_topic_authorized_operations,
        request.include_cluster_authorized_operations,
    )
    # What may be done is another answer for each who asks.
    who = ctx.ask.rights if ctx.ask is not None and (of_topics or of_cluster) else None
    question = (version, ctx.session.listener.name, names, ids, of_topics, of_cluster, hidden, who)
    cache = ctx.broker.metadata_cache
    generation = (ctx.broker.cluster.generation, ctx.broker.logs.table.generation)
    answer = cache.get(generation, question)
    if answer is None:
        answer = await ctx.pace.run(_answer(ctx, request, names, ids, {}, hidden))
        cache.put(generation, question, answer)
    return answer


def _goes_by_id(request: MetadataRequest) -> Steps[bool]:
    for topic in request.topics or ():
        if topic.name is None or topic.topic_id != ZERO_UUID:
            return True
        yield
    return False


def _refused(ctx: RequestContext, request: MetadataRequest, version: int) -> Steps[EncodedResponse]:
    """Versions 10 and 11 have a place for ids, but no use for them: every topic is refused."""
    topics = []
    for topic in request.topics or ():
        topics.append(
            MetadataResponseTopic(
                error_code=int(ErrorCode.INVALID_REQUEST), name=topic.name or "", topic_id=topic.topic_id
            )
        )
        yield
    return (yield from _encoded(ctx, MetadataResponse(topics=topics), version))


def _encoded(ctx: RequestContext, response: MetadataResponse, version: int) -> Steps[EncodedResponse]:
    frame = yield from encode_response_in_steps(response, version, 0, ctx.pace.grow)
    return EncodedResponse(frame, (yield from errors_in_steps(response, version)))


def _asked(request: MetadataRequest, version: int) -> Steps[Asked]:
    """(names, ids); no names at all stand for every topic. When there is an id the names do not count."""
    topics = request.topics
    if topics is None or (version == 0 and not topics):
        return None, ()
    names: dict[str, None] = {}
    ids: dict[bytes, None] = {}
    for topic in topics:
        if topic.topic_id != ZERO_UUID:
            ids[topic.topic_id] = None
        elif topic.name is not None:
            names[topic.name] = None
        yield
    return () if ids else tuple(names), tuple(ids)


async def _create_missing(ctx: RequestContext, names: tuple[str, ...]) -> Failures:
    failures: Failures = {}
    missing: list[NewTopic] = []
    # A client that is gone has no more topics made.
    async for name in ctx.pace.each(names):
        if name in ctx.broker.cluster.topics or is_internal(name) or topic_name_problem(name) is not None:
            continue
        missing.append(NewTopic(name))
        if len(missing) >= _TOPICS_AT_ONCE:
            await _create(ctx, missing, failures)
            missing = []
    if missing:
        await _create(ctx, missing, failures)
    return failures


async def _create(ctx: RequestContext, missing: list[NewTopic], failures: Failures) -> None:
    quota = mutation_quota(ctx, _NO_VERSION)
    try:
        outcomes: Sequence[TopicState | KafkaError] = await ctx.broker.topics.create_asked_for(missing)
    except KafkaError as error:
        outcomes = [error] * len(missing)
    except (FastlogNativeError, OSError) as error:
        outcomes = [KafkaError(error_code_of(error), str(error))] * len(missing)
    for topic, outcome in zip(missing, outcomes, strict=True):
        if not isinstance(outcome, KafkaError):
            # It is done whatever is left of the quota, which is less afterwards, as in Kafka.
            quota.take(len(outcome.partitions))
            continue
        if outcome.code is not ErrorCode.TOPIC_ALREADY_EXISTS:
            failures[topic.name] = outcome
        elif topic.name not in ctx.broker.cluster.topics:
            # Another request creates it at this moment, or it is being deleted: the client asks again.
            failures[topic.name] = KafkaError(ErrorCode.LEADER_NOT_AVAILABLE)


def _answer(
    ctx: RequestContext,
    request: MetadataRequest,
    names: tuple[str, ...] | None,
    ids: tuple[bytes, ...],
    failures: Failures,
    hidden: Hidden,
) -> Steps[EncodedResponse]:
    version, listener, pace = ctx.header.api_version, ctx.session.listener.name, ctx.pace
    snapshot = ctx.broker.cluster.snapshot
    reachable = frozenset(broker.id for broker in snapshot.brokers if listener in broker.endpoints)
    unreachable = (
        ErrorCode.LISTENER_NOT_FOUND
        if version >= _LISTENER_NOT_FOUND_FROM
        else ErrorCode.LEADER_NOT_AVAILABLE
    )
    operations = partial(topic_operations, ctx) if request.include_topic_authorized_operations else _untold
    asker = _Asker(ctx.broker, reachable, unreachable, operations, version == 0)
    of_ids = yield from pace.weigh(_by_id(snapshot, ids, asker), _STEP_BYTES)
    of_names = yield from pace.weigh(_by_name(snapshot, names, failures, asker), _STEP_BYTES)
    of_hidden = yield from pace.weigh(_of_hidden(hidden), _STEP_BYTES)
    of_cluster = UNKNOWN_OPERATIONS
    if request.include_cluster_authorized_operations and version <= _ALL_OPERATIONS_UNTIL:
        of_cluster = cluster_operations(ctx, request.API)
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
        topics=of_ids + of_names + of_hidden,
        cluster_authorized_operations=of_cluster,
    )
    return (yield from _encoded(ctx, response, version))


def _by_id(
    snapshot: ClusterSnapshot, ids: tuple[bytes, ...], asker: _Asker
) -> Steps[list[MetadataResponseTopic]]:
    found = []
    for topic_id in ids:
        yield
        state = snapshot.topics_by_id.get(topic_id)
        if state is None:
            found.append(
                MetadataResponseTopic(
                    error_code=int(ErrorCode.UNKNOWN_TOPIC_ID), name=None, topic_id=topic_id
                )
            )
        else:
            found.append((yield from _topic(state, asker)))
    return found


def _by_name(
    snapshot: ClusterSnapshot,
    names: tuple[str, ...] | None,
    failures: Failures,
    asker: _Asker,
) -> Steps[list[MetadataResponseTopic]]:
    found = []
    for name in snapshot.topics if names is None else names:
        yield
        state = snapshot.topics.get(name)
        if state is not None:
            found.append((yield from _topic(state, asker)))
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
                topic_authorized_operations=asker.operations(name),
            )
        )
    return found


def _of_hidden(hidden: Hidden) -> Steps[list[MetadataResponseTopic]]:
    """What is told of topics that the client may not see, or not make: as much as it said itself."""
    found = []
    code = int(ErrorCode.TOPIC_AUTHORIZATION_FAILED)
    for name in hidden.names:
        found.append(MetadataResponseTopic(error_code=code, name=name))
        yield
    for name in hidden.not_to_be_made:
        found.append(MetadataResponseTopic(error_code=code, name=name, is_internal=is_internal(name)))
        yield
    for topic_id in hidden.ids:
        found.append(MetadataResponseTopic(error_code=code, name=None, topic_id=topic_id))
        yield
    return found


def _untold(_name: str) -> int:
    return UNKNOWN_OPERATIONS


def _topic(state: TopicState, asker: _Asker) -> Steps[MetadataResponseTopic]:
    topic = MetadataResponseTopic(
        name=state.name,
        topic_id=state.topic_id,
        is_internal=state.internal,
        topic_authorized_operations=asker.operations(state.name),
    )
    for index in range(len(state.partitions)):
        topic.partitions.append(_partition(state, index, asker))
        if index & _PARTITIONS_PER_STEP == _PARTITIONS_PER_STEP:
            yield
    return topic


def _partition(topic: TopicState, index: int, asker: _Asker) -> MetadataResponsePartition:
    state, me = topic.partitions[index], asker.broker.replicas.node_id
    offline = is_offline(asker.broker, topic.name, index)
    code = ErrorCode.NONE
    if state.leader < 0 or (offline and state.leader == me):
        code = ErrorCode.LEADER_NOT_AVAILABLE
    elif state.leader not in asker.reachable:
        is_alive = asker.broker.cluster.is_alive(state.leader)
        code = asker.unreachable if is_alive else ErrorCode.LEADER_NOT_AVAILABLE
    leader, replicas, isr = -1 if code else state.leader, list(state.replicas), list(state.isr)
    if asker.leaves_out:
        replicas, isr = ([node for node in nodes if node in asker.reachable] for nodes in (replicas, isr))
        if not code and len(replicas) + len(isr) < len(state.replicas) + len(state.isr):
            code = ErrorCode.REPLICA_NOT_AVAILABLE
    return MetadataResponsePartition(
        error_code=int(code),
        partition_index=index,
        leader_id=leader,
        leader_epoch=state.leader_epoch,
        replica_nodes=replicas,
        isr_nodes=isr,
        offline_replicas=[
            node
            for node in state.replicas
            if node not in asker.reachable or node in state.offline or (offline and node == me)
        ],
    )
