"""Appends to the partitions of `__transaction_state`.

One native job is under way. What is asked for meanwhile goes into the next one, where what is for one
partition shares a batch: under load many changes cost one hand-over and few appends, and nothing is delayed
when there is little to do. Different ids need no order among each other, and one id has one change under way
at a time: its next one begins when the outcome of the last append is known, which is after the job that has
written it.

A batch that the topic refuses as too large is written again, each change by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from fastlog.errors import ErrorCode
from fastlog.native import FastlogNativeError
from fastlog.replication.appender import Batch

if TYPE_CHECKING:
    from fastlog.base.clock import Clock
    from fastlog.base.tasks import Supervisor
    from fastlog.native.shapes import KeyValue, ProduceResult
    from fastlog.replication.appender import Appender
    from fastlog.replication.partition import Partition

Then: TypeAlias = Callable[[ErrorCode], None]
"""What is called with the outcome of an append: NONE, or a code for clients."""

_TOO_LARGE: Final = frozenset({ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.RECORD_LIST_TOO_LARGE})
_MAX_SHARED_BYTES: Final = 16 * 1024
"""A shared batch stays small beside what topics take."""

# `TransactionStateManager.appendTransactionToLog`. Others are passed on.
_FOR_CLIENTS: Final = MappingProxyType(
    {
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_ENOUGH_REPLICAS: ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.REQUEST_TIMED_OUT: ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER: ErrorCode.NOT_COORDINATOR,
        ErrorCode.KAFKA_STORAGE_ERROR: ErrorCode.NOT_COORDINATOR,
        ErrorCode.FENCED_LEADER_EPOCH: ErrorCode.NOT_COORDINATOR,
        ErrorCode.MESSAGE_TOO_LARGE: ErrorCode.UNKNOWN_SERVER_ERROR,
        ErrorCode.RECORD_LIST_TOO_LARGE: ErrorCode.UNKNOWN_SERVER_ERROR,
    }
)


def code_for_clients(code: int) -> ErrorCode:
    """What a client of the coordinator is told of an append that ended with this code."""
    known = ErrorCode.of(code)
    return _FOR_CLIENTS.get(known, known)


@dataclass(frozen=True, slots=True, eq=False)
class Election:
    """This broker leads a partition of the topic: from one election to the end of it."""

    partition: int
    replica: Partition
    epoch: int
    """Leader epoch of the partition, which is the coordinator epoch of markers."""

    @property
    def is_over(self) -> bool:
        """Whether somebody else leads, or the same broker in another epoch."""
        return self.replica.leader_epoch != self.epoch or self.replica.leader_error() != 0


class TransactionLog:
    """The write side of the topic. Used on the event loop."""

    def __init__(self, appender: Appender, clock: Clock, tasks: Supervisor) -> None:
        self._appender = appender
        self._clock = clock
        self._guard = tasks.guard("transaction-log")
        self._asked: dict[Election, list[_Append]] = {}
        """What goes into the next job; the last one of a partition has room for more."""
        self._in_job = 0
        """Batches of the job that is under way whose outcome there is not known."""
        self._has_turn = False
        self._under_way: set[_Append] = set()

    def append(self, election: Election, records: Sequence[KeyValue], timeout_ms: int, then: Then) -> None:
        """Writes records, which are in one batch, and waits for all replicas in sync.

        `then` is called once. What it is told is not the whole truth: a batch that was not acknowledged in
        time may be in the log.
        """
        self._ask(election, _Change(records, timeout_ms, then), is_alone=False)
        if not (self._has_turn or self._in_job):
            self._has_turn = True
            asyncio.get_running_loop().call_soon(self._write)

    async def written(self, partition: int) -> None:
        """Waits until nothing is being written to the partition; not until it is acknowledged."""
        await self._jobs_done(lambda append: append.partition == partition)

    async def close(self) -> None:
        """Waits until nothing is being written at all."""
        await self._jobs_done(lambda _: True)

    async def _jobs_done(self, concerns: Callable[[_Append], bool]) -> None:
        while jobs := [one.job for one in self._under_way if not one.job.done() and concerns(one)]:
            await asyncio.wait(jobs)

    def _ask(self, election: Election, change: _Change, *, is_alone: bool) -> None:
        appends = self._asked.setdefault(election, [])
        if not (appends and not is_alone and appends[-1].join(change)):
            append = _Append(self, election, change, is_alone=is_alone)
            appends.append(append)
            self._under_way.add(append)

    # -- for batches --------------------

    def appended(self) -> None:
        """A batch of the job that is under way is in the log, or is not."""
        self._in_job -= 1
        if not self._in_job and self._asked and not self._has_turn:
            self._has_turn = True
            asyncio.get_running_loop().call_soon(self._write)

    def write_apart(self, append: _Append) -> None:
        """The topic has refused what it holds together."""
        self._under_way.discard(append)
        for change in append.changes:
            self._ask(append.election, change, is_alone=True)

    def tell(self, append: _Append, code: ErrorCode) -> None:
        """The outcome of an append is known."""
        if append not in self._under_way:
            return
        self._under_way.discard(append)
        for change in append.changes:
            self._guard(change.then, code)

    def defect(self, append: _Append, error: BaseException) -> None:
        """What became of an append will not be known."""
        code = ErrorCode.UNKNOWN_SERVER_ERROR
        if isinstance(error, FastlogNativeError):
            code = code_for_clients(error.code)
        else:
            self._guard.failed(error)
        self.tell(append, code)

    @property
    def appender(self) -> Appender:
        """The one way into logs."""
        return self._appender

    def _write(self) -> None:
        self._has_turn = False
        asked, self._asked = self._asked, {}
        appends = [append for of_partition in asked.values() for append in of_partition]
        self._in_job += len(appends)
        self._appender.write(appends, timestamp_ms=self._clock.now_ms(), codec="none")


@dataclass(slots=True)
class _Change:
    """What was asked for at a time."""

    records: Sequence[KeyValue]
    timeout_ms: int
    then: Then

    @property
    def size(self) -> int:
        """Bytes, not counting what frames them."""
        return sum([len(key or b"") + len(value or b"") for key, value in self.records])


class _Append(Batch):
    """One batch and who asked for it."""

    __slots__ = ("_has_job", "_joined", "_log", "_room", "changes", "election", "job", "partition")

    def __init__(self, log: TransactionLog, election: Election, first: _Change, *, is_alone: bool) -> None:
        replica = None if election.is_over else election.replica
        self._joined = list(first.records)
        super().__init__(log.appender, replica, self._joined, first.timeout_ms)
        self._log = log
        self._room = 0 if is_alone else _MAX_SHARED_BYTES - first.size
        self._has_job = True
        self.changes = [first]
        self.election = election
        self.partition = election.partition
        self.job: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it is in the log, or is not."""

    def join(self, change: _Change) -> bool:
        """Takes another change in, if there is room."""
        size = change.size
        if size > self._room:
            return False
        self._room -= size
        self._joined += change.records
        # Nobody is given up before the time that it has.
        self.timeout_ms = max(self.timeout_ms, change.timeout_ms)
        self.changes.append(change)
        return True

    def appended(self, results: list[ProduceResult]) -> None:
        """It is in the log, or is not."""
        if results[0][0] in _TOO_LARGE and len(self.changes) > 1:
            self._log.write_apart(self)
            self.end_job()
        else:
            self.end_job()
            super().appended(results)

    def end_refused(self) -> None:
        """The partition takes no records."""
        self.end_job()
        super().end_refused()

    def settled(self) -> None:
        """All that is to be known of it is known."""
        self._log.tell(self, code_for_clients(self.results[0][0]))

    def failed(self, error: BaseException) -> None:
        """Nobody must wait for ever because of a defect."""
        self.end_job()
        self._log.defect(self, error)

    def end_job(self) -> None:
        """It is in the log, or is not; harmless when that is known."""
        if self._has_job:
            self._has_job = False
            if not self.job.done():
                self.job.set_result(None)
            self._log.appended()
