"""Which of the configured listeners are opened, advertised, and used among brokers."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.config.layers import Layers
from fastlog.config.listeners import (
    Endpoint,
    SecurityProtocol,
    parse_endpoints,
    parse_protocol_map,
    with_real_hosts,
)
from fastlog.errors import ConfigError

if TYPE_CHECKING:
    from fastlog.config.sasl_settings import SaslSettings
    from fastlog.config.tls_settings import TlsSettings

__all__ = ["ListenerConfig", "listener_config"]

_CONTROL_PLANE: Final = "control.plane.listener.name"
_ACCEPTED: Final = "fastlog.inter.broker.listeners.accepted"
_ENCRYPTED: Final = (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL)
_WITH_SASL: Final = (SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL)


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """`bound` are the listeners to open. `advertised` is a subset of them by name, as clients are told.

    An advertised port 0 stands for the port that the listener of that name was given. `closed` are those of
    KRaft and ZooKeeper controllers: they are configured, and fastlog leaves them closed. `inter_broker` is
    a name, and so is `control_plane`: over it the controller of a cluster and brokers reach each other; None:
    over the former.
    """

    bound: tuple[Endpoint, ...]
    advertised: tuple[Endpoint, ...]
    inter_broker: str
    closed: tuple[Endpoint, ...] = ()
    control_plane: str | None = None
    tls: Mapping[str, TlsSettings] = field(default_factory=dict)
    """Of those that have TLS, by name."""
    sasl: Mapping[str, SaslSettings] = field(default_factory=dict)
    """Of those that have SASL, by name."""
    accepted: frozenset[str] = frozenset()
    """Names of others over which what other brokers ask is taken, too."""

    def takes_brokers(self, name: str) -> bool:
        """Whether what only brokers ask is taken over that listener."""
        return name in self.among_brokers or name in self.accepted

    @property
    def among_brokers(self) -> tuple[str, ...]:
        """The names of those over which brokers ask each other."""
        return (self.inter_broker, *([] if self.control_plane is None else [self.control_plane]))

    def advertised_for(self, name: str) -> Endpoint | None:
        """The advertised endpoint of a listener, or None when it is not advertised."""
        return next((endpoint for endpoint in self.advertised if endpoint.name == name), None)


def listener_config(layers: Layers) -> ListenerConfig:
    """Reads listeners, advertised.listeners and their kin. Raises ConfigError."""
    protocols = parse_protocol_map(layers.text("listener.security.protocol.map") or "")
    closed_names = _names_of_controllers(layers)
    if not layers.is_set("listener.security.protocol.map"):
        # As Kafka: without an explicit map, controller listeners are plain.
        protocols |= {name: SecurityProtocol.PLAINTEXT for name in closed_names if name not in protocols}
    configured = parse_endpoints("listeners", layers.text("listeners") or "", protocols)
    bound = tuple(endpoint for endpoint in configured if endpoint.name not in closed_names)
    if not bound:
        raise ConfigError(
            "listeners",
            "all of them belong to a controller (controller.listener.names); clients need one too",
        )
    advertised = _advertised(layers, bound, closed_names, protocols)
    closed = tuple(endpoint for endpoint in configured if endpoint.name in closed_names)
    control_plane = _control_plane(layers) if layers.value("zookeeper.connect") else None
    if control_plane is not None and [each.name for each in advertised].count(control_plane) == len(
        advertised
    ):
        raise ConfigError(_CONTROL_PLANE, f"{control_plane} is the only listener; clients need one, too")
    if control_plane is not None and all(each.name != control_plane for each in advertised):
        raise ConfigError(_CONTROL_PLANE, f"{control_plane} is not an advertised listener")
    inter_broker = _inter_broker(layers, [each for each in advertised if each.name != control_plane])
    among = {inter_broker, control_plane} if _has_others(layers) else set()
    return ListenerConfig(
        bound,
        advertised,
        inter_broker,
        closed,
        control_plane,
        _tls(layers, bound, among),
        _sasl(layers, bound, among),
        _accepted(layers, bound),
    )


def _has_others(layers: Layers) -> bool:
    """Whether other brokers are reached. Those that join at the keeper of this one have no say in how: it is
    left open for who has a keeper that listens, and says nothing of brokers."""
    if layers.value("zookeeper.connect"):
        return True
    says = layers.is_set("inter.broker.listener.name") or layers.is_set("security.inter.broker.protocol")
    return bool(layers.value("fastlog.keeper.listen")) and says


def _accepted(layers: Layers, bound: Sequence[Endpoint]) -> frozenset[str]:
    value = layers.value(_ACCEPTED)
    names = {name.strip().upper() for name in value if name.strip()} if isinstance(value, tuple) else set()
    for name in sorted(names - {endpoint.name for endpoint in bound}):
        raise ConfigError(_ACCEPTED, f"{name} is not among listeners")
    return frozenset(names)


def _tls(
    layers: Layers, bound: Sequence[Endpoint], among: Container[str | None]
) -> Mapping[str, TlsSettings]:
    encrypted = [each for each in bound if each.protocol in _ENCRYPTED]
    if not encrypted:
        return {}
    from fastlog.config.tls_settings import tls_settings  # with TLS alone

    return {
        each.name: tls_settings(layers, each.name, each.protocol, among_brokers=each.name in among)
        for each in encrypted
    }


def _sasl(
    layers: Layers, bound: Sequence[Endpoint], among: Container[str | None]
) -> Mapping[str, SaslSettings]:
    asking = [each for each in bound if each.protocol in _WITH_SASL]
    if not asking:
        return {}
    from fastlog.config.sasl_settings import sasl_settings  # with SASL alone

    return {each.name: sasl_settings(layers, each.name, among_brokers=each.name in among) for each in asking}


def _control_plane(layers: Layers) -> str | None:
    name = (layers.text(_CONTROL_PLANE) or "").strip().upper()
    if name and name == (layers.text("inter.broker.listener.name") or "").strip().upper():
        raise ConfigError(_CONTROL_PLANE, f"{name} is inter.broker.listener.name, too: they must differ")
    return name or None


def _names_of_controllers(layers: Layers) -> set[str]:
    names = layers.value("controller.listener.names")
    listed = str(names).split(",") if names else []
    control_plane = None if layers.value("zookeeper.connect") else _control_plane(layers)
    return {name.strip().upper() for name in [*listed, control_plane or ""] if name.strip()}


def _advertised(
    layers: Layers,
    bound: Sequence[Endpoint],
    closed_names: set[str],
    protocols: dict[str, SecurityProtocol],
) -> tuple[Endpoint, ...]:
    key = "advertised.listeners"
    text = layers.text(key)
    if text is None:
        return with_real_hosts(bound)
    endpoints = [
        endpoint
        for endpoint in parse_endpoints(key, text, protocols, distinct_ports=False)
        if endpoint.name not in closed_names
    ]
    names = {endpoint.name for endpoint in bound}
    for endpoint in endpoints:
        if endpoint.name not in names:
            raise ConfigError(key, f"{endpoint} is not among listeners ({', '.join(sorted(names))})")
        if endpoint.host in ("0.0.0.0", "::"):  # noqa: S104 - refused, not bound to
            raise ConfigError(key, f"{endpoint}: clients cannot connect to the address of every interface")
    if not endpoints:
        raise ConfigError(key, "must name at least one listener for clients")
    return with_real_hosts(endpoints)


def _inter_broker(layers: Layers, advertised: Sequence[Endpoint]) -> str:
    key = "inter.broker.listener.name"
    names = [endpoint.name for endpoint in advertised]
    name = layers.text(key)
    if name is not None:
        if layers.is_set("security.inter.broker.protocol"):
            raise ConfigError(key, "cannot be set together with security.inter.broker.protocol")
        if name.strip().upper() not in names:
            raise ConfigError(key, f"{name} is not an advertised listener ({', '.join(names)})")
        return name.strip().upper()
    wanted = layers.text("security.inter.broker.protocol") or SecurityProtocol.PLAINTEXT.value
    if wanted in names:
        return wanted
    if layers.is_set("security.inter.broker.protocol"):
        raise ConfigError("security.inter.broker.protocol", f"no advertised listener is called {wanted}")
    # Kafka refuses to start here; with one broker nothing depends on the choice.
    return names[0]
