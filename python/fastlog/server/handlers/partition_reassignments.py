"""AlterPartitionReassignments (45) and ListPartitionReassignments (46): an operator moves partitions to other
brokers, and sees which moves are under way (KIP-455). Version 0.

NOT_CONTROLLER where this broker is not the controller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.server.requests.registry import handles
from fastlog.wire import ApiKey
from fastlog.wire.messages.partition_admin import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)

if TYPE_CHECKING:
    from fastlog.coordination.controller.controller import Controller
    from fastlog.server.requests.context import RequestContext


@handles(ApiKey.ALTER_PARTITION_REASSIGNMENTS)
async def alter(
    ctx: RequestContext, request: AlterPartitionReassignmentsRequest
) -> AlterPartitionReassignmentsResponse:
    """A code for each partition; the moves go on afterwards."""
    return await _controller(ctx).alter_reassignments(request)


@handles(ApiKey.LIST_PARTITION_REASSIGNMENTS)
async def listed(
    ctx: RequestContext, request: ListPartitionReassignmentsRequest
) -> ListPartitionReassignmentsResponse:
    """The moves that are under way."""
    return await _controller(ctx).list_reassignments(request)


def _controller(ctx: RequestContext) -> Controller:
    return ctx.broker.member.controller
