"""Delegation tokens (KIP-48, KIP-373): make, renew and end them, and see which there are."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from fastlog.client.admin.answer_errors import check
from fastlog.client.cluster import Cluster
from fastlog.wire.messages.delegation_tokens import (
    CreateDelegationTokenRequest,
    CreateDelegationTokenResponse,
    DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse,
    ExpireDelegationTokenRequest,
    ExpireDelegationTokenResponse,
    RenewDelegationTokenRequest,
    RenewDelegationTokenResponse,
    TokenPrincipal,
)

__all__ = [
    "DelegationToken",
    "create_delegation_token",
    "describe_delegation_tokens",
    "expire_delegation_token",
    "renew_delegation_token",
]

_OWNERS_SINCE: Final = 3
"""Version from which on a token can be made for somebody else (KIP-373, Kafka 3.3)."""


@dataclass(frozen=True, slots=True)
class DelegationToken:
    """A token. Principals are `User:name`, times milliseconds since 1970.

    `owner` is who logs in with it: by SCRAM, with `token_id` as the name, `password` and the option
    `sasl_delegation_token`. It is good until `expiry_ms`, and can be renewed up to `max_ms`. `requester` is
    who has had it made: "" where brokers are too old to tell.
    """

    token_id: str
    owner: str
    requester: str
    renewers: tuple[str, ...]
    issued_ms: int
    expiry_ms: int
    max_ms: int
    secret: bytes = field(repr=False)
    """Its HMAC: what renews and ends it."""

    @property
    def password(self) -> str:
        """The secret as clients log in with it."""
        return base64.b64encode(self.secret).decode()


async def create_delegation_token(
    cluster: Cluster, *, owner: str | None = None, renewers: Iterable[str] = (), max_lifetime_ms: int = -1
) -> DelegationToken:
    """A token of whoever asks, or of `owner`. `renewers` may renew and end it, besides the owner.

    `max_lifetime_ms` is how long it can be renewed, -1 as long as brokers allow. Raises ValueError for what
    is no principal, DelegationTokenRequestNotAllowed, DelegationTokenAuthDisabled and their kin. Not sent
    again once it may have been carried out.
    """
    wanted = tuple(renewers)
    body = CreateDelegationTokenRequest(
        renewers=[_principal(text) for text in wanted], max_lifetime_ms=max_lifetime_ms
    )
    if owner is not None:
        whose = _principal(owner)
        body.owner_principal_type, body.owner_principal_name = whose.principal_type, whose.principal_name
    answer = await cluster.request(
        body, CreateDelegationTokenResponse, lowest=0 if owner is None else _OWNERS_SINCE, repeat=False
    )
    check(answer.error_code, None, answer)
    return DelegationToken(
        answer.token_id,
        _text(answer.principal_type, answer.principal_name),
        _text(answer.token_requester_principal_type, answer.token_requester_principal_name),
        wanted,
        answer.issue_timestamp_ms,
        answer.expiry_timestamp_ms,
        answer.max_timestamp_ms,
        bytes(answer.hmac),
    )


async def renew_delegation_token(cluster: Cluster, secret: bytes, *, period_ms: int = -1) -> int:
    """Until when the token with this secret is good now: for so long, -1 as long as brokers have it, within
    the life that it was given.

    Raises DelegationTokenNotFound, DelegationTokenExpired, DelegationTokenOwnerMismatch and their kin.
    """
    body = RenewDelegationTokenRequest(secret, period_ms)
    answer = await cluster.request(body, RenewDelegationTokenResponse)
    check(answer.error_code, None, answer)
    return answer.expiry_timestamp_ms


async def expire_delegation_token(cluster: Cluster, secret: bytes, *, after_ms: int = -1) -> int:
    """When the token with this secret ends: so much later, -1 at once; it is gone then.

    Raises as `renew_delegation_token`. Not sent again once it may have been carried out.
    """
    body = ExpireDelegationTokenRequest(secret, after_ms)
    answer = await cluster.request(body, ExpireDelegationTokenResponse, repeat=False)
    check(answer.error_code, None, answer)
    return answer.expiry_timestamp_ms


async def describe_delegation_tokens(
    cluster: Cluster, owners: Iterable[str] | None = None
) -> tuple[DelegationToken, ...]:
    """The tokens that these own, may renew or have had made, or all; as far as whoever asks may see them.

    Raises ValueError for what is no principal, and ClientError.
    """
    body = DescribeDelegationTokenRequest(
        None if owners is None else [_principal(text) for text in dict.fromkeys(owners)]
    )
    answer = await cluster.request(body, DescribeDelegationTokenResponse)
    check(answer.error_code, None, answer)
    return tuple(
        DelegationToken(
            row.token_id,
            _text(row.principal_type, row.principal_name),
            _text(row.token_requester_principal_type, row.token_requester_principal_name),
            tuple(_text(each.principal_type, each.principal_name) for each in row.renewers),
            row.issue_timestamp,
            row.expiry_timestamp,
            row.max_timestamp,
            bytes(row.hmac),
        )
        for row in answer.tokens
    )


def _principal(text: str) -> TokenPrincipal:
    kind, colon, name = text.partition(":")
    if not (kind and colon and name):
        raise ValueError(f"{text!r} is no principal: it must be such as User:alice")
    return TokenPrincipal(kind, name)


def _text(kind: str, name: str) -> str:
    return f"{kind}:{name}" if kind else ""
