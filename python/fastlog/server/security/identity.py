"""What a listener with TLS shows and trusts, loaded: an OpenSSL context and what has to be known beside it.

`load_identity` reads files and computes: it is called in threads. Raises ConfigError, which shows no secret.
"""

from __future__ import annotations

import ssl
from dataclasses import field
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.tls_settings import TlsSettings
from fastlog.errors import ConfigError
from fastlog.net.stores import load_key, read_key_store, read_trust_store
from fastlog.server.security.certificate import Certificate, MalformedCertificate, parse_certificate
from fastlog.server.security.principal_rules import PrincipalMapper

__all__ = ["Identity", "check_renewal", "load_identity"]

_VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY: Final = {"none": ssl.CERT_NONE, "requested": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_OF_1_3: Final = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
_NO_RENEGOTIATION: Final = ssl.OP_NO_RENEGOTIATION


@dataclass(frozen=True, slots=True)
class Identity:
    """One loaded configuration of a listener: its context, and the certificate that it shows."""

    settings: TlsSettings = field(repr=False)
    context: ssl.SSLContext
    certificate: Certificate
    mapper: PrincipalMapper


def load_identity(settings: TlsSettings) -> Identity:
    """Reads the stores of a listener and makes its context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | _NO_RENEGOTIATION
    # Who comes again shows its certificate again: a renewed trust store then holds for everybody.
    context.num_tickets = 0
    # Java takes whatever stands in a trust store for an anchor, an intermediate or a leaf as well.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _limit(context, settings)
    material = read_key_store(settings.keystore, settings.key_password)
    load_key(context, material, settings.keystore.key)
    if settings.truststore is not None:
        authorities = "".join(read_trust_store(settings.truststore))
        try:
            context.load_verify_locations(cadata=authorities)
        except ssl.SSLError as error:
            raise ConfigError(settings.truststore.key, f"cannot be used: {error.reason or error}") from None
    context.verify_mode = _VERIFY[settings.client_auth]
    try:
        certificate = parse_certificate(ssl.PEM_cert_to_DER_cert(material.chain[0]))
    except (MalformedCertificate, ValueError) as error:
        raise ConfigError(settings.keystore.key, f"the certificate cannot be read: {error}") from None
    return Identity(settings, context, certificate, PrincipalMapper(settings.principal_rules))


def _limit(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """Protocols and cipher suites."""
    protocols = settings.protocols
    of_1_3 = [name for name in settings.ciphers if name in _OF_1_3]
    of_1_2 = [_openssl_name(name) for name in settings.ciphers if name not in _OF_1_3]
    key = "ssl.cipher.suites"
    if settings.ciphers:
        # Without a suite of its own a version cannot be spoken.
        with_suites = {"TLSv1.2": of_1_2, "TLSv1.3": of_1_3}
        protocols = tuple(name for name in protocols if with_suites[name])
        if not protocols:
            raise ConfigError(key, f"none of these is for {', '.join(settings.protocols)}")
        if "TLSv1.3" in protocols and set(of_1_3) != _OF_1_3:
            missing = ", ".join(sorted(_OF_1_3 - set(of_1_3)))
            raise ConfigError(key, f"the suites of TLS 1.3 cannot be told apart here; {missing} is missing")
    context.minimum_version = _VERSIONS[protocols[0]]
    context.maximum_version = _VERSIONS[protocols[-1]]
    if of_1_2:
        try:
            context.set_ciphers(":".join(of_1_2))
        except ssl.SSLError:
            raise ConfigError(key, f"{', '.join(settings.ciphers)}: OpenSSL has none of these") from None


def _openssl_name(name: str) -> str:
    """The name of a suite of TLS 1.2: Java has that of the standard, OpenSSL one of its own."""
    if not name.startswith("TLS_") or "_WITH_" not in name:
        return name
    exchange, _, rest = name.removeprefix("TLS_").partition("_WITH_")
    for size in ("128", "256"):
        rest = rest.replace(f"AES_{size}_", f"AES{size}_").replace(f"CAMELLIA_{size}_", f"CAMELLIA{size}_")
    rest = rest.replace("_CBC_", "_").replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
    exchange = "" if exchange == "RSA" else f"{exchange}_"
    return f"{exchange}{rest}".replace("_", "-")


def check_renewal(before: Identity, after: Identity) -> None:
    """Raises ConfigError where Kafka would not put one in the place of the other while clients use it
    (`SslFactory.createNewSslEngineFactory`): they may know the broker by this name alone."""
    settings = after.settings
    if before.settings.truststore is None and settings.truststore is not None:
        raise ConfigError(settings.truststore.key, "cannot be set on a listener that has had none: restart")
    old, new = before.certificate, after.certificate
    if not settings.allow_dn_changes and old.subject.lower() != new.subject.lower():
        raise ConfigError(
            settings.keystore.key,
            f"the new certificate is of {new.subject}, the old one of {old.subject} (ssl.allow.dn.changes)",
        )
    if not settings.allow_san_changes and not old.alternative_names <= new.alternative_names:
        raise ConfigError(
            settings.keystore.key,
            "the new certificate lacks alternative names that the old one has (ssl.allow.san.changes)",
        )
