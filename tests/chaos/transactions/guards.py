"""What a broker is like without one of the guards of transactions: what a careless change might make of it.

`python -m tests.chaos.transactions.guards GUARD ...` is a broker without one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from fastlog.cli.broker.main import main
from fastlog.coordination.groups.transactional_commits import TransactionalCommits
from fastlog.coordination.transactions import ending, leadership, verdicts
from fastlog.coordination.transactions.changes import Changes
from fastlog.coordination.transactions.state import PREPARED, Transaction, TransactionEntry
from fastlog.coordination.transactions.verdicts import Change, Granted, Identity, NeedsProducerId, Verdict
from fastlog.errors import ErrorCode
from fastlog.native.shapes import AppendTransaction
from fastlog.replication.partition import Partition
from fastlog.server.fetch import rows
from fastlog.server.produce import markers
from fastlog.server.produce.verification import Verification
from tests.chaos.transactions.ambush import (
    FORMER_MARKER,
    LATE_ANSWER,
    LATE_END,
    LATE_MARKER,
    LATE_RECORD,
)

Patch = Callable[[Any, str, object], object]
"""As `setattr`."""
_LATE_SECONDS = 3.0


def verification(patch: Patch) -> None:
    """Transactional batches are appended without a question (KAFKA-14402)."""

    def never(self: Verification, batch: Any) -> None:
        """The row has no guard."""

    patch(Verification, "begin", never)


def guard(patch: Patch) -> None:
    """What the coordinator said before a marker counts after it (KAFKA-14884)."""
    ask = Verification.ask

    async def ask_and_begin(self: Verification, identity: tuple[int, int]) -> None:
        await ask(self, identity)
        for batch in [*self._asked]:
            self.begin(batch)

    patch(Verification, "ask", ask_and_begin)


def marker_epoch(patch: Patch) -> None:
    """A marker with the known epoch ends what is open, also in the second protocol (KAFKA-19446)."""
    content_of = markers.content_of

    def of_first_protocol(marker: Any) -> AppendTransaction:
        producer_id, epoch, how = content_of(marker)
        assert isinstance(how, tuple)
        return producer_id, epoch, (how[0], how[1], 0)

    patch(markers, "content_of", of_first_protocol)


def coordinator_epoch(patch: Patch) -> None:
    """Markers of any coordinator are taken."""
    content_of = markers.content_of

    def of_one_epoch(marker: Any) -> AppendTransaction:
        producer_id, epoch, how = content_of(marker)
        assert isinstance(how, tuple)
        return producer_id, epoch, (how[0], 0, how[2])

    patch(markers, "content_of", of_one_epoch)


def producer_epoch(patch: Patch) -> None:
    """Who takes a transactional id over gets the epoch that there is."""
    emptied = verdicts._emptied

    def with_the_same(
        entry: TransactionEntry, timeout_ms: int, epoch: int, last_epoch: int, now_ms: int
    ) -> TransactionEntry:
        return emptied(entry, timeout_ms, max(entry.epoch, 0), last_epoch, now_ms)

    patch(verdicts, "_emptied", with_the_same)


def end_epoch(patch: Patch) -> None:
    """EndTxn does not look at the epoch."""
    end = ending.end

    def of_anybody(transaction: Transaction, identity: Identity, now_ms: int, *, commits: bool) -> Verdict:
        return end(transaction, (identity[0], transaction.entry.epoch), now_ms, commits=commits)

    patch(ending, "end", of_anybody)


def raised_epoch(patch: Patch) -> None:
    """An end in the second protocol leaves the epoch as it is: as in the first one."""
    raised = ending.raised

    def unraised(entry: TransactionEntry, *arguments: Any, **named: Any) -> Change | NeedsProducerId:
        change = raised(entry, *arguments, **named)
        if isinstance(change, NeedsProducerId):
            return change
        prepared = replace(change.entry, epoch=entry.epoch, client_version=0)
        return Change(prepared, Granted(entry.producer_id, entry.epoch))

    patch(ending, "raised", unraised)


def stable_offset(patch: Patch) -> None:
    """`read_committed` consumers read up to the high watermark."""
    patch(Partition, "last_stable_offset", lambda self: self.high_watermark)


def aborted_list(patch: Patch) -> None:
    """Nobody is told what was aborted."""
    add_found = rows._add_found

    def as_uncommitted(result: Any, *arguments: Any) -> int:
        count = len(result.rows)
        code = add_found(result, *arguments)
        for index in range(count, len(result.rows)):
            row = result.rows[index]
            result.rows[index] = (*row[:9], False, *row[10:])
        return code

    patch(rows, "_add_found", as_uncommitted)


def pending_offsets(patch: Patch) -> None:
    """Positions of a transaction count at once."""
    note = TransactionalCommits.note

    def and_settle(self: TransactionalCommits, partition: int, producer_id: int, group_id: str) -> None:
        note(self, partition, producer_id, group_id)
        self._settle(partition, producer_id, commits=True)

    patch(TransactionalCommits, "note", and_settle)


def durable_decision(patch: Patch) -> None:
    """EndTxn is answered, and the decision written some time later."""
    begin, write = Changes.begin, Changes._write

    def answered(
        self: Changes,
        place: Any,
        transaction: Transaction,
        change: Change,
        then: Callable[[ErrorCode], None],
    ) -> None:
        if change.entry.state not in PREPARED:
            begin(self, place, transaction, change, then)
            return
        begin(self, place, transaction, change, lambda _: None)
        then(ErrorCode.NONE)

    def written(
        self: Changes,
        place: Any,
        transaction: Transaction,
        entry: TransactionEntry,
        then: Callable[[ErrorCode], None],
    ) -> None:
        if entry.state not in PREPARED:
            write(self, place, transaction, entry, then)
            return
        loop = asyncio.get_running_loop()
        loop.call_later(_LATE_SECONDS, write, self, place, transaction, entry, then)

    patch(Changes, "begin", answered)
    patch(Changes, "_write", written)


def markers_of_the_past(patch: Patch) -> None:
    """Who takes a partition of the coordinators over leaves to their fate those that were decided."""
    patch(leadership, "PREPARED", frozenset())


GUARDS: dict[str, Callable[[Patch], None]] = {
    "verification": verification,
    "guard": guard,
    "marker epoch": marker_epoch,
    "coordinator epoch": coordinator_epoch,
    "producer epoch": producer_epoch,
    "end epoch": end_epoch,
    "raised epoch": raised_epoch,
    "stable offset": stable_offset,
    "aborted list": aborted_list,
    "pending offsets": pending_offsets,
    "durable decision": durable_decision,
    "markers of the past": markers_of_the_past,
}
"""By name."""

LATE: Final = {
    "verification": LATE_RECORD,
    "guard": LATE_ANSWER,
    "marker epoch": LATE_MARKER,
    "coordinator epoch": FORMER_MARKER,
    "end epoch": LATE_END,
    "raised epoch": LATE_END,
}
"""What these are for: frames that are late (`ambush`)."""
OF_CLUSTERS: Final = frozenset({"guard", "marker epoch", "coordinator epoch"})
"""Those that one broker does not need: nothing comes late that it tells, or asks, itself."""


def command(guard: str) -> list[str]:
    """The command line of a broker without it, to which the broker's own arguments are added."""
    return [sys.executable, "-m", "tests.chaos.transactions.guards", guard]


if __name__ == "__main__":
    GUARDS[sys.argv.pop(1)](setattr)
    main()
