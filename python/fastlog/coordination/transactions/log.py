"""Appends to the partitions of `__transaction_state`: a batch of one record for each change.

What is asked for in one turn of the event loop goes into one native job. Different ids need no order among
each other, and one id has one change under way at a time: its next one begins when the outcome of the last
append is known, which is after the job that has written it.

Several tombstones share a batch, as in Kafka.
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
        self._asked: list[_Append] = []
        self._under_way: set[_Append] = set()

    def append(self, election: Election, records: Sequence[KeyValue], timeout_ms: int, then: Then) -> None:
        """Writes records in one batch, and waits for all replicas in sync.

        `then` is called once. What it is told is not the whole truth: a batch that was not acknowledged in
        time may be in the log.
        """
        append = _Append(self, election, records, timeout_ms, then)
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._write)
        self._asked.append(append)
        self._under_way.add(append)

    async def written(self, partition: int) -> None:
        """Waits until nothing is being written to the partition; not until it is acknowledged."""
        jobs = [
            append.job
            for append in self._under_way
            if append.partition == partition and not append.job.done()
        ]
        if jobs:
            await asyncio.wait(jobs)

    async def close(self) -> None:
        """Waits until nothing is being written at all."""
        while jobs := [append.job for append in self._under_way if not append.job.done()]:
            await asyncio.wait(jobs)

    def tell(self, append: _Append, code: ErrorCode) -> None:
        """The outcome of an append is known."""
        if append not in self._under_way:
            return
        self._under_way.discard(append)
        self._guard(append.then, code)

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
        asked, self._asked = self._asked, []
        self._appender.write(asked, timestamp_ms=self._clock.now_ms(), codec="none")


class _Append(Batch):
    """One batch and who asked for it."""

    __slots__ = ("_log", "job", "partition", "then")

    def __init__(
        self,
        log: TransactionLog,
        election: Election,
        records: Sequence[KeyValue],
        timeout_ms: int,
        then: Then,
    ) -> None:
        replica = None if election.is_over else election.replica
        super().__init__(log.appender, replica, records, timeout_ms)
        self._log = log
        self.then = then
        self.partition = election.partition
        self.job: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it is in the log, or is not."""

    def appended(self, results: list[ProduceResult]) -> None:
        """It is in the log, or is not."""
        self._end_job()
        super().appended(results)

    def end_refused(self) -> None:
        """The partition takes no records."""
        self._end_job()
        super().end_refused()

    def settled(self) -> None:
        """All that is to be known of it is known."""
        self._log.tell(self, code_for_clients(self.results[0][0]))

    def failed(self, error: BaseException) -> None:
        """Nobody must wait for ever because of a defect."""
        self._end_job()
        self._log.defect(self, error)

    def _end_job(self) -> None:
        if not self.job.done():
            self.job.set_result(None)
