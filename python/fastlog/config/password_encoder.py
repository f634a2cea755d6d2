"""Passwords that were set through the API, in the tree: encrypted under `password.encoder.secret`.

The form is that of Kafka's brokers in ZooKeeper mode (`EncryptingPasswordEncoder`), which can read what
this one writes, and the other way round: `name:value` with commas between, of

| name | |
|-|-|
| `keyFactoryAlgorithm`, `iterations`, `salt` | how the key is made of the secret: PBKDF2; base64 |
| `cipherAlgorithm`, `keyLength`, `initializationVector` | AES in CBC mode, padded; bits; base64 |
| `encryptedPassword`, `passwordLength` | base64; UTF-16 units of the password, as Java counts |

Without a secret passwords are kept as they are, where Kafka refuses them. It needs `cryptography`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import lru_cache
from typing import Any, Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ConfigError

__all__ = ["SECRET", "PasswordEncoder", "is_encoded", "password_encoder"]

SECRET: Final = "password.encoder.secret"  # noqa: S105 - the name of a key
_OLD: Final = "password.encoder.old.secret"
_CIPHER: Final = "password.encoder.cipher.algorithm"
_FACTORY: Final = "password.encoder.keyfactory.algorithm"
_LENGTH: Final = "password.encoder.key.length"
_ROUNDS: Final = "password.encoder.iterations"
_AES: Final = "AES/CBC/PKCS5Padding"
_HASHES: Final = {f"PBKDF2WithHmacSHA{bits}": f"sha{bits}" for bits in (1, 224, 256, 384, 512)}
_LENGTHS: Final = (128, 192, 256)
_SALT_BYTES: Final = 256
_BLOCK: Final = 16
_MOST_ROUNDS: Final = 100_000
"""A tenth of a second, for each password that is read."""
_MOST_BYTES: Final = 1 << 20
_KEPT: Final = 256
_FIELDS: Final = frozenset(
    {
        *("keyFactoryAlgorithm", "iterations", "salt", "cipherAlgorithm", "keyLength"),
        *("initializationVector", "encryptedPassword", "passwordLength"),
    }
)


def is_encoded(text: str) -> bool:
    """Whether it has the form: an encrypted password, and none that somebody would choose."""
    return "encryptedPassword:" in text and _fields(text).keys() == _FIELDS


@dataclass(frozen=True, slots=True)
class PasswordEncoder:
    """What makes and reads these texts. `secrets` may have been used, the present one first."""

    secrets: tuple[str, ...] = field(repr=False)
    hash_name: str
    key_bits: int
    rounds: int

    def encode(self, password: str) -> str:
        """Another text each time. Computes for some milliseconds."""
        salt, start = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_BLOCK)
        factory = f"PBKDF2WithHmacSHA{self.hash_name.removeprefix('sha')}"
        key = _key(self.hash_name, self.secrets[0], salt, self.rounds, self.key_bits)
        parts = {
            "keyFactoryAlgorithm": factory,
            "cipherAlgorithm": _AES,
            "keyLength": str(self.key_bits),
            "salt": _b64(salt),
            "iterations": str(self.rounds),
            "encryptedPassword": _b64(_encrypted(key, start, password.encode())),
            "initializationVector": _b64(start),
            "passwordLength": str(_java_length(password)),
        }
        return ",".join(f"{name}:{value}" for name, value in parts.items())

    def decode(self, name: str, text: str) -> str:
        """The password in the text of a key. Raises ConfigError, which shows nothing of it."""
        for secret in self.secrets:
            found = _decoded(secret, text)
            if found is not None:
                return found
        raise ConfigError(name, f"cannot be decrypted: {SECRET} is not the one that it was set under")


def password_encoder(text_of: Callable[[str], str | None]) -> PasswordEncoder | None:
    """That of a configuration, whose texts `text_of` gives; None without a secret. Raises ConfigError."""
    secret, old = text_of(SECRET), text_of(_OLD)
    if not secret:
        return None
    cipher, factory = text_of(_CIPHER), text_of(_FACTORY) or "PBKDF2WithHmacSHA512"
    if cipher != _AES:
        raise ConfigError(_CIPHER, f"'{cipher}' is not supported, only {_AES}")
    if factory not in _HASHES:
        raise ConfigError(_FACTORY, f"'{factory}' is not one of {', '.join(_HASHES)}")
    bits, rounds = (int(text_of(name) or 0) for name in (_LENGTH, _ROUNDS))
    if bits not in _LENGTHS:
        raise ConfigError(_LENGTH, f"{bits} is not one of {', '.join(map(str, _LENGTHS))}")
    if rounds > _MOST_ROUNDS:
        raise ConfigError(_ROUNDS, f"{rounds} is more than {_MOST_ROUNDS}, and would hold up the broker")
    _cipher(bytes(_BLOCK), bytes(_BLOCK))
    return PasswordEncoder((secret, old) if old else (secret,), _HASHES[factory], bits, rounds)


def _fields(text: str) -> Mapping[str, str]:
    if len(text) > _MOST_BYTES:
        return {}
    return {
        name.strip(): value.strip() for name, _, value in (part.rpartition(":") for part in text.split(","))
    }


@lru_cache(maxsize=_KEPT)
def _decoded(secret: str, text: str) -> str | None:
    """None under another secret, or of a damaged text. Kept: configurations are made again and again."""
    parts = _fields(text)
    hash_name = _HASHES.get(parts["keyFactoryAlgorithm"])
    if hash_name is None or parts["cipherAlgorithm"] != _AES:
        return None
    try:
        bits, rounds, length = (int(parts[name]) for name in ("keyLength", "iterations", "passwordLength"))
        salt, start, data = (
            base64.b64decode(parts[name], validate=True)
            for name in ("salt", "initializationVector", "encryptedPassword")
        )
        if (
            bits not in _LENGTHS
            or not 0 < rounds <= _MOST_ROUNDS
            or len(start) != _BLOCK
            or len(data) % _BLOCK
        ):
            return None
        password = _decrypted(_key(hash_name, secret, salt, rounds, bits), start, data).decode()
    except (ValueError, binascii.Error):
        return None
    return password if _java_length(password) == length else None


def _key(hash_name: str, secret: str, salt: bytes, rounds: int, bits: int) -> bytes:
    return hashlib.pbkdf2_hmac(hash_name, secret.encode(), salt, rounds, bits // 8)


def _encrypted(key: bytes, start: bytes, data: bytes) -> bytes:
    left = _BLOCK - len(data) % _BLOCK
    work = _cipher(key, start).encryptor()
    return bytes(work.update(data + bytes([left]) * left) + work.finalize())


def _decrypted(key: bytes, start: bytes, data: bytes) -> bytes:
    """Raises ValueError when what comes out is not padded."""
    work = _cipher(key, start).decryptor()
    padded = bytes(work.update(data) + work.finalize())
    left = padded[-1] if padded else 0
    if not 0 < left <= _BLOCK or padded[-left:] != bytes([left]) * left:
        raise ValueError("another key")
    return padded[:-left]


def _cipher(key: bytes, start: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError:
        raise ConfigError(SECRET, "needs the package cryptography: pip install 'fastlog[security]'") from None
    return Cipher(algorithms.AES(key), modes.CBC(start))


def _java_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
