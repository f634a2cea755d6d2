"""The client's side of SCRAM (RFC 5802), written by hand so that tests can get every part wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

_ANSWER = re.compile(r"r=([^,]+),s=([^,]+),i=(\d+)")


class ScramClient:
    """One exchange. `user` is as it goes over the wire; `digest` sha256 or sha512."""

    def __init__(
        self,
        user: str,
        password: str,
        digest: str = "sha256",
        *,
        nonce: str = "clientnonce",
        header: str = "n,,",
        more: str = "",
    ) -> None:
        self.header = header
        self.nonce = nonce
        self._digest = digest
        self._password = password
        self._bare = f"n={user},r={nonce}{more}"

    def first(self) -> bytes:
        """Its first message."""
        return f"{self.header}{self._bare}".encode()

    def final(self, answer: bytes, *, nonce: str | None = None, header: str | None = None) -> bytes:
        """Its second one, with a proof that is right for what it says."""
        found = _ANSWER.fullmatch(answer.decode())
        assert found is not None, answer
        salted = hashlib.pbkdf2_hmac(
            self._digest, self._password.encode(), base64.b64decode(found[2]), int(found[3])
        )
        key = hmac.digest(salted, b"Client Key", self._digest)
        channel = base64.b64encode((header or self.header).encode()).decode()
        unproved = f"c={channel},r={nonce or found[1]}"
        message = f"{self._bare},{answer.decode()},{unproved}".encode()
        signature = hmac.digest(hashlib.new(self._digest, key).digest(), message, self._digest)
        proof = bytes(left ^ right for left, right in zip(key, signature, strict=True))
        return f"{unproved},p={base64.b64encode(proof).decode()}".encode()
