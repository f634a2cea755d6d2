"""Addresses that a user gives: `host:port`, several of them with commas or as a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastlog.errors import ConfigError

DEFAULT_PORT: Final = 9092

_KEY: Final = "bootstrap.servers"


def parse_servers(servers: str | Sequence[str]) -> list[tuple[str, int]]:
    """(host, port) of each address; a missing port is 9092. `PLAINTEXT://` in front is dropped.

    Raises ConfigError.
    """
    texts = (
        servers.split(",")
        if isinstance(servers, str)
        else [part for item in servers for part in item.split(",")]
    )
    found = [_parse(text.strip()) for text in texts if text.strip()]
    if not found:
        raise ConfigError(_KEY, "no address is given; expected host:port")
    return list(dict.fromkeys(found))


def _parse(text: str) -> tuple[str, int]:
    rest = text
    if "://" in text:
        scheme, _, rest = text.partition("://")
        if scheme.upper() != "PLAINTEXT":
            raise ConfigError(
                _KEY, f"{text!r}: how to connect is said by security.protocol, not by {scheme}://"
            )
    if rest.startswith("["):
        host, _, tail = rest[1:].partition("]")
        port = tail.removeprefix(":")
    elif rest.count(":") > 1:
        host, port = rest, ""
    else:
        host, _, port = rest.partition(":")
    if not host or "/" in host or " " in host:
        raise ConfigError(_KEY, f"{text!r} is not host:port")
    if not port:
        return host, DEFAULT_PORT
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(_KEY, f"{text!r}: the port must be a number from 1 to 65535")
    return host, int(port)
