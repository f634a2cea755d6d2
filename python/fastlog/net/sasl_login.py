"""SASL as its client: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER with a token that is there.

The broker has to show that it knows the password, too (SCRAM): one that does not is not talked to. Nor is one
that asks for so many rounds that computing them would take the client's time.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import field
from typing import TYPE_CHECKING, Final, cast

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ErrorCode
from fastlog.net.errors import BrokerError, ClientError
from fastlog.wire import ApiKey
from fastlog.wire.messages.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

if TYPE_CHECKING:
    from fastlog.net.connection import Connection

__all__ = ["SaslLogin", "log_in"]

HASHES: Final = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
MECHANISMS: Final = ("PLAIN", "OAUTHBEARER", *HASHES)
MIN_ROUNDS: Final = 4096
MAX_ROUNDS: Final = 1_000_000
_HANDSHAKE_VERSION: Final = 1
_AUTHENTICATE_VERSION: Final = 0
_CHALLENGE: Final = re.compile(
    r"r=(?P<nonce>[!-+\--~]+),s=(?P<salt>[A-Za-z0-9+/=]+),i=(?P<rounds>[0-9]{1,9})(?:,.*)?"
)


@dataclass(frozen=True, slots=True)
class SaslLogin:
    """Who to be. With OAUTHBEARER `secret` is the token and `user` is not looked at."""

    mechanism: str
    user: str
    secret: str = field(repr=False)


async def log_in(connection: Connection, login: SaslLogin, timeout: float) -> None:  # noqa: ASYNC109
    """Authenticates a connection that was just opened. Raises ClientError: it is of no use then."""
    call = _Caller(connection, timeout)
    await call.choose(login.mechanism)
    if login.mechanism == "PLAIN":
        await call.send(f"\0{login.user}\0{login.secret}".encode())
    elif login.mechanism == "OAUTHBEARER":
        said = await call.send(f"n,,\x01auth=Bearer {login.secret}\x01\x01".encode())
        if said:
            # It explains itself, and refuses when it is asked to go on.
            await call.send(b"\x01")
            raise _failed(f"the token was refused: {said[:200].decode(errors='replace')}")
    else:
        await _scram(call, login)


async def _scram(call: _Caller, login: SaslLogin) -> None:
    algorithm = HASHES[login.mechanism]
    nonce = secrets.token_hex(16)
    bare = f"n={login.user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
    challenge = (await call.send(f"n,,{bare}".encode())).decode(errors="replace")
    found = _CHALLENGE.fullmatch(challenge)
    if found is None or not found["nonce"].startswith(nonce) or found["nonce"] == nonce:
        raise _failed("the broker's challenge is not one of SCRAM")
    rounds = int(found["rounds"])
    if not MIN_ROUNDS <= rounds <= MAX_ROUNDS:
        raise _failed(f"the broker asks for {rounds} rounds, not {MIN_ROUNDS} to {MAX_ROUNDS}")
    try:
        salt = base64.b64decode(found["salt"], validate=True)
    except binascii.Error:
        raise _failed("the broker's salt cannot be read") from None
    salted = await asyncio.to_thread(hashlib.pbkdf2_hmac, algorithm, login.secret.encode(), salt, rounds)
    key = hmac.digest(salted, b"Client Key", algorithm)
    final = f"c=biws,r={found['nonce']}"
    message = f"{bare},{challenge},{final}".encode()
    signature = hmac.digest(hashlib.new(algorithm, key).digest(), message, algorithm)
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
    said = await call.send(f"{final},p={proof}".encode())
    server = hmac.digest(hmac.digest(salted, b"Server Key", algorithm), message, algorithm)
    if not hmac.compare_digest(said, b"v=" + base64.b64encode(server)):
        raise _failed("the broker does not know the password: it is another one")


class _Caller:
    def __init__(self, connection: Connection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout

    async def choose(self, mechanism: str) -> None:
        request = SaslHandshakeRequest(mechanism=mechanism)
        answer = cast(
            "SaslHandshakeResponse",
            await self._connection.call(request, _HANDSHAKE_VERSION, timeout=self._timeout),
        )
        if answer.error_code:
            offered = ", ".join(answer.mechanisms)
            raise BrokerError(
                ErrorCode.of(answer.error_code),
                f"{mechanism} is not offered, but {offered}",
                api=ApiKey.SASL_HANDSHAKE,
                broker=self._connection.address,
            )

    async def send(self, token: bytes) -> bytes:
        request = SaslAuthenticateRequest(auth_bytes=token)
        answer = cast(
            "SaslAuthenticateResponse",
            await self._connection.call(request, _AUTHENTICATE_VERSION, timeout=self._timeout),
        )
        if answer.error_code:
            raise BrokerError(
                ErrorCode.of(answer.error_code),
                answer.error_message,
                api=ApiKey.SASL_AUTHENTICATE,
                broker=self._connection.address,
            )
        return bytes(answer.auth_bytes)


def _failed(why: str) -> ClientError:
    return BrokerError(ErrorCode.SASL_AUTHENTICATION_FAILED, why, api=ApiKey.SASL_AUTHENTICATE)
