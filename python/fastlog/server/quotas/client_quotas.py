"""The quotas of users and clients: whether there are any, what is used, and how long who uses more waits.

As in Kafka what was used counts before it is compared, so that a wait is for what has been done; its answer
goes out at once, says how long the wait is, and the connection is not read meanwhile (KIP-219).

| of | what counts | when | wait |
|-|-|-|-|
| bytes in | the request | its answer is made | until the rate is at the limit again |
| bytes out | the answer, which is then empty and does not count | it was read | the same |
| request time | the time on the event loop (`meter`) | the answer is made | at most one window |
| mutations | partitions | before each topic | until nothing is overdrawn |

While nobody has any limit, a request costs one look at `active`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from fastlog.server.quotas.limits import Kind, Limits
from fastlog.server.quotas.rates import LONGEST_MS, QuotaWindows, SampledRate, TokenBucket, throttle_ms
from fastlog.server.quotas.usage import UsageTable, short

if TYPE_CHECKING:
    from fastlog.server.quotas.limits import Found

__all__ = ["ClientQuotas", "Shared", "ThrottleCounts"]

_USER: Final = "user"
_CLIENT: Final = "client-id"
_METERED: Final = (Kind.PRODUCE, Kind.FETCH, Kind.REQUEST)

Shared = tuple[str, str]
"""(user, client) of who shares a limit."""
Entity = tuple[tuple[str, str | None], ...]
"""(kind, name) of each part of what a node is about; the name None is the default."""


class ThrottleCounts:
    """What is counted of one kind of quota: answers that said to wait, and their milliseconds."""

    __slots__ = ("answers", "milliseconds")

    def __init__(self) -> None:
        self.answers = 0
        self.milliseconds = 0


class ClientQuotas:
    """Used on the event loop only. `monotonic` gives seconds."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        windows: QuotaWindows,
        mutation_windows: QuotaWindows,
    ) -> None:
        self.active = False
        """Whether anybody has a limit that requests are metered for."""
        self.windows: Final = windows
        self.mutation_windows: Final = mutation_windows
        self.limits: Final = Limits()
        self.counts: Final = {kind: ThrottleCounts() for kind in Kind}
        self.usage: Final = {kind: UsageTable[Shared, SampledRate](SampledRate, windows) for kind in _METERED}
        self.buckets: Final = UsageTable[Shared, TokenBucket](TokenBucket, mutation_windows)
        self._monotonic = monotonic

    def put(self, entity: Entity, values: Mapping[str, float]) -> None:
        """The limits of a user, a client, or both are these from now on."""
        names: dict[str, str | None] = dict(entity)
        if not names or not names.keys() <= {_USER, _CLIENT}:
            return
        self.limits.put(names.get(_USER, False), names.get(_CLIENT, False), values)
        self.active = any(self.limits.has(kind) for kind in _METERED)
        for kind, usage in self.usage.items():
            if not self.limits.has(kind):
                usage.clear()
        if not self.limits.has(Kind.MUTATION):
            self.buckets.clear()

    def now_ms(self) -> int:
        """Whole milliseconds."""
        return int(self._monotonic() * 1000)

    def record(self, kind: Kind, user: str, client: str, amount: float) -> int:
        """So much was used; how many milliseconds are to be waited."""
        found = self.limits.find(kind, user, client)
        if found is None:
            return 0
        now_ms = self.now_ms()
        rate = self._rate(kind, found, now_ms)
        rate.record(amount, now_ms, self.windows)
        measured, period_ms = rate.measure(now_ms, self.windows)
        wait = throttle_ms(measured, found.limit, period_ms)
        if kind is Kind.REQUEST or found.limit <= 0:
            most = self.windows.window_ms if kind is Kind.REQUEST else int(self.windows.seconds * 1000)
            wait = min(wait, most)
        return wait

    def take_back(self, kind: Kind, user: str, client: str, amount: float) -> None:
        """It was recorded and is not used after all."""
        found = self.limits.find(kind, user, client)
        if found is not None:
            now_ms = self.now_ms()
            self._rate(kind, found, now_ms).record(-amount, now_ms, self.windows)

    def most_at_once(self, user: str, client: str) -> int:
        """Bytes of a fetch that are more could never be sent, for they would always be too many."""
        found = self.limits.find(Kind.FETCH, user, client)
        if found is None:
            return LONGEST_MS
        return int(
            min(found.limit * (self.windows.samples - 1) * self.windows.window_ms / 1000, float(LONGEST_MS))
        )

    def bucket(self, user: str, client: str) -> tuple[TokenBucket, float] | None:
        """What is left of somebody's mutations, and the limit; None without one."""
        found = self.limits.find(Kind.MUTATION, user, client)
        if found is None:
            return None
        return self.buckets.get((short(found.user), short(found.client)), self.now_ms()), found.limit

    def count(self, kind: Kind, milliseconds: int) -> None:
        """An answer said to wait so long."""
        counts = self.counts[kind]
        counts.answers += 1
        counts.milliseconds += milliseconds

    @property
    def displaced(self) -> int:
        """Users and clients that had to go for others, ever."""
        return sum(usage.displaced for usage in self.usage.values()) + self.buckets.displaced

    def sweep(self) -> None:
        """Forgets who has not been here for long. To be called now and then."""
        now_ms = self.now_ms()
        for usage in self.usage.values():
            usage.forget(now_ms)
        self.buckets.forget(now_ms)

    def _rate(self, kind: Kind, found: Found, now_ms: int) -> SampledRate:
        return self.usage[kind].get((short(found.user), short(found.client)), now_ms)
