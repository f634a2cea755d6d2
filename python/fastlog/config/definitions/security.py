"""TLS, SASL, tokens and access control."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fastlog.config.checks import AtLeast, OneOf
from fastlog.config.definitions.vocabulary import (
    BOOLEAN,
    CLASS,
    DOUBLE,
    HIGH,
    INT,
    LIST,
    LONG,
    LOW,
    PASSWORD,
    PER_BROKER,
    SHORT,
    STRING,
    without_effect,
)
from fastlog.config.keys import ConfigKey, Unused

__all__ = ["KEYS", "USED", "fixed_listener", "is_renewable"]

USED: Final = frozenset(
    {
        "authorizer.class.name",
        "connections.max.reauth.ms",
        "delegation.token.expiry.check.interval.ms",
        "delegation.token.expiry.time.ms",
        "delegation.token.master.key",
        "delegation.token.max.lifetime.ms",
        "delegation.token.secret.key",
        "password.encoder.cipher.algorithm",
        "password.encoder.iterations",
        "password.encoder.key.length",
        "password.encoder.keyfactory.algorithm",
        "password.encoder.old.secret",
        "password.encoder.secret",
        "sasl.enabled.mechanisms",
        "sasl.mechanism.inter.broker.protocol",
        "sasl.jaas.config",
        "sasl.oauthbearer.clock.skew.seconds",
        "sasl.oauthbearer.expected.audience",
        "sasl.oauthbearer.expected.issuer",
        "sasl.oauthbearer.jwks.endpoint.refresh.ms",
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
        "sasl.oauthbearer.jwks.endpoint.url",
        "sasl.oauthbearer.scope.claim.name",
        "sasl.oauthbearer.sub.claim.name",
        "sasl.oauthbearer.token.endpoint.url",
        "sasl.server.max.receive.size",
        "ssl.allow.dn.changes",
        "ssl.allow.san.changes",
        "ssl.cipher.suites",
        "ssl.client.auth",
        "ssl.enabled.protocols",
        "ssl.endpoint.identification.algorithm",
        "ssl.key.password",
        "ssl.keystore.certificate.chain",
        "ssl.keystore.key",
        "ssl.keystore.location",
        "ssl.keystore.password",
        "ssl.keystore.type",
        "ssl.principal.mapping.rules",
        "ssl.protocol",
        "ssl.truststore.certificates",
        "ssl.truststore.location",
        "ssl.truststore.password",
        "ssl.truststore.type",
    }
)
"""Keys of these that have an effect, for all listeners and with the prefix of one."""

_RENEWABLE: Final = frozenset(
    {
        "sasl.jaas.config",
        "ssl.allow.dn.changes",
        "ssl.allow.san.changes",
        "ssl.key.password",
        "ssl.keystore.certificate.chain",
        "ssl.keystore.key",
        "ssl.keystore.location",
        "ssl.keystore.password",
        "ssl.keystore.type",
        "ssl.principal.mapping.rules",
        "ssl.truststore.certificates",
        "ssl.truststore.location",
        "ssl.truststore.password",
        "ssl.truststore.type",
    }
)
_OF_LISTENER: Final = "listener.name."
_FIXED: Final = ("sasl.", "connections.max.reauth.ms")


def is_renewable(name: str) -> bool:
    """Whether a key of the file is taken over at SIGHUP, also with the prefix of a listener: what a listener
    shows and trusts, and who may come in; not how it speaks."""
    return name in _RENEWABLE or (
        name.startswith(_OF_LISTENER) and any(name.endswith(f".{key}") for key in _RENEWABLE)
    )


def fixed_listener(name: str, base: str) -> str | None:
    """The listener of a key that cannot be changed through the API (as in Kafka, while the listener is
    there): it says who may come in, and that is not for those to say who are in already."""
    if not name.startswith(_OF_LISTENER) or not base.startswith(_FIXED):
        return None
    return name.removeprefix(_OF_LISTENER).partition(".")[0].upper()


_ALL: Final = (
    *without_effect(
        Unused.SECURITY,
        ConfigKey(
            "authorizer.class.name",
            STRING,
            "",
            "Whether access rules decide who may do what: the name of one of Kafka's authorizers.",
            LOW,
        ),
        ConfigKey(
            "principal.builder.class",
            CLASS,
            "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
            "Java class that names the user of a connection.",
            update=PER_BROKER,
        ),
        ConfigKey("security.providers", STRING, None, "Java security providers.", LOW),
        ConfigKey(
            "connections.max.reauth.ms",
            LONG,
            "0",
            "Time after which a SASL connection must authenticate again.",
        ),
        ConfigKey("ssl.protocol", STRING, "TLSv1.3", "TLS version.", update=PER_BROKER),
        ConfigKey(
            "ssl.enabled.protocols",
            LIST,
            "TLSv1.2,TLSv1.3",
            "TLS versions that are allowed.",
            update=PER_BROKER,
        ),
        ConfigKey("ssl.cipher.suites", LIST, "", "Cipher suites that are allowed.", update=PER_BROKER),
        ConfigKey(
            "ssl.client.auth",
            STRING,
            "none",
            "Whether clients must show a certificate.",
            check=OneOf(("required", "requested", "none")),
            update=PER_BROKER,
        ),
        ConfigKey("ssl.provider", STRING, None, "Java provider of TLS.", update=PER_BROKER),
        ConfigKey(
            "ssl.engine.factory.class",
            CLASS,
            None,
            "Java class that makes TLS engines.",
            LOW,
            update=PER_BROKER,
        ),
        ConfigKey(
            "ssl.endpoint.identification.algorithm",
            STRING,
            "https",
            "How a server's host name is verified.",
            LOW,
            update=PER_BROKER,
        ),
        ConfigKey(
            "ssl.principal.mapping.rules",
            STRING,
            "DEFAULT",
            "Rules that turn a certificate's name into a user name.",
            LOW,
        ),
        ConfigKey(
            "ssl.secure.random.implementation",
            STRING,
            None,
            "Java random number generator for TLS.",
            LOW,
            update=PER_BROKER,
        ),
        ConfigKey(
            "ssl.keymanager.algorithm", STRING, "SunX509", "Java key manager algorithm.", update=PER_BROKER
        ),
        ConfigKey(
            "ssl.trustmanager.algorithm", STRING, "PKIX", "Java trust manager algorithm.", update=PER_BROKER
        ),
        ConfigKey("ssl.key.password", PASSWORD, None, "Password of the private key.", update=PER_BROKER),
        ConfigKey(
            "ssl.keystore.location",
            STRING,
            None,
            "Key store with the broker's certificate.",
            update=PER_BROKER,
        ),
        ConfigKey("ssl.keystore.password", PASSWORD, None, "Password of the key store.", update=PER_BROKER),
        ConfigKey("ssl.keystore.type", STRING, "JKS", "Format of the key store.", update=PER_BROKER),
        ConfigKey("ssl.keystore.key", PASSWORD, None, "Private key in PEM.", update=PER_BROKER),
        ConfigKey(
            "ssl.keystore.certificate.chain", PASSWORD, None, "Certificate chain in PEM.", update=PER_BROKER
        ),
        ConfigKey(
            "ssl.truststore.location",
            STRING,
            None,
            "Trust store with the certificates of peers.",
            update=PER_BROKER,
        ),
        ConfigKey(
            "ssl.truststore.password", PASSWORD, None, "Password of the trust store.", update=PER_BROKER
        ),
        ConfigKey("ssl.truststore.type", STRING, "JKS", "Format of the trust store.", update=PER_BROKER),
        ConfigKey(
            "ssl.truststore.certificates", PASSWORD, None, "Trusted certificates in PEM.", update=PER_BROKER
        ),
        ConfigKey(
            "ssl.allow.dn.changes",
            BOOLEAN,
            "false",
            "Whether a renewed certificate may carry another name.",
            LOW,
        ),
        ConfigKey(
            "ssl.allow.san.changes",
            BOOLEAN,
            "false",
            "Whether a renewed certificate may drop alternative names.",
            LOW,
        ),
        ConfigKey(
            "sasl.enabled.mechanisms",
            LIST,
            "GSSAPI",
            "SASL mechanisms offered to clients.",
            update=PER_BROKER,
        ),
        ConfigKey("sasl.jaas.config", PASSWORD, None, "JAAS line of the login.", update=PER_BROKER),
        ConfigKey(
            "sasl.mechanism.inter.broker.protocol",
            STRING,
            "GSSAPI",
            "SASL mechanism among brokers.",
            update=PER_BROKER,
        ),
        ConfigKey(
            "sasl.mechanism.controller.protocol",
            STRING,
            "GSSAPI",
            "SASL mechanism towards the KRaft controller.",
            HIGH,
        ),
        ConfigKey(
            "sasl.server.callback.handler.class", CLASS, None, "Java class of server-side SASL callbacks."
        ),
        ConfigKey(
            "sasl.client.callback.handler.class", CLASS, None, "Java class of client-side SASL callbacks."
        ),
        ConfigKey("sasl.login.callback.handler.class", CLASS, None, "Java class of login callbacks."),
        ConfigKey("sasl.login.class", CLASS, None, "Java class of the login."),
        ConfigKey(
            "sasl.login.connect.timeout.ms",
            INT,
            None,
            "How long connecting to an identity provider may take.",
            LOW,
        ),
        ConfigKey(
            "sasl.login.read.timeout.ms", INT, None, "How long an identity provider's answer may take.", LOW
        ),
        ConfigKey(
            "sasl.login.refresh.buffer.seconds",
            SHORT,
            "300",
            "Time before expiry in which a token is not refreshed any more.",
            update=PER_BROKER,
        ),
        ConfigKey(
            "sasl.login.refresh.min.period.seconds",
            SHORT,
            "60",
            "Shortest time before a token is refreshed.",
            update=PER_BROKER,
        ),
        ConfigKey(
            "sasl.login.refresh.window.factor",
            DOUBLE,
            "0.8",
            "Share of a token's life after which it is refreshed.",
            update=PER_BROKER,
        ),
        ConfigKey(
            "sasl.login.refresh.window.jitter",
            DOUBLE,
            "0.05",
            "Random share added to that.",
            update=PER_BROKER,
        ),
        ConfigKey("sasl.login.retry.backoff.ms", LONG, "100", "First pause between login attempts.", LOW),
        ConfigKey(
            "sasl.login.retry.backoff.max.ms", LONG, "10000", "Longest pause between login attempts.", LOW
        ),
        ConfigKey(
            "sasl.server.max.receive.size", INT, "524288", "Largest SASL message before authentication."
        ),
        ConfigKey("sasl.kerberos.kinit.cmd", STRING, "/usr/bin/kinit", "Path of kinit.", update=PER_BROKER),
        ConfigKey(
            "sasl.kerberos.min.time.before.relogin",
            LONG,
            "60000",
            "Pause between Kerberos refreshes.",
            update=PER_BROKER,
        ),
        ConfigKey(
            "sasl.kerberos.principal.to.local.rules",
            LIST,
            "DEFAULT",
            "Rules that turn a Kerberos principal into a user name.",
            update=PER_BROKER,
        ),
        ConfigKey(
            "sasl.kerberos.service.name", STRING, None, "Kerberos name of the service.", update=PER_BROKER
        ),
        ConfigKey(
            "sasl.kerberos.ticket.renew.jitter",
            DOUBLE,
            "0.05",
            "Random share added to the renewal time.",
            update=PER_BROKER,
        ),
        ConfigKey(
            "sasl.kerberos.ticket.renew.window.factor",
            DOUBLE,
            "0.8",
            "Share of a ticket's life after which it is renewed.",
            update=PER_BROKER,
        ),
        ConfigKey(
            "sasl.oauthbearer.clock.skew.seconds", INT, "30", "Clock difference that token checks allow.", LOW
        ),
        ConfigKey(
            "sasl.oauthbearer.expected.audience",
            LIST,
            None,
            "Audiences of which a token must carry one.",
            LOW,
        ),
        ConfigKey("sasl.oauthbearer.expected.issuer", STRING, None, "Issuer that a token must carry.", LOW),
        ConfigKey(
            "sasl.oauthbearer.jwks.endpoint.url", STRING, None, "Where the keys of the identity provider are."
        ),
        ConfigKey(
            "sasl.oauthbearer.jwks.endpoint.refresh.ms",
            LONG,
            "3600000",
            "How often these keys are read again.",
            LOW,
        ),
        ConfigKey(
            "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
            LONG,
            "100",
            "First pause between attempts to read them.",
            LOW,
        ),
        ConfigKey(
            "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
            LONG,
            "10000",
            "Longest pause between attempts to read them.",
            LOW,
        ),
        ConfigKey("sasl.oauthbearer.scope.claim.name", STRING, "scope", "Claim with the scope.", LOW),
        ConfigKey("sasl.oauthbearer.sub.claim.name", STRING, "sub", "Claim with the subject.", LOW),
        ConfigKey(
            "sasl.oauthbearer.token.endpoint.url",
            STRING,
            None,
            "Where tokens are issued; here the file (file:///...) with that of this broker.",
        ),
        ConfigKey(
            "delegation.token.secret.key",
            PASSWORD,
            None,
            "Makes the secrets of delegation tokens: the same on all brokers. Without it there are none.",
        ),
        ConfigKey(
            "delegation.token.master.key", PASSWORD, None, "Older name of delegation.token.secret.key."
        ),
        ConfigKey(
            "delegation.token.expiry.time.ms",
            LONG,
            "86400000",
            "Life of a delegation token until it is renewed.",
            check=AtLeast(1),
        ),
        ConfigKey(
            "delegation.token.max.lifetime.ms",
            LONG,
            "604800000",
            "Longest life of a delegation token.",
            check=AtLeast(1),
        ),
        ConfigKey(
            "delegation.token.expiry.check.interval.ms",
            LONG,
            "3600000",
            "How often old tokens are removed.",
            LOW,
            check=AtLeast(1),
        ),
    ),
    *without_effect(
        Unused.ZOOKEEPER,
        ConfigKey(
            "password.encoder.secret", PASSWORD, None, "Secret that encrypts passwords kept in ZooKeeper."
        ),
        ConfigKey("password.encoder.old.secret", PASSWORD, None, "The secret before the last change."),
        ConfigKey(
            "password.encoder.cipher.algorithm",
            STRING,
            "AES/CBC/PKCS5Padding",
            "Cipher for these passwords.",
            LOW,
        ),
        ConfigKey(
            "password.encoder.keyfactory.algorithm", STRING, None, "Key derivation for these passwords.", LOW
        ),
        ConfigKey(
            "password.encoder.key.length",
            INT,
            "128",
            "Key length for these passwords.",
            LOW,
            check=AtLeast(8),
        ),
        ConfigKey(
            "password.encoder.iterations",
            INT,
            "4096",
            "Iterations of the key derivation.",
            LOW,
            check=AtLeast(1024),
        ),
    ),
)

KEYS: Final = tuple(replace(key, unused=None) if key.name in USED else key for key in _ALL)
