"""How a client's connections are made, from a file of properties that was written for some client.

| of             | names                                                                               |
|----------------|-------------------------------------------------------------------------------------|
| Java's clients | `ssl.truststore.*`, `ssl.keystore.*`, `ssl.key.password`, `ssl.enabled.protocols`,  |
|                | `ssl.endpoint.identification.algorithm`, `sasl.jaas.config`                         |
| librdkafka     | `ssl.ca.location`, `ssl.certificate.location`, `ssl.key.location`                   |
| this library   | `ssl.cafile`, `ssl.certfile`, `ssl.keyfile`, `ssl.password`, `ssl.check.hostname`,  |
|                | `sasl.delegation.token`                                                             |
| several        | `security.protocol`, `sasl.mechanism`, `sasl.username`, `sasl.password`             |

Such files hold other things as well, which are not looked at. But what is about security and not understood
is refused: a connection must not be less safe than its file says.
"""

from __future__ import annotations

import difflib
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from fastlog.client.security import PROTOCOLS, Security
from fastlog.errors import ConfigError
from fastlog.net.sasl import MECHANISMS, Credentials

if TYPE_CHECKING:
    from fastlog.config.tls_settings import StoreSettings

__all__ = ["security_of_properties"]

_KNOWN: Final = frozenset(
    {
        "security.protocol",
        "ssl.ca.location",
        "ssl.cafile",
        "ssl.certfile",
        "ssl.certificate.location",
        "ssl.check.hostname",
        "ssl.enabled.protocols",
        "ssl.endpoint.identification.algorithm",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.keyfile",
        "ssl.keystore.certificate.chain",
        "ssl.keystore.key",
        "ssl.keystore.location",
        "ssl.keystore.password",
        "ssl.keystore.type",
        "ssl.password",
        "ssl.truststore.certificates",
        "ssl.truststore.location",
        "ssl.truststore.password",
        "ssl.truststore.type",
        "sasl.delegation.token",
        "sasl.jaas.config",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.oauthbearer.token",
        "sasl.password",
        "sasl.plain.password",
        "sasl.plain.username",
        "sasl.username",
    }
)
_OF_SECURITY: Final = ("security.", "ssl.", "sasl.")
_OF_JAVA_ALONE: Final = (
    "security.providers",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    "sasl.client.callback.handler.class",
    "sasl.kerberos.",
    "sasl.login.",
    "sasl.oauthbearer.",
)
"""How Java's clients go about it; nothing is safer by them."""
_VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def security_of_properties(properties: Mapping[str, str]) -> Security:
    """Reads certificates. Raises ConfigError, which shows no secret."""
    _check_names(properties)
    protocol = properties.get("security.protocol", "PLAINTEXT").strip().upper()
    if protocol not in PROTOCOLS:
        raise ConfigError("security.protocol", f"'{protocol}' is not one of {', '.join(PROTOCOLS)}")
    return Security(
        protocol,
        _tls(properties) if protocol.endswith("SSL") else None,
        _credentials(properties) if protocol.startswith("SASL_") else None,
    )


def _check_names(properties: Mapping[str, str]) -> None:
    for name in properties:
        if name in _KNOWN or name.startswith(_OF_JAVA_ALONE):
            continue
        is_ours = name.startswith(_OF_SECURITY)
        near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.6 if is_ours else 0.9)
        if is_ours or near:
            raise ConfigError(name, "is not understood" + (f"; did you mean {near[0]}?" if near else ""))


def _first(properties: Mapping[str, str], *names: str) -> tuple[str, str | None]:
    """The first of these that is set, with its value; (the first name, None) when none is."""
    return next(((name, properties[name]) for name in names if properties.get(name)), (names[0], None))


def _tls(properties: Mapping[str, str]) -> ssl.SSLContext:
    from fastlog.net.tls import tls_context

    password_key, password = _first(properties, "ssl.key.password", "ssl.password")
    context = tls_context(
        _trust(properties),
        _identity(properties),
        password,
        check_names=_checks_names(properties),
        password_key=password_key,
    )
    enabled = properties.get("ssl.enabled.protocols")
    if enabled:
        versions = [_VERSIONS.get(name.strip()) for name in enabled.split(",")]
        found = [version for version in versions if version is not None]
        if not found:
            raise ConfigError("ssl.enabled.protocols", f"'{enabled}' names neither TLSv1.2 nor TLSv1.3")
        context.minimum_version, context.maximum_version = min(found), max(found)
    return context


def _checks_names(properties: Mapping[str, str]) -> bool:
    key, text = "ssl.endpoint.identification.algorithm", "https"
    if key in properties:
        text = properties[key].strip().lower()
        if text not in ("https", "", "none"):
            raise ConfigError(key, f"'{text}' is not https, or empty")
    own = properties.get("ssl.check.hostname", "true").strip().lower()
    if own not in ("true", "false"):
        raise ConfigError("ssl.check.hostname", f"'{own}' is not true or false")
    return text == "https" and own == "true"


def _trust(properties: Mapping[str, str]) -> StoreSettings | None:
    from fastlog.net.tls import pem_store

    inline = properties.get("ssl.truststore.certificates")
    if inline:
        return pem_store("ssl.truststore.certificates", None, inline)
    key, location = _first(properties, "ssl.ca.location", "ssl.cafile")
    return _store(properties, "ssl.truststore") or (pem_store(key, location) if location else None)


def _identity(properties: Mapping[str, str]) -> StoreSettings | None:
    from fastlog.net.tls import pem_pair, pem_store

    inline = properties.get("ssl.keystore.key")
    if inline:
        chain = properties.get("ssl.keystore.certificate.chain", "")
        return pem_store("ssl.keystore.key", None, f"{inline}\n{chain}")
    certificate_key, certificate = _first(properties, "ssl.certificate.location", "ssl.certfile")
    key, private = _first(properties, "ssl.key.location", "ssl.keyfile")
    store = _store(properties, "ssl.keystore")
    if store is not None or (certificate is None and private is None):
        return store
    if certificate is None:
        raise ConfigError(certificate_key, f"is not set, but {key} is")
    return pem_pair(certificate_key, certificate, key, private)


def _store(properties: Mapping[str, str], prefix: str) -> StoreSettings | None:
    from fastlog.config.tls_settings import StoreSettings

    location = properties.get(f"{prefix}.location")
    if not location:
        return None
    kind = properties.get(f"{prefix}.type", "JKS").strip().upper()
    return StoreSettings(f"{prefix}.location", kind, location, properties.get(f"{prefix}.password") or None)


def _credentials(properties: Mapping[str, str]) -> Credentials:
    mechanism = (_first(properties, "sasl.mechanism", "sasl.mechanisms")[1] or "GSSAPI").strip()
    if mechanism not in MECHANISMS:
        raise ConfigError("sasl.mechanism", f"'{mechanism}' is not one of {', '.join(MECHANISMS)}")
    options: Mapping[str, str] = {}
    if properties.get("sasl.jaas.config"):
        from fastlog.config.jaas import parse_jaas

        options = parse_jaas("sasl.jaas.config", properties["sasl.jaas.config"]).options
    if mechanism == "OAUTHBEARER":
        token = properties.get("sasl.oauthbearer.token") or options.get("token")
        if not token:
            raise ConfigError("sasl.oauthbearer.token", "is not set: the token to log in with")
        return Credentials(mechanism, token=lambda: token)
    user = _first(properties, "sasl.username", "sasl.plain.username")[1] or options.get("username")
    password = _first(properties, "sasl.password", "sasl.plain.password")[1] or options.get("password")
    if not user or not password:
        raise ConfigError(
            "sasl.username", "user and password are needed: sasl.jaas.config, or sasl.password too"
        )
    by_token = properties.get("sasl.delegation.token") or options.get("tokenauth") or "false"
    if by_token.strip().lower() not in ("true", "false"):
        raise ConfigError("sasl.delegation.token", f"'{by_token}' is not true or false")
    is_token = by_token.strip().lower() == "true"
    if is_token and not mechanism.startswith("SCRAM-"):
        raise ConfigError("sasl.delegation.token", f"goes with SCRAM, not with {mechanism}")
    return Credentials(mechanism, user, password, is_delegation_token=is_token)
