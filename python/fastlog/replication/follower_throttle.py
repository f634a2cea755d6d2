"""A limit on what replicas that are being moved, or have fallen behind, fetch (KIP-73).

| setting | where | what |
|---|---|---|
| `follower.replication.throttled.replicas` | topic | `partition:broker,...`, or `*`: which replicas count |
| `follower.replication.throttled.rate` | broker | bytes per second of all of them together |

Bytes are counted after they came: who has used more than there was waits until the time has made up for it. A
second's worth may come at once. Used on the event loop only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from fastlog.replication.partition import PartitionKey

ALL: Final = "*"
_REPLICA: Final = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*")


def throttled_partitions(setting: str, node_id: int) -> frozenset[int] | None:
    """The partitions whose replica on a broker the setting of a topic names; None stands for all of them.

    What is not of the form `partition:broker` is passed over, as the broker that wrote it has checked it.
    """
    if setting.strip() == ALL:
        return None
    found = (_REPLICA.fullmatch(part) for part in setting.split(","))
    return frozenset(int(match[1]) for match in found if match is not None and int(match[2]) == node_id)


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
        self._node_id = node_id
        self._replicas_of = replicas_of
        self._rate = rate
        self._monotonic = monotonic
        self._parsed: dict[str, tuple[str, frozenset[int] | None]] = {}
        self._left = 0.0
        """Bytes that may come now; below 0 when more came."""
        self._noted_at = float("-inf")

    def covers(self, key: PartitionKey) -> bool:
        """See `Throttle.covers`."""
        topic, partition = key
        setting = self._replicas_of(topic)
        if not setting:
            self._parsed.pop(topic, None)
            return False
        known = self._parsed.get(topic)
        if known is None or known[0] != setting:
            known = self._parsed[topic] = (setting, throttled_partitions(setting, self._node_id))
        return known[1] is None or partition in known[1]

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
