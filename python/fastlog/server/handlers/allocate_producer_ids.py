"""AllocateProducerIds (67): a broker has the controller reserve a block of producer ids. Version 0.

NOT_CONTROLLER where this broker is not it.

CLUSTER_AUTHORIZATION_FAILED on another listener than that of the brokers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode
from fastlog.server.requests.among_brokers import member_of
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.allocate_producer_ids import (
    AllocateProducerIdsRequest,
    AllocateProducerIdsResponse,
)

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext


@handles(ApiKey.ALLOCATE_PRODUCER_IDS)
async def handle(ctx: RequestContext, request: AllocateProducerIdsRequest) -> AllocateProducerIdsResponse:
    """The block."""
    member = member_of(ctx)
    if isinstance(member, ErrorCode):
        return AllocateProducerIdsResponse(error_code=int(member))
    return await member.controller.allocate_producer_ids(request)
