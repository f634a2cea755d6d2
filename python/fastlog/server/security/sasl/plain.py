"""PLAIN (RFC 4616), as `PlainSaslServer`: `[authorization id] NUL user NUL password`.

Name and password are compared as hashes of one length, and those of an unknown user with a password that
nobody has: how long it takes tells nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Final

from fastlog.server.security.sasl.mechanism import AuthenticationFailed, Step, malformed

__all__ = ["PlainServer"]

_WRONG: Final = "Authentication failed: Invalid username or password"
_OF_NOBODY: Final = secrets.token_hex(32)


class PlainServer:
    """One exchange. `users` gives passwords by name, as they are now."""

    def __init__(self, users: Callable[[], Mapping[str, str]]) -> None:
        self._users = users

    def step(self, token: bytes) -> Step:
        """See `Server.step`."""
        try:
            parts = token.decode("utf-8").split("\0")
        except UnicodeDecodeError:
            raise malformed("PLAIN") from None
        if len(parts) != 3 or not parts[1] or not parts[2]:
            raise malformed("PLAIN")
        authorization_id, user, password = parts
        known = self._users().get(user)
        expected = _OF_NOBODY if known is None else known
        is_right = hmac.compare_digest(_hash(expected), _hash(password))
        if known is None or not is_right:
            raise AuthenticationFailed(_WRONG)
        if authorization_id and authorization_id != user:
            raise AuthenticationFailed(
                "Authentication failed: Client requested an authorization id that is different from username"
            )
        return Step(b"", user)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
