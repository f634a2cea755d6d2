"""Incremental fetch sessions (KIP-227): the broker remembers what a client fetches, and sends only news.

| request (id, epoch) | meaning                                                 | answer           |
|---------------------|---------------------------------------------------------|------------------|
| 0, -1               | no session wanted                                       | all, session 0   |
| any, 0              | close that session, make a new one if there is a slot   | all, new id or 0 |
| id, -1              | close that session                                      | all, session 0   |
| id, n > 0           | changes against the session; n must be the one expected | news, id         |

Errors: FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR (KIP-516:
names in a session of ids or the other way round). When all slots are taken a new session evicts, in this
order of preference: one that was not used for `eviction_ms`; one that is older than `eviction_ms` and not
larger. (Kafka's `FetchSessionCache`, in which the sessions of followers are also preferred to those of
consumers.)
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.fetch_partition import FetchKey, FetchPartition, row_key

if TYPE_CHECKING:
    from fastlog.native.shapes import FetchPlanRow, ForgottenPartition

NO_SESSION: Final = 0
FIRST_EPOCH: Final = 0
NO_EPOCH: Final = -1
DEFAULT_SLOTS: Final = 1000
DEFAULT_EVICTION_MS: Final = 120_000

Partitions = dict[FetchKey, FetchPartition]


class FetchSession:
    """What one client fetches; `epoch` is the one that its next request must carry."""

    __slots__ = ("created", "epoch", "id", "partitions", "used", "uses_ids")

    def __init__(self, session_id: int, partitions: Partitions, *, uses_ids: bool, now: float) -> None:
        self.id = session_id
        self.partitions = partitions
        self.uses_ids = uses_ids
        self.created = now
        self.used = now
        self.epoch = 1

    def change(self, rows: Iterable[FetchPlanRow], forgotten: Iterable[ForgottenPartition]) -> None:
        """Adds, updates and forgets partitions as a request says."""
        for row in rows:
            key = row_key(row)
            known = self.partitions.get(key)
            if known is None:
                self.partitions[key] = FetchPartition(row)
            else:
                known.update(row)
        for topic, topic_id, partition in forgotten:
            name: str | bytes | None = topic if topic_id is None else topic_id
            if name is not None:
                self.partitions.pop((name, partition), None)


class FetchContext:
    """What one request fetches and how it is answered."""

    __slots__ = (
        "_cache",
        "_expected_epoch",
        "error_code",
        "partitions",
        "session",
        "session_wanted",
        "uses_ids",
    )

    def __init__(
        self,
        cache: FetchSessionCache,
        partitions: Partitions,
        *,
        error_code: int = 0,
        session: FetchSession | None = None,
        session_wanted: bool = False,
        uses_ids: bool = False,
    ) -> None:
        self._cache = cache
        self.partitions = partitions
        self.error_code = error_code
        self.session = session
        self.session_wanted = session_wanted
        self.uses_ids = uses_ids
        self._expected_epoch = session.epoch if session is not None else 0

    @property
    def is_incremental(self) -> bool:
        """Whether only news are sent."""
        return self._expected_epoch != 0

    @property
    def session_id(self) -> int:
        """The id for the answer."""
        return NO_SESSION if self.session is None else self.session.id

    def prepare_answer(self) -> None:
        """To be called before the answer is built: makes the wanted session, if there is a slot."""
        if self.session_wanted:
            self.session_wanted = False
            self.session = self._cache.create(self.partitions, uses_ids=self.uses_ids)

    def still_valid(self) -> bool:
        """Whether no other request has moved the session on while this one waited (a duplicate request)."""
        if not self.is_incremental or self.session is None:
            return True
        return self.session.epoch == self._expected_epoch

    def sent(self, key: FetchKey, error_code: int, high_watermark: int, log_start: int, size: int) -> None:
        """Notes what an answer says of one partition. Those with records go last the next time."""
        session = self.session
        if session is None:
            return
        partition = self.partitions[key]
        partition.told(error_code, high_watermark, log_start)
        if size:
            self.partitions[key] = self.partitions.pop(key)


class FetchSessionCache:
    """All sessions of the broker. Used on the event loop only; `monotonic` is in seconds."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        *,
        slots: int = DEFAULT_SLOTS,
        eviction_ms: int = DEFAULT_EVICTION_MS,
    ) -> None:
        self._monotonic = monotonic
        self._slots = slots
        self._eviction = eviction_ms / 1000
        # In the order of last use.
        self._sessions: OrderedDict[int, FetchSession] = OrderedDict()
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def partition_count(self) -> int:
        """Partitions in all sessions."""
        return sum(len(session.partitions) for session in self._sessions.values())

    def open(
        self,
        session_id: int,
        epoch: int,
        rows: Iterable[FetchPlanRow],
        forgotten: Iterable[ForgottenPartition],
        *,
        uses_ids: bool,
    ) -> FetchContext:
        """Decides what a request fetches, and moves its session on."""
        if epoch in (FIRST_EPOCH, NO_EPOCH):
            if session_id != NO_SESSION:
                self._sessions.pop(session_id, None)
            partitions = {row_key(row): FetchPartition(row) for row in rows}
            wanted = epoch == FIRST_EPOCH and bool(partitions)
            return FetchContext(self, partitions, session_wanted=wanted, uses_ids=uses_ids)
        session = self._sessions.get(session_id)
        if session is None:
            return FetchContext(self, {}, error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        if session.epoch != epoch:
            return FetchContext(self, {}, error_code=ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        if session.uses_ids != uses_ids:
            return FetchContext(self, {}, error_code=ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR)
        session.change(rows, forgotten)
        if not session.partitions:
            del self._sessions[session_id]
            return FetchContext(self, {})
        session.used = self._monotonic()
        session.epoch = _next_epoch(session.epoch)
        self._sessions.move_to_end(session_id)
        return FetchContext(self, session.partitions, session=session, uses_ids=uses_ids)

    def create(self, partitions: Partitions, *, uses_ids: bool) -> FetchSession | None:
        """Makes a session, or None when there is no slot for it."""
        now = self._monotonic()
        if len(self._sessions) >= self._slots and not self._evict(len(partitions), now):
            return None
        session = FetchSession(self._new_id(), partitions, uses_ids=uses_ids, now=now)
        self._sessions[session.id] = session
        return session

    def _evict(self, size: int, now: float) -> bool:
        if not self._sessions:
            return False
        oldest = next(iter(self._sessions.values()))
        if now - oldest.used > self._eviction:
            victim = oldest
        else:
            candidates = [s for s in self._sessions.values() if s.used - s.created > self._eviction]
            if not candidates:
                return False
            victim = min(candidates, key=lambda session: (len(session.partitions), session.id))
            if size < len(victim.partitions):
                return False
        del self._sessions[victim.id]
        self.evictions += 1
        return True

    def _new_id(self) -> int:
        while True:
            session_id = random.randrange(1, 2**31 - 1)  # noqa: S311 - a name, not a secret
            if session_id not in self._sessions:
                return session_id


def _next_epoch(epoch: int) -> int:
    return 1 if epoch == 2**31 - 1 else epoch + 1
