"""What is configured of TLS for one listener: `ssl.*`, with or without the prefix of the listener.

Looked at only when a listener has TLS; files are read elsewhere (`fastlog.server.security`). The rules are
those of `SslConfigs`, `DefaultSslEngineFactory` and `SslPrincipalMapper` of Kafka 3.9, except that what Kafka
would quietly do without is refused here: an unknown word, a listener without a certificate, client
certificates that anybody could have issued.
"""

from __future__ import annotations

from dataclasses import field
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.layers import Layers
from fastlog.config.listener_values import ListenerReader
from fastlog.config.listeners import SecurityProtocol
from fastlog.errors import ConfigError

__all__ = ["PROTOCOLS", "StoreSettings", "TlsSettings", "checks_names", "tls_settings"]

PROTOCOLS: Final = ("TLSv1.2", "TLSv1.3")
"""What can be enabled, the oldest first: TLS 1.0 and 1.1 are out of use since RFC 8996."""
TYPES: Final = ("JKS", "PEM", "PKCS12")
_NAMES: Final = "ssl.endpoint.identification.algorithm"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """One store. `location` is the path of a file; `pem` is the content where the configuration has it."""

    key: str
    """The key to name in messages."""
    type: str
    location: str | None
    password: str | None = field(repr=False)
    pem: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS of one listener."""

    listener: str
    keystore: StoreSettings
    key_password: str | None = field(repr=False)
    truststore: StoreSettings | None
    protocols: tuple[str, ...]
    ciphers: tuple[str, ...]
    client_auth: str
    """`none`, `requested` or `required`."""
    principal_rules: str
    allow_dn_changes: bool
    allow_san_changes: bool
    check_names: bool = True
    """Whether other brokers' certificates have to be those of the hosts that they are reached at."""
    among_brokers: bool = False
    """Whether other brokers are reached over it: then it is a client's settings, too."""


def tls_settings(
    layers: Layers, listener: str, protocol: SecurityProtocol, *, among_brokers: bool = False
) -> TlsSettings:
    """The settings of a listener that has TLS. Raises ConfigError; no file is looked at."""
    read = ListenerReader(layers, listener)
    factory = read.text("ssl.engine.factory.class")
    if factory is not None:
        name = read.name("ssl.engine.factory.class")
        raise ConfigError(name, f"{factory} is a Java class, which fastlog does not run")
    keystore = _keystore(read)
    truststore = _truststore(read)
    client_auth = read.text("ssl.client.auth") or "none"
    if protocol is SecurityProtocol.SASL_SSL:
        # As Kafka: who asks for certificates everywhere need not mean those who log in by SASL.
        client_auth = read.own_text("ssl.client.auth") or "none"
    if client_auth != "none" and truststore is None:
        raise ConfigError(
            read.name("ssl.client.auth"),
            f"{client_auth} needs a trust store of its own (ssl.truststore.location): without one whoever "
            "has a certificate of any public authority would be let in",
        )
    return TlsSettings(
        listener=listener,
        keystore=keystore,
        key_password=read.text("ssl.key.password"),
        truststore=truststore,
        protocols=_protocols(read),
        ciphers=read.words("ssl.cipher.suites"),
        client_auth=client_auth,
        principal_rules=read.text("ssl.principal.mapping.rules") or "DEFAULT",
        allow_dn_changes=read.value("ssl.allow.dn.changes") is True,
        allow_san_changes=read.value("ssl.allow.san.changes") is True,
        check_names=checks_names(read.name(_NAMES), read.raw(_NAMES)),
        among_brokers=among_brokers,
    )


def checks_names(key: str, text: str | None) -> bool:
    """What `ssl.endpoint.identification.algorithm` says. Raises ConfigError."""
    word = (text or "").strip().lower()
    if word not in ("https", ""):
        raise ConfigError(key, f"'{word}' is not https, or empty: then names are not compared")
    return word == "https"


def _protocols(read: ListenerReader) -> tuple[str, ...]:
    key = read.name("ssl.enabled.protocols")
    wanted = read.words("ssl.enabled.protocols") or PROTOCOLS
    for word in wanted:
        if word not in PROTOCOLS:
            raise ConfigError(key, f"'{word}' is not one of {', '.join(PROTOCOLS)}")
    return tuple(word for word in PROTOCOLS if word in wanted)


def _type(read: ListenerReader, key: str) -> str:
    kind = (read.text(key) or "JKS").upper()
    if kind not in TYPES:
        raise ConfigError(read.name(key), f"'{kind}' is not one of {', '.join(TYPES)}")
    return kind


def _keystore(read: ListenerReader) -> StoreSettings:
    chain, private = read.text("ssl.keystore.certificate.chain"), read.text("ssl.keystore.key")
    location, kind = read.text("ssl.keystore.location"), _type(read, "ssl.keystore.type")
    password = read.text("ssl.keystore.password")
    where = read.name("ssl.keystore.location")
    if chain is None and private is None:
        if location is None:
            raise ConfigError(where, "is not set: a listener with TLS has to show a certificate")
        _check_pem_password(kind, password, read.name("ssl.keystore.password"))
        return StoreSettings(where, kind, location, password)
    where = read.name("ssl.keystore.key")
    _check_inline(read, where, kind, location, "ssl.keystore.type", "ssl.keystore.location")
    if chain is None or private is None:
        raise ConfigError(where, "goes together with ssl.keystore.certificate.chain: one of them is not set")
    _check_pem_password(kind, password, read.name("ssl.keystore.password"))
    return StoreSettings(where, kind, None, None, f"{private}\n{chain}")


def _truststore(read: ListenerReader) -> StoreSettings | None:
    certificates, location = read.text("ssl.truststore.certificates"), read.text("ssl.truststore.location")
    if certificates is None and location is None:
        return None
    kind, password = _type(read, "ssl.truststore.type"), read.text("ssl.truststore.password")
    _check_pem_password(kind, password, read.name("ssl.truststore.password"))
    if certificates is None:
        return StoreSettings(read.name("ssl.truststore.location"), kind, location, password)
    where = read.name("ssl.truststore.certificates")
    _check_inline(read, where, kind, location, "ssl.truststore.type", "ssl.truststore.location")
    return StoreSettings(where, kind, None, None, certificates)


def _check_inline(
    read: ListenerReader, where: str, kind: str, location: str | None, type_key: str, location_key: str
) -> None:
    if kind != "PEM":
        raise ConfigError(read.name(type_key), f"must be PEM where {where} is set")
    if location is not None:
        raise ConfigError(where, f"cannot be set together with {read.name(location_key)}")


def _check_pem_password(kind: str, password: str | None, key: str) -> None:
    if kind == "PEM" and password is not None:
        raise ConfigError(
            key, "cannot be set for PEM: only its private key has a password (ssl.key.password)"
        )
