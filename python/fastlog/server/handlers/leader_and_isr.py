"""LeaderAndIsr (4): the controller says what this broker leads and follows. Versions 0 to 7.

Before version 5 there are no topic ids: such a request, which no controller of Kafka 3.9 sends, is
refused with UNSUPPORTED_VERSION. What each error means is in `coordination/member/assigned`.

CLUSTER_AUTHORIZATION_FAILED on another listener than that of the brokers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.requests.among_brokers import member_of
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest, LeaderAndIsrResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_FROM: Final = 5


@handles(ApiKey.LEADER_AND_ISR)
async def handle(ctx: RequestContext, request: LeaderAndIsrRequest) -> LeaderAndIsrResponse:
    """A code for each partition."""
    member = member_of(ctx)
    if isinstance(member, ErrorCode):
        return LeaderAndIsrResponse(error_code=int(member))
    if ctx.header.api_version < _FROM:
        return LeaderAndIsrResponse(error_code=int(ErrorCode.UNSUPPORTED_VERSION))
    return await member.receiver.leader_and_isr(request)
