"""PKCS12 stores (RFC 7292), by the package `cryptography`: Python's own `ssl` does not read them.

A key store of Java holds one key with its chain. What keytool calls a trust store holds certificates alone,
each marked as trusted; certificates without that mark are taken, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.config.tls_settings import StoreSettings
from fastlog.errors import ConfigError
from fastlog.net.stores import KeyMaterial

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates

__all__ = ["certificates_of", "key_of"]

_MISSING: Final = (
    "is PKCS12, which needs the package cryptography: pip install 'fastlog[security]'. Or convert it: "
    "openssl pkcs12 -in {path} -out {path}.pem, and set the type to PEM"
)


def key_of(data: bytes, store: StoreSettings, key_password: str | None) -> KeyMaterial:
    """The key of a store. Its password is that of the store: keytool makes no other."""
    found = _loaded(data, store, store.password or key_password)
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    if found.key is None or found.cert is None:
        raise ConfigError(store.key, "holds no private key with a certificate")
    key = found.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    chain = [found.cert.certificate, *(item.certificate for item in found.additional_certs)]
    return KeyMaterial(key, tuple(each.public_bytes(Encoding.PEM).decode() for each in chain), None)


def certificates_of(data: bytes, store: StoreSettings) -> tuple[str, ...]:
    """All certificates of a store."""
    found = _loaded(data, store, store.password)
    from cryptography.hazmat.primitives.serialization import Encoding

    items = [*([] if found.cert is None else [found.cert]), *found.additional_certs]
    return tuple(item.certificate.public_bytes(Encoding.PEM).decode() for item in items)


def _loaded(data: bytes, store: StoreSettings, password: str | None) -> PKCS12KeyAndCertificates:
    try:
        from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12
    except ImportError:
        raise ConfigError(store.key, _MISSING.format(path=store.location)) from None
    try:
        return load_pkcs12(data, None if password is None else password.encode())
    except ValueError as error:
        raise ConfigError(store.key, f"{store.location} cannot be read: {error}") from None
