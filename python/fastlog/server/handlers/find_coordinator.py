"""FindCoordinator (10): who coordinates a group or a transactional id. Versions 0 to 6.

A group is coordinated by the broker that leads its partition of `__consumer_offsets`, a transactional id
(key type 1) by that of `__transaction_state`, which the first to ask makes. Those whose partition is led by
nobody, is offline here, or is led by a broker that the client's listener does not reach get
COORDINATOR_NOT_AVAILABLE. What is not coordinated (share groups, key type 2; transactions where no markers
are written) gets UNSUPPORTED_VERSION with a message: Java clients give up at once and show it, where a
retriable error has them ask for a minute and then call the broker slow. Key types that Kafka does not know
get INVALID_REQUEST. Several keys from version 4 on (KIP-699).
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fastlog.coordination.coordinator_partition import partition_of
from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.requests.registry import handles
from fastlog.server.requests.replica_lookup import is_offline
from fastlog.wire import ApiKey
from fastlog.wire.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_BATCHED_FROM: Final = 4
_GROUP: Final = 0
_TRANSACTION: Final = 1
_NOT_COORDINATED: Final = MappingProxyType({1: "transactions", 2: "share groups"})
_NOWHERE: Final = -1


@handles(ApiKey.FIND_COORDINATOR)
async def handle(ctx: RequestContext, request: FindCoordinatorRequest) -> FindCoordinatorResponse:
    """One answer for each key."""
    batched = ctx.header.api_version >= _BATCHED_FROM
    keys = request.coordinator_keys if batched else [request.key]
    find = await _coordinator(ctx, request.key_type)
    found = [find(key) async for key in ctx.pace.each(keys)]
    if batched:
        return FindCoordinatorResponse(coordinators=found)
    (one,) = found
    return FindCoordinatorResponse(
        error_code=one.error_code,
        error_message=one.error_message,
        node_id=one.node_id,
        host=one.host,
        port=one.port,
    )


async def _coordinator(ctx: RequestContext, key_type: int) -> Callable[[str], Coordinator]:
    """What every key of this type gets: it does not depend on the key."""
    if key_type == _GROUP:
        try:
            await ctx.broker.groups.ensure_topic()
        except KafkaError as error:
            return _missing(ErrorCode.COORDINATOR_NOT_AVAILABLE, error.message)
        return _leaders_of(ctx, GROUP_METADATA_TOPIC)
    transactions = ctx.broker.transactions
    if key_type == _TRANSACTION and transactions is not None:
        try:
            await (await transactions.get()).service.ensure_topic()
        except KafkaError as error:
            return _missing(ErrorCode.COORDINATOR_NOT_AVAILABLE, error.message)
        return _leaders_of(ctx, TRANSACTION_STATE_TOPIC)
    what = _NOT_COORDINATED.get(key_type)
    if what is not None:
        return _missing(ErrorCode.UNSUPPORTED_VERSION, f"this release does not coordinate {what}")
    return _missing(ErrorCode.INVALID_REQUEST, f"unknown key type {key_type}")


def _leaders_of(ctx: RequestContext, of: str) -> Callable[[str], Coordinator]:
    """Finds who leads the partition of a key in a coordinators' topic."""
    node_id, listener = ctx.broker.replicas.node_id, ctx.session.listener.name
    snapshot = ctx.broker.cluster.snapshot
    brokers = {info.id: info.endpoints.get(listener) for info in snapshot.brokers}
    topic = snapshot.topics.get(of)

    def found(key: str) -> Coordinator:
        if topic is None:
            return _missing(ErrorCode.COORDINATOR_NOT_AVAILABLE, f"{of} is not there yet")(key)
        partition = partition_of(key, len(topic.partitions))
        name, leader = f"{of}-{partition}", topic.partitions[partition].leader
        if leader == node_id and is_offline(ctx.broker, of, partition):
            return _missing(ErrorCode.COORDINATOR_NOT_AVAILABLE, f"{name} is offline")(key)
        if leader not in brokers:
            return _missing(ErrorCode.COORDINATOR_NOT_AVAILABLE, f"{name} has no leader")(key)
        endpoint = brokers[leader]
        if endpoint is None:
            message = f"broker {leader} is not reached over {listener}"
            return _missing(ErrorCode.COORDINATOR_NOT_AVAILABLE, message)(key)
        return Coordinator(key, leader, *endpoint, int(ErrorCode.NONE), None)

    return found


def _missing(code: ErrorCode, message: str | None) -> Callable[[str], Coordinator]:
    return lambda key: Coordinator(key, _NOWHERE, "", _NOWHERE, int(code), message)
