"""How a client secures its connections, from the properties that Java's clients have.

`security.protocol`, `ssl.truststore.*`, `ssl.keystore.*`, `ssl.key.password`,
`ssl.endpoint.identification.algorithm`, `sasl.mechanism`, `sasl.jaas.config`; and librdkafka's
`ssl.ca.location`, `ssl.certificate.location`, `ssl.key.location`, `sasl.username`, `sasl.password`.
Without a trust store the authorities of the system are trusted. Files are read: not for the event loop.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ConfigError

if TYPE_CHECKING:
    from fastlog.config.tls_settings import StoreSettings
    from fastlog.net.sasl_login import SaslLogin

__all__ = ["PLAINTEXT", "ClientSecurity", "security_of"]

_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


@dataclass(frozen=True, slots=True)
class ClientSecurity:
    """What a connection is opened with. Contexts verify names unless they were told not to."""

    tls: ssl.SSLContext | None = None
    login: SaslLogin | None = None


PLAINTEXT: Final = ClientSecurity()


def security_of(properties: Mapping[str, str]) -> ClientSecurity:
    """Raises ConfigError, which shows no secret."""
    protocol = properties.get("security.protocol", "PLAINTEXT").strip().upper()
    if protocol not in _PROTOCOLS:
        raise ConfigError("security.protocol", f"'{protocol}' is not one of {', '.join(_PROTOCOLS)}")
    tls = _tls(properties) if protocol.endswith("SSL") else None
    login = _login(properties) if protocol.startswith("SASL") else None
    return ClientSecurity(tls, login)


def _tls(properties: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    algorithm = properties.get("ssl.endpoint.identification.algorithm", "https").strip().lower()
    if algorithm not in ("https", "", "none"):
        raise ConfigError("ssl.endpoint.identification.algorithm", f"'{algorithm}' is not https, or empty")
    context.check_hostname = algorithm == "https"
    _trust(context, properties)
    _identify(context, properties)
    return context


def _trust(context: ssl.SSLContext, properties: Mapping[str, str]) -> None:
    from fastlog.net.stores import read_trust_store

    store = _store(properties, "ssl.truststore", "ssl.truststore.certificates")
    if store is None and properties.get("ssl.ca.location"):
        store = _pem("ssl.ca.location", properties["ssl.ca.location"])
    if store is None:
        context.load_default_certs()
        return
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata="".join(read_trust_store(store)))
    except ssl.SSLError as error:
        raise ConfigError(store.key, f"cannot be used: {error.reason or error}") from None


def _identify(context: ssl.SSLContext, properties: Mapping[str, str]) -> None:
    from fastlog.net.stores import load_key, read_key_store

    certificate, key = (properties.get(f"ssl.{what}.location") for what in ("certificate", "key"))
    if certificate and key:
        try:
            text = f"{Path(key).read_text()}\n{Path(certificate).read_text()}"
        except OSError as error:
            raise ConfigError("ssl.key.location", f"cannot be read: {error.strerror}") from error
        store = _pem("ssl.key.location", None, text)
    else:
        inline = properties.get("ssl.keystore.key")
        chain = properties.get("ssl.keystore.certificate.chain", "")
        if inline:
            store = _pem("ssl.keystore.key", None, f"{inline}\n{chain}")
        else:
            found = _store(properties, "ssl.keystore", None)
            if found is None:
                return
            store = found
    load_key(context, read_key_store(store, properties.get("ssl.key.password")), store.key)


def _store(properties: Mapping[str, str], prefix: str, inline: str | None) -> StoreSettings | None:
    from fastlog.config.tls_settings import StoreSettings

    if inline is not None and properties.get(inline):
        return _pem(inline, None, properties[inline])
    location = properties.get(f"{prefix}.location")
    if not location:
        return None
    kind = properties.get(f"{prefix}.type", "JKS").strip().upper()
    return StoreSettings(f"{prefix}.location", kind, location, properties.get(f"{prefix}.password") or None)


def _pem(key: str, location: str | None, text: str | None = None) -> StoreSettings:
    from fastlog.config.tls_settings import StoreSettings

    return StoreSettings(key, "PEM", location, None, text)


def _login(properties: Mapping[str, str]) -> SaslLogin:
    from fastlog.config.jaas import parse_jaas
    from fastlog.net.sasl_login import MECHANISMS, SaslLogin

    mechanism = (properties.get("sasl.mechanism") or properties.get("sasl.mechanisms") or "GSSAPI").strip()
    if mechanism not in MECHANISMS:
        raise ConfigError("sasl.mechanism", f"'{mechanism}' is not one of {', '.join(MECHANISMS)}")
    options: Mapping[str, str] = {}
    if properties.get("sasl.jaas.config"):
        options = parse_jaas("sasl.jaas.config", properties["sasl.jaas.config"]).options
    if mechanism == "OAUTHBEARER":
        token = properties.get("sasl.oauthbearer.token") or options.get("token")
        if not token:
            raise ConfigError("sasl.oauthbearer.token", "is not set: the token to log in with")
        return SaslLogin(mechanism, "", token)
    user = properties.get("sasl.username") or options.get("username")
    password = properties.get("sasl.password") or options.get("password")
    if not user or not password:
        raise ConfigError(
            "sasl.username", "user and password are needed: sasl.jaas.config, or sasl.password too"
        )
    return SaslLogin(mechanism, user, password)
