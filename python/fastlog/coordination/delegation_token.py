"""One delegation token (KIP-48, KIP-373), and how its secret is made.

The secret of a token is the HMAC-SHA-512 of its id with a key that all brokers of a cluster have
(`delegation.token.secret.key`): it is not stored anywhere, and with another key all tokens are void. Who
logs in with a token uses its id as the name, and the secret in base64 as the password of SCRAM.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import replace
from typing import Final, Self

from fastlog.base.quick_dataclass import dataclass
from fastlog.coordination.scram_credentials import HASHES, MIN_ITERATIONS, ScramCredential

__all__ = ["HMAC_BYTES", "USER", "DelegationToken", "credential_of", "secret_of"]

USER: Final = "User:"
"""What the names of those begin with who can own, make or renew tokens."""
HMAC_BYTES: Final = 64
_SALT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class DelegationToken:
    """What is stored of a token; nothing of it is secret. Times are milliseconds since 1970.

    Principals are `Type:name`. `owner` is who a client is that logs in with it, `requester` who has had it
    made: somebody else where an administrator makes tokens for others.
    """

    token_id: str
    owner: str
    requester: str
    renewers: tuple[str, ...]
    issued_ms: int
    expiry_ms: int
    max_ms: int

    def is_over(self, now_ms: int) -> bool:
        """Whether it can be neither renewed nor used any more, only removed."""
        return self.max_ms < now_ms or self.expiry_ms < now_ms

    def may_be_changed_by(self, principal: str) -> bool:
        """Whether somebody may renew it and have it expire: who has made it for another may not."""
        return principal == self.owner or principal in self.renewers

    def concerns(self, principal: str) -> bool:
        """Whether somebody always gets to see it, and whose tokens it is among."""
        return principal in (self.owner, self.requester) or principal in self.renewers

    def until(self, expiry_ms: int) -> Self:
        """The same with another end, which cannot be later than the last one that there is."""
        return replace(self, expiry_ms=min(self.max_ms, expiry_ms))


def secret_of(token_id: str, key: bytes) -> bytes:
    """The HMAC of a token (`DelegationTokenManager.createHmac`)."""
    return hmac.digest(key, token_id.encode(), "sha512")


def credential_of(mechanism: str, secret: bytes) -> ScramCredential:
    """What a mechanism of SCRAM checks a login with the token against. Takes some milliseconds."""
    salt = secrets.token_bytes(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac(HASHES[mechanism], base64.b64encode(secret), salt, MIN_ITERATIONS)
    return ScramCredential.of(mechanism, salt, salted, MIN_ITERATIONS)
