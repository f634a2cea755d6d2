"""Key stores and trust stores in the formats of Kafka, as PEM: what OpenSSL, and so Python, can load.

| type   | read by                                                                        |
|--------|--------------------------------------------------------------------------------|
| PEM    | nothing but this file                                                          |
| PKCS12 | the package `cryptography`, which the extra `fastlog[security]` brings         |
| JKS    | nobody: refused with the command that converts it; a file that is PKCS12 in    |
|        | truth is read as that, as Java does by itself                                  |

All functions read files: not for the event loop. They raise ConfigError, which shows no secret.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.base.regular_file import read_regular_file
from fastlog.config.tls_settings import StoreSettings
from fastlog.errors import ConfigError

__all__ = ["KeyMaterial", "load_key", "read_key_store", "read_trust_store"]

_BLOCK: Final = re.compile(
    r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----(?P<body>[^-]*)-----END (?P=label)-----", re.ASCII
)
_CERTIFICATES: Final = frozenset({"CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE"})
_KEYS: Final = ("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
# What other tools write; OpenSSL reads it as well, Kafka does not.
_OTHER_KEYS: Final = ("RSA PRIVATE KEY", "EC PRIVATE KEY")
_JKS: Final = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
_PKCS12_FIRST: Final = 0x30


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """A private key and its certificates, the leaf first, as PEM. `password` decrypts the key."""

    key: str = field(repr=False)
    chain: tuple[str, ...]
    password: str | None = field(repr=False)


def read_key_store(store: StoreSettings, key_password: str | None) -> KeyMaterial:
    """The key that a listener shows."""
    if store.pem is None:
        data = _read(store)
        if _is_pkcs12(store, data):
            from fastlog.net.pkcs12 import key_of

            return key_of(data, store, key_password)
        text = _text(store, data)
    else:
        text = _in_lines(store.pem)
    certificates, keys = _blocks(text)
    if len(keys) != 1:
        count = "none" if not keys else str(len(keys))
        raise ConfigError(store.key, f"must hold exactly one private key in PKCS#8 form; there is {count}")
    if not certificates:
        raise ConfigError(store.key, "holds no certificate")
    return KeyMaterial(keys[0], tuple(certificates), key_password)


def read_trust_store(store: StoreSettings) -> tuple[str, ...]:
    """The certificates that peers must have been signed by."""
    if store.pem is None:
        data = _read(store)
        if _is_pkcs12(store, data):
            from fastlog.net.pkcs12 import certificates_of

            found: tuple[str, ...] = certificates_of(data, store)
        else:
            found = tuple(_blocks(_text(store, data))[0])
    else:
        found = tuple(_blocks(_in_lines(store.pem))[0])
    if not found:
        raise ConfigError(store.key, "holds no certificate")
    return found


def _read(store: StoreSettings) -> bytes:
    path = Path(store.location or "")
    try:
        return read_regular_file(path)
    except OSError as error:
        raise ConfigError(store.key, f"{path} cannot be read: {error.strerror}") from error


def _is_pkcs12(store: StoreSettings, data: bytes) -> bool:
    """Whether it is PKCS12, whatever it is called. Raises ConfigError for the format that is Java's alone."""
    if data[:4] in _JKS:
        target = f"{Path(store.location or 'store').with_suffix('')}.p12"
        raise ConfigError(
            store.key,
            f"{store.location} is in Java's own format JKS, which only Java reads. Convert it: keytool "
            f"-importkeystore -srckeystore {store.location} -destkeystore {target} -deststoretype PKCS12",
        )
    binary = bool(data) and data[0] == _PKCS12_FIRST
    if store.type == "PEM":
        return False
    if not binary:
        raise ConfigError(store.key, f"{store.location} is not PKCS12 (ssl.*store.type is {store.type})")
    return True


def _text(store: StoreSettings, data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        # Comments between the blocks may be in any language.
        return data.decode("iso-8859-1")


def _in_lines(text: str) -> str:
    """PEM on one line, as properties often have it: OpenSSL wants short lines."""
    return text.replace("\\n", "\n").replace("\r", "\n")


def _blocks(text: str) -> tuple[list[str], list[str]]:
    """(certificates, private keys), each in lines of 64 characters."""
    certificates, keys = [], []
    for found in _BLOCK.finditer(text):
        label = found["label"]
        if label in _CERTIFICATES:
            certificates.append(_block(label, found["body"]))
        elif label in _KEYS:
            keys.append(_block(label, found["body"]))
        elif label in _OTHER_KEYS:
            keys.append(found[0].strip() + "\n")
    return certificates, keys


def _block(label: str, body: str) -> str:
    data = "".join(body.split())
    lines = "\n".join(data[at : at + 64] for at in range(0, len(data), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


def load_key(
    context: ssl.SSLContext,
    material: KeyMaterial,
    key: str,
    password_key: str = "ssl.key.password",  # noqa: S107 - the name of a setting
) -> None:
    """Has a context show this key; `key` and `password_key` are the settings to name in messages. OpenSSL
    takes it from a file only: one that is in memory and has no name."""

    def password() -> str:
        # Without this OpenSSL would ask at the terminal.
        if not material.password:
            raise ConfigError(password_key, "is not set, but the private key is encrypted")
        return material.password

    with _in_memory((*material.chain, material.key)) as path:
        try:
            context.load_cert_chain(path, password=password)
        except ssl.SSLError as error:
            raise ConfigError(key, _in_words(error, material, password_key)) from None
        except OSError as error:
            raise ConfigError(key, f"cannot be used: {error.strerror}") from None


def _in_words(error: ssl.SSLError, material: KeyMaterial, password_key: str) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the private key does not belong to the first certificate: the leaf has to stand first"
    if "ENCRYPTED" in material.key:
        # OpenSSL says no more than that it could not.
        return f"the private key cannot be decrypted with {password_key}"
    return f"certificate and key cannot be used: {error.reason or error}"


@contextmanager
def _in_memory(parts: Sequence[str]) -> Iterator[str]:
    """The path of a file without a name that holds some texts, as long as the block lasts."""
    descriptor = os.memfd_create("fastlog-key", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write("".join(parts).encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
