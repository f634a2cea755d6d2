"""How many connections there may be, and how fast they may come: of the broker, a listener, an address.

| limit | keys | over it |
|-|-|-|
| connections | `max.connections`, with the prefix of a listener, too | it waits until another ends |
| new ones a second | `max.connection.creation.rate`, the same | it waits, at most one window |
| of an address | `max.connections.per.ip` and `.overrides` | it is closed (`ConnectionTable`) |
| new ones of an address | `connection_creation_rate` (`--entity-type ips`) | it is closed, a while later |

While one waits to be let in, those behind it wait in the queue of the system, as with Kafka
(`ConnectionQuotas`). The listener of brokers, if it is not the only one, is counted and limited by itself
alone: clients must not keep brokers from each other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from fastlog.base.quick_dataclass import dataclass
from fastlog.server.quotas.client_quotas import Entity
from fastlog.server.quotas.rates import QuotaWindows, SampledRate, throttle_ms
from fastlog.server.quotas.usage import UsageTable

__all__ = ["UNLIMITED", "ConnectionLimits", "ConnectionQuotas", "plain_address"]

_LOG: Final = logging.getLogger(__name__)
UNLIMITED: Final = 2**31 - 1
_IP: Final = "ip"
_RATE: Final = "connection_creation_rate"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Of one broker. `most_of` and `rate_of` are by listener; where one is missing, that of all holds.

    `protected` is the listener that does not count for the limits of all.
    """

    most: int = UNLIMITED
    rate: int = UNLIMITED
    most_of: Mapping[str, int] = field(default_factory=dict)
    rate_of: Mapping[str, int] = field(default_factory=dict)
    protected: str | None = None


@lru_cache(maxsize=4096)
def plain_address(peer: str) -> str:
    """An address in one form: the shortest, and that of IPv4 where it is one."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


class ConnectionQuotas:
    """Used on the event loop only. `open_of` has the number of open connections by listener."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        windows: QuotaWindows,
        limits: ConnectionLimits,
        open_of: Mapping[str, int],
    ) -> None:
        self.limits = limits
        self.arriving: Final[dict[str, int]] = {}
        """Those that were let in and are not open yet, by listener."""
        self.held: Final[dict[str, int]] = {}
        """Those that wait to be let in, by listener: one of each of its sockets, with others behind it."""
        self.throttled_ms: Final[dict[str, int]] = {}
        """For how long connections have waited to be let in, by listener."""
        self.refused_addresses = 0
        """Connections that were closed for the rate of their address."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when there may be room where there was none."""
        self._monotonic = monotonic
        self._windows = windows
        self._open_of = open_of
        self._of_all = SampledRate()
        self._of: dict[str, SampledRate] = {}
        self._of_address = UsageTable[str, SampledRate](SampledRate, windows)
        self._address_limits: dict[str | None, float] = {}

    def set_limits(self, limits: ConnectionLimits) -> None:
        """Takes over other limits, for connections that come from now on."""
        self.limits = limits
        self.on_change()

    def put(self, entity: Entity, values: Mapping[str, float]) -> None:
        """The limit of an address, or (None) of those without one, is this from now on."""
        if len(entity) != 1 or entity[0][0] != _IP:
            return
        name = entity[0][1]
        if name is not None:
            try:
                ip_address(name)
            except ValueError:
                _LOG.warning("the quota of %r has no effect: it is no IP address", name[:100])
                return
            name = plain_address(name)
        if _RATE in values:
            self._address_limits[name] = values[_RATE]
        else:
            self._address_limits.pop(name, None)
        if not self._address_limits:
            self._of_address.clear()

    def has_room(self, listener: str) -> bool:
        """Whether one more connection of a listener may be let in."""
        limits = self.limits
        mine = self._open_of.get(listener, 0) + self.arriving.get(listener, 0)
        if mine >= limits.most_of.get(listener, limits.most):
            return False
        if listener == limits.protected or limits.most == UNLIMITED:
            return True
        return sum(self._open_of.values()) + sum(self.arriving.values()) < limits.most

    def has_too_many(self) -> bool:
        """Whether brokers have come in beyond what there may be of all."""
        # For a moment one that arrives is open already: those that are open count here.
        return self.limits.protected is not None and sum(self._open_of.values()) > self.limits.most

    def delay_ms(self, listener: str) -> int:
        """One more comes: for how many milliseconds it is to wait."""
        limits = self.limits
        delay = 0
        rate = limits.rate_of.get(listener, limits.rate)
        if rate != UNLIMITED:
            delay = self._record(self._of.setdefault(listener, SampledRate()), rate)
        if listener != limits.protected and limits.rate != UNLIMITED:
            delay = max(delay, self._record(self._of_all, limits.rate))
        if delay:
            self.throttled_ms[listener] = self.throttled_ms.get(listener, 0) + delay
        return delay

    def address_delay_ms(self, peer: str) -> int:
        """The same of its address; then it is not let in at all, and does not count."""
        if not self._address_limits:
            return 0
        address = plain_address(peer)
        limit = self._address_limits.get(address, self._address_limits.get(None))
        if limit is None:
            return 0
        now_ms = int(self._monotonic() * 1000)
        rate = self._of_address.get(address, now_ms)
        delay = self._record(rate, limit)
        if delay:
            rate.record(-1, now_ms, self._windows)
            self.refused_addresses += 1
        return delay

    def sweep(self) -> None:
        """Forgets who has not been here for long. To be called now and then."""
        self._of_address.forget(int(self._monotonic() * 1000))

    @property
    def known_addresses(self) -> int:
        """Addresses that have a rate of their own."""
        return len(self._of_address)

    @property
    def displaced(self) -> int:
        """Those that had to go for others, ever."""
        return self._of_address.displaced

    def _record(self, rate: SampledRate, limit: float) -> int:
        now_ms = int(self._monotonic() * 1000)
        rate.record(1, now_ms, self._windows)
        measured, period_ms = rate.measure(now_ms, self._windows)
        return min(throttle_ms(measured, limit, period_ms), self._windows.window_ms)
