"""ControlledShutdown (7): a broker that is about to stop has the controller move what it leads. Versions 0-3.

STALE_CONTROLLER_EPOCH where this broker is not the controller.

CLUSTER_AUTHORIZATION_FAILED on another listener than that of the brokers. STALE_BROKER_EPOCH for the broker
that is asked: a controller that stops tells itself so without a request. Whoever else says so would have
nothing led by it any more, in a cluster of one nothing at all (Kafka believes it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode
from fastlog.server.requests.among_brokers import member_of
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownRequest, ControlledShutdownResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext


@handles(ApiKey.CONTROLLED_SHUTDOWN)
async def handle(ctx: RequestContext, request: ControlledShutdownRequest) -> ControlledShutdownResponse:
    """What could not be moved."""
    member = member_of(ctx)
    if isinstance(member, ErrorCode):
        return ControlledShutdownResponse(error_code=int(member))
    if request.broker_id == ctx.broker.config.node_id and member.controller.is_active:
        return ControlledShutdownResponse(error_code=int(ErrorCode.STALE_BROKER_EPOCH))
    return await member.controller.controlled_shutdown(request)
