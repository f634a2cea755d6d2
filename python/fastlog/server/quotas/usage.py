"""What each user and client has used: bounded, whatever names clients give themselves.

A client chooses its id, and may choose another one each time. So there are at most `MOST` entries of a kind,
the one that has not been used for longest goes for a new one, and long names are kept as their digests.
Nobody gains much by that: a new name has a limit of its own in any case, and who shares a limit by user
does not get further entries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from fastlog.server.quotas.rates import QuotaWindows

__all__ = ["EXPIRY_MS", "MOST", "UsageTable", "short"]

MOST: Final = 10_000
EXPIRY_MS: Final = 3600 * 1000
"""As in Kafka: what was not used for so long is forgotten."""
_LONGEST_NAME: Final = 128
_SHOWN: Final = 64
_AT_ONCE: Final = 256


class Usage(Protocol):
    """A `SampledRate` or a `TokenBucket`."""

    used_ms: int

    def is_idle(self, now_ms: int, windows: QuotaWindows) -> bool:
        """Whether a new one would say the same."""
        ...


U = TypeVar("U", bound=Usage)
K = TypeVar("K")


def short(name: str) -> str:
    """A name that is never long; different ones stay different."""
    if len(name) <= _LONGEST_NAME:
        return name
    import hashlib  # no client has such a name but to do harm

    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{name[:_SHOWN]}...{digest}"


class UsageTable(Generic[K, U]):
    """Usage by key, the one that was used last at the end."""

    def __init__(self, make: Callable[[], U], windows: QuotaWindows, most: int = MOST) -> None:
        self._make = make
        self._windows = windows
        self._most = most
        self._of: dict[K, U] = {}
        self.displaced = 0
        """Entries that still counted and had to go for others, ever."""

    def __len__(self) -> int:
        return len(self._of)

    def get(self, key: K, now_ms: int) -> U:
        """That of `key`, a new one if there is none."""
        found = self._of.pop(key, None)
        if found is None:
            found = self._make()
            found.used_ms = now_ms
            if len(self._of) >= self._most:
                self._displace(now_ms)
        self._of[key] = found
        return found

    def forget(self, now_ms: int) -> None:
        """Drops what nobody has used for long; some at a time."""
        for _ in range(_AT_ONCE):
            oldest = next(iter(self._of), None)
            if oldest is None or now_ms - self._of[oldest].used_ms < EXPIRY_MS:
                return
            del self._of[oldest]

    def clear(self) -> None:
        """Nothing has been used."""
        self._of.clear()

    def _displace(self, now_ms: int) -> None:
        key = next(iter(self._of))
        if not self._of.pop(key).is_idle(now_ms, self._windows):
            self.displaced += 1
