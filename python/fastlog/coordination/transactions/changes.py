"""Changes of transactions: begun, written, and in force when the log has them.

What is written under a leadership that has ended meanwhile is in force nowhere here: who asked gets
NOT_COORDINATOR, and whoever coordinates the id now goes by the log.

The completion of a decided transaction is pending before anybody hears of the decision. It is written when
all markers are, and tried again for ever while the topic has too few replicas; when the leadership has ended
it is left to the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fastlog.coordination.transactions.records import BadTransactionRecord, encode_key, encode_value
from fastlog.coordination.transactions.state import PREPARED, TransactionState
from fastlog.coordination.transactions.weight import growth_of
from fastlog.errors import ErrorCode

if TYPE_CHECKING:
    from fastlog.base.clock import Clock
    from fastlog.base.tasks import Supervisor
    from fastlog.coordination.transactions.completions import Completion
    from fastlog.coordination.transactions.log import TransactionLog
    from fastlog.coordination.transactions.markers import Markers
    from fastlog.coordination.transactions.state import Transaction, TransactionEntry
    from fastlog.coordination.transactions.table import Coordinated, TransactionTable
    from fastlog.coordination.transactions.verdicts import Change

_LOG: Final = logging.getLogger(__name__)
AGAIN_SECONDS: Final = 0.1
_AFTER_DEFECT_SECONDS: Final = 10.0
_LEAST_TIMEOUT_MS: Final = 1000
_OVER: Final = frozenset({ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS})
_MANY: Final = 2048
"""A record of more partitions is made on a thread: each change of a transaction writes all of them, also one
that adds a single one. Nobody else may change the id meanwhile."""


class Changes:
    """Used on the event loop. `markers` is set once, before the first change."""

    markers: Markers

    def __init__(
        self,
        table: TransactionTable,
        log: TransactionLog,
        clock: Clock,
        tasks: Supervisor,
        level: Callable[[], int],
    ) -> None:
        self._table = table
        self._log = log
        self._clock = clock
        self._level = level
        self._guard = tasks.guard("transaction-changes")
        self._again: set[asyncio.TimerHandle] = set()
        self._encoding: set[asyncio.Task[None]] = set()

    def begin(
        self,
        place: Coordinated,
        transaction: Transaction,
        change: Change,
        then: Callable[[ErrorCode], None],
    ) -> None:
        """`then` is told NONE when the change is in force, or why it is not. Raises IllegalTransition."""
        entry = change.entry
        transaction.begin(entry.state)
        growth = growth_of(transaction, entry)
        place.weight += growth

        def written(code: ErrorCode) -> None:
            if code is not ErrorCode.NONE:
                place.weight -= growth
            if not self._table.is_current(place):
                code = ErrorCode.NOT_COORDINATOR
            elif code is ErrorCode.NONE:
                transaction.complete(entry, self._clock.monotonic())
                if entry.state in PREPARED:
                    self.end(place, transaction)
            else:
                transaction.abandon(entry if change.raises_at_once else None)
            then(code)
            self._tell(transaction)

        self._write(place, transaction, entry, written)

    def end(self, place: Coordinated, transaction: Transaction) -> None:
        """A decision is in force: its markers are sent, then it is complete."""
        transaction.begin(transaction.entry.completed(0).state)
        self.markers.send(place, transaction)

    def complete(self, completion: Completion) -> None:
        """All markers are written."""
        place, transaction = completion.place, completion.transaction
        if not self._table.is_current(place):
            return
        entry = transaction.entry.completed(self._clock.now_ms())

        def written(code: ErrorCode) -> None:
            if not self._table.is_current(place) or code in _OVER:
                return
            if code is ErrorCode.NONE:
                place.weight += growth_of(transaction, entry)
                transaction.complete(entry)
                self._tell(transaction)
                return
            seconds = AGAIN_SECONDS
            if code is not ErrorCode.COORDINATOR_NOT_AVAILABLE:
                _LOG.error("%s: its end is not written yet: %s", transaction.transactional_id, code.name)
                seconds = _AFTER_DEFECT_SECONDS
            self._later(seconds, lambda: self.complete(completion))

        self._write(place, transaction, entry, written)

    def remove(self, place: Coordinated, expired: list[Transaction], timeout_ms: int) -> None:
        """Forgets ids, with tombstones in one batch, as in Kafka."""
        epochs = {}
        for transaction in expired:
            transaction.begin(TransactionState.DEAD)
            epochs[transaction.transactional_id] = transaction.entry.epoch

        def written(code: ErrorCode) -> None:
            if not self._table.is_current(place):
                return
            for transaction in expired:
                is_same = transaction.entry.epoch == epochs[transaction.transactional_id]
                if code is ErrorCode.NONE and is_same:
                    place.remove(transaction)
                else:
                    transaction.abandon()
                self._tell(transaction)

        tombstones = [(encode_key(transaction.transactional_id), None) for transaction in expired]
        self._log.append(place.election, tombstones, timeout_ms, written)

    async def close(self) -> None:
        """Nothing is tried again; what was asked for is handed to the log."""
        for timer in self._again:
            timer.cancel()
        self._again.clear()
        while self._encoding:
            await asyncio.wait(self._encoding)

    def _write(
        self,
        place: Coordinated,
        transaction: Transaction,
        entry: TransactionEntry,
        then: Callable[[ErrorCode], None],
    ) -> None:
        if len(entry.partitions) > _MANY:
            task = asyncio.create_task(self._write_many(place, transaction, entry, then))
            self._encoding.add(task)
            task.add_done_callback(self._encoding.discard)
            return
        try:
            value = encode_value(entry, level=self._level())
            self._append(place, transaction, entry, value, then)
        except BadTransactionRecord as error:
            _LOG.error("%s: %s", transaction.transactional_id, error)
            then(ErrorCode.UNKNOWN_SERVER_ERROR)

    async def _write_many(
        self,
        place: Coordinated,
        transaction: Transaction,
        entry: TransactionEntry,
        then: Callable[[ErrorCode], None],
    ) -> None:
        try:
            value = await asyncio.to_thread(encode_value, entry, level=self._level())
            self._append(place, transaction, entry, value, then)
        except BadTransactionRecord as error:
            _LOG.error("%s: %s", transaction.transactional_id, error)
            self._guard(then, ErrorCode.UNKNOWN_SERVER_ERROR)
        except Exception as error:  # noqa: BLE001 - whoever asked must get an answer
            self._guard.failed(error)
            self._guard(then, ErrorCode.UNKNOWN_SERVER_ERROR)

    def _append(
        self,
        place: Coordinated,
        transaction: Transaction,
        entry: TransactionEntry,
        value: bytes,
        then: Callable[[ErrorCode], None],
    ) -> None:
        record = encode_key(transaction.transactional_id), value
        self._log.append(place.election, [record], max(entry.timeout_ms, _LEAST_TIMEOUT_MS), then)

    def _tell(self, transaction: Transaction) -> None:
        """Lets those go on who wait for what was pending."""
        for go_on in transaction.take_waiting():
            self._guard(go_on)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        def fire() -> None:
            self._again.discard(timer)
            self._guard(action)

        timer = asyncio.get_running_loop().call_later(seconds, fire)
        self._again.add(timer)
