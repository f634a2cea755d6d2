"""Incremental fetch sessions (KIP-227): the broker remembers what a client fetches, and sends only news.

| request (id, epoch) | meaning                                                 | answer           |
|---------------------|---------------------------------------------------------|------------------|
| 0, -1               | no session wanted                                       | all, session 0   |
| any, 0              | close that session, make a new one if there is a slot   | all, new id or 0 |
| id, -1              | close that session                                      | all, session 0   |
| id, n > 0           | changes against the session; n must be the one expected | news, id         |

Errors: FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR (KIP-516:
names in a session of ids or the other way round). When all slots or all the memory of sessions are taken a
new session evicts others, in this order of preference: one that was not used for `eviction_ms`; one that is
older than `eviction_ms` and not larger. Sessions of followers are preferred to those of consumers: they evict
those of any age and size, and are evicted by none of them as long as they are used. (Kafka's
`FetchSessionCache`, which counts slots alone.) Where that makes no room, or the session
would take more than a quarter of the memory, there is none, and the client goes on with full fetches. A
session that grows beyond its room is given up: FETCH_SESSION_ID_NOT_FOUND.

Partitions of fetches that wait without a session are weighed here as well; where there is no room for them
the fetch is answered at once, however little there is. Of a session one fetch waits at most: its wait ends
when the next request moves the session on, and with the session, as nobody weighs its partitions then.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.replication.news import PartitionNews
from fastlog.server.fetch.fetch_context import ENDED, NO_SESSION, NOTHING, FetchContext, FetchSession
from fastlog.server.fetch.interest import FetchInterest

if TYPE_CHECKING:
    from fastlog.native.shapes import FetchPlanRow, ForgottenPartition
    from fastlog.wire import Steps

FIRST_EPOCH: Final = 0
NO_EPOCH: Final = -1
DEFAULT_SLOTS: Final = 1000
DEFAULT_EVICTION_MS: Final = 120_000
DEFAULT_BYTES: Final = 32 * 1024 * 1024
PARTITION_BYTES: Final = 400
"""A `FetchPartition` with its key and its place, a little above what CPython 3.11 takes."""
_SESSIONS_PER_SHARE: Final = 4
MAX_PARTITIONS: Final = 20_000
"""Of one session: as many as one request may have (`MAX_ROWS` of the native plans)."""

_PER_STEP: Final = 127  # one more is a power of two


class FetchSessionCache:
    """All sessions of the broker. Used on the event loop only; `monotonic` is in seconds.

    `news` tells of the partitions that they have.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        news: PartitionNews,
        *,
        slots: int = DEFAULT_SLOTS,
        eviction_ms: int = DEFAULT_EVICTION_MS,
        max_bytes: int = DEFAULT_BYTES,
    ) -> None:
        self._monotonic = monotonic
        self._news = news
        self._slots = slots
        self._eviction = eviction_ms / 1000
        # In the order of last use.
        self._sessions: OrderedDict[int, FetchSession] = OrderedDict()
        self.evictions = 0
        self._most = max_bytes // PARTITION_BYTES
        self._waiting = 0
        self.partition_count = 0
        """Partitions in all sessions."""

    def __len__(self) -> int:
        return len(self._sessions)

    def open(
        self,
        session_id: int,
        epoch: int,
        rows: Iterable[FetchPlanRow],
        forgotten: Iterable[ForgottenPartition],
        *,
        uses_ids: bool,
        partitions: FetchInterest | None = None,
    ) -> FetchContext:
        """Decides what a request fetches, and moves its session on.

        `partitions` are those of `rows`, by callers that made them with `gather`.
        """
        if epoch in (FIRST_EPOCH, NO_EPOCH):
            if session_id != NO_SESSION:
                self.drop(session_id)
            if partitions is None:
                partitions = self._gathered(rows)
            wanted = epoch == FIRST_EPOCH and len(partitions) > 0
            return FetchContext(self, partitions, session_wanted=wanted, uses_ids=uses_ids)
        session = self._sessions.get(session_id)
        if session is None:
            return FetchContext(self, NOTHING, error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        if session.epoch != epoch:
            return FetchContext(self, NOTHING, error_code=ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        if session.uses_ids != uses_ids:
            return FetchContext(self, NOTHING, error_code=ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR)
        grown = session.change(rows, forgotten, partitions)
        self.partition_count += grown
        size = len(session.partitions.by_key)
        if not size:
            self.drop(session_id)
            return FetchContext(self, NOTHING)
        if grown > 0 and (size > MAX_PARTITIONS or not self._fits(size, 0)):
            # Too many: they would have been refused as one request, too. The client begins anew.
            self.drop(session_id)
            return FetchContext(self, NOTHING, error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        session.used = self._monotonic()
        self._sessions.move_to_end(session_id)
        session.move_on(_next_epoch(session.epoch))
        return FetchContext(self, session.partitions, session=session, uses_ids=uses_ids)

    def gather(self, rows: Iterable[FetchPlanRow]) -> Steps[FetchInterest]:
        """The partitions of a request that has many of them."""
        partitions = FetchInterest(self._news)
        for number, row in enumerate(rows, 1):
            partitions.put(row)
            if not number & _PER_STEP:
                yield
        return partitions

    def _gathered(self, rows: Iterable[FetchPlanRow]) -> FetchInterest:
        partitions = FetchInterest(self._news)
        for row in rows:
            partitions.put(row)
        return partitions

    def create(
        self, partitions: FetchInterest, *, uses_ids: bool, privileged: bool = False
    ) -> FetchSession | None:
        """Makes a session, or None when there is no slot for it. `privileged`: it is a follower's."""
        now, size = self._monotonic(), len(partitions)
        if size > self._most // _SESSIONS_PER_SHARE:
            return None
        while len(self._sessions) >= self._slots or not self._fits(size, size):
            if not self._evict(size, now, privileged):
                return None
        session = FetchSession(self._new_id(), partitions, uses_ids=uses_ids, now=now, privileged=privileged)
        self._sessions[session.id] = session
        self.partition_count += size
        return session

    def hold(self, context: FetchContext) -> bool:
        """Counts the partitions of a fetch that is to wait; False when there is no room."""
        size = len(context.partitions) - context.held
        if self._waiting + size > self._most // 2:
            return False
        self._waiting += size
        context.held += size
        return True

    def release(self, context: FetchContext) -> None:
        """The fetch waits no more."""
        self._waiting -= context.held
        context.held = 0

    def _fits(self, size: int, more: int) -> bool:
        """Whether a session may have `size` partitions, `more` of which are not counted yet."""
        most = self._most
        return size <= most // _SESSIONS_PER_SHARE and self.partition_count + more <= most // 2

    def drop(self, session_id: int) -> None:
        """Ends a session, if it is there."""
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self.partition_count -= len(session.partitions)
            session.move_on(ENDED)
            session.partitions.close()

    def _evict(self, size: int, now: float, privileged: bool) -> bool:
        if not self._sessions:
            return False
        oldest = next(iter(self._sessions.values()))
        if now - oldest.used > self._eviction:
            victim = oldest
        else:
            candidates = [
                session
                for session in self._sessions.values()
                if (privileged and not session.privileged) or session.used - session.created > self._eviction
            ]
            if not candidates:
                return False
            victim = min(candidates, key=lambda s: (s.privileged, len(s.partitions), s.id))
            if (privileged, size) < (victim.privileged, len(victim.partitions)):
                return False
        self.drop(victim.id)
        self.evictions += 1
        return True

    def _new_id(self) -> int:
        while True:
            session_id = random.randrange(1, 2**31 - 1)  # noqa: S311 - a name, not a secret
            if session_id not in self._sessions:
                return session_id


def _next_epoch(epoch: int) -> int:
    return 1 if epoch == 2**31 - 1 else epoch + 1
