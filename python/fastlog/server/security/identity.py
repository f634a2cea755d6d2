"""What a listener with TLS shows and trusts, loaded: an OpenSSL context and what has to be known beside it.

`load_identity` reads files and computes: it is called in threads. Raises ConfigError, which shows no secret.
"""

from __future__ import annotations

import ssl
from dataclasses import field, replace
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.tls_settings import TlsSettings
from fastlog.errors import ConfigError
from fastlog.net.certificate import Certificate, MalformedCertificate, parse_certificate
from fastlog.net.stores import KeyMaterial, load_key, read_key_store, read_trust_store
from fastlog.server.security.principal_rules import PrincipalMapper

__all__ = ["Identity", "check_meeting", "check_renewal", "limit", "load_identity"]

_VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY: Final = {"none": ssl.CERT_NONE, "requested": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_OF_1_3: Final = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
_ROUNDS: Final = 10
_NO_RENEGOTIATION: Final = ssl.OP_NO_RENEGOTIATION


@dataclass(frozen=True, slots=True)
class Identity:
    """One loaded configuration of a listener: its context, and the certificate that it shows.

    `outgoing` is for connections to other brokers, of listeners over which they are reached.
    """

    settings: TlsSettings = field(repr=False)
    context: ssl.SSLContext
    certificate: Certificate
    mapper: PrincipalMapper
    outgoing: ssl.SSLContext | None = None
    trial: ssl.SSLContext | None = None
    """The same, only to find out who would believe whom: names are not compared."""


def load_identity(settings: TlsSettings) -> Identity:
    """Reads the stores of a listener and makes its context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | _NO_RENEGOTIATION
    # Who comes again shows its certificate again: a renewed trust store then holds for everybody.
    context.num_tickets = 0
    # Java takes whatever stands in a trust store for an anchor, an intermediate or a leaf as well.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    limit(context, settings.protocols, settings.ciphers)
    material = read_key_store(settings.keystore, settings.key_password)
    load_key(context, material, settings.keystore.key)
    authorities = None if settings.truststore is None else "".join(read_trust_store(settings.truststore))
    _trust(context, settings, authorities)
    context.verify_mode = _VERIFY[settings.client_auth]
    try:
        certificate = parse_certificate(ssl.PEM_cert_to_DER_cert(material.chain[0]))
    except (MalformedCertificate, ValueError) as error:
        raise ConfigError(settings.keystore.key, f"the certificate cannot be read: {error}") from None
    found = Identity(settings, context, certificate, PrincipalMapper(settings.principal_rules))
    if not settings.among_brokers:
        return found
    found = replace(
        found,
        outgoing=_outgoing(settings, material, authorities),
        trial=_outgoing(replace(settings, check_names=False), material, authorities),
    )
    check_meeting(settings.keystore.key, found, found)
    return found


def _trust(context: ssl.SSLContext, settings: TlsSettings, authorities: str | None) -> None:
    if settings.truststore is None or authorities is None:
        return
    try:
        context.load_verify_locations(cadata=authorities)
    except ssl.SSLError as error:
        raise ConfigError(settings.truststore.key, f"cannot be used: {error.reason or error}") from None


def _outgoing(settings: TlsSettings, material: KeyMaterial, authorities: str | None) -> ssl.SSLContext:
    """What this broker shows and believes as a client of others: the same as on its own listener."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options |= ssl.OP_NO_COMPRESSION | _NO_RENEGOTIATION
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = settings.check_names
    limit(context, settings.protocols, settings.ciphers)
    load_key(context, material, settings.keystore.key)
    if authorities is None:
        context.load_default_certs()
    _trust(context, settings, authorities)
    return context


def check_meeting(key: str, client: Identity, server: Identity) -> None:
    """Raises ConfigError unless a broker with the one identity would get through to one with the other, as
    far as keys and signatures go (`SslFactory.SslEngineValidator`): names are not compared."""
    if client.trial is None:
        return
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.trial.wrap_bio(to_client, to_server),
        server.context.wrap_bio(to_server, to_client, server_side=True),
    )
    try:
        for _ in range(_ROUNDS):
            done = [_step(end) for end in ends]
            if all(done):
                return
    except ssl.SSLCertVerificationError as error:
        raise ConfigError(
            key, f"brokers would not believe each other's certificates: {error.verify_message}"
        ) from None
    except ssl.SSLError as error:
        raise ConfigError(key, f"brokers could not reach each other: {error.reason or error}") from None
    raise ConfigError(key, "brokers could not reach each other: the handshake does not come to an end")


def _step(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def limit(
    context: ssl.SSLContext,
    enabled: tuple[str, ...],
    ciphers: tuple[str, ...],
    key: str = "ssl.cipher.suites",
) -> None:
    """Protocols and cipher suites, by Java's names. Raises ConfigError about `key`."""
    protocols = enabled
    of_1_3 = [name for name in ciphers if name in _OF_1_3]
    of_1_2 = [_openssl_name(name) for name in ciphers if name not in _OF_1_3]
    if ciphers:
        # Without a suite of its own a version cannot be spoken.
        with_suites = {"TLSv1.2": of_1_2, "TLSv1.3": of_1_3}
        protocols = tuple(name for name in protocols if with_suites[name])
        if not protocols:
            raise ConfigError(key, f"none of these is for {', '.join(enabled)}")
        if "TLSv1.3" in protocols and set(of_1_3) != _OF_1_3:
            missing = ", ".join(sorted(_OF_1_3 - set(of_1_3)))
            raise ConfigError(key, f"the suites of TLS 1.3 cannot be told apart here; {missing} is missing")
    context.minimum_version = _VERSIONS[protocols[0]]
    context.maximum_version = _VERSIONS[protocols[-1]]
    if of_1_2:
        try:
            context.set_ciphers(":".join(of_1_2))
        except ssl.SSLError:
            raise ConfigError(key, f"{', '.join(ciphers)}: OpenSSL has none of these") from None


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
    # Brokers get theirs one after the other: the old and the new have to know each other meanwhile.
    check_meeting(settings.keystore.key, before, after)
    check_meeting(settings.keystore.key, after, before)
