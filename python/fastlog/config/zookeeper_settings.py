"""How ZooKeeper is reached: encrypted or not, as whom, and with which access rules of new nodes.

The keys `zookeeper.ssl.*` and `zookeeper.set.acl` are Kafka's (`KafkaConfig`, `KafkaServer.zkClientConfig`).
Kafka has its login in a file that a property of the JVM names (`java.security.auth.login.config`, section
`Client`); here the section's line is the value of a key. No file is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.layers import Layers
from fastlog.config.listeners import SecurityProtocol
from fastlog.errors import ConfigError

if TYPE_CHECKING:
    from fastlog.config.tls_settings import StoreSettings, TlsSettings

__all__ = ["ZooKeeperSettings", "ZooKeeperTls", "keeper_tls", "keeper_users", "zookeeper_settings"]

LOGIN: Final = "fastlog.zookeeper.jaas.config"
KEEPER_USERS: Final = "fastlog.keeper.jaas.config"
DIGEST: Final = "fastlog.zookeeper.digest"
_MODULE: Final = "org.apache.zookeeper.server.auth.DigestLoginModule"
_SET_ACL: Final = "zookeeper.set.acl"
_ENDINGS: Final = {".pem": "PEM", ".p12": "PKCS12", ".pfx": "PKCS12", ".jks": "JKS"}
"""By which ZooKeeper tells the type of a store when nobody does (`KeyStoreFileType`)."""


@dataclass(frozen=True, slots=True)
class ZooKeeperTls:
    """`keystore` is None where no certificate is shown, `truststore` where the system's authorities count."""

    keystore: StoreSettings | None
    truststore: StoreSettings | None
    protocols: tuple[str, ...]
    ciphers: tuple[str, ...]
    check_names: bool


@dataclass(frozen=True, slots=True)
class ZooKeeperSettings:
    """`login` is (user, password) for SASL DIGEST-MD5, `digest` `user:password` for the scheme digest."""

    tls: ZooKeeperTls | None = None
    login: tuple[str, str] | None = field(default=None, repr=False)
    digest: str | None = field(default=None, repr=False)
    set_acl: bool = False


def zookeeper_settings(layers: Layers) -> ZooKeeperSettings:
    """Raises ConfigError."""
    is_own = not layers.value("zookeeper.connect")
    tls = _tls(layers) if layers.value("zookeeper.ssl.client.enable") is True and not is_own else None
    login, digest = _login(layers), _digest(layers)
    if is_own and login is not None:
        raise ConfigError(LOGIN, f"is for servers elsewhere; to the keeper of this broker it is {DIGEST}")
    set_acl = layers.value(_SET_ACL) is True
    if set_acl and login is None and digest is None and (tls is None or tls.keystore is None):
        raise ConfigError(
            _SET_ACL,
            "is true, but nobody knows who this broker is: nodes would be for nobody. It needs a login "
            f"({LOGIN}, {DIGEST}), or zookeeper.ssl.client.enable with zookeeper.ssl.keystore.location",
        )
    return ZooKeeperSettings(tls, login, digest, set_acl)


def keeper_tls(layers: Layers) -> TlsSettings | None:
    """How the keeper of this broker is reached, as if it were a listener called KEEPER; None: in plain."""
    if layers.value("fastlog.keeper.security.protocol") != "SSL" or not layers.value("fastlog.keeper.listen"):
        return None
    from fastlog.config.tls_settings import tls_settings

    return tls_settings(layers, "KEEPER", SecurityProtocol.SSL)


def keeper_users(key: str, text: str | None) -> Mapping[str, str]:
    """Who may log in at a keeper: the line that ZooKeeper has in the section `Server` of its JAAS file."""
    if not text:
        return {}
    from fastlog.config.jaas import parse_jaas  # with SASL alone

    users = parse_jaas(key, text, (_MODULE,)).users()
    if not users or any(not password for password in users.values()):
        raise ConfigError(key, 'names no users, or one without a password: user_NAME="password"')
    return users


def _login(layers: Layers) -> tuple[str, str] | None:
    text = layers.text(LOGIN)
    if not text:
        return None
    from fastlog.config.jaas import parse_jaas  # with SASL alone

    options = parse_jaas(LOGIN, text, (_MODULE,)).options
    missing = [name for name in ("username", "password") if not options.get(name)]
    if missing:
        raise ConfigError(LOGIN, f"has no {' and no '.join(missing)}")
    return options["username"], options["password"]


def _digest(layers: Layers) -> str | None:
    text = layers.text(DIGEST)
    if not text:
        return None
    user, _, password = text.partition(":")
    if not user or not password:
        raise ConfigError(DIGEST, "is not of the form user:password")
    return text


def _tls(layers: Layers) -> ZooKeeperTls:
    from fastlog.config.tls_settings import checks_names  # with TLS alone

    for key in ("zookeeper.ssl.crl.enable", "zookeeper.ssl.ocsp.enable"):
        if layers.value(key) is True:
            raise ConfigError(key, "is not supported: fastlog does not ask who has been revoked")
    names = "zookeeper.ssl.endpoint.identification.algorithm"
    ciphers = layers.value("zookeeper.ssl.cipher.suites")
    return ZooKeeperTls(
        _store(layers, "keystore"),
        _store(layers, "truststore"),
        _protocols(layers),
        tuple(filter(None, ciphers)) if isinstance(ciphers, tuple) else (),
        checks_names(names, layers.text(names)),
    )


def _protocols(layers: Layers) -> tuple[str, ...]:
    from fastlog.config.tls_settings import PROTOCOLS

    key = "zookeeper.ssl.enabled.protocols"
    value = layers.value(key)
    wanted = tuple(filter(None, value)) if isinstance(value, tuple) else ()
    for word in wanted:
        if word not in PROTOCOLS:
            raise ConfigError(key, f"'{word}' is not one of {', '.join(PROTOCOLS)}")
    return tuple(word for word in PROTOCOLS if not wanted or word in wanted)


def _store(layers: Layers, which: str) -> StoreSettings | None:
    from fastlog.config.tls_settings import TYPES, StoreSettings

    key = f"zookeeper.ssl.{which}"
    location = layers.text(f"{key}.location")
    if not location:
        return None
    ending = location[location.rfind(".") :].lower() if "." in location else ""
    kind = (layers.text(f"{key}.type") or _ENDINGS.get(ending, "")).strip().upper()
    if kind not in TYPES:
        said = (
            f"'{kind}' is not one of" if kind else f"is not set, and {location} does not tell: it is one of"
        )
        raise ConfigError(f"{key}.type", f"{said} {', '.join(TYPES)}")
    return StoreSettings(f"{key}.location", kind, location, layers.text(f"{key}.password") or None)
