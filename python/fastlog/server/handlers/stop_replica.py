"""StopReplica (5): the controller has this broker give up partitions, or delete them. Versions 0 to 4.

Before version 3 there are no leader epochs: such a request, which no controller of Kafka 3.9 sends, is
refused with UNSUPPORTED_VERSION.

CLUSTER_AUTHORIZATION_FAILED on another listener than that of the brokers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.requests.among_brokers import member_of
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.stop_replica import StopReplicaRequest, StopReplicaResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_FROM: Final = 3


@handles(ApiKey.STOP_REPLICA)
async def handle(ctx: RequestContext, request: StopReplicaRequest) -> StopReplicaResponse:
    """A code for each partition."""
    member = member_of(ctx)
    if isinstance(member, ErrorCode):
        return StopReplicaResponse(error_code=int(member))
    if ctx.header.api_version < _FROM:
        return StopReplicaResponse(error_code=int(ErrorCode.UNSUPPORTED_VERSION))
    return await member.receiver.stop_replica(request)
