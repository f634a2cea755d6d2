"""The end of a transaction, as a producer asks for it: EndTxn in both protocols. Pure, as in `verdicts`.

In the first protocol (EndTxn 0 to 4) the epoch stays as it is. In the second one (5, KIP-890) it is raised by
each end, so that nothing of the former transaction can be taken for the next one. What an idle producer gets
there, by the epoch that it brings (e: the one that is stored):

|                | abort, e-1             | abort, e | commit, e-1            | commit, e         |
|----------------|------------------------|----------|------------------------|-------------------|
| Empty          | PRODUCER_FENCED        | raised   | PRODUCER_FENCED        | INVALID_TXN_STATE |
| CompleteAbort  | granted: a lost answer | raised   | PRODUCER_FENCED        | INVALID_TXN_STATE |
| CompleteCommit | INVALID_TXN_STATE      | raised   | granted: a lost answer | INVALID_TXN_STATE |

Raised: an abort of nothing is written, only for the epoch. A commit that meets an abort by time-out is
PRODUCER_FENCED, as in Kafka since KAFKA-20785: INVALID_TXN_STATE would end Kafka Streams for good.
"""

from __future__ import annotations

from dataclasses import replace

from fastlog.coordination.transactions.state import (
    COMPLETED,
    EPOCH_BUMP_VERSION,
    LAST_GIVEN_EPOCH,
    NO_PRODUCER_ID,
    PREPARED,
    Transaction,
    TransactionEntry,
    TransactionState,
)
from fastlog.coordination.transactions.verdicts import (
    CONCURRENT,
    FENCED,
    UNKNOWN,
    WRONG_STATE,
    Change,
    Granted,
    Identity,
    Verdict,
    raised,
)

_COMMITS = (TransactionState.PREPARE_COMMIT, TransactionState.COMPLETE_COMMIT)


def end(transaction: Transaction, identity: Identity, now_ms: int, *, commits: bool) -> Verdict:
    """EndTxn of versions 0 to 4."""
    entry = transaction.entry
    producer_id, epoch = identity
    if producer_id != entry.producer_id:
        return UNKNOWN
    if epoch != entry.epoch:
        return FENCED
    if transaction.pending is not None:
        return CONCURRENT
    if entry.state is TransactionState.ONGOING:
        state = TransactionState.PREPARE_COMMIT if commits else TransactionState.PREPARE_ABORT
        prepared = replace(entry, state=state, last_update_ms=now_ms, client_version=0)
        return Change(prepared, Granted(*identity))
    if entry.state in COMPLETED:
        return Granted(*identity) if _is_same(entry, commits) else WRONG_STATE
    if entry.state in PREPARED:
        return CONCURRENT if _is_same(entry, commits) else WRONG_STATE
    return WRONG_STATE


def end_raising(
    transaction: Transaction, identity: Identity, now_ms: int, *, commits: bool, spare_id: int | None = None
) -> Verdict:
    """EndTxn of version 5: the answer has the identity for the next transaction."""
    entry = transaction.entry
    producer_id, epoch = identity
    if transaction.pending is not None:
        # First: the producer may have its next id already, which is not in force yet.
        return CONCURRENT
    renewed = _asks_for_renewed(entry, identity)
    if producer_id != entry.producer_id and not renewed:
        return UNKNOWN
    is_again = renewed or (0 <= epoch == entry.epoch - 1)
    if entry.state in PREPARED:
        if not is_again:
            return FENCED
        return CONCURRENT if _is_same(entry, commits) else WRONG_STATE
    if entry.state in COMPLETED and is_again:
        if _is_same(entry, commits):
            return Granted(entry.producer_id, entry.epoch)
        return FENCED if commits else WRONG_STATE
    if epoch != entry.epoch:
        return FENCED
    if commits and entry.state is not TransactionState.ONGOING:
        return WRONG_STATE
    if entry.state in (TransactionState.ONGOING, TransactionState.EMPTY) or entry.state in COMPLETED:
        return raised(entry, now_ms, commits=commits, spare_id=spare_id)
    return WRONG_STATE


def _is_same(entry: TransactionEntry, commits: bool) -> bool:
    return (entry.state in _COMMITS) == commits


def _asks_for_renewed(entry: TransactionEntry, identity: Identity) -> bool:
    """Whether a producer asks again whose end has changed the producer id."""
    return (
        entry.state in COMPLETED
        and entry.previous_producer_id != NO_PRODUCER_ID
        # Nothing has come since then: an end of the first protocol would have left the epoch as it is.
        and entry.client_version >= EPOCH_BUMP_VERSION
        and identity == (entry.previous_producer_id, LAST_GIVEN_EPOCH)
        and entry.epoch == 0
    )
