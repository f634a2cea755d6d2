"""Encryption of a client's connections: one kind of context, whatever names its options have.

Files are read, once, when a client is made.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from fastlog.config.tls_settings import StoreSettings
from fastlog.errors import ConfigError
from fastlog.net.stores import load_key, read_key_store, read_trust_store

__all__ = ["pem_pair", "pem_store", "tls_context"]


def pem_store(key: str, location: str | None, text: str | None = None) -> StoreSettings:
    """A store in the format PEM: the path of a file, or what would be in it. `key` is named in messages."""
    return StoreSettings(key, "PEM", location, None, text)


def pem_pair(certificate_key: str, certificate: str, key: str, private: str | None) -> StoreSettings:
    """A certificate and its private key, in files of their own or (`private` is None) in one."""
    if private is None:
        return pem_store(certificate_key, certificate)
    texts = []
    for name, path in ((key, private), (certificate_key, certificate)):
        try:
            texts.append(Path(path).read_text(encoding="iso-8859-1"))
        except OSError as error:
            raise ConfigError(name, f"{path} cannot be read: {error.strerror}") from error
    return pem_store(certificate_key, None, "\n".join(texts))


def tls_context(
    trust: StoreSettings | None,
    identity: StoreSettings | None = None,
    key_password: str | None = None,
    *,
    check_names: bool = True,
    password_key: str = "ssl.key.password",  # noqa: S107 - the name of an option
) -> ssl.SSLContext:
    """TLS 1.2 or later. Without `trust` the authorities of the system are trusted, without `identity` the
    client shows no certificate. Raises ConfigError, which shows no secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = check_names
    if trust is None:
        context.load_default_certs()
    else:
        # As in Java: what is in the store is trusted, also where it is no authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(cadata="".join(read_trust_store(trust)))
        except ssl.SSLError as error:
            raise ConfigError(trust.key, f"cannot be used: {error.reason or error}") from None
    if identity is not None:
        load_key(context, read_key_store(identity, key_password), identity.key, password_key)
    return context
