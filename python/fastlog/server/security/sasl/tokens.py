"""JSON web tokens (RFC 7519) as OAUTHBEARER brings them: parsed, and their claims checked.

Stricter than `BrokerJwtValidator` of Kafka 3.9: the algorithms are pinned to those with a public key, so
that no token is signed with what everybody can read; what is issued in the future does not hold; and a
header that asks for an extension is not ignored. `none` is taken only where the broker was told to take
unsigned tokens.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.sasl_settings import OauthSettings

__all__ = ["ALGORITHMS", "InvalidToken", "Token", "check_claims", "parse_token"]

ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
MAX_TOKEN_BYTES: Final = 64 * 1024


class InvalidToken(ValueError):
    """The token is not taken; why is for the log of the broker alone."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `signed` are the bytes that the signature is of."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        """What its header says."""
        return str(self.header.get("alg"))


def parse_token(text: str) -> Token:
    """Takes a token apart. Raises InvalidToken."""
    if len(text) > MAX_TOKEN_BYTES:
        raise InvalidToken(f"it has more than {MAX_TOKEN_BYTES} bytes")
    parts = text.split(".")
    if len(parts) != 3:
        raise InvalidToken("it does not have three parts")
    header, claims = _object(parts[0]), _object(parts[1])
    for extension in ("crit", "zip", "enc", "b64"):
        if extension in header:
            raise InvalidToken(f"its header asks for {extension}")
    return Token(header, claims, f"{parts[0]}.{parts[1]}".encode(), decode_base64url(parts[2]))


def check_claims(token: Token, settings: OauthSettings, now: float) -> tuple[str, float]:
    """(subject, expiry) of a token whose signature holds; times in seconds. Raises InvalidToken."""
    claims, skew = token.claims, settings.skew_seconds
    expiry, issued = (_time(claims, name) for name in ("exp", "iat"))
    if expiry is None or issued is None:
        raise InvalidToken("it does not say when it was issued and when it ends (iat, exp)")
    if now - skew >= expiry:
        raise InvalidToken("it has expired")
    if issued > now + skew or (_time(claims, "nbf") or 0) > now + skew:
        raise InvalidToken("it does not hold yet")
    if settings.issuer is not None and claims.get("iss") != settings.issuer:
        raise InvalidToken("it is of another issuer")
    if settings.audiences and not _audiences(claims) & set(settings.audiences):
        raise InvalidToken("it is for others")
    subject = claims.get(settings.subject_claim)
    if not isinstance(subject, str) or not subject.strip():
        raise InvalidToken(f"it names nobody ({settings.subject_claim})")
    return subject, expiry


def decode_base64url(text: str) -> bytes:
    """RFC 4648, without padding. Raises InvalidToken."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidToken("a part of it is not base64url") from None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(decode_base64url(text))
    except (ValueError, RecursionError):
        raise InvalidToken("a part of it is no JSON") from None
    if not isinstance(found, dict):
        raise InvalidToken("a part of it is no JSON object")
    return found


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e12:
        raise InvalidToken(f"{name} is no time")
    return float(value)


def _audiences(claims: Mapping[str, Any]) -> set[str]:
    value = claims.get("aud")
    items = value if isinstance(value, list) else [value]
    return {item for item in items if isinstance(item, str)}
