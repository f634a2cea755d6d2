"""The client's side of SASL, request by request: against the broker's mechanisms, and brokers that lie."""

from __future__ import annotations

import base64
import hashlib
import math
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fastlog.coordination.scram_credentials import HASHES, ScramCredential
from fastlog.net.errors import ClientError
from fastlog.net.link import Link
from fastlog.net.sasl import Credentials, authenticate
from fastlog.server.security.sasl.mechanism import AuthenticationFailed, Server, Step
from fastlog.server.security.sasl.plain import PlainServer
from fastlog.server.security.sasl.scram import ScramServer
from fastlog.wire import Request, Response
from fastlog.wire.messages.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

SALT = b"0123456789abcdef"


class Peer:
    """A link to a broker: what that answers, through `change` where it lies."""

    versions = SimpleNamespace(address="broker:9092")

    def __init__(
        self,
        server: Server | None,
        change: Callable[[bytes], bytes] = lambda token: token,
        lifetime_ms: int = 0,
    ) -> None:
        self.server = server
        self.change = change
        self.lifetime_ms = lifetime_ms
        self.user: str | None = None
        self.tokens: list[bytes] = []
        self.renew_at = math.inf

    async def call(
        self,
        message: Request,
        _kind: type[Response],
        *,
        timeout: float,  # noqa: ASYNC109
        lowest: int = 0,
    ) -> Any:
        """One request."""
        if isinstance(message, SaslHandshakeRequest):
            assert lowest == 1  # 0 has the tokens follow without a header
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
        return SaslAuthenticateResponse(
            auth_bytes=self.change(step.token), session_lifetime_ms=self.lifetime_ms
        )


async def log_in_to(peer: Peer, credentials: Credentials) -> None:
    """As `open_link` does."""
    await authenticate(cast("Link", peer), credentials, 5)


def scram(mechanism: str, user: str = "alice", password: str = "pw") -> ScramServer:  # noqa: S107
    """A server with one user."""
    salted = hashlib.pbkdf2_hmac(HASHES[mechanism], password.encode(), SALT, 4096)
    stored = {user: ScramCredential.of(mechanism, SALT, salted, 4096)}
    return ScramServer(mechanism, stored.get)


@pytest.mark.parametrize("mechanism", HASHES)
@pytest.mark.parametrize(("user", "password"), [("alice", "wonder_land"), ("a,b=c", "ü,=")])
async def test_scram(mechanism: str, user: str, password: str) -> None:
    peer = Peer(scram(mechanism, user, password))
    await log_in_to(peer, Credentials(mechanism, user, password))
    assert peer.user == user
    assert not any(password.encode() in token for token in peer.tokens)
    with pytest.raises(ClientError, match="invalid credentials"):
        await log_in_to(Peer(scram(mechanism, user, "other")), Credentials(mechanism, user, password))


async def test_plain() -> None:
    peer = Peer(PlainServer(lambda: {"alice": "pw"}))
    await log_in_to(peer, Credentials("PLAIN", "alice", "pw"))
    assert peer.user == "alice"
    with pytest.raises(ClientError, match="Invalid username or password"):
        await log_in_to(peer, Credentials("PLAIN", "alice", "no"))


async def test_a_mechanism_that_is_not_offered() -> None:
    with pytest.raises(ClientError, match="PLAIN is not offered here, but SCRAM-SHA-512"):
        await log_in_to(Peer(None), Credentials("PLAIN", "alice", "pw"))


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token.replace(b"i=4096", b"i=1000"),
        # So many rounds would take hours.
        lambda token: token.replace(b"i=4096", b"i=999999999"),
        lambda token: token.replace(b"i=4096", b"i=x"),
        lambda token: b"r=another" + token[10:],
        lambda token: b"m=extension," + token if token.startswith(b"r=") else token,
        lambda token: token.replace(b"s=" + base64.b64encode(SALT), b"s=A"),
        # It does not know the password, and says so in no other way.
        lambda token: b"v=" + base64.b64encode(b"x" * 32) if token.startswith(b"v=") else token,
        lambda token: b"" if token.startswith(b"v=") else token,
    ],
)
async def test_a_broker_that_lies_is_not_talked_to(change: Callable[[bytes], bytes]) -> None:
    peer = Peer(scram("SCRAM-SHA-256"), change)
    with pytest.raises(ClientError):
        await log_in_to(peer, Credentials("SCRAM-SHA-256", "alice", "pw"))


async def test_a_link_is_to_be_renewed_before_its_session_ends() -> None:
    peer = Peer(PlainServer(lambda: {"alice": "pw"}), lifetime_ms=10_000)
    await log_in_to(peer, Credentials("PLAIN", "alice", "pw"))
    assert 5 < peer.renew_at - time.monotonic() < 10
    peer = Peer(PlainServer(lambda: {"alice": "pw"}))
    await log_in_to(peer, Credentials("PLAIN", "alice", "pw"))
    assert peer.renew_at == math.inf


class Hesitant:
    """A broker that says what is wrong with a token, and lets it in when that was heard."""

    def step(self, token: bytes) -> Step:
        """Two steps."""
        return Step(b"", "alice") if token == b"\x01" else Step(b'{"status":"invalid_token"}')


async def test_a_token_that_was_refused_is_not_taken_for_a_login() -> None:
    peer = Peer(cast("Server", Hesitant()))
    with pytest.raises(ClientError, match="invalid_token"):
        await log_in_to(peer, Credentials("OAUTHBEARER", token=lambda: "abc"))
    assert peer.tokens[-1] == b"\x01"


async def test_the_event_loop_is_free_while_rounds_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    compute = hashlib.pbkdf2_hmac

    def noted(*values: Any) -> bytes:
        threads.append(threading.get_ident())
        return compute(*values)

    peer = Peer(scram("SCRAM-SHA-512"))
    monkeypatch.setattr("fastlog.net.sasl.hashlib.pbkdf2_hmac", noted)
    await log_in_to(peer, Credentials("SCRAM-SHA-512", "alice", "pw"))
    assert threads
    assert threading.get_ident() not in threads
