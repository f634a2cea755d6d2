"""Produce with a transactional id: which rows may be appended, and with which guards.

A row whose transaction is open in its log goes on at once, with guard 0: the log looks again when it appends.
Of the others the coordinator of the id is asked, while the event loop goes on; from version 12 on it takes
the partitions into the transaction itself (KIP-890 part 2). Below that
`transaction.partition.verification.enable` may turn it off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastlog.coordination.transactions import gate
from fastlog.errors import ErrorCode
from fastlog.native import FastlogNativeError

if TYPE_CHECKING:
    from fastlog.coordination.transactions.state import TopicPartition
    from fastlog.native import ProducePlan
    from fastlog.native.shapes import TransactionalBatch
    from fastlog.replication.appender import Append
    from fastlog.server.requests.context import BrokerServices

ADDS_FROM: Final = 12
_AT_ONCE: Final = 256


class Verification:
    """The transactional rows of one request. `guards` are filled as it goes on."""

    __slots__ = ("_adds", "_append", "_asked", "_broker", "_id", "_plan", "guards")

    def __init__(
        self, broker: BrokerServices, append: Append, plan: ProducePlan, transactional_id: str
    ) -> None:
        self._broker = broker
        self._append = append
        self._plan = plan
        self._id = transactional_id
        self._adds = plan.version >= ADDS_FROM
        self._asked: list[TransactionalBatch] = []
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

    async def ask(self, identity: tuple[int, int]) -> None:
        """Has the coordinator decide about the rows, and refuses those that it does not know."""
        transactions = self._broker.transactions
        if transactions is None:
            raise RuntimeError("there are no transactions")
        parts = await transactions.get()
        rows, turns = self._plan.rows, self._broker.turns
        codes = await gate.ask(
            parts.verifier,
            self._id,
            identity,
            self._begin_again,
            adds=self._adds,
            patience=gate.Patience.of(self._broker.config),
            refusals=parts.refusals,
        )
        for number, (row, _, _, _) in enumerate(self._asked, start=1):
            topic, partition, _ = rows[row]
            code = codes.get((topic, partition), ErrorCode.UNKNOWN_SERVER_ERROR)
            if code is not ErrorCode.NONE:
                self._append.refuse(row, gate.producer_code(code, self._plan.version, adds=self._adds))
            if not number % _AT_ONCE and turns.over():
                await turns.wait()

    def _begin_again(self) -> frozenset[TopicPartition]:
        batches, self._asked = self._asked, []
        for batch in batches:
            self.begin(batch)
        rows = self._plan.rows
        return frozenset((rows[row][0], rows[row][1]) for row, _, _, _ in self._asked)


def identity_of(batches: list[TransactionalBatch]) -> tuple[int, int] | None:
    """Id and epoch of the only producer; None when there are several."""
    found = {(producer_id, epoch) for _, producer_id, epoch, _ in batches}
    return found.pop() if len(found) == 1 else None
