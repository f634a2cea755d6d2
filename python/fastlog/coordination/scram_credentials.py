"""SCRAM credentials as Kafka's znodes keep them (`ScramCredentialUtils`), and how they are made.

salt=BASE64,stored_key=BASE64,server_key=BASE64,iterations=4096
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from fastlog.base.quick_dataclass import dataclass

__all__ = ["HASHES", "MAX_ITERATIONS", "MECHANISMS", "MIN_ITERATIONS", "ScramCredential"]

MECHANISMS: Final = {1: "SCRAM-SHA-256", 2: "SCRAM-SHA-512"}
"""By their numbers on the wire (KIP-554)."""
HASHES: Final = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
MIN_ITERATIONS: Final = 4096
MAX_ITERATIONS: Final = 16384


@dataclass(frozen=True, slots=True)
class ScramCredential:
    """What a broker has to know of a password."""

    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: int

    def __repr__(self) -> str:
        return f"ScramCredential(iterations={self.iterations})"

    @classmethod
    def of(cls, mechanism: str, salt: bytes, salted_password: bytes, iterations: int) -> ScramCredential:
        """That of a password which the client has salted."""
        import hashlib  # seldom needed, and not free to import
        import hmac

        algorithm = HASHES[mechanism]
        client_key = hmac.digest(salted_password, b"Client Key", algorithm)
        stored_key = hashlib.new(algorithm, client_key).digest()
        return cls(salt, stored_key, hmac.digest(salted_password, b"Server Key", algorithm), iterations)

    @classmethod
    def parse(cls, text: str) -> ScramCredential:
        """From a znode. Raises ValueError."""
        fields = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
        try:
            salt, stored, server = (
                base64.b64decode(fields[name], validate=True) for name in ("salt", "stored_key", "server_key")
            )
            return cls(salt, stored, server, int(fields["iterations"]))
        except (KeyError, ValueError, binascii.Error):
            raise ValueError("this is no SCRAM credential") from None

    def format(self) -> str:
        """For a znode."""
        salt, stored, server = (
            base64.b64encode(part).decode() for part in (self.salt, self.stored_key, self.server_key)
        )
        return f"salt={salt},stored_key={stored},server_key={server},iterations={self.iterations}"
