"""For whom requests may be: what keeps web pages from reading metrics by DNS rebinding.

A page of http://attacker.example may have its name point to 127.0.0.1 from one moment to the next; for the
browser what it reads then is still its own server. But the browser says in the Host header by which name it
came. So:

| host of a request                                                   | |
|---------------------------------------------------------------------|-|
| an IP address                                                       | taken: there is no name to turn |
| `localhost`                                                         | taken: no DNS server answers for it |
| the machine's name, fastlog.http.host, the hosts of listeners       | taken: they are the operator's |
| what fastlog.http.allowed.hosts names; `*` is every name            | taken |
| a name without a dot                                                | taken for probes: they tell nothing |
| none at all (HTTP/1.0)                                              | taken: no browser does that |
| anything else                                                       | 421 |

Kubernetes' probes and most scrapers come with an address, and need nothing of this.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastlog.config import BrokerConfig

__all__ = ["UNKNOWN_HOST", "KnownHosts", "hosts_of"]

UNKNOWN_HOST: Final = (
    "this broker does not go by that name: use an address, or add the name to fastlog.http.allowed.hosts"
)
_EVERY_NAME: Final = "*"
# Nobody can register such a name for an attack from afar. Names of numbers are addresses in disguise.
_LABEL: Final = re.compile(r"[a-z_][a-z0-9_-]*")
_AUTHORITY: Final = re.compile(r"(?:\[(?P<six>[0-9A-Za-z:.%]+)\]|(?P<name>[^\s:@/\[\]]+))(?::\d*)?")


class KnownHosts:
    """Whether a request for a host is meant for us."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {_folded(name) for name in names} | {"localhost"}

    def __call__(self, authority: str | None, *, for_probe: bool = False) -> bool:
        """`authority` is what a Host header holds: a name or an address, with or without a port."""
        if authority is None:
            return True
        found = _AUTHORITY.fullmatch(authority)
        if found is None:
            return False
        if found["six"] is not None:
            return _is_address(found["six"])
        name = _folded(found["name"])
        if for_probe and _LABEL.fullmatch(name) is not None:
            return True
        return _EVERY_NAME in self._names or name in self._names or _is_address(name)


def hosts_of(config: BrokerConfig) -> list[str]:
    """The names that this broker goes by."""
    endpoints = (*config.listeners.bound, *config.listeners.advertised)
    names = [*config.http_allowed_hosts, config.http_host, socket.gethostname()]
    return [name for name in (*names, *(endpoint.host for endpoint in endpoints)) if name]


def _folded(name: str) -> str:
    return name.strip().lower().removesuffix(".")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
