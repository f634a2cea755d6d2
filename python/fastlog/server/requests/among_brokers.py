"""Requests of clusters of several brokers; those among brokers are taken over their listener alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey

if TYPE_CHECKING:
    from fastlog.coordination.member.member import Member
    from fastlog.server.requests.context import RequestContext

OF_CLUSTERS: Final = frozenset(
    {
        ApiKey.LEADER_AND_ISR,
        ApiKey.STOP_REPLICA,
        ApiKey.UPDATE_METADATA,
        ApiKey.CONTROLLED_SHUTDOWN,
        ApiKey.ALTER_PARTITION,
        ApiKey.ALLOCATE_PRODUCER_IDS,
        # Of operators, about several brokers.
        ApiKey.ELECT_LEADERS,
        ApiKey.ALTER_PARTITION_REASSIGNMENTS,
        ApiKey.LIST_PARTITION_REASSIGNMENTS,
        ApiKey.UPDATE_FEATURES,
    }
)
"""What a broker that is alone has no use for."""


def member_of(ctx: RequestContext) -> Member | ErrorCode:
    """The member that a request of another broker is for, or why it is not taken."""
    if not ctx.session.listener.is_inter_broker:
        return ErrorCode.CLUSTER_AUTHORIZATION_FAILED
    return ctx.broker.member
