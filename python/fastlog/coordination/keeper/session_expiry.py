"""Sessions: what of them is durable, and when they run out.

Deadlines are kept in buckets of one tick, as in ZooKeeper's `ExpiryQueue`: a session that is heard of moves
to another bucket at most once a tick, and whoever looks for those that ran out looks at one bucket.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

PASSWORD_BYTES: Final = 16


class Session(NamedTuple):
    """What is durable of a session."""

    id: int
    timeout_ms: int
    password: bytes

    def has_password(self, password: bytes) -> bool:
        """Compared in constant time."""
        from hmac import compare_digest  # not free, and a new session has nothing to compare

        return compare_digest(self.password, password)


def new_password() -> bytes:
    """A random one."""
    return os.urandom(PASSWORD_BYTES)


_LOCAL: Final = 1 << 56
"""In the ids of local sessions; the upper byte is the number of the server (1 here, else 0)."""


def is_local(session_id: int) -> bool:
    """Whether it is a session of the process that the keeper runs in: it ends with that process."""
    return bool(session_id & _LOCAL)


class SessionIds:
    """Ids that no other session ever had: from the time of the start on (`initializeNextSessionId`)."""

    def __init__(self, now_ms: int) -> None:
        # 40 bits of time and 16 to count with.
        self._next = (now_ms << 16) & ((1 << 56) - 1) or 1

    def above(self, session_id: int) -> None:
        """No id up to this one is given out, whatever the clock says."""
        self._next = max(self._next, (session_id & ~_LOCAL) + 1)

    def take(self, *, local: bool = False) -> int:
        """A new id."""
        self._next += 1
        return self._next - 1 | (_LOCAL if local else 0)


class Expiry:
    """When sessions run out. Seconds are those of a monotonic clock."""

    def __init__(self, tick_seconds: float) -> None:
        self._tick = tick_seconds
        self._buckets: dict[int, dict[int, None]] = {}
        self._bucket_of: dict[int, int] = {}

    def touch(self, session_id: int, timeout_seconds: float, now: float) -> None:
        """The session was heard of: it lives for its time-out, rounded up to the next tick."""
        bucket = int((now + timeout_seconds) / self._tick) + 1
        old = self._bucket_of.get(session_id)
        if old == bucket:
            return
        if old is not None:
            self._leave(session_id, old)
        self._bucket_of[session_id] = bucket
        self._buckets.setdefault(bucket, {})[session_id] = None

    def forget(self, session_id: int) -> None:
        """The session is over."""
        bucket = self._bucket_of.pop(session_id, None)
        if bucket is not None:
            self._leave(session_id, bucket)

    def take_expired(self, now: float) -> list[int]:
        """The sessions that ran out, each once."""
        current = int(now / self._tick)
        expired: list[int] = []
        for bucket in sorted(bucket for bucket in self._buckets if bucket <= current):
            for session_id in self._buckets.pop(bucket):
                del self._bucket_of[session_id]
                expired.append(session_id)
        return expired

    def postpone(self, seconds: float) -> None:
        """The keeper itself stood still for so long and heard nobody: all sessions get that time back."""
        ticks = int(seconds / self._tick) + 1
        self._buckets = {bucket + ticks: ids for bucket, ids in self._buckets.items()}
        self._bucket_of = {session_id: bucket + ticks for session_id, bucket in self._bucket_of.items()}

    def _leave(self, session_id: int, bucket: int) -> None:
        ids = self._buckets[bucket]
        del ids[session_id]
        if not ids:
            del self._buckets[bucket]
