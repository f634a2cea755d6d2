"""For whom requests may be: what keeps a page elsewhere from coming here under a name of its own.

A page of http://attacker.example may have its name point to this address from one moment to the next (DNS
rebinding); for the browser what it asks then is still its own server. But the Host header has the name by
which it came. Taken are IP addresses (there is no name to turn), `localhost`, and what was named when the
console was started. A request without a host is refused: every browser sends one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

__all__ = ["Hosts", "is_loopback"]

_AUTHORITY: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s:@/\[\]]+))(?::\d{1,5})?", re.ASCII
)


class Hosts:
    """Whether a Host header, or the host of an Origin, is ours."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {_folded(name) for name in names} | {"localhost"}

    def __call__(self, authority: str | None) -> bool:
        """`authority` is a name or an address, with or without a port."""
        found = None if authority is None else _AUTHORITY.fullmatch(authority)
        if found is None:
            return False
        if found["six"] is not None:
            return _is_address(found["six"])
        name = _folded(found["name"])
        return name in self._names or _is_address(name)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _folded(name: str) -> str:
    return name.strip().lower().removesuffix(".")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
