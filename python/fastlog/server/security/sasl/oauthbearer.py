"""OAUTHBEARER (RFC 7628), the server's side: a token in, a subject out.

A token that is not taken is answered with a JSON text and code 0, as the RFC has it; the client then sends
a byte 0x01, and only that fails. Some clients do not: they meet the failure with whatever they send next.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Final

from fastlog.config.sasl_settings import OauthSettings
from fastlog.server.security.sasl.mechanism import AuthenticationFailed, Step, malformed
from fastlog.server.security.sasl.tokens import InvalidToken, Token, check_claims, parse_token

__all__ = ["OauthServer"]

_LOG: Final = logging.getLogger(__name__)
_NAME: Final = "OAUTHBEARER"
_FIRST: Final = re.compile(
    rb"n,(?:a=(?P<authzid>[^,\0\x01]*))?,\x01(?P<pairs>(?:[A-Za-z]+=[\x20-\x7e\t\r\n]*\x01)*)\x01"
)
_BEARER: Final = re.compile(r"bearer +(?P<token>[A-Za-z0-9\-_.~+/=]+)\s*", re.IGNORECASE)
_INVALID: Final = b'{"status":"invalid_token"}'


class OauthServer:
    """One exchange. `verify` raises InvalidToken for a signature that does not hold; None: there is none."""

    def __init__(
        self, settings: OauthSettings, verify: Callable[[Token], None] | None, now: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._verify = verify
        self._now = now
        self._refused = False

    def step(self, token: bytes) -> Step:
        """See `Server.step`."""
        if self._refused:
            raise AuthenticationFailed(_INVALID.decode())
        found = _FIRST.fullmatch(token)
        if found is None:
            raise malformed(_NAME)
        try:
            subject, expiry = self._subject(found["pairs"])
        except InvalidToken as error:
            _LOG.info("a token is not taken: %s", error)
            self._refused = True
            return Step(_INVALID)
        authorization_id = (found["authzid"] or b"").replace(b"=2C", b",").replace(b"=3D", b"=")
        if authorization_id and authorization_id != subject.encode():
            raise AuthenticationFailed(
                "Authentication failed: Client requested an authorization id that is different from the "
                "token's "
                "principal name"
            )
        return Step(b"", subject, int(expiry * 1000))

    def _subject(self, pairs: bytes) -> tuple[str, float]:
        values = dict(pair.split(b"=", 1) for pair in pairs.split(b"\x01") if pair)
        bearer = _BEARER.fullmatch(values.get(b"auth", b"").decode("ascii"))
        if bearer is None:
            raise malformed(_NAME)
        token = parse_token(bearer["token"])
        if self._verify is not None:
            self._verify(token)
        elif token.algorithm != "none" or token.signature:
            raise InvalidToken("it is signed, and there are no keys to verify it with")
        return check_claims(token, self._settings, self._now())
