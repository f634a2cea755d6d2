"""What a configuration leaves open, in words: for whoever sets a broker up, before others find it.

Looks at values and at the modes of files that they name; connects to nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from fastlog.config.access_settings import AUTHORIZER_KEY, EVERYONE_KEY, SUPER_USERS_KEY
from fastlog.config.broker_config import BrokerConfig
from fastlog.config.consistency import is_local
from fastlog.config.listeners import Endpoint, SecurityProtocol
from fastlog.config.token_settings import SECRET_KEY

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Exposure", "exposures"]

_IN_CLEAR: Final = (SecurityProtocol.PLAINTEXT, SecurityProtocol.SASL_PLAINTEXT)
_ANONYMOUS: Final = "User:ANONYMOUS"
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Exposure(NamedTuple):
    """One thing that is open. `is_open`: to anybody who reaches it; else it is weaker than it could be."""

    is_open: bool
    where: str
    what: str


def exposures(config: BrokerConfig) -> list[Exposure]:
    """Everything that is found, the worst first."""
    found = [
        *_of_listeners(config),
        *_of_rules(config),
        *_of_others(config),
        *_of_metadata(config),
        *_of_files(config),
    ]
    return sorted(found, key=lambda item: not item.is_open)


def _of_listeners(config: BrokerConfig) -> Iterator[Exposure]:
    for endpoint in config.listeners.bound:
        where = f"listener {endpoint.name}"
        sasl = config.listeners.sasl.get(endpoint.name)
        open_to_all = config.access is None and not _asks(config, endpoint)
        if open_to_all and not is_local(endpoint.host):
            yield Exposure(True, where, f"whoever reaches {_address(endpoint)} may do everything")
        elif open_to_all:
            yield Exposure(False, where, "whoever is on this host may do everything")
        if endpoint.protocol in _IN_CLEAR and not is_local(endpoint.host):
            yield Exposure(False, where, "records can be read and changed on the way: it has no TLS")
        if sasl is not None:
            if "PLAIN" in sasl.mechanisms and endpoint.protocol in _IN_CLEAR and not is_local(endpoint.host):
                yield Exposure(True, where, "PLAIN without TLS: passwords can be read on the way")
            oauth = sasl.oauth
            if oauth is not None and oauth.jwks_url is None:
                yield Exposure(True, where, "OAUTHBEARER takes unsigned tokens: anybody can be anybody")
            elif oauth is not None and (oauth.issuer is None or not oauth.audiences):
                yield Exposure(
                    False,
                    where,
                    "OAUTHBEARER takes tokens that were made for other services: set "
                    "sasl.oauthbearer.expected.issuer and .audience",
                )


def _asks(config: BrokerConfig, endpoint: Endpoint) -> bool:
    """Whether clients of a listener have to show who they are."""
    tls = config.listeners.tls.get(endpoint.name)
    return endpoint.name in config.listeners.sasl or (tls is not None and tls.client_auth == "required")


def _of_rules(config: BrokerConfig) -> Iterator[Exposure]:
    access = config.access
    if access is None:
        for key in (SUPER_USERS_KEY, EVERYONE_KEY):
            if config.layers.settings.text(key):
                yield Exposure(
                    True, key, f"has no effect without {AUTHORIZER_KEY}: whoever is let in may do everything"
                )
        if config.listeners.sasl or config.listeners.tls:
            yield Exposure(False, AUTHORIZER_KEY, "is not set: whoever is let in may do everything")
        if config.tokens is not None:
            yield Exposure(
                True, SECRET_KEY, f"without {AUTHORIZER_KEY} whoever is let in may make tokens for anybody"
            )
        return
    if access.allow_everyone:
        yield Exposure(
            False,
            EVERYONE_KEY,
            "topics, groups and transactions that no rule names are open to whoever is in",
        )
    if _ANONYMOUS in access.super_users:
        for endpoint in config.listeners.bound:
            if not _asks(config, endpoint) and not is_local(endpoint.host):
                yield Exposure(
                    True,
                    SUPER_USERS_KEY,
                    f"{_ANONYMOUS} is whoever reaches listener {endpoint.name}, and is above all rules",
                )


def _of_others(config: BrokerConfig) -> Iterator[Exposure]:
    if config.http_port >= 0 and not is_local(config.http_host):
        if config.http_anonymous and config.http_token is None:
            what = "metrics and probes, with names of topics, are there for everybody"
            yield Exposure(False, "fastlog.http.host", what)
        elif config.http_token is not None and config.http_ssl_keystore_location is None:
            yield Exposure(False, "fastlog.http.token", "can be read on the way: it has no TLS")
    if config.keeper_listen is not None and not is_local(config.keeper_listen.rpartition(":")[0].strip("[]")):
        proves = config.keeper_tls is not None and config.keeper_tls.client_auth == "required"
        if not proves and not config.zookeeper.set_acl:
            yield Exposure(True, "fastlog.keeper.listen", "whoever reaches it may change all metadata")
        if config.keeper_tls is None:
            yield Exposure(False, "fastlog.keeper.listen", "what is said to it can be read on the way")


def _of_metadata(config: BrokerConfig) -> Iterator[Exposure]:
    """What the tree is open to: whoever changes it is the cluster's master."""
    servers = (config.zookeeper_connect or "").partition("/")[0].split(",")
    if all(is_local(server.rpartition(":")[0].strip("[]") or server) for server in servers if server):
        return
    access, where = config.zookeeper, "zookeeper.connect"
    if access.tls is None:
        yield Exposure(False, where, "what is said to ZooKeeper can be read on the way: it has no TLS")
    if not access.set_acl:
        yield Exposure(
            True, "zookeeper.set.acl", "whoever reaches ZooKeeper may change all metadata, and read passwords"
        )
    if access.digest is not None and access.tls is None:
        yield Exposure(True, "fastlog.zookeeper.digest", "without TLS the password can be read on the way")


def _of_files(config: BrokerConfig) -> Iterator[Exposure]:
    files: list[tuple[str, str | Path | None]] = [("the configuration", config.layers.settings.file)]
    files += [(tls.keystore.key, tls.keystore.location) for tls in config.listeners.tls.values()]
    for where, path in dict.fromkeys(files):
        if path is None:
            continue
        try:
            mode = os.stat(path).st_mode
        except OSError:
            continue
        if (
            stat.S_ISREG(mode)
            and mode & _OF_OTHERS
            and (where != "the configuration" or _has_secrets(config))
        ):
            yield Exposure(False, where, f"{path} has secrets and can be read by others: chmod 600")


def _has_secrets(config: BrokerConfig) -> bool:
    from fastlog.config.definitions import key_or_plugins

    return any(
        key_or_plugins(name).sensitive and setting.origin.startswith(str(config.layers.settings.file))
        for name, setting in config.layers.settings.values.items()
    )


def _address(endpoint: Endpoint) -> str:
    return f"port {endpoint.port}" if endpoint.is_everywhere else str(endpoint).partition("://")[2]
