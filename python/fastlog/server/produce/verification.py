"""Produce with a transactional id: which rows may be appended, and with which guards.

A row whose transaction is open in its log goes on at once, with guard 0: the log looks again when it appends.
Of the others the coordinator of the id is asked, while the event loop goes on; from version 12 on it takes
the partitions into the transaction itself (KIP-890 part 2). Below that
`transaction.partition.verification.enable` may turn it off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from fastlog.coordination.transactions import gate
from fastlog.errors import ErrorCode
from fastlog.native import FastlogNativeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastlog.coordination.transactions.state import TopicPartition
    from fastlog.coordination.transactions.verification import Codes
    from fastlog.native import ProducePlan
    from fastlog.native.shapes import TransactionalBatch
    from fastlog.replication.appender import Append
    from fastlog.server.requests.context import BrokerServices

ADDS_FROM: Final = 12
_AT_ONCE: Final = 256


class Verification:
    """The transactional rows of one request. `guards` are filled as it goes on."""

    __slots__ = ("_adds", "_append", "_asked", "_broker", "_id", "_is_fresh", "_plan", "guards")

    def __init__(
        self, broker: BrokerServices, append: Append, plan: ProducePlan, transactional_id: str
    ) -> None:
        self._broker = broker
        self._append = append
        self._plan = plan
        self._id = transactional_id
        self._adds = plan.version >= ADDS_FROM
        self._asked: list[TransactionalBatch] = []
        self._is_fresh = False
        """Whether the verification of all that is to be asked about has just begun."""
        self.guards: dict[int, int] = {}

    @property
    def has_to_ask(self) -> bool:
        """Whether the coordinator is to be asked about any row."""
        return bool(self._asked)

    def begin(self, batch: TransactionalBatch) -> None:
        """Looks at a row that was let in, or refused."""
        row, producer_id, epoch, sequence = batch
        replica = self._append.replicas[row]
        if replica is None:
            return
        try:
            guard = replica.log.begin_verification(producer_id, epoch, sequence, raises_epoch=self._adds)
        except FastlogNativeError:
            # Too many others wait for their coordinators: it is to come again.
            self._append.refuse(row, ErrorCode.NOT_ENOUGH_REPLICAS)
            return
        self.guards[row] = guard or 0
        if guard is not None:
            self._asked.append(batch)

    def ask_here(self, identity: tuple[int, int], then: Callable[[], None]) -> bool:
        """Has the coordinator decide about the rows, which were begun just now, and refuses those that it
        does not know, if it is this broker; else False. `then` is called when that is done, at once or
        later."""
        made = None if self._broker.transactions is None else self._broker.transactions.made
        if made is None or len(self._asked) > _AT_ONCE or not made.verifier.is_here(self._id):
            return False

        def told(codes: Codes) -> None:
            self._refuse(codes, self._asked)
            then()

        self._is_fresh = True
        gate.ask_here(
            made.verifier,
            self._id,
            identity,
            self._begin_again,
            told,
            adds=self._adds,
            patience=gate.Patience.of(self._broker.config),
            refusals=made.refusals,
        )
        return True

    async def ask(self, identity: tuple[int, int]) -> None:
        """The same in turns, whoever is the coordinator."""
        transactions = self._broker.transactions
        if transactions is None:
            raise RuntimeError("there are no transactions")
        parts, turns = await transactions.get(), self._broker.turns
        codes = await gate.ask(
            parts.verifier,
            self._id,
            identity,
            self._begin_again,
            adds=self._adds,
            patience=gate.Patience.of(self._broker.config),
            refusals=parts.refusals,
        )
        for first in range(0, len(self._asked), _AT_ONCE):
            self._refuse(codes, self._asked[first : first + _AT_ONCE])
            if turns.over():
                await turns.wait()

    def _refuse(self, codes: Codes, asked: Sequence[TransactionalBatch]) -> None:
        rows = self._plan.rows
        for row, _, _, _ in asked:
            topic, partition, _ = rows[row]
            code = codes.get((topic, partition), ErrorCode.UNKNOWN_SERVER_ERROR)
            if code is not ErrorCode.NONE:
                self._append.refuse(row, gate.producer_code(code, self._plan.version, adds=self._adds))

    def _begin_again(self) -> Mapping[TopicPartition, int]:
        if self._is_fresh:
            self._is_fresh = False
        else:
            batches, self._asked = self._asked, []
            for batch in batches:
                self.begin(batch)
        rows, guards = self._plan.rows, self.guards
        return {(rows[row][0], rows[row][1]): guards[row] for row, _, _, _ in self._asked}


def identity_of(batches: list[TransactionalBatch]) -> tuple[int, int] | None:
    """Id and epoch of the only producer; None when there are several."""
    found = {(producer_id, epoch) for _, producer_id, epoch, _ in batches}
    return found.pop() if len(found) == 1 else None
