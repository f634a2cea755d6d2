"""How a client says who it is: SASL with PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER.

`SaslHandshake` names the mechanism, then each side's tokens go in `SaslAuthenticate` until the mechanism is
done (KIP-152). A mechanism is a generator: it yields the client's tokens and is sent the broker's.

SCRAM is RFC 5802 (7677 for SHA-256) without channel binding, OAUTHBEARER RFC 7628.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from inspect import isawaitable
from typing import Final

from fastlog.errors import ErrorCode
from fastlog.net.errors import BrokerError, ClientError, ConnectionFailed
from fastlog.net.link import Link
from fastlog.wire import ApiKey
from fastlog.wire.messages.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

__all__ = ["MECHANISMS", "Credentials", "Tokens", "authenticate", "oauth_bearer", "plain", "scram"]

MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")

Tokens = Generator[bytes, bytes, None]
TokenCallback = Callable[[], "str | Awaitable[str]"]

_LEAST_ROUNDS: Final = 4096
"""Of SCRAM; a broker that asks for less wants a password that is easier to guess (RFC 7677)."""
_MOST_ROUNDS: Final = 1_000_000
"""A broker that asks for more would only keep us busy."""
_RENEW_AFTER: Final = 0.85
"""Part of a session's lifetime after which another connection takes its place (KIP-368)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who the client is. `token` is called for each connection, with OAUTHBEARER.

    `is_delegation_token`: user and password are id and secret of one, with SCRAM (KIP-48).
    """

    mechanism: str
    username: str = ""
    password: str = ""
    token: TokenCallback | None = None
    is_delegation_token: bool = False

    def __repr__(self) -> str:
        return f"Credentials({self.mechanism}, {self.username!r})"

    async def tokens(self) -> Tokens:
        """The mechanism, ready to begin. What the callback raises comes out as it is."""
        if self.mechanism == "PLAIN":
            return plain(self.username, self.password)
        if self.mechanism == "OAUTHBEARER":
            assert self.token is not None  # noqa: S101
            found = self.token()
            return oauth_bearer(await found if isawaitable(found) else found)
        digest = self.mechanism.removeprefix("SCRAM-").replace("-", "").lower()
        return scram(digest, self.username, self.password, by_token=self.is_delegation_token)


async def authenticate(link: Link, credentials: Credentials, timeout: float) -> None:  # noqa: ASYNC109
    """Authenticates a fresh connection, within `timeout` seconds per answer.

    Raises BrokerError (SASL_AUTHENTICATION_FAILED, UNSUPPORTED_SASL_MECHANISM) and ClientError.
    """
    handshake = SaslHandshakeRequest(credentials.mechanism)
    offered = await link.call(handshake, SaslHandshakeResponse, timeout=timeout, lowest=1)
    code = ErrorCode.of(offered.error_code)
    if code is not ErrorCode.NONE:
        text = (
            f"{credentials.mechanism} is not offered here, but {', '.join(offered.mechanisms) or 'nothing'}"
        )
        raise BrokerError(code, text, api=ApiKey.SASL_HANDSHAKE, answer=offered)
    tokens = await credentials.tokens()
    # Rounds of SCRAM take longer than an event loop may be held up.
    on_thread = credentials.mechanism.startswith("SCRAM")
    lifetime = 0
    try:
        token: bytes | None = next(tokens)
        while token is not None:
            body = SaslAuthenticateRequest(token)
            answer = await link.call(body, SaslAuthenticateResponse, timeout=timeout)
            code = ErrorCode.of(answer.error_code)
            if code is not ErrorCode.NONE:
                raise BrokerError(code, answer.error_message or None, api=body.API, answer=answer)
            lifetime = answer.session_lifetime_ms
            said = bytes(answer.auth_bytes)
            token = await asyncio.to_thread(_go_on, tokens, said) if on_thread else _go_on(tokens, said)
    except ConnectionFailed as error:
        text = f"{error.message}. Authentication with {credentials.mechanism} may have failed"
        raise ConnectionFailed(text, api=error.api, broker=error.broker, sent=True) from error
    except ValueError as error:
        text = f"{credentials.mechanism}: {error}"
        raise ClientError(
            ErrorCode.SASL_AUTHENTICATION_FAILED,
            text,
            api=ApiKey.SASL_AUTHENTICATE,
            broker=link.versions.address,
        ) from error
    if lifetime > 0:
        link.renew_at = time.monotonic() + lifetime / 1000 * _RENEW_AFTER


def _go_on(tokens: Tokens, said: bytes) -> bytes | None:
    """What to say next; None: the mechanism is content."""
    try:
        return tokens.send(said)
    except StopIteration:
        return None


def plain(username: str, password: str) -> Tokens:
    """RFC 4616: the password itself, so only where the connection is encrypted."""
    yield b"\0" + username.encode() + b"\0" + password.encode()


def scram(
    digest: str, username: str, password: str, nonce: str | None = None, *, by_token: bool = False
) -> Tokens:
    """Proves knowledge of a password without telling it, and has the broker prove the same.

    Raises ValueError for answers that are not SCRAM's, or of a broker that does not know the password.
    """
    own = secrets.token_urlsafe(24) if nonce is None else nonce
    name = username.replace("=", "=3D").replace(",", "=2C")
    first = f"n={name},r={own}" + (",tokenauth=true" if by_token else "")
    server_first = (yield f"n,,{first}".encode()).decode()
    fields = _fields(server_first)
    both, salt, rounds = fields["r"], base64.b64decode(fields["s"], validate=True), int(fields["i"])
    if not both.startswith(own) or both == own:
        raise ValueError("the broker's nonce does not go on from ours")
    if "m" in fields:
        raise ValueError("the broker demands an extension")  # RFC 5802, 5.1
    if not _LEAST_ROUNDS <= rounds <= _MOST_ROUNDS:
        raise ValueError(f"the broker asks for {rounds} rounds, not {_LEAST_ROUNDS} to {_MOST_ROUNDS}")
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, rounds)
    client_key = hmac.digest(salted, b"Client Key", digest)
    without_proof = f"c=biws,r={both}"
    message = f"{first},{server_first},{without_proof}".encode()
    signature = hmac.digest(hashlib.new(digest, client_key).digest(), message, digest)
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
    final = _fields((yield f"{without_proof},p={proof}".encode()).decode())
    if "e" in final:
        raise ValueError(f"the broker says {final['e']}")
    expected = hmac.digest(hmac.digest(salted, b"Server Key", digest), message, digest)
    if not hmac.compare_digest(base64.b64decode(final["v"]), expected):
        raise ValueError("the broker does not know the password")


def oauth_bearer(token: str) -> Tokens:
    """A bearer token. A broker that refuses it says why and is answered, to fail in order then.

    Raises ValueError for one that lets us in nevertheless.
    """
    refusal = yield f"n,,\x01auth=Bearer {token}\x01\x01".encode()
    if refusal:
        yield b"\x01"
        raise ValueError(f"the token was refused: {refusal[:200].decode(errors='replace')}")


def _fields(text: str) -> dict[str, str]:
    found = dict(part.split("=", 1) for part in text.split(",") if part[1:2] == "=")
    missing = (
        {"r", "s", "i"} - found.keys()
        if "r" in found
        else {"v", "e"}
        if not found.keys() & {"v", "e"}
        else ()
    )
    if missing:
        raise ValueError(f"the broker's message lacks {', '.join(sorted(missing))}")
    return found
