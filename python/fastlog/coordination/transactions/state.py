"""The state of one transactional id (Kafka's `TransactionMetadata`): what is stored, what may follow.

    Empty -> Ongoing -> PrepareCommit -> CompleteCommit
               |             (either Complete* -> Empty, Ongoing)
               +------> PrepareAbort  -> CompleteAbort

`TransactionEntry` is what the log has; it never changes, another one takes its place. `Transaction` holds the
one in force, and the state that is being written (`pending`): from `begin` on until `complete` or `abandon`
nobody else may change it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from types import MappingProxyType
from typing import Final, TypeAlias

TopicPartition: TypeAlias = tuple[str, int]

NO_PRODUCER_ID: Final = -1
NO_EPOCH: Final = -1
NO_TIME: Final = -1
MAX_EPOCH: Final = 32767
LAST_GIVEN_EPOCH: Final = MAX_EPOCH - 1
"""The highest epoch that a producer is given: the one above it is left for fencing it."""
EPOCH_BUMP_VERSION: Final = 2
"""`transaction.version` from which on each end of a transaction raises the epoch (KIP-890, TV2)."""


class TransactionState(IntEnum):
    """By their numbers in the log; the last two are never written."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5
    DEAD = 6
    PREPARE_EPOCH_FENCE = 7

    @property
    def label(self) -> str:
        """As DescribeTransactions and ListTransactions name it: `PrepareCommit`."""
        return self.name.title().replace("_", "")


_S: Final = TransactionState
PREPARED: Final = frozenset({_S.PREPARE_COMMIT, _S.PREPARE_ABORT})
"""Decided; the markers are under way."""
COMPLETED: Final = frozenset({_S.COMPLETE_COMMIT, _S.COMPLETE_ABORT})
IDLE: Final = COMPLETED | {_S.EMPTY}
"""No transaction is open."""

VALID_PREDECESSORS: Final = MappingProxyType(
    {
        _S.EMPTY: IDLE,
        _S.ONGOING: IDLE | {_S.ONGOING},
        _S.PREPARE_COMMIT: frozenset({_S.ONGOING}),
        # Idle ones: the second protocol aborts what has never begun, to have the epoch raised.
        _S.PREPARE_ABORT: IDLE | {_S.ONGOING, _S.PREPARE_EPOCH_FENCE},
        _S.COMPLETE_COMMIT: frozenset({_S.PREPARE_COMMIT}),
        _S.COMPLETE_ABORT: frozenset({_S.PREPARE_ABORT}),
        _S.DEAD: IDLE,
        _S.PREPARE_EPOCH_FENCE: frozenset({_S.ONGOING}),
    }
)


def by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    """Partitions by their topics, in order; quicker than to sort the pairs, of which there may be many."""
    topics: dict[str, list[int]] = {}
    for topic, number in partitions:
        found = topics.get(topic)
        if found is None:
            topics[topic] = [number]
        else:
            found.append(number)
    return {topic: sorted(topics[topic]) for topic in sorted(topics)}


class IllegalTransition(Exception):
    """A defect: a state that cannot follow the one in force."""


@dataclass(frozen=True, slots=True)
class TransactionEntry:
    """What `__transaction_state` has of one id. Times are ms since 1970."""

    producer_id: int
    epoch: int = NO_EPOCH
    timeout_ms: int = 0
    state: TransactionState = TransactionState.EMPTY
    partitions: frozenset[TopicPartition] = frozenset()
    last_update_ms: int = NO_TIME
    start_ms: int = NO_TIME
    last_epoch: int = NO_EPOCH
    """The epoch before the last raise that its owner asked for; in the log as far as the state tells it."""
    previous_producer_id: int = NO_PRODUCER_ID
    """The producer id before the last change of it."""
    next_producer_id: int = NO_PRODUCER_ID
    """Of one that is prepared: the producer id after it; the epoch is used up."""
    client_version: int = 0
    """`transaction.version` of the client that has it open: 0, or 2 with an epoch for each transaction."""

    @property
    def is_exhausted(self) -> bool:
        """Whether the producer id has no epoch left that could be given."""
        return self.epoch >= LAST_GIVEN_EPOCH

    def completed(self, now_ms: int) -> TransactionEntry:
        """What follows on a prepared one when all markers are written."""
        commits = self.state is TransactionState.PREPARE_COMMIT
        done = replace(
            self,
            state=TransactionState.COMPLETE_COMMIT if commits else TransactionState.COMPLETE_ABORT,
            partitions=frozenset(),
            last_update_ms=now_ms,
        )
        if self.next_producer_id == NO_PRODUCER_ID:
            return done
        return replace(
            done,
            producer_id=self.next_producer_id,
            epoch=0,
            previous_producer_id=self.producer_id,
            next_producer_id=NO_PRODUCER_ID,
        )


class Transaction:
    """The one of a transactional id, in the partition of `__transaction_state` that has it."""

    __slots__ = (
        "_waiting",
        "entry",
        "fence_failed",
        "open_since",
        "partition",
        "pending",
        "transactional_id",
    )

    def __init__(self, transactional_id: str, partition: int, entry: TransactionEntry) -> None:
        self.transactional_id: Final = transactional_id
        self.partition: Final = partition
        self.entry = entry
        self.pending: TransactionState | None = None
        self.fence_failed = False
        """The epoch in force was raised for a fence that could not be written (KAFKA-9666)."""
        self.open_since: float | None = None
        """Monotonic seconds when the open transaction has begun; None while only the log's time is known."""
        self._waiting: list[Callable[[], None]] | None = None

    def opened(self, now_ms: int, seconds: float) -> None:
        """An open one was found in the log, at this wall time and these monotonic seconds."""
        if self.entry.state is TransactionState.ONGOING:
            self.open_since = seconds - max(0, now_ms - self.entry.start_ms) / 1000

    def wait(self, until_settled: Callable[[], None]) -> None:
        """Something is pending: whoever waits is called once when nothing is (`take_waiting`)."""
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(until_settled)

    def wait_no_more(self, until_settled: Callable[[], None]) -> None:
        """Harmless when it does not wait."""
        if self._waiting is not None and until_settled in self._waiting:
            self._waiting.remove(until_settled)

    def take_waiting(self) -> Iterable[Callable[[], None]]:
        """Those who are to be called now."""
        if self._waiting is None or self.pending is not None:
            return ()
        waiting, self._waiting = self._waiting, None
        return waiting

    @property
    def is_new(self) -> bool:
        """Whether nothing of it was written yet."""
        return self.entry.epoch == NO_EPOCH

    def begin(self, state: TransactionState) -> None:
        """A record that brings it into this state is about to be written. Raises IllegalTransition."""
        if self.pending is not None:
            raise IllegalTransition(
                f"{self.transactional_id}: {state.label} while {self.pending.label} is pending"
            )
        if self.entry.state not in VALID_PREDECESSORS[state]:
            raise IllegalTransition(f"{self.transactional_id}: {self.entry.state.label} to {state.label}")
        self.pending = state

    def complete(self, entry: TransactionEntry, seconds: float | None = None) -> None:
        """That record is in the log: it is in force, from these monotonic seconds on. Raises
        IllegalTransition for another one."""
        if self.pending is not entry.state:
            raise IllegalTransition(f"{self.transactional_id}: {entry.state.label} is not pending")
        if entry.state is not self.entry.state:
            self.open_since = seconds
        self.entry, self.pending, self.fence_failed = entry, None, False

    def abandon(self, fenced: TransactionEntry | None = None) -> None:
        """It is not, as far as is known.

        `fenced` is what was to be written if it would have raised the epoch to keep a producer out: the log
        may have it after all, so the epoch stays raised, and is not raised again by the next try.
        """
        self.pending = None
        if fenced is not None:
            self.entry = replace(self.entry, epoch=fenced.epoch, last_epoch=NO_EPOCH)
            self.fence_failed = True
