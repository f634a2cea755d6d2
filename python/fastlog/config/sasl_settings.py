"""What is configured of SASL for one listener: mechanisms, users of PLAIN, tokens, lifetimes.

Looked at only when a listener has SASL. Keys of a mechanism have the prefix
`listener.name.<listener>.<mechanism>.`, both in lower case; `sasl.jaas.config` without it has no effect on
a broker, as in Kafka. What is safer here than in Kafka 3.9: OAUTHBEARER without keys to verify tokens with
is refused, where Kafka takes unsigned ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.jaas import JaasEntry, parse_jaas
from fastlog.config.layers import Layers
from fastlog.config.listener_values import ListenerReader, listener_key
from fastlog.errors import ConfigError

__all__ = ["MECHANISMS", "Login", "OauthSettings", "SaslSettings", "sasl_settings"]

MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
_MECHANISMS_KEY: Final = "sasl.enabled.mechanisms"
_JWKS_KEY: Final = "sasl.oauthbearer.jwks.endpoint.url"
_UNSECURED_KEY: Final = "fastlog.oauthbearer.unsecured.tokens"
_AMONG_BROKERS: Final = "sasl.mechanism.inter.broker.protocol"
_TOKEN_KEY: Final = "sasl.oauthbearer.token.endpoint.url"  # noqa: S105 - the name of a key
_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class OauthSettings:
    """How tokens are verified. `jwks_url` is None where unsigned ones are taken. Seconds and milliseconds."""

    jwks_url: str | None
    refresh_ms: int
    retry_ms: int
    retry_max_ms: int
    issuer: str | None
    audiences: tuple[str, ...]
    skew_seconds: int
    subject_claim: str
    scope_claim: str


@dataclass(frozen=True, slots=True)
class Login:
    """Who this broker is to others. `token_file` is the path of a file with a token, for OAUTHBEARER."""

    mechanism: str
    username: str = ""
    password: str = field(default="", repr=False)
    token_file: str | None = None


@dataclass(frozen=True, slots=True)
class SaslSettings:
    """SASL of one listener. `max_reauth_ms` by mechanism: 0 is for ever."""

    listener: str
    mechanisms: tuple[str, ...]
    plain_users: Mapping[str, str] = field(repr=False)
    max_reauth_ms: Mapping[str, int]
    max_receive_bytes: int
    oauth: OauthSettings | None = None
    login: Login | None = None
    """How other brokers are reached over it; None where none are."""


def sasl_settings(layers: Layers, listener: str, *, among_brokers: bool = False) -> SaslSettings:
    """The settings of a listener that has SASL. Raises ConfigError.

    Of what was changed through the API nothing counts: who may come in stands in the broker's own file.
    """
    layers = Layers(layers.settings)
    read = ListenerReader(layers, listener)
    mechanisms = _mechanisms(read)
    users: Mapping[str, str] = {}
    if "PLAIN" in mechanisms:
        key = listener_key(listener, "plain.sasl.jaas.config")
        entry = _jaas(layers, key)
        if entry is None:
            raise ConfigError(key, 'is not set: PLAIN has its users there, as user_NAME="password"')
        users = entry.users()
        if any(not text for text in users.values()):
            raise ConfigError(key, "a user has no password")
    for mechanism in mechanisms:
        _jaas(layers, listener_key(listener, f"{mechanism.lower()}.sasl.jaas.config"))
    size = read.value("sasl.server.max.receive.size")
    return SaslSettings(
        listener=listener,
        mechanisms=mechanisms,
        plain_users=users,
        max_reauth_ms={
            name: _number(layers, listener, name, "connections.max.reauth.ms") for name in mechanisms
        },
        max_receive_bytes=size if isinstance(size, int) else 524288,
        oauth=_oauth(layers, listener) if "OAUTHBEARER" in mechanisms else None,
        login=_login(layers, listener, mechanisms) if among_brokers else None,
    )


def _login(layers: Layers, listener: str, mechanisms: tuple[str, ...]) -> Login:
    """`username` and `password` of the JAAS line, as in Kafka (`LoginModule.initialize`)."""
    mechanism = (layers.text(_AMONG_BROKERS) or "").strip()
    if mechanism not in mechanisms:
        raise ConfigError(
            _AMONG_BROKERS,
            f"is {mechanism or 'empty'}, which is not among the mechanisms of listener {listener}, over "
            f"which brokers reach each other ({', '.join(mechanisms)})",
        )
    key = listener_key(listener, f"{mechanism.lower()}.sasl.jaas.config")
    entry = _jaas(layers, key)
    if mechanism == "OAUTHBEARER":
        return Login(mechanism, token_file=_token_file(layers, listener))
    options = {} if entry is None else entry.options
    missing = [name for name in ("username", "password") if not options.get(name)]
    if missing:
        raise ConfigError(
            key, f"has no {' and no '.join(missing)}: with these this broker logs in at the others"
        )
    return Login(mechanism, options["username"], options["password"])


def _token_file(layers: Layers, listener: str) -> str:
    key = _name(layers, listener, "oauthbearer", _TOKEN_KEY)
    scheme, _, path = (layers.text(key) or "").partition("://")
    if scheme != "file" or not path.startswith("/"):
        raise ConfigError(
            key, "must be file:///..., a file with the token by which this broker logs in at the others"
        )
    return path


def _mechanisms(read: ListenerReader) -> tuple[str, ...]:
    key = read.name(_MECHANISMS_KEY)
    found = read.words(_MECHANISMS_KEY)
    if not found:
        raise ConfigError(key, "names no mechanism")
    for name in found:
        if name == "GSSAPI":
            raise ConfigError(
                key,
                "GSSAPI (Kerberos) is not supported, and it is the default: name others. SCRAM-SHA-512 keeps "
                "users in the cluster, OAUTHBEARER takes tokens of an identity provider",
            )
        if name not in MECHANISMS:
            raise ConfigError(key, f"'{name}' is not one of {', '.join(MECHANISMS)}")
    return tuple(dict.fromkeys(found))


def _jaas(layers: Layers, key: str) -> JaasEntry | None:
    text = layers.text(key)
    return parse_jaas(key, text) if text else None


def _name(layers: Layers, listener: str, mechanism: str, key: str) -> str:
    """The key that has the say: that of the mechanism, of the listener, or of all."""
    names = (listener_key(listener, f"{mechanism.lower()}.{key}"), listener_key(listener, key))
    return next((name for name in names if layers.text(name) is not None), key)


def _number(layers: Layers, listener: str, mechanism: str, key: str) -> int:
    value = layers.value(_name(layers, listener, mechanism, key))
    return value if isinstance(value, int) else 0


def _oauth(layers: Layers, listener: str) -> OauthSettings:
    def name(key: str) -> str:
        return _name(layers, listener, "oauthbearer", key)

    def text(key: str) -> str | None:
        return layers.text(name(key)) or None

    def number(key: str) -> int:
        return _number(layers, listener, "oauthbearer", key)

    url = text(_JWKS_KEY)
    if url is None and layers.value(_UNSECURED_KEY) is not True:
        raise ConfigError(
            name(_JWKS_KEY),
            "is not set: there is nothing to verify tokens with. Apache Kafka would take unsigned ones, "
            "which "
            f"anybody can make; for trials {_UNSECURED_KEY}=true does so",
        )
    if url is not None:
        _check_url(name(_JWKS_KEY), url)
    audiences = layers.value(name("sasl.oauthbearer.expected.audience"))
    return OauthSettings(
        jwks_url=url,
        refresh_ms=number("sasl.oauthbearer.jwks.endpoint.refresh.ms"),
        retry_ms=number("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms"),
        retry_max_ms=number("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms"),
        issuer=text("sasl.oauthbearer.expected.issuer"),
        audiences=tuple(filter(None, audiences)) if isinstance(audiences, tuple) else (),
        skew_seconds=number("sasl.oauthbearer.clock.skew.seconds"),
        subject_claim=text("sasl.oauthbearer.sub.claim.name") or "sub",
        scope_claim=text("sasl.oauthbearer.scope.claim.name") or "scope",
    )


def _check_url(key: str, url: str) -> None:
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0].rpartition(":")[0] or rest.partition("/")[0]
    if scheme == "file" and rest.startswith("/"):
        return
    if scheme == "https" and host and "@" not in host:
        return
    if scheme == "http" and host in _LOCAL:
        return
    raise ConfigError(key, "must be https://..., file:///..., or http:// on this machine")
