"""The value of `zookeeper.connect`: `host:port,host:port/chroot`."""

from __future__ import annotations

from typing import Final, NamedTuple

from fastlog.coordination.zookeeper.structures import check_path
from fastlog.errors import FastlogError

DEFAULT_PORT: Final = 2181
_MAX_PORT: Final = 65535


class InvalidConnectString(FastlogError):
    """It names no server, or not in the right form."""


class ConnectString(NamedTuple):
    """Servers, and the path that stands for the root ("" when it is the root itself)."""

    servers: tuple[tuple[str, int], ...]
    chroot: str


def parse(text: str) -> ConnectString:
    """Raises InvalidConnectString."""
    hosts, slash, path = text.strip().partition("/")
    chroot = "/" + path.rstrip("/") if slash and path.rstrip("/") else ""
    if chroot:
        try:
            check_path(chroot)
        except FastlogError as error:
            raise InvalidConnectString(f"{text!r}: {error}") from None
    servers = tuple(_server(entry.strip(), text) for entry in hosts.split(",") if entry.strip())
    if not servers:
        raise InvalidConnectString(f"{text!r} names no server")
    return ConnectString(servers, chroot)


def _server(entry: str, text: str) -> tuple[str, int]:
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else rest
    elif entry.count(":") > 1:
        host, port = entry, ""
    else:
        host, _, port = entry.partition(":")
    if not host or (port and not port.isdecimal()) or not 0 < int(port or DEFAULT_PORT) <= _MAX_PORT:
        raise InvalidConnectString(f"{text!r}: {entry!r} is not host:port")
    return host, int(port or DEFAULT_PORT)
