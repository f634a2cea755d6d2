"""One fetch session, and what one request fetches of it or without one (KIP-227)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.replication.news import PartitionNews
from fastlog.server.fetch.interest import FetchInterest

if TYPE_CHECKING:
    from fastlog.native.shapes import FetchPlanRow, ForgottenPartition
    from fastlog.replication.partition import PartitionKey
    from fastlog.server.fetch.fetched_partition import FetchPartition
    from fastlog.server.fetch.rows import FetchTerms
    from fastlog.server.fetch.sessions import FetchSessionCache
    from fastlog.wire import Steps

NO_SESSION: Final = 0
ENDED: Final = -1
"""The epoch of a session that is dropped: no request is valid for it."""
NOTHING: Final = FetchInterest(PartitionNews())
"""What requests have that fetch nothing, or nothing any more."""
NOTHING.close()


class FetchSession:
    """What one client fetches; `epoch` is the one that its next request must carry."""

    __slots__ = (
        "created",
        "end_wait",
        "epoch",
        "id",
        "partitions",
        "privileged",
        "terms",
        "used",
        "uses_ids",
    )

    def __init__(
        self,
        session_id: int,
        partitions: FetchInterest,
        *,
        uses_ids: bool,
        now: float,
        privileged: bool = False,
    ) -> None:
        self.id = session_id
        self.partitions = partitions
        self.uses_ids = uses_ids
        self.privileged = privileged
        self.created = now
        self.used = now
        self.epoch = 1
        self.end_wait: Callable[[], object] | None = None
        """Ends the wait of its fetch, while one waits."""
        self.terms: FetchTerms | None = None
        """Those of its last request."""

    def move_on(self, epoch: int) -> None:
        """Takes on another epoch: requests of earlier ones are answered with an error, now if they wait."""
        self.epoch = epoch
        end_wait, self.end_wait = self.end_wait, None
        self.partitions.on_moved = None
        if end_wait is not None:
            end_wait()

    def change(
        self,
        rows: Iterable[FetchPlanRow],
        forgotten: Iterable[ForgottenPartition],
        gathered: FetchInterest | None = None,
    ) -> int:
        """Adds, updates and forgets partitions as a request says; how many more there are now."""
        partitions = self.partitions
        before = len(partitions.by_key)
        if gathered is not None:
            partitions.take_over(gathered)
        else:
            for row in rows:
                partitions.put(row)
        for topic, topic_id, partition in forgotten:
            name: str | bytes | None = topic if topic_id is None else topic_id
            if name is not None:
                partitions.forget((name, partition))
        return len(partitions.by_key) - before


class FetchContext:
    """What one request fetches and how it is answered."""

    __slots__ = (
        "_cache",
        "_end_wait",
        "_expected_epoch",
        "_valid_epoch",
        "error_code",
        "held",
        "partitions",
        "privileged",
        "session",
        "session_wanted",
        "uses_ids",
    )

    def __init__(
        self,
        cache: FetchSessionCache,
        partitions: FetchInterest,
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
        self.held = 0
        """Partitions that the cache counts for it while it waits."""
        self.privileged = False
        """Whether its session is to be preferred to others."""
        self._expected_epoch = session.epoch if session is not None else 0
        self._valid_epoch = self._expected_epoch
        self._end_wait: Callable[[], object] | None = None

    @property
    def is_incremental(self) -> bool:
        """Whether only news are sent."""
        return self._expected_epoch != 0

    @property
    def session_id(self) -> int:
        """The id for the answer."""
        session = self.session
        return NO_SESSION if session is None or session.epoch == ENDED else session.id

    def prepare_answer(self) -> None:
        """To be called before the answer is built: makes the wanted session, if there is a slot."""
        if self.session_wanted:
            self.session_wanted = False
            self.session = self._cache.create(
                self.partitions, uses_ids=self.uses_ids, privileged=self.privileged
            )
            if self.session is not None:
                self._valid_epoch = self.session.epoch

    def take_back_answer(self) -> None:
        """The answer is not sent: a session that was made for it never was, and nothing was told."""
        session = self.session
        if session is not None and not self.is_incremental:
            self.session = None
            self._cache.drop(session.id)

    def still_valid(self) -> bool:
        """Whether the session is still there, and no other request has moved it on while this one waited (a
        duplicate request)."""
        return self.session is None or self.session.epoch == self._valid_epoch

    @property
    def answer_error(self) -> int:
        """The error that the answer as a whole has by now, or 0."""
        if self.session is None or not self.is_incremental or self.still_valid():
            return self.error_code
        if self.session.epoch == ENDED:
            return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        return ErrorCode.INVALID_FETCH_SESSION_EPOCH

    def read_as(self, terms: FetchTerms, now_ms: int = 0) -> None:
        """To be called before the first look: says how the request reads, and when it came."""
        session = self.session
        if terms.is_follower and self.partitions is not NOTHING:
            self.partitions.of_follower = self.privileged = True
            self.partitions.asked_ms = now_ms
        if session is not None and session.terms != terms:
            session.terms = terms
            self.partitions.make_all_due()

    def due(self) -> list[FetchPartition]:
        """The partitions that may add something to the answer, in their order."""
        return self.partitions.due() if self._expected_epoch else self.partitions.all()

    def hold(self, end_wait: Callable[[], object], on_moved: Callable[[PartitionKey], object]) -> bool:
        """To be called before the fetch waits: False where there is no memory for that.

        Until `release`, `end_wait` is called when they are weighed no more, at most once, and `on_moved` when
        one of them moves, as `FetchInterest.on_moved`.
        """
        session = self.session
        if session is None:
            if not self._cache.hold(self):
                return False
        elif not self.still_valid():
            return False
        else:
            session.end_wait = end_wait
        self._end_wait = end_wait
        self.partitions.on_moved = on_moved
        return True

    def release(self) -> None:
        """It waits no more."""
        if self.held:
            self._cache.release(self)
        end_wait, self._end_wait = self._end_wait, None
        session = self.session
        if end_wait is None:
            return
        if session is None:
            self.partitions.on_moved = None
        elif session.end_wait in (None, end_wait):
            # None: it waited before it made the session. Another one: the next request waits by now.
            session.end_wait = self.partitions.on_moved = None

    def end_in_steps(self) -> Steps[None]:
        """As `end`, for many partitions."""
        if self.session is None and self.partitions is not NOTHING:
            yield from self.partitions.close_in_steps()
        self.end()

    def end(self) -> None:
        """The answer is made, or nobody waits for it: from now on only a session still keeps partitions."""
        partitions = self.partitions
        if partitions is NOTHING:
            return
        self.release()
        if self.session is None:
            partitions.close()
        self.partitions = NOTHING

    def sent(
        self, entry: FetchPartition, error_code: int, high_watermark: int, log_start: int, size: int
    ) -> None:
        """Notes what an answer says of one partition. Those with records go last the next time."""
        if self.session is not None:
            entry.told(error_code, high_watermark, log_start)
            if size:
                self.partitions.put_last(entry)
