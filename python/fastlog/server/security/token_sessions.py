"""Who may ask for delegation tokens, and for whom (`KafkaApis.allowTokenRequests`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.config.listeners import SecurityProtocol
from fastlog.server.network.session import ANONYMOUS
from fastlog.wire.messages.delegation_tokens import CreateDelegationTokenResponse

if TYPE_CHECKING:
    from fastlog.errors import ErrorCode
    from fastlog.server.network.session import Session
    from fastlog.wire.messages.delegation_tokens import CreateDelegationTokenRequest

__all__ = ["may_manage_tokens", "not_created", "owner_of"]

_NO_TIME: Final = -1


def may_manage_tokens(session: Session) -> bool:
    """Whether it is known who asks, by something else than a token: one that made others would never end."""
    if session.by_token or session.listener.protocol is SecurityProtocol.PLAINTEXT:
        return False
    return session.listener.has_sasl or session.principal != ANONYMOUS


def owner_of(request: CreateDelegationTokenRequest, session: Session) -> tuple[str, str]:
    """(type, name) of whose token it is to be: of whoever asks, if nobody is named."""
    if not request.owner_principal_name:
        kind, _, name = session.principal.partition(":")
        return kind, name
    return request.owner_principal_type or "", request.owner_principal_name


def not_created(
    request: CreateDelegationTokenRequest, session: Session, code: ErrorCode
) -> CreateDelegationTokenResponse:
    """The answer that says whose token it would have been, and nothing of a token."""
    kind, name = owner_of(request, session)
    asking, _, who = session.principal.partition(":")
    return CreateDelegationTokenResponse(
        int(code),
        *(kind, name, asking, who),
        issue_timestamp_ms=_NO_TIME,
        expiry_timestamp_ms=_NO_TIME,
        max_timestamp_ms=_NO_TIME,
    )
