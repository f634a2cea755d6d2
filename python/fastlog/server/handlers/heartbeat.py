"""Heartbeat (12): a member is alive, and learns whether it has to join again. Versions 0 to 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.groups import HeartbeatRequest, HeartbeatResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext


@handles(ApiKey.HEARTBEAT)
def handle(ctx: RequestContext, request: HeartbeatRequest) -> HeartbeatResponse:
    """Answers at once, whatever other members wait for."""
    error = ctx.broker.groups.membership.heartbeat(
        request.group_id, request.member_id, request.group_instance_id, request.generation_id
    )
    return HeartbeatResponse(error_code=int(error))
