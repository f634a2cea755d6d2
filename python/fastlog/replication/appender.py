"""The one way in which a leader adds records to its logs: those of clients, and those of the broker's own.

| step                                                                            | where                   |
|---------------------------------------------------------------------------------|-------------------------|
| each row is let in or refused: is this the leader, are enough replicas in sync  | `Append.add`            |
| one native job appends the rows; the log refuses those of an epoch that is over | `Appender`              |
| the replicas learn where their logs end; in fsync mode the committer is told    | `Append.take`           |
| each row is acknowledged, fails, or its time is up                              | `await_acknowledgement` |

acks=1 is acknowledged by the leader's own copy (in fsync mode: on the disk), acks=all by the high watermark,
if enough replicas are in sync still. What is not acknowledged yet waits in the purgatory.

Jobs run in any order. Whoever needs an order has one append under way for each partition, and gathers
meanwhile what comes next: that is how its batches grow under load.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from fastlog.errors import ErrorCode
from fastlog.replication.purgatory import TURN_SECONDS, Operation, Purgatory

if TYPE_CHECKING:
    from fastlog.native import Log, ProducePlan
    from fastlog.native.shapes import AppendRow, AppendTransaction, KeyValue, ProduceResult
    from fastlog.replication.committer import GroupCommitter
    from fastlog.replication.partition import Partition, PartitionKey

ACKS_ALL: Final = -1
"""Acknowledged by all replicas that are in sync."""
ACKS_NONE: Final = 0
"""Acknowledged by nobody: appended is all that there is to know."""


class AppendJobs(Protocol):
    """The native I/O (`IoLoop`)."""

    def produce(
        self,
        plan: ProducePlan,
        targets: list[Log | int],
        leader_epochs: list[int],
        guards: dict[int, int] | None = None,
    ) -> asyncio.Future[list[ProduceResult]]:
        """Appends the rows of a request where they are: in its frame. `guards`: see `IoEngine.produce`."""
        ...

    def append(
        self, rows: list[AppendRow], *, timestamp_ms: int, codec: str
    ) -> asyncio.Future[list[ProduceResult]]:
        """Appends records, a batch for each row."""
        ...


class Appender:
    """Starts appends. One per broker, used on the event loop."""

    __slots__ = ("_jobs", "committer", "purgatory")

    def __init__(self, jobs: AppendJobs, committer: GroupCommitter, purgatory: Purgatory) -> None:
        self._jobs = jobs
        self.committer: Final = committer
        self.purgatory: Final = purgatory

    def produce(self, append: Append, plan: ProducePlan) -> None:
        """Appends the rows of a request; `append` has one for each of them. What goes wrong it is told."""
        try:
            if any(append.replicas):
                done = self._jobs.produce(plan, append.targets, append.epochs, append.guards)
                done.add_done_callback(append.on_done)
            else:
                append.end_refused()
        except Exception as error:  # noqa: BLE001 - whoever asked must get an answer
            append.failed(error)

    def append(self, append: Append, rows: list[AppendRow], *, timestamp_ms: int, codec: str) -> None:
        """Appends batches of the broker's own that are waited for together: a row for each of `append`, none
        of them refused. What goes wrong it is told."""
        try:
            done = self._jobs.append(rows, timestamp_ms=timestamp_ms, codec=codec)
        except Exception as error:  # noqa: BLE001 - whoever asked must get an answer
            append.failed(error)
        else:
            done.add_done_callback(append.on_done)

    def write(self, batches: Sequence[Batch], *, timestamp_ms: int, codec: str) -> None:
        """Appends batches of the broker's own, in this order. Each is told by itself what became of it.

        `codec` has its name of the native module.
        """
        let_in: list[Batch] = []
        rows: list[AppendRow] = []
        for batch in batches:
            replica = batch.replicas[0]
            if replica is None:
                try:
                    batch.end_refused()
                except BaseException as error:  # noqa: BLE001 - the other batches have their turn
                    batch.failed(error)
            else:
                let_in.append(batch)
                rows.append((replica.log, batch.epochs[0], batch.records, batch.transaction))
        if not rows:
            return
        try:
            done = self._jobs.append(rows, timestamp_ms=timestamp_ms, codec=codec)
        except Exception as error:  # noqa: BLE001 - whoever asked must get an answer
            for batch in let_in:
                batch.failed(error)
            return
        done.add_done_callback(partial(_hand_out, let_in))


class Append(Operation):
    """Rows that are appended by one job and answered together; each is for one partition.

    `add` them, hand it to the `Appender`, and take what comes: `appended` once, then `settled` once; or
    `failed`, after which nothing of it may be called written.
    """

    __slots__ = (
        "_appender",
        "_open",
        "_waiting",
        "acks",
        "epochs",
        "guards",
        "replicas",
        "results",
        "targets",
    )

    def __init__(self, appender: Appender, acks: int) -> None:
        self._ticket = 0
        self._keys = ()
        self.waited = 0.0
        self._appender = appender
        self.acks = acks
        self.replicas: list[Partition | None] = []
        """By row; None for a row that is refused."""
        self.epochs: list[int] = []
        """The leader epoch in which each row was let in."""
        self.guards: dict[int, int] | None = None
        """By row, for those whose transaction was verified: see `IoEngine.produce`."""
        self.targets: list[Log | int] = []
        """The log that a row goes to, or the error code of one that is refused."""
        self.results: list[ProduceResult] = []
        """What is known of each row. One with an error code and an end offset is in the log all the same."""
        self._waiting: list[tuple[int, Partition]] = []
        self._open = 0
        """The first of these that is not settled, as far as is known."""

    @abstractmethod
    def settled(self) -> None:
        """Every row has its outcome, in `results`."""

    def appended(self, results: list[ProduceResult]) -> None:
        """What became of the rows is known, and with it their offsets."""
        self.take(0, results)
        self.await_acknowledgement()

    @abstractmethod
    def goes_on(self) -> int | None:
        """Not everything is acknowledged yet. How long to wait for that, in ms; None when nobody does."""

    def add(self, replica: Partition | None, error: int = 0) -> None:
        """Adds a row: for a partition, if its replica takes records now, or one that ends with `error`."""
        if replica is not None and not error:
            error = replica.write_error(self.acks)
        if replica is None or error:
            self.replicas.append(None)
            self.epochs.append(-1)
            self.targets.append(int(error))
        else:
            self.replicas.append(replica)
            self.epochs.append(replica.leader_epoch)
            self.targets.append(replica.log)

    def refuse(self, row: int, error: int) -> None:
        """Ends a row with an error that was let in before."""
        self.replicas[row], self.epochs[row], self.targets[row] = None, -1, int(error)

    def end_refused(self) -> None:
        """Ends an append of which no row was let in."""
        codes = [target for target in self.targets if isinstance(target, int)]
        self.results = [(code, -1, -1, -1, None, None, -1) for code in codes]
        self.settled()

    def on_done(self, done: asyncio.Future[list[ProduceResult]]) -> None:
        """The job is done."""
        try:
            self.appended(done.result())
        except Exception as error:  # noqa: BLE001 - whoever asked must get an answer
            self.failed(error)

    def take(self, first: int, results: list[ProduceResult]) -> None:
        """Takes in what became of the rows from `first` on."""
        committer, acks = self._appender.committer, self.acks
        self.results += results
        waiting = self._waiting
        for index, row in enumerate(results, first):
            replica = self.replicas[index]
            if replica is not None and row[0] == 0:
                end_offset = row[6]
                replica.on_appended(end_offset)
                if replica.waits_for_disk:
                    committer.request(replica)
                if acks != ACKS_NONE and replica.ack_error(acks, end_offset, self.epochs[index]) != 0:
                    waiting.append((index, replica))

    def await_acknowledgement(self) -> None:
        """All results are taken in: `settled` comes at once, or after a wait."""
        waiting = self._waiting
        if not waiting or self._note_settled(None):
            self.settled()
        else:
            wait_ms = self.goes_on()
            if wait_ms is not None:
                self._appender.purgatory.park(self, [replica.key for _, replica in waiting], wait_ms)

    # -- the wait --------------------

    def is_ready(self, key: PartitionKey) -> bool:
        """Whether every row that was waited for is acknowledged or has failed."""
        return self._note_settled(None)

    def complete(self) -> None:
        """All of them are settled."""
        self.settled()

    def expire(self) -> None:
        """Time is up: what is not acknowledged by now may still be replicated later."""
        self._note_settled(ErrorCode.REQUEST_TIMED_OUT)
        self.settled()

    def _note_settled(self, unacknowledged: ErrorCode | None) -> bool:
        """Writes acknowledgements into the results up to the first row that is open (or `unacknowledged`, if
        given, as its outcome); whether none is.

        Each row is gone through once, however often something moves.
        """
        waiting, results, acks, epochs = self._waiting, self.results, self.acks, self.epochs
        for position in range(self._open, len(waiting)):
            index, replica = waiting[position]
            row = results[index]
            error: int | None = replica.ack_error(acks, row[6], epochs[index])
            if error is None:
                error = unacknowledged
            if error is None:
                self._open = position
                return False
            if error:
                results[index] = (int(error), *row[1:])
        self._open = len(waiting)
        return True


class Batch(Append):
    """Records of the broker's own for one partition, or the marker of a transaction: one row."""

    __slots__ = ("records", "timeout_ms", "transaction")

    def __init__(
        self,
        appender: Appender,
        replica: Partition | None,
        records: Sequence[KeyValue],
        timeout_ms: int,
        transaction: AppendTransaction | None = None,
    ) -> None:
        super().__init__(appender, ACKS_ALL)
        self.records = records
        self.transaction = transaction
        self.timeout_ms = timeout_ms
        self.add(replica, 0 if replica is not None else ErrorCode.NOT_LEADER_OR_FOLLOWER)

    def goes_on(self) -> int | None:
        """It is waited for, whoever is still there."""
        return self.timeout_ms


def _hand_out(batches: Sequence[Batch], done: asyncio.Future[list[ProduceResult]]) -> None:
    error = asyncio.CancelledError() if done.cancelled() else done.exception()
    if error is not None:
        for batch in batches:
            batch.failed(error)
    else:
        _tell(list(zip(batches, done.result(), strict=True)), 0)


def _tell(outcomes: list[tuple[Batch, ProduceResult]], first: int) -> None:
    """Tells those from `first` on, in order. As many requests may share a batch, in turns."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + TURN_SECONDS
    for number in range(first, len(outcomes)):
        batch, row = outcomes[number]
        try:
            batch.appended([row])
        except BaseException as failure:  # noqa: BLE001 - the other batches have their turn
            batch.failed(failure)
        if loop.time() >= ends and number + 1 < len(outcomes):
            loop.call_soon(_tell, outcomes, number + 1)
            return
