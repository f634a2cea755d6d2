"""A limit on what replicas that are being moved, or have fallen behind, fetch (KIP-73).

| setting | where | what |
|---|---|---|
| `follower.replication.throttled.replicas` | topic | `partition:broker,...`, or `*`: which replicas count |
| `follower.replication.throttled.rate` | broker | bytes per second of all of them together |

Bytes are counted after they came: who has used more than there was waits until the time has made up for it. A
second's worth may come at once. Used on the event loop only.
"""

from __future__ import annotations

from collections.abc import Callable

from fastlog.replication.partition import PartitionKey
from fastlog.replication.throttled_replicas import ThrottledReplicas


class FollowerThrottle:
    """`Throttle` by the settings of topics and of this broker.

    `replicas_of` gives a topic's setting, "" for none; `rate` that of the broker, None for no limit.
    """

    def __init__(
        self,
        node_id: int,
        replicas_of: Callable[[str], str],
        rate: Callable[[], int | None],
        monotonic: Callable[[], float],
    ) -> None:
        self._replicas = ThrottledReplicas(node_id, replicas_of)
        self._rate = rate
        self._monotonic = monotonic
        self._left = 0.0
        """Bytes that may come now; below 0 when more came."""
        self._noted_at = float("-inf")

    def covers(self, key: PartitionKey) -> bool:
        """See `Throttle.covers`."""
        return self._replicas.covers(key)

    def took(self, size: int) -> float:
        """See `Throttle.took`."""
        rate = self._rate()
        if rate is None:
            return 0.0
        now = self._monotonic()
        # A rate of 0 lets nothing through; it is asked again after a second.
        earned = rate * min(now - self._noted_at, 1e9)
        self._left = min(self._left + earned, rate) - size
        self._noted_at = now
        if self._left >= 0:
            return 0.0
        return -self._left / rate if rate else 1.0
