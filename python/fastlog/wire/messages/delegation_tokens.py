"""Delegation tokens (KIP-48, KIP-373): Create (38), Renew (39), Expire (40) and Describe (41)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, blob, int16, int32, int64, string


@dataclass(slots=True)
class TokenPrincipal:
    """Somebody, by type and name. As a renewer he may renew the token and have it expire, too."""

    principal_type: str = string()
    principal_name: str = string()


@dataclass(slots=True)
class CreateDelegationTokenRequest(Request):
    """A token of whoever asks, or (from version 3 on) of a named owner. Times in milliseconds, -1: as the
    broker has it."""

    API = ApiKey.CREATE_DELEGATION_TOKEN

    owner_principal_type: str | None = string("3+", nullable="3+", default=None)
    owner_principal_name: str | None = string("3+", nullable="3+", default=None)
    renewers: list[TokenPrincipal] = array(TokenPrincipal)
    max_lifetime_ms: int = int64()


@dataclass(slots=True)
class CreateDelegationTokenResponse(Response):
    """The token. Times in milliseconds since 1970."""

    API = ApiKey.CREATE_DELEGATION_TOKEN

    error_code: int = int16()
    principal_type: str = string()
    principal_name: str = string()
    token_requester_principal_type: str = string("3+", ignorable=True)
    token_requester_principal_name: str = string("3+", ignorable=True)
    issue_timestamp_ms: int = int64()
    expiry_timestamp_ms: int = int64()
    max_timestamp_ms: int = int64()
    token_id: str = string()
    hmac: bytes = blob()
    throttle_time_ms: int = int32()


@dataclass(slots=True)
class RenewDelegationTokenRequest(Request):
    """The token with this secret is to be good for that long from now on."""

    API = ApiKey.RENEW_DELEGATION_TOKEN

    hmac: bytes = blob()
    renew_period_ms: int = int64()


@dataclass(slots=True)
class RenewDelegationTokenResponse(Response):
    """Until when it is good."""

    API = ApiKey.RENEW_DELEGATION_TOKEN

    error_code: int = int16()
    expiry_timestamp_ms: int = int64()
    throttle_time_ms: int = int32()


@dataclass(slots=True)
class ExpireDelegationTokenRequest(Request):
    """The token with this secret is to end so much later; below 0: at once."""

    API = ApiKey.EXPIRE_DELEGATION_TOKEN

    hmac: bytes = blob()
    expiry_time_period_ms: int = int64()


@dataclass(slots=True)
class ExpireDelegationTokenResponse(Response):
    """When it ends, or ended."""

    API = ApiKey.EXPIRE_DELEGATION_TOKEN

    error_code: int = int16()
    expiry_timestamp_ms: int = int64()
    throttle_time_ms: int = int32()


@dataclass(slots=True)
class DescribeDelegationTokenRequest(Request):
    """Whose tokens; null for all that may be seen."""

    API = ApiKey.DESCRIBE_DELEGATION_TOKEN

    owners: list[TokenPrincipal] | None = array(TokenPrincipal, nullable="0+")


@dataclass(slots=True)
class DescribedDelegationToken:
    """One token, with its secret."""

    principal_type: str = string()
    principal_name: str = string()
    token_requester_principal_type: str = string("3+", ignorable=True)
    token_requester_principal_name: str = string("3+", ignorable=True)
    issue_timestamp: int = int64()
    expiry_timestamp: int = int64()
    max_timestamp: int = int64()
    token_id: str = string()
    hmac: bytes = blob()
    renewers: list[TokenPrincipal] = array(TokenPrincipal)


@dataclass(slots=True)
class DescribeDelegationTokenResponse(Response):
    """The tokens that may be seen."""

    API = ApiKey.DESCRIBE_DELEGATION_TOKEN

    error_code: int = int16()
    tokens: list[DescribedDelegationToken] = array(DescribedDelegationToken)
    throttle_time_ms: int = int32()
