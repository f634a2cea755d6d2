"""The guard of delegation tokens, and who may see those that do not concern them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlog.errors import ErrorCode
from fastlog.server.access.gate import Outcome, Refused, code_of, guards, needs
from fastlog.server.security.token_sessions import may_manage_tokens, not_created, owner_of
from fastlog.wire import ApiKey

if TYPE_CHECKING:
    from fastlog.coordination.delegation_token import DelegationToken
    from fastlog.server.access.asking import Ask
    from fastlog.server.requests.context import RequestContext
    from fastlog.wire.messages.delegation_tokens import CreateDelegationTokenRequest

__all__ = ["may_see"]


@guards(ApiKey.CREATE_DELEGATION_TOKEN)
def create_token(ctx: RequestContext, ask: Ask, request: CreateDelegationTokenRequest) -> Outcome:
    """By the owner, if that is somebody else. Whether tokens may be asked for at all the handler says."""
    (need,) = needs(request.API, 1)
    owner = ":".join(owner_of(request, ctx.session))
    if owner == ctx.session.principal or not may_manage_tokens(ctx.session):
        return None
    if ask.may(need.operation, need.resource, owner):
        return None
    return Refused(not_created(request, ctx.session, ErrorCode(code_of(need))))


def may_see(ask: Ask, token: DelegationToken) -> bool:
    """Whether somebody may see a token of others: that one, or all of its owner."""
    of_token, of_owner = needs(ApiKey.DESCRIBE_DELEGATION_TOKEN, 2)
    return ask.may(of_token.operation, of_token.resource, token.token_id) or ask.may(
        of_owner.operation, of_owner.resource, token.owner
    )
