"""Authentication: SaslHandshake (17) and SaslAuthenticate (36)."""

from __future__ import annotations

from fastlog.base.quick_dataclass import dataclass
from fastlog.wire.api_keys import ApiKey
from fastlog.wire.schema import Request, Response, array, blob, int16, int64, string


@dataclass(slots=True)
class SaslHandshakeRequest(Request):
    """The mechanism to use. After version 0 raw tokens follow, after 1 SaslAuthenticate requests."""

    API = ApiKey.SASL_HANDSHAKE

    mechanism: str = string()


@dataclass(slots=True)
class SaslHandshakeResponse(Response):
    """The mechanisms that this listener offers."""

    API = ApiKey.SASL_HANDSHAKE

    error_code: int = int16()
    mechanisms: list[str] = array("string")


@dataclass(slots=True)
class SaslAuthenticateRequest(Request):
    """The client's next token."""

    API = ApiKey.SASL_AUTHENTICATE

    auth_bytes: bytes = blob()


@dataclass(slots=True)
class SaslAuthenticateResponse(Response):
    """The broker's next token; from version 1 on how long the session may last (KIP-368)."""

    API = ApiKey.SASL_AUTHENTICATE

    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    auth_bytes: bytes = blob()
    session_lifetime_ms: int = int64("1+", ignorable=True)
