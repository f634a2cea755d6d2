"""ElectLeaders (43): an operator has leaders elected: the preferred ones, or unclean ones. Versions 0 to 2.

Only the controller does it: NOT_CONTROLLER elsewhere, for each partition. INVALID_REQUEST for a type of
election that there is not. The answer comes when this broker's view shows the new leaders, within the
request's time-out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.partition_admin import ElectLeadersRequest, ElectLeadersResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext

_TYPES: Final = (0, 1)
"""The preferred leaders, unclean ones."""


@handles(ApiKey.ELECT_LEADERS)
async def handle(ctx: RequestContext, request: ElectLeadersRequest) -> ElectLeadersResponse:
    """A code for each partition."""
    if request.election_type not in _TYPES:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"there is no election of type {request.election_type}")
    return await ctx.broker.member.elect_leaders(request)
