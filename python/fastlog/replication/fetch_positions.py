"""The partitions of one fetcher: where each is, what it waits for, what an answer means for it.

Pure: no connection, no clock, and of logs only what is asked here. Follows Kafka's `AbstractFetcherThread`.

| state    | what it waits for                                                                  |
|----------|------------------------------------------------------------------------------------|
| cutting  | its log to be cut, as it is not the leader's; or has no epochs that would show it  |
| fetching | records; it costs a request nothing unless it has moved since the last one         |
| delayed  | a time: the leader did not know it, or its epoch, or its records were damaged      |

A partition that fails leaves: only another leader epoch brings it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from fastlog.errors import ErrorCode
from fastlog.replication.fetch_session import BY_ID, BY_NAME, FetchSession, Follower
from fastlog.replication.partition import Partition, PartitionKey

if TYPE_CHECKING:
    from fastlog.native import Log
    from fastlog.native.shapes import FetchReplyRow
    from fastlog.wire.messages.fetch import FetchRequest

NO_TOPIC_ID: Final = bytes(16)

_NONE: Final = ErrorCode.NONE.value
_OUT_OF_RANGE: Final = ErrorCode.OFFSET_OUT_OF_RANGE.value
_FENCED: Final = ErrorCode.FENCED_LEADER_EPOCH.value

UNHEARD: Final = frozenset(
    code.value
    for code in (
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.UNKNOWN_LEADER_EPOCH,
    )
)
"""What a leader answers whose LeaderAndIsr comes after that of its follower: in a moment it knows better."""


class FetchPosition:
    """One partition in one leader epoch: another epoch gets another position."""

    __slots__ = (
        "cut_to",
        "key",
        "lag",
        "last_epoch",
        "leader_epoch",
        "log",
        "log_start",
        "offset",
        "partition",
        "start_over",
        "topic_id",
        "unheard",
    )

    def __init__(self, partition: Partition) -> None:
        log = partition.log
        self.partition: Final = partition
        self.key: Final[PartitionKey] = partition.key
        self.topic_id: Final = partition.topic_id
        self.log: Final[Log] = log
        self.leader_epoch: Final = partition.leader_epoch
        self.offset = log.log_end_offset
        """Where the log ends: what is asked for."""
        self.last_epoch = log.latest_epoch
        """The epoch of the last record, -1 unknown."""
        self.log_start = log.log_start_offset
        self.cut_to: int | None = None
        """Where the log has to be cut first."""
        self.start_over = False
        """Whether nothing of it stays, and it begins there."""
        self.lag: int | None = None
        """Records up to the leader's high watermark that are not here, None before its first answer."""
        self.unheard = 0
        """How often in a row the leader had not heard yet of what its controller says."""
        if self.last_epoch < 0 and self.offset > partition.high_watermark:
            # Without epochs a divergence cannot be seen: only what is known to be committed stays.
            self.cut_to = partition.high_watermark

    def arrived(self) -> None:
        """The log was appended to, or cut: takes over where it is now."""
        self.offset, self.last_epoch = self.log.log_end_offset, self.log.latest_epoch
        self.log_start = self.log.log_start_offset
        self.cut_to, self.start_over = None, False

    def diverged(self, epoch: int, end_offset: int) -> None:
        """The leader's log agrees with this one up to the end of `epoch` there, at most (KIP-279)."""
        own_epoch, own_end = self.log.end_offset_for_epoch(epoch)
        if end_offset < 0:
            self.cut_to = self.partition.high_watermark
        elif own_epoch < 0:
            self.cut_to = min(end_offset, self.offset)
        elif own_epoch == epoch:
            self.cut_to = min(own_end, end_offset, self.offset)
        else:
            # Of the epochs below, the leader is asked again.
            self.cut_to = min(own_end, self.offset)

    def out_of_range(self, leaders_start: int, leaders_end: int) -> None:
        """The leader has nothing at this position, but what its log holds: ends here, or begins behind it."""
        if leaders_end < self.offset:
            self.cut_to = leaders_end
        elif leaders_start > self.offset:
            self.cut_to, self.start_over = leaders_start, True


class Verdicts(NamedTuple):
    """What the rows of an answer ask for; each names its partition once."""

    append: list[tuple[int, FetchPosition, FetchReplyRow]]
    """Row by row: records, or another high watermark or log start of the leader."""
    diverged: list[tuple[FetchPosition, tuple[int, int]]]
    """With the leader's epoch and its end."""
    out_of_range: list[FetchPosition]
    delayed: list[tuple[FetchPosition, int]]
    """With the error code."""
    failed: list[tuple[FetchPosition, int]]


class FetchPositions:
    """All partitions of a fetcher. Used on the event loop only."""

    def __init__(self) -> None:
        self.session: Final = FetchSession()
        self._all: dict[PartitionKey, FetchPosition] = {}
        self._moved: dict[FetchPosition, None] = {}
        self._cutting: dict[FetchPosition, None] = {}
        self._delayed: dict[FetchPosition, float] = {}
        # Those that the leader's session may know and that are not fetched.
        self._left: dict[FetchPosition, None] = {}
        self._nameless = 0

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[FetchPosition]:
        return iter(list(self._all.values()))

    @property
    def cutting(self) -> list[FetchPosition]:
        """Those whose logs have to be cut."""
        return list(self._cutting)

    @property
    def is_idle(self) -> bool:
        """Whether no partition is fetched now."""
        return len(self._all) == len(self._cutting) + len(self._delayed)

    @property
    def next_wake(self) -> float | None:
        """When the first of those that are delayed goes on; None when none is."""
        return min(self._delayed.values(), default=None)

    def is_current(self, position: FetchPosition) -> bool:
        """Whether it is still followed, in this epoch."""
        return self._all.get(position.key) is position

    def find(self, key: PartitionKey) -> FetchPosition | None:
        """The position of a partition."""
        return self._all.get(key)

    def add(self, position: FetchPosition) -> None:
        """Follows a partition from now on, in place of the same one in an earlier epoch."""
        self.remove(position.key)
        self._all[position.key] = position
        self._nameless += position.topic_id == NO_TOPIC_ID
        self.go_on(position)

    def remove(self, key: PartitionKey) -> FetchPosition | None:
        """Follows a partition no more; None when it was not followed."""
        position = self._all.pop(key, None)
        if position is not None:
            self._nameless -= position.topic_id == NO_TOPIC_ID
            self._leave(position)
        return position

    def go_on(self, position: FetchPosition) -> None:
        """It has moved, or its wait is over: it is cut if need be, and asked for."""
        if not self.is_current(position):
            return
        self._delayed.pop(position, None)
        if position.cut_to is not None:
            self._leave(position)
            self._cutting[position] = None
        else:
            self._cutting.pop(position, None)
            self._moved[position] = None

    def delay(self, position: FetchPosition, until: float) -> None:
        """Leaves it alone until a time."""
        if self.is_current(position):
            self._leave(position)
            self._delayed[position] = until

    def wake(self, now: float) -> None:
        """Goes on with those whose time has come."""
        for position in [position for position, until in self._delayed.items() if until <= now]:
            self.go_on(position)

    def request(self, follower: Follower) -> FetchRequest | None:
        """The next request, None when no partition is fetched now."""
        if self.is_idle:
            return None
        self.session.use(BY_NAME if self._nameless else BY_ID)
        positions: Iterable[FetchPosition] = self._moved
        if self.session.is_full:
            positions = [position for position in self._all.values() if self._is_fetched(position)]
        request = self.session.request(positions, self._left, follower)
        self._moved, self._left = {}, {}
        return request

    def sort(self, rows: Sequence[FetchReplyRow]) -> Verdicts:
        """What an answer to the last request means. Rows of what is no longer followed are left out."""
        verdicts = Verdicts([], [], [], [], [])
        seen: set[FetchPosition] = set()
        for index, row in enumerate(rows):
            name, topic_id, partition, error, _, _, diverging, _, _ = row
            position = self.session.find((name or topic_id or NO_TOPIC_ID, partition))
            if position is None or position in seen or not self._is_fetched(position):
                continue
            seen.add(position)
            if error not in UNHEARD:
                position.unheard = 0
            if error == _NONE and diverging is not None:
                verdicts.diverged.append((position, diverging))
            elif error == _NONE:
                verdicts.append.append((index, position, row))
            elif error == _OUT_OF_RANGE:
                verdicts.out_of_range.append(position)
            elif error == _FENCED:
                # In this very epoch: another one is on its way from the controller.
                verdicts.failed.append((position, error))
            else:
                verdicts.delayed.append((position, error))
        return verdicts

    def _is_fetched(self, position: FetchPosition) -> bool:
        return self.is_current(position) and position not in self._cutting and position not in self._delayed

    def _leave(self, position: FetchPosition) -> None:
        self._moved.pop(position, None)
        self._cutting.pop(position, None)
        self._delayed.pop(position, None)
        if self.session.find(self.session.key_of(position)) is position:
            self._left[position] = None
