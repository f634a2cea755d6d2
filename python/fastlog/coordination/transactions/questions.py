"""What is asked about transactional ids, from the look at the id to the answer.

An id is looked up, `verdicts` or `ending` say what becomes of the request, and `changes` writes it. What
takes a new producer id is decided again when that is there.

Nearly all that a producer is refused with CONCURRENT_TRANSACTIONS is over within a millisecond: the markers
of its transaction before are being written. A client would come again after 20 ms. So such a question waits
here, for no longer than that, and is decided again as soon as the change is in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from fastlog.coordination.transactions.state import Transaction, TransactionEntry
from fastlog.coordination.transactions.verdicts import (
    CONCURRENT,
    Change,
    Granted,
    NeedsProducerId,
    Refused,
    Verdict,
)
from fastlog.coordination.transactions.weight import growth_of
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.base.tasks import Guard, Supervisor
    from fastlog.coordination.producer_ids import ProducerIds
    from fastlog.coordination.transactions.changes import Changes
    from fastlog.coordination.transactions.table import Coordinated, TransactionTable

Decide: TypeAlias = Callable[[Transaction, int | None], Verdict]
"""The verdict about a transaction, with a new producer id if it takes one."""
ThenAnswer: TypeAlias = Callable[[Granted | Refused], None]


class Questions:
    """Used on the event loop. `patience`: seconds for which a question waits for another one's change."""

    def __init__(
        self,
        *,
        table: TransactionTable,
        changes: Changes,
        producer_ids: ProducerIds,
        tasks: Supervisor,
        most_weight: Callable[[], int],
        patience: float,
    ) -> None:
        self._table = table
        self.changes: Final = changes
        self.producer_ids: Final = producer_ids
        self.most_weight: Final = most_weight
        self.patience: Final = patience
        self.guard: Final = tasks.guard("transaction-questions")
        self.allocating: Final[set[asyncio.Task[None]]] = set()

    def find(self, transactional_id: str) -> tuple[Coordinated, Transaction] | ErrorCode:
        """The id, or why it cannot be asked about here: INVALID_PRODUCER_ID_MAPPING if there is none."""
        if not transactional_id:
            return ErrorCode.INVALID_REQUEST
        place = self._table.find(transactional_id)
        if isinstance(place, ErrorCode):
            return place
        transaction = place.transactions.get(transactional_id)
        return ErrorCode.INVALID_PRODUCER_ID_MAPPING if transaction is None else (place, transaction)

    def make(self, transactional_id: str, producer_id: int) -> tuple[Coordinated, Transaction] | ErrorCode:
        """A new id, which nobody has written yet."""
        place = self._table.find(transactional_id)
        if isinstance(place, ErrorCode):
            return place
        transaction = Transaction(transactional_id, place.election.partition, TransactionEntry(producer_id))
        place.add(transaction)
        return place, transaction

    def has_room(self, growth: int) -> bool:
        """Whether ids may grow by so many bytes."""
        return self._table.weight + growth <= self.most_weight()

    async def ask(
        self, transactional_id: str, decide: Decide, *, makes: bool = False, waits: bool = True
    ) -> Granted | Refused:
        """The answer. What was begun goes on when the caller is cancelled. Raises IllegalTransition.

        `makes`: the id comes into being if there is none. `waits`: see the module's text.
        """
        answer: asyncio.Future[Granted | Refused] = asyncio.get_running_loop().create_future()

        def then(found: Granted | Refused) -> None:
            if not answer.done():
                answer.set_result(found)

        self.begin(transactional_id, decide, then, makes=makes, waits=waits)
        return await answer

    def begin(
        self,
        transactional_id: str,
        decide: Decide,
        then: ThenAnswer,
        *,
        makes: bool = False,
        waits: bool = True,
    ) -> None:
        """The same with a callback, at once or later."""
        patience = self.patience if waits else 0.0
        _Question(self, transactional_id, decide, then, makes, patience).look()

    def when_settled(self, transactional_id: str, seconds: float, then: Callable[[], None]) -> None:
        """Calls back, later, when nothing of the id is being changed, or after some time."""
        loop = asyncio.get_running_loop()
        found = self.find(transactional_id)
        if isinstance(found, ErrorCode) or found[1].pending is None:
            loop.call_soon(self.guard, then)
        else:
            _Wait(self.guard, found[1], loop.time() + seconds, then).begin()


class _Wait:
    """For what is pending of a transaction, or a time."""

    __slots__ = ("_guard", "_then", "_timer", "_transaction", "_until")

    def __init__(
        self, guard: Guard, transaction: Transaction, until: float, then: Callable[[], None]
    ) -> None:
        self._guard = guard
        self._transaction = transaction
        self._until = until
        self._then = then
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """`then` is called once, not before this has returned."""
        self._transaction.wait(self._settled)
        self._timer = asyncio.get_running_loop().call_at(self._until, self._late)

    def _settled(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._guard(self._then)

    def _late(self) -> None:
        self._transaction.wait_no_more(self._settled)
        self._guard(self._then)


class _Question:
    __slots__ = (
        "_decide",
        "_id",
        "_makes",
        "_of",
        "_patience",
        "_spare_id",
        "_then",
        "_until",
    )

    def __init__(
        self,
        of: Questions,
        transactional_id: str,
        decide: Decide,
        then: ThenAnswer,
        makes: bool,
        patience: float,
    ) -> None:
        self._of = of
        self._id = transactional_id
        self._decide = decide
        self._then = then
        self._makes = makes
        self._patience = patience
        self._spare_id: int | None = None
        self._until: float | None = None

    def look(self) -> None:
        """Decides, and carries it out."""
        of, makes = self._of, self._makes
        found = of.find(self._id)
        if makes and found is ErrorCode.INVALID_PRODUCER_ID_MAPPING and self._spare_id is not None:
            found = of.make(self._id, self._spare_id)
        if isinstance(found, ErrorCode):
            if makes and found is ErrorCode.INVALID_PRODUCER_ID_MAPPING:
                self._allocate()
            else:
                self._then(Refused(found))
            return
        place, transaction = found
        verdict = self._decide(transaction, self._spare_id)
        if isinstance(verdict, Change):
            self._carry_out(place, transaction, verdict)
        elif isinstance(verdict, NeedsProducerId):
            self._allocate()
        elif verdict is not CONCURRENT or not self._waits(transaction):
            self._then(verdict)

    def _carry_out(self, place: Coordinated, transaction: Transaction, change: Change) -> None:
        of, is_new = self._of, transaction.is_new
        growth = growth_of(transaction, change.entry)
        if (growth > 0 or is_new) and not of.has_room(growth):
            # A record that is too large is refused alike.
            if is_new:
                place.remove(transaction)
            code = ErrorCode.COORDINATOR_NOT_AVAILABLE if is_new else ErrorCode.UNKNOWN_SERVER_ERROR
            self._then(Refused(code))
            return
        then = self._then

        def done(code: ErrorCode) -> None:
            if is_new and transaction.is_new and transaction.pending is None:
                # Nothing of it is in the log, as far as is known.
                place.remove(transaction)
            then(change.answer if code is ErrorCode.NONE else Refused(code))

        try:
            of.changes.begin(place, transaction, change, done)
        except BaseException:
            if is_new and transaction.pending is None:
                place.remove(transaction)
            raise

    # -- waits --------------------

    def _waits(self, transaction: Transaction) -> bool:
        """Whether it is looked at again."""
        if not self._patience or transaction.pending is None:
            return False
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + self._patience
        elif now >= self._until:
            return False
        _Wait(self._of.guard, transaction, self._until, self._look_safely).begin()
        return True

    def _look_safely(self) -> None:
        try:
            self.look()
        except Exception as error:  # noqa: BLE001 - whoever asked must get an answer
            self._of.guard.failed(error)
            self._then(Refused(ErrorCode.UNKNOWN_SERVER_ERROR))

    def _allocate(self) -> None:
        task = asyncio.create_task(self._allocated())
        self._of.allocating.add(task)
        task.add_done_callback(self._of.allocating.discard)

    async def _allocated(self) -> None:
        try:
            self._spare_id = await self._of.producer_ids.allocate()
        except KafkaError as error:
            self._then(Refused(error.code))
        except Exception as error:  # noqa: BLE001 - whoever asked must get an answer
            self._of.guard.failed(error)
            self._then(Refused(ErrorCode.UNKNOWN_SERVER_ERROR))
        else:
            self._look_safely()
