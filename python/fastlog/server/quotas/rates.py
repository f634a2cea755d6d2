"""How much of something was used lately, measured as Kafka 3.9 measures it.

| here | Kafka | measures |
|-|-|-|
| `SampledRate` | `Rate` over `WindowedSum` | amounts per second over the last samples |
| `TokenBucket` | `TokenBucket` | what is left; it fills up with the time |

Times are whole milliseconds of any clock that does not go back, as in Kafka: throttle times are then equal to
the millisecond.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

__all__ = ["LONGEST_MS", "QuotaWindows", "SampledRate", "TokenBucket", "throttle_ms"]

LONGEST_MS: Final = 2**31 - 1
"""No answer can say more."""
_START: Final = 0
_LAST: Final = 1
_SUM: Final = 2


class QuotaWindows(NamedTuple):
    """`quota.window.num` samples of `quota.window.size.seconds`."""

    samples: int = 11
    window_ms: int = 1000

    @property
    def seconds(self) -> float:
        """How long all of them last."""
        return self.samples * self.window_ms / 1000


class SampledRate:
    """Amounts per second. What is not a whole period yet counts as one: before it there was nothing.

    A sample begins with the first amount after the one before it was full, and lasts until its last amount
    is older than all samples together: so one more is kept than are counted (`SampledStat`). One whose time
    is over begins anew, empty, when somebody looks.
    """

    __slots__ = ("_current", "_samples", "used_ms")

    def __init__(self) -> None:
        self._samples: list[list[float]] = []
        """[begin, time of the last amount, sum] in the order in which they were made; they go round."""
        self._current = 0
        self.used_ms = 0
        """When something was last noted."""

    def record(self, amount: float, now_ms: int, windows: QuotaWindows) -> None:
        """So much was used; a negative amount takes something back."""
        samples = self._samples
        self.used_ms = now_ms
        if not samples:
            samples.append([now_ms, now_ms, amount])
            return
        sample = samples[self._current]
        if now_ms - sample[_START] >= windows.window_ms:
            self._current = (self._current + 1) % (windows.samples + 1)
            if self._current >= len(samples):
                samples.append([now_ms, now_ms, amount])
                return
            sample = samples[self._current]
            sample[_START], sample[_SUM] = now_ms, 0.0
        sample[_LAST] = now_ms
        sample[_SUM] += amount

    def measure(self, now_ms: int, windows: QuotaWindows) -> tuple[float, int]:
        """(amount per second, milliseconds over which that is)."""
        samples = self._samples
        if not samples:
            samples.append([now_ms, now_ms, 0.0])
        whole = windows.samples * windows.window_ms
        total, oldest = 0.0, now_ms
        for sample in samples:
            if now_ms - sample[_LAST] >= whole:
                sample[_START] = sample[_LAST] = now_ms
                sample[_SUM] = 0.0
            elif sample[_START] < oldest:
                oldest = int(sample[_START])
            total += sample[_SUM]
        elapsed = now_ms - oldest
        missing = windows.samples - 1 - elapsed // windows.window_ms
        if missing > 0:
            elapsed += missing * windows.window_ms
        elapsed = max(elapsed, 1)
        return total / (elapsed / 1000), elapsed

    def is_idle(self, now_ms: int, windows: QuotaWindows) -> bool:
        """Whether nothing of it counts any more: a new one would say the same."""
        return now_ms - self.used_ms >= windows.samples * windows.window_ms


class TokenBucket:
    """What is left of a limit that fills up; less than nothing is possible, and waited for."""

    __slots__ = ("_at_ms", "_tokens", "used_ms")

    def __init__(self) -> None:
        self._tokens = math.inf
        self._at_ms = 0
        self.used_ms = 0
        """When something was last taken."""

    def left(self, now_ms: int, limit: float, windows: QuotaWindows) -> float:
        """How much there is. `limit` comes in each second, until it is that of all `windows`."""
        burst = limit * windows.seconds
        self._tokens = min(burst, self._tokens + limit * (now_ms - self._at_ms) / 1000)
        self._at_ms = now_ms
        return self._tokens

    def take(self, amount: float, now_ms: int, limit: float, windows: QuotaWindows) -> float:
        """Takes, be there enough or not; how much is left then."""
        self.used_ms = now_ms
        self._tokens = min(limit * windows.seconds, self.left(now_ms, limit, windows) - amount)
        return self._tokens

    def is_idle(self, now_ms: int, windows: QuotaWindows) -> bool:
        """Whether it is full by now, provided that it was not overdrawn by more than one filling."""
        return self._tokens >= 0 and now_ms - self.used_ms >= windows.samples * windows.window_ms


def throttle_ms(rate: float, limit: float, period_ms: int) -> int:
    """After how many milliseconds without use a rate over `period_ms` is at its limit (`QuotaUtils`).

    A limit of 0, which no wait would ever meet, gives the longest time that there is.
    """
    if rate <= limit:
        return 0
    if limit <= 0:
        return LONGEST_MS
    return min(math.floor((rate - limit) / limit * period_ms + 0.5), LONGEST_MS)
