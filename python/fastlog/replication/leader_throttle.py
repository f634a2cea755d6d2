"""A limit on what this broker, as leader, sends to replicas that are not in sync (KIP-73).

| setting | where | what |
|---|---|---|
| `leader.replication.throttled.replicas` | topic | `partition:broker,...`, or `*`: what this broker leads |
| `leader.replication.throttled.rate` | broker | bytes per second of all of them together |
| `replication.quota.window.num`, `.size.seconds` | broker | over how many samples of what length |

Kafka's `ReplicationQuotaManager`: all records of these partitions that followers get are counted, also those
of followers in sync; while the rate is above the limit, those that are not in sync get none. Nobody is told
when it is below again: a follower that got nothing asks again after its `replica.fetch.wait.max.ms`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastlog.replication.partition import PartitionKey
from fastlog.replication.throttled_replicas import ThrottledReplicas


@dataclass(frozen=True, slots=True)
class ThrottleLimits:
    """`rate` in bytes per second, None for no limit; samples of `window_seconds`, `windows` of them."""

    rate: int | None = None
    windows: int = 11
    window_seconds: float = 1.0


class SampledRate:
    """Bytes per second over the last samples (`SimpleRate` over `SampledTotal` of Kafka's metrics).

    The sample that is being filled counts as a whole one at least, so a burst is over `window_seconds`.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        """(begin, bytes), the oldest first."""

    def record(self, size: int, now: float, limits: ThrottleLimits) -> None:
        """So many bytes were sent."""
        if self._samples and now - self._samples[-1][0] < limits.window_seconds:
            begin, total = self._samples[-1]
            self._samples[-1] = (begin, total + size)
        else:
            self._samples.append((now, size))
            self._forget(now, limits)

    def measured(self, now: float, limits: ThrottleLimits) -> float:
        """The rate as it is now."""
        self._forget(now, limits)
        if not self._samples:
            return 0.0
        elapsed = max(now - self._samples[0][0], limits.window_seconds)
        return sum(total for _, total in self._samples) / elapsed

    def _forget(self, now: float, limits: ThrottleLimits) -> None:
        while self._samples and now - self._samples[0][0] >= limits.windows * limits.window_seconds:
            self._samples.popleft()


class LeaderThrottle:
    """Used on the event loop only. `setting_of` gives a topic's setting, "" for none."""

    def __init__(
        self,
        node_id: int,
        setting_of: Callable[[str], str],
        limits: Callable[[], ThrottleLimits],
        monotonic: Callable[[], float],
    ) -> None:
        self._replicas: Final = ThrottledReplicas(node_id, setting_of)
        self._limits = limits
        self._monotonic = monotonic
        self._sent = SampledRate()
        self.bytes = 0
        """Sent of throttled partitions, ever."""
        self.held = 0
        """How often a follower was given nothing of a partition, ever."""

    def covers(self, key: PartitionKey) -> bool:
        """Whether there is a limit, and the partition counts."""
        return self._limits().rate is not None and self._replicas.covers(key)

    def holds(self, key: PartitionKey) -> bool:
        """Whether a follower that is not in sync is to get nothing of the partition now."""
        limits = self._limits()
        if limits.rate is None or self._sent.measured(self._monotonic(), limits) <= limits.rate:
            return False
        if not self._replicas.covers(key):
            return False
        self.held += 1
        return True

    def sent(self, size: int) -> None:
        """An answer to a follower has so many bytes of partitions that are covered."""
        self.bytes += size
        self._sent.record(size, self._monotonic(), self._limits())
