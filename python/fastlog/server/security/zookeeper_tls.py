"""TLS towards ZooKeeper. Reads files: called in threads."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from fastlog.net.tls import tls_context
from fastlog.server.security.identity import limit

if TYPE_CHECKING:
    from fastlog.config.zookeeper_settings import ZooKeeperTls

__all__ = ["zookeeper_context"]


def zookeeper_context(settings: ZooKeeperTls) -> ssl.SSLContext:
    """Raises ConfigError, which shows no secret."""
    # ZooKeeper has no password for keys: that of the store decrypts a key in PEM as well.
    password = None if settings.keystore is None else settings.keystore.password
    context = tls_context(
        settings.truststore,
        settings.keystore,
        password,
        check_names=settings.check_names,
        password_key="zookeeper.ssl.keystore.password",  # noqa: S106 - the name of a key
    )
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    limit(context, settings.protocols, settings.ciphers, "zookeeper.ssl.cipher.suites")
    return context
