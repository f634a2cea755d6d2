"""FindCoordinator (10): who coordinates a group or a transactional id. Versions 0 to 6.

Groups are coordinated by this broker; the first to ask makes `__consumer_offsets`. Those whose partition of
it is offline get COORDINATOR_NOT_AVAILABLE. Transactions (key type 1)
and share groups (2) get UNSUPPORTED_VERSION with a message: Java clients give up at once and show it, where a
retriable error has them ask for a minute and then call the broker slow. Key types that Kafka does not know
get INVALID_REQUEST. Several keys from version 4 on (KIP-699).
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
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
        return _unless_offline(ctx, _this_broker(ctx))
    what = _NOT_COORDINATED.get(key_type)
    if what is not None:
        return _missing(ErrorCode.UNSUPPORTED_VERSION, f"this release does not coordinate {what}")
    return _missing(ErrorCode.INVALID_REQUEST, f"unknown key type {key_type}")


def _unless_offline(ctx: RequestContext, find: Callable[[str], Coordinator]) -> Callable[[str], Coordinator]:
    """A group whose partition has no leader has no coordinator."""

    def found(key: str) -> Coordinator:
        partition = ctx.broker.groups.table.partition(key)
        if partition is not None and is_offline(ctx.broker, GROUP_METADATA_TOPIC, partition):
            name = f"{GROUP_METADATA_TOPIC}-{partition}"
            return _missing(ErrorCode.COORDINATOR_NOT_AVAILABLE, f"{name} is offline")(key)
        return find(key)

    return found


def _this_broker(ctx: RequestContext) -> Callable[[str], Coordinator]:
    node_id, listener = ctx.broker.replicas.node_id, ctx.session.listener.name
    for broker in ctx.broker.cluster.brokers():
        if broker.id == node_id and listener in broker.endpoints:
            host, port = broker.endpoints[listener]
            return lambda key: Coordinator(key, node_id, host, port, int(ErrorCode.NONE), None)
    return _missing(ErrorCode.COORDINATOR_NOT_AVAILABLE, f"not reached over {listener}")


def _missing(code: ErrorCode, message: str | None) -> Callable[[str], Coordinator]:
    return lambda key: Coordinator(key, _NOWHERE, "", _NOWHERE, int(code), message)
