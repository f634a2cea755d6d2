"""A fetch session that looks at all of its partitions each time: what the broker's must answer, too.

Also the I/O of both: fake logs are read in place, as `FetchJob` reads real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastlog.errors import ErrorCode
from fastlog.native.shapes import FetchPlanRow, ForgottenPartition
from fastlog.replication.partition import Partition, PartitionKey
from fastlog.server.fetch.fetched_partition import FetchKey, row_key
from fastlog.server.fetch.rows import FetchTerms
from fastlog.server.requests.replica_lookup import current_leader, missing_error

Said = tuple[str, int, int, int, int, int, Any, Any, Any, int]
"""What an answer says of one partition: (topic, partition, error, high watermark, last stable offset,
log start offset, divergence, leader, whether aborted transactions are told, bytes)."""

_LED_ELSEWHERE = (ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.FENCED_LEADER_EPOCH)
_UNENDING = (ErrorCode.UNKNOWN_TOPIC_ID, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)


def run_job(
    rows: Sequence[Any], max_bytes: int, min_bytes: int, error_code: int
) -> tuple[int, list[Said] | None, list[tuple[int, int, int]]]:
    """(bytes, answer or None when they are too few, (row, error, bytes) of each), as `IoEngine.fetch`."""
    left, first_whole, more_to_say = max_bytes, True, bool(error_code) or not rows
    outcomes, said = [], []
    for index, row in enumerate(rows):
        (topic, _, partition, error, high, stable, start, diverging, leader, committed) = row[:10]
        log, offset, upper, most, force = row[11:]
        size = 0
        if log is not None:
            end = upper if not log.spans_segments(offset, upper) else log.active_base
            more_to_say |= end < upper
            room, batch = min(most, left), log.bytes_per_record
            if room >= batch or first_whole:
                size = min((end - offset) * batch, max(room, batch))
            first_whole &= size == 0
            left = max(0, left - size)
        more_to_say |= diverging is not None
        outcomes.append((index, int(error), size))
        if force or error or size or diverging is not None:
            said.append(
                (topic, partition, int(error), high, stable, start, diverging, leader, committed, size)
            )
    total = sum(size for _, _, size in outcomes)
    return total, said if total >= min_bytes or more_to_say else None, outcomes


@dataclass(slots=True)
class Entry:
    """One partition of the session."""

    row: FetchPlanRow
    told: tuple[int, int] = (-1, -1)


@dataclass(slots=True)
class Look:
    """What is true of all partitions at one moment."""

    rows: list[Any] = field(default_factory=list)
    waiting: set[PartitionKey] = field(default_factory=set)
    readable: bool = False
    must_answer: bool = False


class FullLook:
    """One client's session, or its fetches without one."""

    def __init__(self, broker: Any, answer: Callable[[Any], None]) -> None:
        self._broker = broker
        self._answer = answer
        self.entries: dict[FetchKey, Entry] = {}
        self.incremental = False
        self.is_waiting = False
        self._looked: set[PartitionKey] = set()
        self._failing: set[FetchKey] = set()

    def change(self, rows: Iterable[FetchPlanRow], forgotten: Iterable[ForgottenPartition] = ()) -> None:
        """The changes of a request."""
        for row in rows:
            key = row_key(row)
            if key in self.entries:
                self.entries[key].row = row
            else:
                self.entries[key] = Entry(row)
        for topic, topic_id, partition in forgotten:
            self.entries.pop((topic if topic_id is None else topic_id, partition), None)  # type: ignore[arg-type]

    def begin(self, terms: FetchTerms, *, min_bytes: int, max_bytes: int) -> None:
        """A request."""
        self._terms, self._min_bytes, self._max_bytes = terms, min(min_bytes, max_bytes), max_bytes
        self._looked = set()
        self._attempt(last=min_bytes <= 0)

    def moved(self, key: PartitionKey) -> None:
        """A partition is not what it was. What was not there at the last look does not end the wait."""
        if self.is_waiting and key in self._looked and self._ends_wait():
            self._attempt(last=False)

    def _ends_wait(self) -> bool:
        look = Look()
        for key, entry in self.entries.items():
            if key not in self._failing:
                look.rows.append(self._row(look, entry))
        _, said, _ = run_job(look.rows, self._max_bytes, self._min_bytes, 0)
        return look.must_answer or not self._looked <= look.waiting or (look.readable and said is not None)

    def expire(self) -> None:
        """The time of the request is up."""
        if self.is_waiting:
            self._attempt(last=True)

    def _attempt(self, *, last: bool) -> None:
        look = self._look()
        gone = not self._looked <= look.waiting
        self._looked = look.waiting
        self._failing = {key for key, row in zip(self.entries, look.rows, strict=True) if row[3]}
        last = last or look.must_answer or gone or not look.waiting
        self.is_waiting = True
        if not last and not look.readable:
            return
        _, said, outcomes = run_job(look.rows, self._max_bytes, 0 if last else self._min_bytes, 0)
        if said is None:
            return
        self.is_waiting = False
        for (key, entry), row, (_, error, size) in zip(
            list(self.entries.items()), look.rows, outcomes, strict=True
        ):
            entry.told = (-1 if error else row[4], row[6])
            if size:
                self.entries[key] = self.entries.pop(key)
        self._answer(said)

    def unnoted(self, follower: int) -> list[PartitionKey]:
        """Partitions of which the leader does not know what a follower has, which has just asked."""
        found = []
        for entry in self.entries.values():
            _, replica, error = self._find(entry.row)
            if replica is None or error or _leaves(entry.row, replica) != (0, None):
                continue
            if replica.followers[follower].end_offset != entry.row[4]:
                found.append(replica.key)
        return found

    def _look(self) -> Look:
        look = Look()
        for entry in self.entries.values():
            look.rows.append(self._row(look, entry))
        return look

    def _row(self, look: Look, entry: Entry) -> Any:
        name, replica, error = self._find(entry.row)
        diverging = None
        if replica is not None and not error:
            error, diverging = _leaves(entry.row, replica)
        if replica is None or error:
            return self._refused(look, entry.row, name, error)
        _, _, partition, _, offset, _, _, most = entry.row
        look.must_answer |= diverging is not None
        look.waiting.add(replica.key)
        high, stable, start = (
            replica.high_watermark,
            replica.last_stable_offset(),
            replica.log.log_start_offset,
        )
        committed = self._terms.isolation == 1 and not self._terms.is_follower
        upper = stable if committed else high
        if self._terms.is_follower:
            upper = replica.end_offset
        readable = offset < upper and diverging is None
        look.readable |= readable
        force = not self.incremental or diverging is not None or (high, start) != entry.told
        known = (name, replica.topic_id, partition, 0, high, stable, start, diverging, None, committed, -1)
        return (*known, replica.log if readable else None, offset, upper, max(most, 0), force)

    def _find(self, row: FetchPlanRow) -> tuple[str, Partition | None, int]:
        name, topic_id, partition, known_epoch, offset, _, _, _ = row
        if name is None:
            state = self._broker.cluster.topic_by_id(topic_id)
            if state is None:
                return "", None, ErrorCode.UNKNOWN_TOPIC_ID
            name = state.name
        replica: Partition | None = self._broker.replicas.get(name, partition)
        if replica is None:
            return name, None, missing_error(self._broker, name, partition)
        any_may = self._terms.version >= 11
        error: int = (replica.replica_error if any_may else replica.leader_error)(known_epoch)
        if self._terms.is_follower:
            error = replica.follower_error(self._terms.replica, known_epoch)
        if not error and topic_id not in (None, replica.topic_id):
            error = ErrorCode.INCONSISTENT_TOPIC_ID
        start, end = replica.log.log_start_offset, replica.log.log_end_offset
        if not error and (offset < start or (offset > end and row[5] < 0)):
            error = ErrorCode.OFFSET_OUT_OF_RANGE
        if not error and self._terms.version < 10 and replica.settings.zstd:
            error = ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
        return name, replica, error

    def _refused(self, look: Look, row: FetchPlanRow, name: str, error: int) -> Any:
        _, topic_id, partition, _, offset, _, _, _ = row
        look.must_answer |= error not in _UNENDING
        leader = None
        if self._terms.version >= 16 and error in _LED_ELSEWHERE:
            leader = current_leader(self._broker, name, partition)
        if error == ErrorCode.KAFKA_STORAGE_ERROR and self._terms.version < 6:
            error = ErrorCode.NOT_LEADER_OR_FOLLOWER
        unknown = (name, topic_id, partition, int(error), -1, -1, -1, None, leader, False, -1, None)
        return (*unknown, offset, offset, 0, True)


def _leaves(row: FetchPlanRow, replica: Partition) -> tuple[int, tuple[int, int] | None]:
    offset, last_epoch = row[4], row[5]
    if last_epoch < 0:
        return 0, None
    epoch, end = replica.log.end_offset_for_epoch(last_epoch)
    if epoch < 0 or end < 0:
        return ErrorCode.OFFSET_OUT_OF_RANGE, None
    return 0, (epoch, end) if epoch < last_epoch or end < offset else None
