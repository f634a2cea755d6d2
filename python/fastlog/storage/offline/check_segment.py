"""Checks one segment: its batches, and its indexes against them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeVar

from fastlog.storage.offline.findings import Finding, Severity
from fastlog.storage.offline.formats import (
    FileDamaged,
    OffsetEntry,
    TimeEntry,
    base_offset_of,
    read_offset_index,
    read_time_index,
    read_transaction_index,
)
from fastlog.storage.offline.segments import Batch, Problem, scan

T = TypeVar("T", OffsetEntry, TimeEntry)
Progress = Callable[[int], None]

_REBUILT: Final = (
    "After a crash nothing needs to be done: the broker builds it again at its start. After a clean stop "
    "remove the file, then start the broker."
)


@dataclass(frozen=True, slots=True)
class SegmentState:
    """What a segment holds. `next_offset` is the one after its last sound batch; `sound` false: damaged.

    `compacted`: it has batches that no producer can have written. `listed`: an offset that its index lists
    behind its end, in a file that is too short for it. `unconfirmed`: the offset due at its last batch and
    the one that it has, where they differ.
    """

    base_offset: int
    next_offset: int
    batches: int
    records: int
    last_epoch: int
    sound: bool
    compacted: bool = False
    listed: int | None = None
    open_transactions: dict[int, int] = field(default_factory=dict)
    ended: frozenset[int] = frozenset()
    unconfirmed: tuple[int, int] | None = None


def check_segment(
    path: Path,
    *,
    is_last: bool,
    findings: list[Finding],
    progress: Progress = lambda _: None,
    recovery_point: int = 0,
) -> SegmentState:
    """Reads a `.log` file through and compares its indexes. `progress` is told bytes as they are read.

    Below `recovery_point` all was on the disk: what is bad there is no torn end.
    """
    base = base_offset_of(path)
    index, times = path.with_suffix(".index"), path.with_suffix(".timeindex")
    checks: tuple[_Offsets | _Times, ...] = (
        _Offsets(index, _used(read_offset_index(index))),
        _Times(times, _used(read_time_index(times))),
    )
    next_offset, batches, records, epoch, done = base, 0, 0, -1, 0
    sound, compacted = True, False
    unconfirmed: tuple[int, int] | None = None
    transactions: dict[int, int] = {}
    ended: set[int] = set()
    for found in _beyond_damage(path):
        if isinstance(found, Problem):
            torn = (
                is_last and found.next_batch is None and not found.is_legacy and next_offset >= recovery_point
            )
            findings.append(_judge(path, found, torn))
            sound = sound and torn
            continue
        for check in checks:
            check.see(found)
        unconfirmed = (next_offset, found.base_offset) if found.base_offset > next_offset else None
        span = found.last_offset - found.base_offset + 1
        compacted |= found.base_offset > next_offset or found.count < span or found.delete_horizon is not None
        if found.is_transactional and found.producer_id >= 0:
            if found.is_control:
                transactions.pop(found.producer_id, None)
                ended.add(found.producer_id)
            else:
                transactions.setdefault(found.producer_id, found.base_offset)
        next_offset = found.last_offset + 1
        batches += 1
        records += found.count
        epoch = max(epoch, found.leader_epoch)
        if found.position + found.size - done >= _TELL_EVERY:
            progress(found.position + found.size - done)
            done = found.position + found.size
    progress(path.stat().st_size - done)
    if sound:
        # Beside a damaged segment an index that points into the damage says nothing new.
        for check in checks:
            findings.extend(check.findings(next_offset))
    findings.extend(_check_transactions(path.with_suffix(".txnindex"), base, next_offset))
    listed = checks[0].beyond(path.stat().st_size) if isinstance(checks[0], _Offsets) else None
    return SegmentState(
        base,
        next_offset,
        batches,
        records,
        epoch,
        sound,
        compacted,
        listed,
        transactions,
        frozenset(ended),
        unconfirmed,
    )


_TELL_EVERY: Final = 1 << 20


def _beyond_damage(path: Path) -> Iterator[Batch | Problem]:
    """All sound batches, with a Problem for every damaged stretch between them."""
    position, offset = 0, base_offset_of(path)
    known = -1
    while True:
        problem = None
        for found in scan(path, position=position, offset=offset):
            if isinstance(found, Problem):
                if found.position == known:
                    # Its batch is sound, but its offset cannot be, and nothing follows.
                    return
                problem = found
                known = found.position
            yield found
        if problem is None or problem.next_batch is None:
            return
        position, offset = problem.next_batch


def _judge(path: Path, problem: Problem, torn: bool) -> Finding:
    where = f"byte {problem.position}: {problem.reason}"
    if problem.is_legacy:
        return Finding(
            Severity.DAMAGE,
            path,
            where,
            "The broker cannot serve the partition. Mirror the topic with Kafka 3.x, or wait there for its "
            "retention; --allow-data-loss would cut these records off.",
        )
    if torn:
        left = path.stat().st_size - problem.position
        what = "zeros" if problem.only_zeros else "a torn write"
        return Finding(
            Severity.WARNING,
            path,
            f"{where}; the last {left} bytes are {what}, as a crash leaves them",
            "Nothing needs to be done: the broker cuts the log there at its next start. If its last stop was "
            "clean, remove .kafka_cleanshutdown first, so that it looks.",
        )
    if problem.next_batch is not None:
        position, offset = problem.next_batch
        verb = "follows" if position > problem.position else "is"
        where += f"; a sound batch {verb} at byte {position} (offset {offset})"
    return Finding(
        Severity.DAMAGE,
        path,
        where,
        "Restore the partition's directory from a backup. Without one, start the broker once with "
        "--allow-data-loss: the log is cut at the damage, what is cut off is kept beside it as *.corrupt.",
    )


class _Against(ABC, Generic[T]):
    """Compares the entries of an index with the batches as they come by; a missing index is no finding."""

    def __init__(self, path: Path, entries: Iterator[T]) -> None:
        self.path = path
        self._problem: str | None = None
        self._entries: Iterator[T] = entries if path.is_file() else iter(())
        self._next: T | None = self._advance()

    def see(self, batch: Batch) -> None:
        """The next batch of the log."""
        while self._problem is None and self._next is not None and self.belongs(self._next, batch):
            self._problem = self.misfit(self._next, batch)
            previous, self._next = self._next, self._advance()
            if self._next is not None and not (previous[0] < self._next[0] and previous[1] < self._next[1]):
                self._problem = f"the entry {tuple(self._next)} is not above the one before it"

    def findings(self, next_offset: int) -> Iterable[Finding]:
        """What was found, once all batches have been seen."""
        if self._problem is None and self._next is not None:
            entry = tuple(self._next)
            self._problem = f"the entry {entry} points behind the last batch (offset {next_offset - 1})"
        if self._problem is not None:
            yield Finding(Severity.WARNING, self.path, self._problem, _REBUILT)

    @abstractmethod
    def belongs(self, entry: T, batch: Batch) -> bool:
        """Whether the entry is about this batch, or about one before it."""

    @abstractmethod
    def misfit(self, entry: T, batch: Batch) -> str | None:
        """What is wrong with the entry, given the batch that it belongs to."""

    def _advance(self) -> T | None:
        try:
            return next(self._entries, None)
        except FileDamaged as error:
            self._problem = str(error)
            return None


class _Offsets(_Against[OffsetEntry]):
    """An entry names a batch by an offset in it and the byte where it begins."""

    def belongs(self, entry: OffsetEntry, batch: Batch) -> bool:
        return entry.position < batch.position + batch.size

    def misfit(self, entry: OffsetEntry, batch: Batch) -> str | None:
        if entry.position != batch.position:
            return f"the entry for offset {entry.offset} points into a batch, to byte {entry.position}"
        if not batch.base_offset <= entry.offset <= batch.last_offset:
            batch_offsets = f"{batch.base_offset} to {batch.last_offset}"
            return f"the entry for offset {entry.offset} points to the batch of offsets {batch_offsets}"
        return None

    def beyond(self, size: int) -> int | None:
        """The offset of an entry that speaks of a batch behind the end of a file of `size` bytes."""
        return None if self._next is None or self._next.position < size else self._next.offset


class _Times(_Against[TimeEntry]):
    """An entry's offset is in a batch that reaches its timestamp."""

    def belongs(self, entry: TimeEntry, batch: Batch) -> bool:
        return entry.offset <= batch.last_offset

    def misfit(self, entry: TimeEntry, batch: Batch) -> str | None:
        if entry.offset < batch.base_offset:
            return f"the entry for timestamp {entry.timestamp} names offset {entry.offset}, in no batch"
        if entry.timestamp > batch.max_timestamp:
            reach = f"its batch reaches {batch.max_timestamp} only"
            return f"the entry for offset {entry.offset} has timestamp {entry.timestamp}, {reach}"
        return None


def _used(entries: Iterator[T]) -> Iterator[T]:
    """Without the zeros behind the last entry: Kafka allocates indexes in advance."""
    first = True
    for entry in entries:
        if not first and entry[1 if isinstance(entry, OffsetEntry) else 0] == 0:
            return
        first = False
        yield entry


def _check_transactions(path: Path, base: int, next_offset: int) -> Iterator[Finding]:
    if not path.is_file():
        return
    problem = None
    try:
        for entry in read_transaction_index(path):
            if not base <= entry.last_offset < next_offset or entry.first_offset > entry.last_offset:
                offsets = f"{entry.first_offset} to {entry.last_offset}"
                problem = f"the aborted transaction {offsets} of producer {entry.producer_id} ends elsewhere"
    except FileDamaged as error:
        problem = str(error)
    if problem is not None:
        yield Finding(Severity.WARNING, path, problem, _REBUILT)
