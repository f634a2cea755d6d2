"""AlterPartition (56): leaders have the controller store other in-sync sets. Versions 0 to 3.

NOT_CONTROLLER where this broker is not it.

CLUSTER_AUTHORIZATION_FAILED on another listener than that of the brokers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode
from fastlog.server.requests.among_brokers import member_of
from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.alter_partition import AlterPartitionRequest, AlterPartitionResponse

if TYPE_CHECKING:
    from fastlog.server.requests.context import RequestContext


@handles(ApiKey.ALTER_PARTITION)
async def handle(ctx: RequestContext, request: AlterPartitionRequest) -> AlterPartitionResponse:
    """A code for each partition."""
    member = member_of(ctx)
    if isinstance(member, ErrorCode):
        return AlterPartitionResponse(error_code=int(member))
    return await member.controller.alter_partition(request, ctx.header.api_version)
