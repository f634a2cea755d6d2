"""Requests that brokers send each other: and from where they are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey

if TYPE_CHECKING:
    from fastlog.coordination.member.member import Member
    from fastlog.server.requests.context import RequestContext

AMONG_BROKERS: Final = frozenset(
    {
        ApiKey.LEADER_AND_ISR,
        ApiKey.STOP_REPLICA,
        ApiKey.UPDATE_METADATA,
        ApiKey.CONTROLLED_SHUTDOWN,
        ApiKey.ALTER_PARTITION,
        ApiKey.ALLOCATE_PRODUCER_IDS,
    }
)
"""What a broker that is alone has no use for, and does not offer."""


def member_of(ctx: RequestContext) -> Member | ErrorCode:
    """The member that a request of another broker is for, or why it is not taken."""
    if ctx.broker.member is None or not ctx.session.listener.is_inter_broker:
        return ErrorCode.CLUSTER_AUTHORIZATION_FAILED
    return ctx.broker.member
