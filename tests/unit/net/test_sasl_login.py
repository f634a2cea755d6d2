"""The client's side of SASL: against the broker's own mechanisms, and against brokers that lie."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any, cast

import pytest

from fastlog.coordination.scram_credentials import HASHES, ScramCredential
from fastlog.net.connection import Connection
from fastlog.net.errors import ClientError
from fastlog.net.sasl_login import SaslLogin, log_in
from fastlog.server.security.sasl.mechanism import AuthenticationFailed, Server
from fastlog.server.security.sasl.plain import PlainServer
from fastlog.server.security.sasl.scram import ScramServer
from fastlog.wire import Request
from fastlog.wire.messages.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

SALT = b"0123456789abcdef"


class Peer:
    """What a broker answers, through `change` where it lies."""

    address = "broker:9092"

    def __init__(self, server: Server | None, change: Callable[[bytes], bytes] = lambda token: token) -> None:
        self.server = server
        self.change = change
        self.user: str | None = None
        self.tokens: list[bytes] = []

    async def call(self, message: Request, _version: int, *, timeout: float) -> Any:  # noqa: ASYNC109
        """One request."""
        if isinstance(message, SaslHandshakeRequest):
            code = 0 if self.server is not None else 33
            return SaslHandshakeResponse(error_code=code, mechanisms=["SCRAM-SHA-512"])
        assert isinstance(message, SaslAuthenticateRequest)
        assert self.server is not None
        self.tokens.append(bytes(message.auth_bytes))
        try:
            step = self.server.step(bytes(message.auth_bytes))
        except AuthenticationFailed as error:
            return SaslAuthenticateResponse(error_code=58, error_message=str(error))
        self.user = step.user or self.user
        return SaslAuthenticateResponse(auth_bytes=self.change(step.token))


async def log_in_to(peer: Peer, login: SaslLogin) -> None:
    """As `open_link` does."""
    await log_in(cast("Connection", peer), login, 5)


def scram(mechanism: str, user: str = "alice", password: str = "pw") -> ScramServer:  # noqa: S107
    """A server with one user."""
    salted = hashlib.pbkdf2_hmac(HASHES[mechanism], password.encode(), SALT, 4096)
    stored = {user: ScramCredential.of(mechanism, SALT, salted, 4096)}
    return ScramServer(mechanism, stored.get)


@pytest.mark.parametrize("mechanism", HASHES)
@pytest.mark.parametrize(("user", "password"), [("alice", "wonder_land"), ("a,b=c", "ü,=")])
async def test_scram(mechanism: str, user: str, password: str) -> None:
    peer = Peer(scram(mechanism, user, password))
    await log_in_to(peer, SaslLogin(mechanism, user, password))
    assert peer.user == user
    assert not any(password.encode() in token for token in peer.tokens)
    with pytest.raises(ClientError, match="invalid credentials"):
        await log_in_to(Peer(scram(mechanism, user, "other")), SaslLogin(mechanism, user, password))


async def test_plain() -> None:
    peer = Peer(PlainServer(lambda: {"alice": "pw"}))
    await log_in_to(peer, SaslLogin("PLAIN", "alice", "pw"))
    assert peer.user == "alice"
    with pytest.raises(ClientError, match="Invalid username or password"):
        await log_in_to(peer, SaslLogin("PLAIN", "alice", "no"))


async def test_a_mechanism_that_is_not_offered() -> None:
    with pytest.raises(ClientError, match="PLAIN is not offered, but SCRAM-SHA-512"):
        await log_in_to(Peer(None), SaslLogin("PLAIN", "alice", "pw"))


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token.replace(b"i=4096", b"i=1000"),
        # So many rounds would take hours.
        lambda token: token.replace(b"i=4096", b"i=999999999"),
        lambda token: token.replace(b"i=4096", b"i=x"),
        lambda token: b"r=another" + token[10:],
        lambda token: token.replace(b"s=" + base64.b64encode(SALT), b"s=A"),
        # It does not know the password, and says so in no other way.
        lambda token: b"v=" + base64.b64encode(b"x" * 32) if token.startswith(b"v=") else token,
        lambda token: b"" if token.startswith(b"v=") else token,
    ],
)
async def test_a_broker_that_lies_is_not_talked_to(change: Callable[[bytes], bytes]) -> None:
    peer = Peer(scram("SCRAM-SHA-256"), change)
    with pytest.raises(ClientError):
        await log_in_to(peer, SaslLogin("SCRAM-SHA-256", "alice", "pw"))


def test_the_password_is_not_shown() -> None:
    assert "pw" not in repr(SaslLogin("PLAIN", "alice", "pw"))
