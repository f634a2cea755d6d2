"""ElectLeaders (43): an operator has leaders elected: the preferred ones, or unclean ones. Versions 0 to 2.

Only the controller does it: NOT_CONTROLLER elsewhere, in version 0, which has no error of its own, for each
partition. The answer comes when this broker's view shows the new leaders, within the request's time-out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.partition_admin import ElectLeadersRequest, ElectLeadersResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext


@handles(ApiKey.ELECT_LEADERS)
async def handle(ctx: RequestContext, request: ElectLeadersRequest) -> ElectLeadersResponse:
    """A code for each partition."""
    return await ctx.broker.member.elect_leaders(request)
