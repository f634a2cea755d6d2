"""CreateDelegationToken (38), RenewDelegationToken (39), ExpireDelegationToken (40), DescribeDelegationToken
(41): versions 0 to 3, and 0 to 2 of Renew and Expire (KIP-48).

From version 3 on a token can be made for somebody else (KIP-373). Any broker answers.

| code                               | when                                                                |
|------------------------------------|---------------------------------------------------------------------|
| DELEGATION_TOKEN_REQUEST_NOT_ALLOWED | over PLAINTEXT, over SSL without a certificate, logged in by token |
| DELEGATION_TOKEN_AUTHORIZATION_FAILED | a token for somebody else that is not allowed                    |
| INVALID_PRINCIPAL_TYPE             | an owner or a renewer that is no `User`                             |
| DELEGATION_TOKEN_AUTH_DISABLED     | the broker has no `delegation.token.secret.key`                     |
| DELEGATION_TOKEN_NOT_FOUND         | no token has this HMAC                                              |
| DELEGATION_TOKEN_OWNER_MISMATCH    | who asks is neither its owner nor one of its renewers               |
| DELEGATION_TOKEN_EXPIRED           | it is over; it can still be removed                                 |
| INVALID_REQUEST, POLICY_VIOLATION  | more than 100 renewers, or 8 KiB of names; too many tokens          |

Owners of other types Kafka takes: whoever logs in with the token is a `User` of that name then. What may not
be seen is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.delegation_token import USER
from fastlog.errors import ErrorCode, KafkaError
from fastlog.server.requests.registry import handles
from fastlog.server.security.token_sessions import may_manage_tokens, not_created, owner_of
from fastlog.wire import ApiKey
from fastlog.wire.messages.delegation_tokens import (
    CreateDelegationTokenRequest,
    CreateDelegationTokenResponse,
    DescribedDelegationToken,
    DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse,
    ExpireDelegationTokenRequest,
    ExpireDelegationTokenResponse,
    RenewDelegationTokenRequest,
    RenewDelegationTokenResponse,
    TokenPrincipal,
)

if TYPE_CHECKING:
    from fastlog.coordination.delegation_token import DelegationToken
    from fastlog.coordination.member.delegation_tokens import DelegationTokens
    from fastlog.server.requests.context import RequestContext

_NO_TIME: Final = -1
_KIND: Final = USER.removesuffix(":")


@handles(ApiKey.CREATE_DELEGATION_TOKEN)
async def create(ctx: RequestContext, request: CreateDelegationTokenRequest) -> CreateDelegationTokenResponse:
    """Makes a token, and tells its secret."""
    kind, name = owner_of(request, ctx.session)
    response = not_created(request, ctx.session, ErrorCode.NONE)
    try:
        _check_session(ctx)
        if kind != _KIND or any(renewer.principal_type != _KIND for renewer in request.renewers):
            raise _refusal(ErrorCode.INVALID_PRINCIPAL_TYPE)
        if not all(renewer.principal_name for renewer in request.renewers):
            raise _refusal(ErrorCode.INVALID_REQUEST)
        tokens = _tokens(ctx)
        renewers = [USER + renewer.principal_name for renewer in request.renewers]
        token = await tokens.create(USER + name, ctx.session.principal, renewers, request.max_lifetime_ms)
    except KafkaError as error:
        response.error_code = int(error.code)
        return response
    response.issue_timestamp_ms = token.issued_ms
    response.expiry_timestamp_ms = token.expiry_ms
    response.max_timestamp_ms = token.max_ms
    response.token_id, response.hmac = token.token_id, tokens.table.secret(token.token_id)
    return response


@handles(ApiKey.RENEW_DELEGATION_TOKEN)
async def renew(ctx: RequestContext, request: RenewDelegationTokenRequest) -> RenewDelegationTokenResponse:
    """Has a token end later."""
    response = RenewDelegationTokenResponse(expiry_timestamp_ms=_NO_TIME)
    try:
        _check_session(ctx)
        response.expiry_timestamp_ms = await _tokens(ctx).renew(
            ctx.session.principal, bytes(request.hmac), request.renew_period_ms
        )
    except KafkaError as error:
        response.error_code = int(error.code)
    return response


@handles(ApiKey.EXPIRE_DELEGATION_TOKEN)
async def expire(ctx: RequestContext, request: ExpireDelegationTokenRequest) -> ExpireDelegationTokenResponse:
    """Has a token end earlier, or at once."""
    response = ExpireDelegationTokenResponse(expiry_timestamp_ms=_NO_TIME)
    try:
        _check_session(ctx)
        response.expiry_timestamp_ms = await _tokens(ctx).expire(
            ctx.session.principal, bytes(request.hmac), request.expiry_time_period_ms
        )
    except KafkaError as error:
        response.error_code = int(error.code)
    return response


@handles(ApiKey.DESCRIBE_DELEGATION_TOKEN)
async def describe(
    ctx: RequestContext, request: DescribeDelegationTokenRequest
) -> DescribeDelegationTokenResponse:
    """The tokens of some owners, requesters and renewers, or all, as far as they may be seen."""
    response = DescribeDelegationTokenResponse()
    try:
        _check_session(ctx)
        tokens = _tokens(ctx)
    except KafkaError as error:
        response.error_code = int(error.code)
        return response
    wanted: set[str] | None = None
    if request.owners is not None:
        wanted = {_text(owner) async for owner in ctx.pace.each(request.owners)}
    async for token in ctx.pace.each(tokens.table.all()):
        if wanted is not None and wanted.isdisjoint((token.owner, token.requester, *token.renewers)):
            continue
        if token.concerns(ctx.session.principal) or _may_see(ctx, token):
            response.tokens.append(_described(token, tokens.table.secret(token.token_id)))
    if ctx.ask is not None:
        ctx.ask.tell()
    return response


def _check_session(ctx: RequestContext) -> None:
    if not may_manage_tokens(ctx.session):
        raise _refusal(ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED)


def _tokens(ctx: RequestContext) -> DelegationTokens:
    if ctx.broker.tokens is None:
        raise _refusal(ErrorCode.DELEGATION_TOKEN_AUTH_DISABLED)
    return ctx.broker.tokens


def _may_see(ctx: RequestContext, token: DelegationToken) -> bool:
    """Whether somebody whom a token does not concern may see it."""
    if ctx.ask is None:
        return True
    from fastlog.server.access.tokens import may_see  # with an authorizer alone

    return may_see(ctx.ask, token)


def _described(token: DelegationToken, secret: bytes) -> DescribedDelegationToken:
    kind, _, name = token.owner.partition(":")
    asking, _, who = token.requester.partition(":")
    return DescribedDelegationToken(
        *(kind, name, asking, who),
        *(token.issued_ms, token.expiry_ms, token.max_ms),
        token.token_id,
        secret,
        [TokenPrincipal(kind, name) for kind, _, name in (each.partition(":") for each in token.renewers)],
    )


def _text(principal: TokenPrincipal) -> str:
    return f"{principal.principal_type}:{principal.principal_name}"


def _refusal(code: ErrorCode) -> KafkaError:
    return KafkaError(code, code.text)
