"""A connection that has logged in by SCRAM, with a password or a delegation token."""

from __future__ import annotations

from typing import Any

from fastlog.net.sasl import scram
from fastlog.wire.messages.sasl import SaslAuthenticateRequest, SaslHandshakeRequest
from tests.harness.link import Link


class NotLetIn(AssertionError):
    """The broker says that who logs in is nobody. `code` is that of its answer, `message` its text."""

    def __init__(self, code: int, message: str | None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ScramLink(Link):
    """`Link` of whoever has that password. Raises NotLetIn."""

    def __init__(
        self,
        port: int,
        user: str,
        secret: str,
        *,
        mechanism: str = "SCRAM-SHA-256",
        by_token: bool = False,
        timeout: float = 30,
    ) -> None:
        super().__init__(port, timeout=timeout)
        self.lifetime_ms = 0
        """How long the session may last; 0 for ever."""
        try:
            self.login(user, secret, mechanism=mechanism, by_token=by_token)
        except BaseException:
            self.socket.close()
            raise

    def login(self, user: str, secret: str, *, mechanism: str, by_token: bool) -> None:
        """Once more, on the same connection (KIP-368)."""
        shaken: Any = self.call(SaslHandshakeRequest(mechanism), 1)
        if shaken.error_code:
            raise NotLetIn(shaken.error_code, None)
        tokens = scram(
            mechanism.removeprefix("SCRAM-").replace("-", "").lower(), user, secret, by_token=by_token
        )
        token: bytes | None = next(tokens)
        while token is not None:
            told: Any = self.call(SaslAuthenticateRequest(token), 2)
            if told.error_code:
                raise NotLetIn(told.error_code, told.error_message)
            self.lifetime_ms = told.session_lifetime_ms
            try:
                token = tokens.send(bytes(told.auth_bytes))
            except StopIteration:
                token = None
