"""Listeners: where the broker accepts connections, and where it tells clients to connect.

`listeners=NAME://host:port,...` (an empty host is every interface, port 0 any free one), names mapped to
security protocols by listener.security.protocol.map. The rules are those of KafkaConfig.validateValues
(3.9).
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ConfigError

__all__ = ["Endpoint", "SecurityProtocol", "parse_endpoints", "parse_protocol_map", "with_real_hosts"]

_ENDPOINT: Final = re.compile(
    r"(?P<name>[^:/\s]+)://(\[(?P<six>[0-9a-zA-Z.:%\-]*)\]|(?P<host>[^\[\]/:]*)):(?P<port>-?\d+)"
)
_EVERY_INTERFACE: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


class SecurityProtocol(Enum):
    """How a listener protects its connections."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One listener. `host` is "" for every interface; `port` 0 asks for any free one."""

    name: str
    host: str
    port: int
    protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT

    def __str__(self) -> str:
        return f"{self.name}://{host_and_port(self.host, self.port)}"

    @property
    def is_everywhere(self) -> bool:
        """Whether it accepts on every interface, so that its host is nothing to connect to."""
        return self.host in _EVERY_INTERFACE


def host_and_port(host: str, port: int) -> str:
    """`host:port`, with the brackets that an IPv6 address needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_protocol_map(text: str) -> dict[str, SecurityProtocol]:
    """`NAME:PROTOCOL,...` as a mapping. Raises ConfigError."""
    key = "listener.security.protocol.map"
    protocols: dict[str, SecurityProtocol] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, separator, protocol = (part.strip() for part in item.rpartition(":"))
        if not separator or not name:
            raise ConfigError(key, f"'{item}' is not of the form NAME:PROTOCOL")
        if protocol.upper() not in SecurityProtocol.__members__:
            raise ConfigError(key, f"'{protocol}' is not one of {', '.join(SecurityProtocol.__members__)}")
        protocols[name.upper()] = SecurityProtocol[protocol.upper()]
    return protocols


def parse_endpoints(
    key: str, text: str, protocols: Mapping[str, SecurityProtocol], *, distinct_ports: bool = True
) -> tuple[Endpoint, ...]:
    """The listeners that the value of `key` names. Raises ConfigError."""
    endpoints = tuple(
        _parse_endpoint(key, part.strip(), protocols) for part in text.split(",") if part.strip()
    )
    if not endpoints:
        raise ConfigError(key, "must name at least one listener")
    repeated = [name for name, count in Counter(endpoint.name for endpoint in endpoints).items() if count > 1]
    if repeated:
        raise ConfigError(key, f"the listener name {repeated[0]} occurs more than once")
    if distinct_ports:
        _check_ports(key, endpoints)
    return endpoints


def with_real_hosts(endpoints: Sequence[Endpoint], host_name: str | None = None) -> tuple[Endpoint, ...]:
    """Endpoints that clients can be told: every interface becomes this machine's name, as in Kafka."""
    if not any(endpoint.is_everywhere for endpoint in endpoints):
        return tuple(endpoints)
    name = host_name or _own_name()
    return tuple(
        Endpoint(endpoint.name, name, endpoint.port, endpoint.protocol)
        if endpoint.is_everywhere
        else endpoint
        for endpoint in endpoints
    )


@cache
def _own_name() -> str:
    """This machine's name. A name server may be asked, which takes its time: once, before the loop runs.

    The configuration is put together anew at each change of a broker key, and a name that is advertised must
    not change by that.
    """
    return socket.getfqdn()


def _parse_endpoint(key: str, text: str, protocols: Mapping[str, SecurityProtocol]) -> Endpoint:
    found = _ENDPOINT.fullmatch(text)
    if found is None:
        raise ConfigError(key, f"'{text}' is not of the form NAME://host:port")
    name, port = found["name"].upper(), int(found["port"])
    if not 0 <= port <= 65535:
        raise ConfigError(key, f"port {port} of '{text}' is not from 0 to 65535")
    if name not in protocols:
        raise ConfigError(key, f"the listener name {name} has no entry in listener.security.protocol.map")
    return Endpoint(name, found["six"] if found["six"] is not None else found["host"], port, protocols[name])


def _check_ports(key: str, endpoints: Sequence[Endpoint]) -> None:
    """Two listeners may share a port only when one is an IPv4 and the other an IPv6 address."""
    by_port: dict[int, list[Endpoint]] = {}
    for endpoint in endpoints:
        if endpoint.port:
            by_port.setdefault(endpoint.port, []).append(endpoint)
    for port, shared in by_port.items():
        if len(shared) > 1 and sorted(_ip_version(endpoint.host) for endpoint in shared) != [4, 6]:
            names = ", ".join(str(endpoint) for endpoint in shared)
            raise ConfigError(key, f"port {port} is used more than once: {names}")


def _ip_version(host: str) -> int:
    import ipaddress  # only needed when a port is used twice

    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return 0
