"""FindCoordinator (10): who coordinates a group or a transactional id. Versions 0 to 6.

Groups are coordinated by this broker; the first to ask makes `__consumer_offsets`. Transactions (key type 1)
and share groups (2) get UNSUPPORTED_VERSION with a message: Java clients give up at once and show it, where a
retriable error has them ask for a minute and then call the broker slow. Key types that Kafka does not know
get INVALID_REQUEST. Several keys from version 4 on (KIP-699).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)

if TYPE_CHECKING:
    from fastlog.server.context import RequestContext

_BATCHED_FROM: Final = 4
_GROUP: Final = 0
_NOT_COORDINATED: Final = MappingProxyType({1: "transactions", 2: "share groups"})
_NOWHERE: Final = -1


@handles(ApiKey.FIND_COORDINATOR)
async def handle(ctx: RequestContext, request: FindCoordinatorRequest) -> FindCoordinatorResponse:
    """One answer for each key."""
    batched = ctx.header.api_version >= _BATCHED_FROM
    keys = request.coordinator_keys if batched else [request.key]
    found = [await _find(ctx, key, request.key_type) for key in keys]
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


async def _find(ctx: RequestContext, key: str, key_type: int) -> Coordinator:
    if key_type == _GROUP:
        try:
            await ctx.broker.groups.ensure_topic()
        except KafkaError as error:
            return _missing(key, ErrorCode.COORDINATOR_NOT_AVAILABLE, error.message)
        return _this_broker(ctx, key)
    what = _NOT_COORDINATED.get(key_type)
    if what is not None:
        return _missing(key, ErrorCode.UNSUPPORTED_VERSION, f"this release does not coordinate {what}")
    return _missing(key, ErrorCode.INVALID_REQUEST, f"unknown key type {key_type}")


def _this_broker(ctx: RequestContext, key: str) -> Coordinator:
    node_id = ctx.broker.replicas.node_id
    for broker in ctx.broker.cluster.brokers():
        if broker.id == node_id and ctx.listener in broker.endpoints:
            host, port = broker.endpoints[ctx.listener]
            return Coordinator(key, node_id, host, port, int(ErrorCode.NONE), None)
    return _missing(key, ErrorCode.COORDINATOR_NOT_AVAILABLE, f"not reached over {ctx.listener}")


def _missing(key: str, code: ErrorCode, message: str) -> Coordinator:
    return Coordinator(key, _NOWHERE, "", _NOWHERE, int(code), message)
