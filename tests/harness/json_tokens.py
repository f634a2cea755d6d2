"""An identity provider of a test: signed JSON web tokens, and the key set to verify them with."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER: Final = "https://idp.example"
AUDIENCE: Final = "kafka"


class TokenIssuer:
    """One RSA key; its public half is written to `directory`/jwks.json."""

    def __init__(self, directory: Path, kid: str = "first") -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self._kid = kid
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "kid": kid, "use": "sig", "n": _number(numbers.n), "e": _number(numbers.e)}
        directory.mkdir(parents=True, exist_ok=True)
        self.key_set: Final = directory / "jwks.json"
        self.key_set.write_text(json.dumps({"keys": [key]}))

    def token(self, subject: str, seconds: float = 600, **claims: Any) -> str:
        """A token of `subject` that holds for so long, for `AUDIENCE`; `claims` take the place of others."""
        now = int(time.time())
        said = {
            "sub": subject,
            "iat": now,
            "exp": int(now + seconds),
            "iss": ISSUER,
            "aud": AUDIENCE,
            **claims,
        }
        parts = ({"alg": "RS256", "kid": self._kid, "typ": "JWT"}, said)
        signed = ".".join(_b64(json.dumps(part).encode()) for part in parts)
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_b64(signature)}"

    def public_pem(self) -> bytes:
        """The public key, as everybody may have it."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _number(value: int) -> str:
    return _b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))
