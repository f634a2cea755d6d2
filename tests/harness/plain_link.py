"""A connection that has logged in by SASL PLAIN."""

from __future__ import annotations

from typing import Any

from fastlog.wire.messages.sasl import SaslAuthenticateRequest, SaslHandshakeRequest
from tests.harness.link import Link


class PlainLink(Link):
    """`Link` of a user. Raises AssertionError when the broker does not let it in."""

    def __init__(self, port: int, user: str, secret: str, *, timeout: float = 30) -> None:
        super().__init__(port, timeout=timeout)
        try:
            shaken: Any = self.call(SaslHandshakeRequest("PLAIN"), 1)
            assert shaken.error_code == 0, shaken
            told: Any = self.call(SaslAuthenticateRequest(f"\0{user}\0{secret}".encode()), 2)
            assert told.error_code == 0, told
        except BaseException:
            self.socket.close()
            raise
