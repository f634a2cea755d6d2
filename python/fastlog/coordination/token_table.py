"""The delegation tokens that a broker knows of, by id and by secret, and what logins with them need."""

from __future__ import annotations

import hmac
import secrets
from typing import NamedTuple

from fastlog.coordination.delegation_token import (
    HMAC_BYTES,
    USER,
    DelegationToken,
    credential_of,
    secret_of,
)
from fastlog.coordination.scram_credentials import ScramCredential

__all__ = ["Login", "TokenTable"]


class Login(NamedTuple):
    """Who logs in with a token: what SCRAM checks it against, who that is then, and until when."""

    credential: ScramCredential
    user: str
    expiry_ms: int


class _Known:
    """One token, with what is made of its secret."""

    __slots__ = ("credentials", "index", "secret", "token")

    def __init__(self, token: DelegationToken, secret: bytes, index: bytes) -> None:
        self.token = token
        self.secret = secret
        self.index = index
        self.credentials: dict[str, ScramCredential] = {}


class TokenTable:
    """`key` makes the secrets. Used on the event loop."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, _Known] = {}
        self._by_secret: dict[bytes, str] = {}
        """Ids by a hash that nobody else can compute: how long a look takes tells nothing of secrets."""
        self._index_key = secrets.token_bytes(32)
        self._made_by: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._known)

    def all(self) -> list[DelegationToken]:
        """All that there are, those that are over and not removed yet among them."""
        return [known.token for known in self._known.values()]

    def ids(self) -> set[str]:
        """The same by their ids."""
        return set(self._known)

    def made_for(self, requester: str) -> int:
        """How many there are that somebody has had made."""
        return self._made_by.get(requester, 0)

    def secret(self, token_id: str) -> bytes:
        """The secret of a token, which is for those who may see it."""
        return secret_of(token_id, self._key)

    def with_secret(self, secret: bytes) -> str | None:
        """The id of the token with this secret."""
        if len(secret) != HMAC_BYTES:
            return None
        token_id = self._by_secret.get(self._index(secret))
        known = None if token_id is None else self._known.get(token_id)
        return token_id if known is not None and hmac.compare_digest(known.secret, secret) else None

    def login(self, mechanism: str, token_id: str) -> Login | None:
        """For a login with a token; None where there is none, or it is not of a user."""
        known = self._known.get(token_id)
        if known is None or not known.token.owner.startswith(USER):
            return None
        credential = known.credentials.get(mechanism)
        if credential is None:
            credential = known.credentials[mechanism] = credential_of(mechanism, known.secret)
        return Login(credential, known.token.owner.removeprefix(USER), known.token.expiry_ms)

    def put(self, token: DelegationToken) -> None:
        """It is as this one now."""
        known = self._known.get(token.token_id)
        if known is None:
            secret = self.secret(token.token_id)
            index = self._index(secret)
            self._known[token.token_id] = _Known(token, secret, index)
            self._by_secret[index] = token.token_id
        else:
            self._count(known.token.requester, -1)
            known.token = token
        self._count(token.requester, 1)

    def drop(self, token_id: str) -> None:
        """It is gone, if it was there."""
        known = self._known.pop(token_id, None)
        if known is not None:
            del self._by_secret[known.index]
            self._count(known.token.requester, -1)

    def _index(self, secret: bytes) -> bytes:
        return hmac.digest(self._index_key, secret, "sha256")

    def _count(self, requester: str, by: int) -> None:
        count = self.made_for(requester) + by
        if count > 0:
            self._made_by[requester] = count
        else:
            self._made_by.pop(requester, None)
