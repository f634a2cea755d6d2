"""SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), the server's side.

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
_SECRET: Final = secrets.token_bytes(32)
"""Of the salts of those who are no users."""


@dataclass(frozen=True, slots=True)
class _Begun:
    user: str
    header: bytes
    bare: bytes
    client_nonce: bytes
    nonce: bytes
    answer: bytes
    credential: ScramCredential
    is_known: bool


class ScramServer:
    """One exchange. `credential_of` gives what is kept of a user, or None."""

    def __init__(self, mechanism: str, credential_of: Callable[[str], ScramCredential | None]) -> None:
        self._mechanism = mechanism
        self._hash = HASHES[mechanism]
        self._credential_of = credential_of
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
        if found is None or b",tokenauth=" in found["more"]:
            raise malformed(self._mechanism)
        try:
            user, authorization_id = (_unescaped(found[name] or b"") for name in ("user", "authzid"))
        except UnicodeDecodeError:
            raise malformed(self._mechanism) from None
        if authorization_id and authorization_id != user:
            raise malformed(self._mechanism)
        known = self._credential_of(user)
        # Kafka refuses what was stored with fewer rounds: it would be cheap to guess.
        is_known = known is not None and known.iterations >= MIN_ITERATIONS
        credential = known if known is not None and is_known else self._of_nobody(user)
        nonce = found["nonce"] + secrets.token_hex(16).encode()
        salt = base64.b64encode(credential.salt)
        answer = b"r=%s,s=%s,i=%d" % (nonce, salt, credential.iterations)
        return _Begun(
            user, found["header"], found["bare"], found["nonce"], nonce, answer, credential, is_known
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
        return Step(b"v=" + base64.b64encode(server), begun.user)

    def _of_nobody(self, user: str) -> ScramCredential:
        salt = hmac.digest(_SECRET, f"{self._mechanism} {user}".encode(), "sha256")
        # Nothing has this hash: no proof fits.
        nothing = secrets.token_bytes(hashlib.new(self._hash).digest_size)
        return ScramCredential(salt, nothing, nothing, MIN_ITERATIONS)


def _unescaped(name: bytes) -> str:
    return name.replace(b"=2C", b",").replace(b"=3D", b"=").decode("utf-8")
