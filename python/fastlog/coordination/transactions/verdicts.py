"""What becomes of a request about a transactional id: pure, from what is in force to a verdict.

| verdict           | what the service does                                                        |
|-------------------|------------------------------------------------------------------------------|
| `Refused`         | answers with the code                                                        |
| `Granted`         | answers with producer id and epoch; nothing is written                       |
| `Change`          | writes the entry, then answers with `answer`                                 |
| `NEEDS_ID`        | has a producer id allocated and asks again with it: epochs are used up       |

Pending comes before producer id and epoch, as in Kafka 4 (KAFKA-18660, KAFKA-18464): who goes on fast with
an epoch that is just being raised waits, and is not fenced. The end of transactions is in `ending`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from fastlog.coordination.transactions.state import (
    IDLE,
    LAST_GIVEN_EPOCH,
    MAX_EPOCH,
    NO_EPOCH,
    NO_PRODUCER_ID,
    NO_TIME,
    PREPARED,
    TopicPartition,
    Transaction,
    TransactionEntry,
    TransactionState,
)
from fastlog.errors import ErrorCode

Identity: TypeAlias = tuple[int, int]
"""Producer id and epoch."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An error code; nothing is written."""

    code: ErrorCode


@dataclass(frozen=True, slots=True)
class Granted:
    """Nothing is to be written: that is the answer."""

    producer_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Change:
    """`entry` is to be written; then `answer` holds."""

    entry: TransactionEntry
    answer: Granted | Refused
    raises_at_once: bool = False
    """Whether the epoch is raised in memory even if the entry cannot be written (`Transaction.abandon`)."""


@dataclass(frozen=True, slots=True)
class NeedsProducerId:
    """There is no epoch left: a new producer id is to be brought."""


NEEDS_ID: Final = NeedsProducerId()
Verdict: TypeAlias = Refused | Granted | Change | NeedsProducerId

FENCED: Final = Refused(ErrorCode.PRODUCER_FENCED)
UNKNOWN: Final = Refused(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
CONCURRENT: Final = Refused(ErrorCode.CONCURRENT_TRANSACTIONS)
WRONG_STATE: Final = Refused(ErrorCode.INVALID_TXN_STATE)


def init_producer_id(
    transaction: Transaction,
    timeout_ms: int,
    identity: Identity | None,
    now_ms: int,
    *,
    level: int = 0,
    spare_id: int | None = None,
) -> Verdict:
    """InitProducerId (KIP-360, KIP-588): a new epoch, so that whoever had the id before is fenced.

    `identity` is what the producer has, if it brings one. `level`: `transaction.version` of the cluster.
    """
    entry = transaction.entry
    if transaction.pending is not None:
        return CONCURRENT
    if identity is not None and not _is_of(entry, identity):
        return FENCED
    if entry.state in PREPARED:
        return CONCURRENT
    if entry.state is TransactionState.ONGOING:
        fence = fenced(transaction, now_ms, level=level, spare_id=spare_id)
        # The client asks again until the abort is complete.
        return replace(fence, answer=CONCURRENT) if isinstance(fence, Change) else fence
    if entry.state not in IDLE:
        return WRONG_STATE
    given = None if identity is None else identity[1]
    # Epochs of the producer id before are no match for those of this one.
    is_current = identity is None or identity == (entry.producer_id, entry.epoch)
    if entry.is_exhausted and is_current:
        if spare_id is None:
            return NEEDS_ID
        last = NO_EPOCH if given is None else entry.epoch
        renewed = _emptied(entry, timeout_ms, 0, last, now_ms)
        return _initialized(replace(renewed, producer_id=spare_id, previous_producer_id=entry.producer_id))
    if is_current or entry.epoch == NO_EPOCH:
        last = NO_EPOCH if given is None else entry.epoch
        return _initialized(_emptied(entry, timeout_ms, entry.epoch + 1, last, now_ms))
    if given == entry.last_epoch and given != NO_EPOCH:
        # The answer to the same question was lost.
        return _initialized(_emptied(entry, timeout_ms, entry.epoch, given, now_ms))
    return FENCED


def add_partitions(
    transaction: Transaction,
    identity: Identity,
    partitions: frozenset[TopicPartition],
    now_ms: int,
    *,
    version: int = 0,
) -> Verdict:
    """AddPartitionsToTxn and AddOffsetsToTxn: the transaction begins with the first partitions.

    `version` is the client's `transaction.version`, as the request tells it.
    """
    entry = transaction.entry
    if transaction.pending is not None:
        return CONCURRENT
    refusal = _refusal(entry, identity)
    if refusal is not None:
        return refusal
    if entry.state is TransactionState.ONGOING:
        if partitions <= entry.partitions:
            return Granted(*identity)
        start_ms = entry.start_ms
    elif entry.state in IDLE:
        start_ms = now_ms
    else:
        return WRONG_STATE
    return Change(
        replace(
            entry,
            state=TransactionState.ONGOING,
            partitions=entry.partitions | partitions,
            start_ms=start_ms,
            last_update_ms=now_ms,
            client_version=version,
        ),
        Granted(*identity),
    )


def verify_partitions(
    transaction: Transaction, identity: Identity, partitions: frozenset[TopicPartition]
) -> Refused | dict[TopicPartition, ErrorCode]:
    """Whether partitions are in the transaction (KIP-890): a code for each.

    It does not wait for what is pending: other partitions may be on their way in (KAFKA-14904).
    """
    refusal = _refusal(transaction.entry, identity)
    if refusal is not None:
        return refusal
    known = transaction.entry.partitions
    return {
        partition: ErrorCode.NONE if partition in known else ErrorCode.TRANSACTION_ABORTABLE
        for partition in partitions
    }


def fenced(
    transaction: Transaction,
    now_ms: int,
    *,
    level: int,
    spare_id: int | None = None,
) -> Change | Refused | NeedsProducerId:
    """The coordinator aborts an open transaction by itself, and keeps its producer out with a raised epoch.

    Under the second protocol it is an end like any other, so that the producer, which aborts in turn or asks
    for the next epoch, goes on, unless another one has the id by then. In the first one it is fenced.
    """
    entry = transaction.entry
    if transaction.pending is not None:
        return CONCURRENT
    if entry.state is not TransactionState.ONGOING:
        return WRONG_STATE
    if max(level, entry.client_version) >= 2:
        return raised(entry, now_ms, commits=False, spare_id=spare_id)
    epoch = entry.epoch if transaction.fence_failed else min(entry.epoch + 1, MAX_EPOCH)
    aborted = replace(
        entry,
        state=TransactionState.PREPARE_ABORT,
        epoch=epoch,
        last_epoch=NO_EPOCH,
        last_update_ms=now_ms,
    )
    return Change(aborted, Granted(entry.producer_id, epoch), raises_at_once=True)


def raised(
    entry: TransactionEntry, now_ms: int, *, commits: bool, spare_id: int | None
) -> Change | NeedsProducerId:
    """The decision in the second protocol: prepared with a raised epoch, which the markers carry.

    At the last epoch the producer id changes as well: with the completion, and in the answer now.
    """
    next_id = NO_PRODUCER_ID
    answer = Granted(entry.producer_id, entry.epoch + 1)
    if entry.is_exhausted:
        if spare_id is None:
            return NEEDS_ID
        next_id, answer = spare_id, Granted(spare_id, 0)
    is_idle = entry.state in IDLE
    prepared = replace(
        entry,
        state=TransactionState.PREPARE_COMMIT if commits else TransactionState.PREPARE_ABORT,
        epoch=min(entry.epoch + 1, MAX_EPOCH),
        last_epoch=entry.epoch,
        next_producer_id=next_id,
        partitions=frozenset() if is_idle else entry.partitions,
        start_ms=now_ms if is_idle else entry.start_ms,
        last_update_ms=now_ms,
        client_version=2,
    )
    return Change(prepared, answer)


def is_timed_out(transaction: Transaction, now_ms: int, seconds: float) -> bool:
    """Whether it has been open for longer than its producer has asked for: by monotonic seconds where these
    tell, so that nothing is aborted because the wall clock was set."""
    entry, since = transaction.entry, transaction.open_since
    if entry.state is not TransactionState.ONGOING or transaction.pending is not None:
        return False
    if since is not None:
        return since + entry.timeout_ms / 1000 < seconds
    return entry.start_ms + entry.timeout_ms < now_ms


def is_expired(transaction: Transaction, now_ms: int, expiration_ms: int) -> bool:
    """Whether the id was not used for so long that it is forgotten."""
    entry = transaction.entry
    return (
        entry.state in IDLE
        and transaction.pending is None
        and not transaction.is_new
        and entry.last_update_ms <= now_ms - expiration_ms
    )


def _is_of(entry: TransactionEntry, identity: Identity) -> bool:
    """Whether a producer that asks for the next epoch is the owner of the id (KIP-360)."""
    producer_id, epoch = identity
    return (
        entry.epoch == NO_EPOCH
        or producer_id == entry.producer_id
        or (producer_id == entry.previous_producer_id and epoch >= LAST_GIVEN_EPOCH)
    )


def _refusal(entry: TransactionEntry, identity: Identity) -> Refused | None:
    producer_id, epoch = identity
    if producer_id != entry.producer_id:
        return UNKNOWN
    if epoch != entry.epoch:
        return FENCED
    return CONCURRENT if entry.state in PREPARED else None


def _emptied(
    entry: TransactionEntry, timeout_ms: int, epoch: int, last_epoch: int, now_ms: int
) -> TransactionEntry:
    return replace(
        entry,
        epoch=epoch,
        last_epoch=last_epoch,
        timeout_ms=timeout_ms,
        state=TransactionState.EMPTY,
        partitions=frozenset(),
        start_ms=NO_TIME,
        last_update_ms=now_ms,
    )


def _initialized(entry: TransactionEntry) -> Change:
    return Change(entry, Granted(entry.producer_id, entry.epoch))
