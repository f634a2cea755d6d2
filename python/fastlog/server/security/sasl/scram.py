"""SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), the server's side.

With the extension `tokenauth=true` the name is the id of a delegation token (KIP-48), and who that is then is
its owner.

Stricter than `ScramSaslServer` of Kafka: the nonce must be the whole of both (or what old releases of
librdkafka make of it), `c=` the header that the client
began with, and the proof is computed over the bytes that were sent. Who is unknown is asked for a proof like
everybody else, with a salt that stays the same for each name, and fails with it: Kafka fails a step earlier,
and so tells who is a user.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.scram_credentials import HASHES, MIN_ITERATIONS, ScramCredential
from fastlog.coordination.token_table import Login
from fastlog.server.security.sasl.mechanism import Step, malformed

__all__ = ["ScramServer"]

_FIRST: Final = re.compile(
    rb"(?P<header>n,(?:a=(?P<authzid>(?:[^,=\0]|=2C|=3D)*))?,)"
    rb"(?P<bare>n=(?P<user>(?:[^,=\0]|=2C|=3D)+),r=(?P<nonce>[\x21-\x2b\x2d-\x7e]+)(?P<more>(?:,[A-Za-z]+=[^,\0]*)*))"
)
_FINAL: Final = re.compile(
    rb"(?P<unproved>c=(?P<header>[A-Za-z0-9+/=]+),r=(?P<nonce>[\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,\0]*)*)"
    rb",p=(?P<proof>[A-Za-z0-9+/=]+)"
)
_TOKEN_MARK: Final = b"tokenauth="
_SECRET: Final = secrets.token_bytes(32)
"""Of the salts of those who are no users."""


@dataclass(frozen=True, slots=True)
class _Begun:
    user: str
    """Who it is in the end; of a token its owner."""
    header: bytes
    bare: bytes
    client_nonce: bytes
    nonce: bytes
    answer: bytes
    credential: ScramCredential
    is_known: bool
    by_token: bool
    expires_at: int | None


class ScramServer:
    """One exchange. `credential_of` gives what is kept of a user or None, `token_of` of a token."""

    def __init__(
        self,
        mechanism: str,
        credential_of: Callable[[str], ScramCredential | None],
        token_of: Callable[[str], Login | None] | None = None,
    ) -> None:
        self._mechanism = mechanism
        self._hash = HASHES[mechanism]
        self._credential_of = credential_of
        self._token_of = token_of
        self._begun: _Begun | None = None

    def step(self, token: bytes) -> Step:
        """See `Server.step`."""
        if self._begun is None:
            self._begun = self._begin(token)
            return Step(self._begun.answer)
        begun, self._begun = self._begun, None
        return self._end(begun, token)

    def _begin(self, token: bytes) -> _Begun:
        found = _FIRST.fullmatch(token)
        if found is None:
            raise malformed(self._mechanism)
        marks = [mark for mark in found["more"].split(b",") if mark.startswith(_TOKEN_MARK)]
        if len(marks) > 1:
            raise malformed(self._mechanism)
        by_token = bool(marks) and marks[0].removeprefix(_TOKEN_MARK).lower() == b"true"
        try:
            user, authorization_id = (_unescaped(found[name] or b"") for name in ("user", "authzid"))
        except UnicodeDecodeError:
            raise malformed(self._mechanism) from None
        if authorization_id and authorization_id != user:
            raise malformed(self._mechanism)
        login = self._token_of(user) if by_token and self._token_of is not None else None
        known = (None if login is None else login.credential) if by_token else self._credential_of(user)
        # Kafka refuses what was stored with fewer rounds: it would be cheap to guess.
        is_known = known is not None and known.iterations >= MIN_ITERATIONS
        credential = known if known is not None and is_known else self._of_nobody(user)
        nonce = found["nonce"] + secrets.token_hex(16).encode()
        salt = base64.b64encode(credential.salt)
        answer = b"r=%s,s=%s,i=%d" % (nonce, salt, credential.iterations)
        return _Begun(
            user if login is None else login.user,
            header=found["header"],
            bare=found["bare"],
            client_nonce=found["nonce"],
            nonce=nonce,
            answer=answer,
            credential=credential,
            is_known=is_known,
            by_token=by_token,
            expires_at=None if login is None else login.expiry_ms,
        )

    def _end(self, begun: _Begun, token: bytes) -> Step:
        found = _FINAL.fullmatch(token)
        if found is None:
            raise malformed(self._mechanism)
        try:
            header, proof = (base64.b64decode(found[name], validate=True) for name in ("header", "proof"))
        except binascii.Error:
            raise malformed(self._mechanism) from None
        # librdkafka before 2.6.1 puts its own nonce before the whole once more; Kafka looks at the end alone.
        nonces = (begun.nonce, begun.client_nonce + begun.nonce)
        if header != begun.header or found["nonce"] not in nonces:
            raise malformed(self._mechanism)
        credential = begun.credential
        message = b",".join((begun.bare, begun.answer, found["unproved"]))
        signature = hmac.digest(credential.stored_key, message, self._hash)
        if len(proof) != len(signature):
            raise malformed(self._mechanism)
        client_key = bytes(left ^ right for left, right in zip(proof, signature, strict=True))
        is_right = hmac.compare_digest(hashlib.new(self._hash, client_key).digest(), credential.stored_key)
        if not (is_right and begun.is_known):
            raise malformed(self._mechanism)
        server = hmac.digest(credential.server_key, message, self._hash)
        told = b"v=" + base64.b64encode(server)
        return Step(told, begun.user, begun.expires_at, begun.by_token)

    def _of_nobody(self, user: str) -> ScramCredential:
        salt = hmac.digest(_SECRET, f"{self._mechanism} {user}".encode(), "sha256")
        # Nothing has this hash: no proof fits.
        nothing = secrets.token_bytes(hashlib.new(self._hash).digest_size)
        return ScramCredential(salt, nothing, nothing, MIN_ITERATIONS)


def _unescaped(name: bytes) -> str:
    return name.replace(b"=2C", b",").replace(b"=3D", b"=").decode("utf-8")
