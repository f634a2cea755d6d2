"""What becomes of requests about one transactional id, state by state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fastlog.coordination.transactions.ending import end, end_raising
from fastlog.coordination.transactions.state import (
    MAX_EPOCH,
    NO_EPOCH,
    PREPARED,
    VALID_PREDECESSORS,
    IllegalTransition,
    Transaction,
    TransactionEntry,
    TransactionState,
)
from fastlog.coordination.transactions.verdicts import (
    NEEDS_ID,
    Change,
    Granted,
    Refused,
    add_partitions,
    fenced,
    init_producer_id,
    is_expired,
    is_timed_out,
    verify_partitions,
)
from fastlog.errors import ErrorCode

S = TransactionState
E = ErrorCode
PID, SPARE, NOW = 7, 99, 50_000
A, B = ("a", 0), ("b", 1)
EXHAUSTED = MAX_EPOCH - 1


def transaction(
    state: TransactionState = S.EMPTY, epoch: int = 5, pending: TransactionState | None = None, **how: Any
) -> Transaction:
    """An id with producer 7; an open or prepared one has partition a-0."""
    is_open = state in PREPARED or state is S.ONGOING
    entry = TransactionEntry(
        PID, epoch, 1000, state, frozenset({A}) if is_open else frozenset(), 1, 1, last_epoch=NO_EPOCH
    )
    made = Transaction("t", 0, replace(entry, **how))
    made.pending = pending
    return made


def outcome(verdict: object) -> object:
    """A code, a granted identity, or what is written as (state, producer id, epoch, last epoch)."""
    if isinstance(verdict, Refused):
        return verdict.code
    if isinstance(verdict, Granted):
        return verdict.producer_id, verdict.epoch
    if isinstance(verdict, Change):
        entry = verdict.entry
        return entry.state, entry.producer_id, entry.epoch, entry.last_epoch
    return verdict


def init(of: Transaction, identity: tuple[int, int] | None = None, **how: Any) -> object:
    return outcome(init_producer_id(of, 2000, identity, NOW, **how))


IDLE_STATES = (S.EMPTY, S.COMPLETE_COMMIT, S.COMPLETE_ABORT)


@pytest.mark.parametrize("state", IDLE_STATES)
def test_init_of_an_idle_id(state: TransactionState) -> None:
    assert init(transaction(state)) == (S.EMPTY, PID, 6, NO_EPOCH)
    assert init(transaction(state), (PID, 5)) == (S.EMPTY, PID, 6, 5)
    # The answer to the last one was lost.
    assert init(transaction(state, 6, last_epoch=5), (PID, 5)) == (S.EMPTY, PID, 6, 5)
    assert init(transaction(state), (PID, 4)) is E.PRODUCER_FENCED
    assert init(transaction(state), (PID, 6)) is E.PRODUCER_FENCED
    assert init(transaction(state), (8, 5)) is E.PRODUCER_FENCED
    # Nothing of it is in the log: whatever the producer says, it is the first.
    assert init(transaction(S.EMPTY, NO_EPOCH), (8, 5)) == (S.EMPTY, PID, 0, NO_EPOCH)


@pytest.mark.parametrize("state", IDLE_STATES)
def test_init_with_the_last_epoch_takes_a_new_producer_id(state: TransactionState) -> None:
    used_up = transaction(state, EXHAUSTED)
    assert init(used_up) is NEEDS_ID
    assert init(used_up, spare_id=SPARE) == (S.EMPTY, SPARE, 0, NO_EPOCH)
    assert init(used_up, (PID, EXHAUSTED), spare_id=SPARE) == (S.EMPTY, SPARE, 0, EXHAUSTED)
    assert init(used_up, (PID, EXHAUSTED - 1)) is E.PRODUCER_FENCED
    # A lost answer at the end of the epochs: Kafka throws.
    again = transaction(state, EXHAUSTED, last_epoch=EXHAUSTED - 1)
    assert init(again, (PID, EXHAUSTED - 1)) == (S.EMPTY, PID, EXHAUSTED, EXHAUSTED - 1)
    # A lost answer about the new producer id.
    renewed = transaction(state, 0, producer_id=SPARE, previous_producer_id=PID, last_epoch=EXHAUSTED)
    assert init(renewed, (PID, EXHAUSTED)) == (S.EMPTY, SPARE, 0, EXHAUSTED)
    assert init(renewed, (PID, EXHAUSTED - 1)) is E.PRODUCER_FENCED


def test_init_writes_what_was_asked_for() -> None:
    change = init_producer_id(transaction(S.COMPLETE_COMMIT), 2000, None, NOW)
    assert isinstance(change, Change)
    assert change.entry == TransactionEntry(PID, 6, 2000, S.EMPTY, frozenset(), NOW, -1)
    assert change.answer == Granted(PID, 6)


def test_init_of_an_open_one_fences_and_has_the_client_come_again() -> None:
    change = init_producer_id(transaction(S.ONGOING), 2000, None, NOW)
    assert isinstance(change, Change)
    assert change.entry == TransactionEntry(PID, 6, 1000, S.PREPARE_ABORT, frozenset({A}), NOW, 1)
    assert change.answer == Refused(E.CONCURRENT_TRANSACTIONS)
    assert init(transaction(S.ONGOING), (PID, 4)) == (S.PREPARE_ABORT, PID, 6, NO_EPOCH)
    assert init(transaction(S.ONGOING), (8, 5)) is E.PRODUCER_FENCED
    for state in PREPARED:
        assert init(transaction(state)) is E.CONCURRENT_TRANSACTIONS
        assert init(transaction(state), (8, 5)) is E.PRODUCER_FENCED
    assert init(transaction(pending=S.EMPTY), (8, 5)) is E.CONCURRENT_TRANSACTIONS


def test_a_fence_that_was_not_written_is_not_raised_twice() -> None:
    of = transaction(S.ONGOING)
    for _ in range(3):
        change = fenced(of, NOW, level=0)
        assert isinstance(change, Change)
        assert change.entry.epoch == 6
        of.begin(change.entry.state)
        of.abandon(change.entry if change.raises_at_once else None)
        assert (of.entry.epoch, of.entry.state, of.pending) == (6, S.ONGOING, None)
        # The producer is kept out meanwhile: the log may have the abort.
        assert outcome(end(of, (PID, 5), NOW, commits=True)) is E.PRODUCER_FENCED
    of.begin(S.PREPARE_ABORT)
    of.complete(change.entry)
    assert not of.fence_failed


def test_a_fence_of_the_second_protocol_is_raised_by_the_abort_alone() -> None:
    of = transaction(S.ONGOING, client_version=2)
    change = fenced(of, NOW, level=0)
    assert isinstance(change, Change)
    assert outcome(change) == (S.PREPARE_ABORT, PID, 6, 5)
    of.begin(change.entry.state)
    of.abandon(change.entry if change.raises_at_once else None)
    assert of.entry.epoch == 5
    of.begin(change.entry.state)
    of.complete(change.entry)
    of.begin(S.COMPLETE_ABORT)
    of.complete(of.entry.completed(NOW))
    # The client aborts as well, and goes on; a commit finds itself fenced (KAFKA-20785).
    assert outcome(end_raising(of, (PID, 5), NOW, commits=False)) == (PID, 6)
    assert outcome(end_raising(of, (PID, 5), NOW, commits=True)) is E.PRODUCER_FENCED


def test_a_time_out_at_the_last_epoch_does_not_overflow() -> None:
    of = transaction(S.ONGOING, EXHAUSTED, client_version=2)
    assert fenced(of, NOW, level=2) is NEEDS_ID
    change = fenced(of, NOW, level=2, spare_id=SPARE)
    assert isinstance(change, Change)
    assert outcome(change) == (S.PREPARE_ABORT, PID, MAX_EPOCH, EXHAUSTED)
    done = change.entry.completed(NOW)
    assert (done.producer_id, done.epoch, done.previous_producer_id) == (SPARE, 0, PID)
    late = transaction()
    late.entry = done
    assert outcome(end_raising(late, (PID, EXHAUSTED), NOW, commits=False)) == (SPARE, 0)
    plain = fenced(transaction(S.ONGOING, EXHAUSTED), NOW, level=0)
    assert outcome(plain) == (S.PREPARE_ABORT, PID, MAX_EPOCH, NO_EPOCH)
    assert init(transaction(S.COMPLETE_ABORT, MAX_EPOCH), spare_id=SPARE) == (S.EMPTY, SPARE, 0, NO_EPOCH)


def test_add_partitions() -> None:
    def add(of: Transaction, identity: tuple[int, int] = (PID, 5), *parts: tuple[str, int]) -> object:
        return outcome(add_partitions(of, identity, frozenset(parts or (A,)), NOW))

    for state in IDLE_STATES:
        assert add(transaction(state)) == (S.ONGOING, PID, 5, NO_EPOCH)
        assert add(transaction(state), (8, 5)) is E.INVALID_PRODUCER_ID_MAPPING
        assert add(transaction(state), (PID, 4)) is E.PRODUCER_FENCED
        # The next epoch is being written: whoever has it already waits (KAFKA-18660).
        assert add(transaction(state, pending=S.EMPTY), (8, 4)) is E.CONCURRENT_TRANSACTIONS
    for state in PREPARED:
        assert add(transaction(state)) is E.CONCURRENT_TRANSACTIONS
        assert add(transaction(state), (PID, 4)) is E.PRODUCER_FENCED
    assert add(transaction(S.ONGOING)) == (PID, 5)
    assert add(transaction(S.ONGOING), (PID, 5), A, B) == (S.ONGOING, PID, 5, NO_EPOCH)
    begun = add_partitions(transaction(S.COMPLETE_COMMIT), (PID, 5), frozenset({B}), NOW, version=2)
    assert isinstance(begun, Change)
    assert (begun.entry.start_ms, begun.entry.last_update_ms, begun.entry.client_version) == (NOW, NOW, 2)
    grown = add_partitions(transaction(S.ONGOING), (PID, 5), frozenset({B}), NOW)
    assert isinstance(grown, Change)
    assert (grown.entry.start_ms, grown.entry.partitions) == (1, {A, B})


def test_verification_waits_for_nothing() -> None:
    both = frozenset({A, B})
    open_one = transaction(S.ONGOING, pending=S.ONGOING)
    assert verify_partitions(open_one, (PID, 5), both) == {A: E.NONE, B: E.TRANSACTION_ABORTABLE}
    assert verify_partitions(transaction(), (PID, 5), both) == dict.fromkeys(both, E.TRANSACTION_ABORTABLE)
    for state in PREPARED:
        assert verify_partitions(transaction(state), (PID, 5), both) == Refused(E.CONCURRENT_TRANSACTIONS)
    assert verify_partitions(open_one, (8, 5), both) == Refused(E.INVALID_PRODUCER_ID_MAPPING)
    assert verify_partitions(open_one, (PID, 4), both) == Refused(E.PRODUCER_FENCED)


def test_end_in_the_first_protocol() -> None:
    def ended(of: Transaction, commits: bool, identity: tuple[int, int] = (PID, 5)) -> object:
        return outcome(end(of, identity, NOW, commits=commits))

    assert ended(transaction(S.ONGOING), True) == (S.PREPARE_COMMIT, PID, 5, NO_EPOCH)
    assert ended(transaction(S.ONGOING), False) == (S.PREPARE_ABORT, PID, 5, NO_EPOCH)
    assert ended(transaction(S.ONGOING), True, (8, 5)) is E.INVALID_PRODUCER_ID_MAPPING
    assert ended(transaction(S.ONGOING), True, (PID, 4)) is E.PRODUCER_FENCED
    assert ended(transaction(S.ONGOING, pending=S.ONGOING), True) is E.CONCURRENT_TRANSACTIONS
    for commits in (True, False):
        assert ended(transaction(S.EMPTY), commits) is E.INVALID_TXN_STATE
    for state, commits in ((S.COMPLETE_COMMIT, True), (S.COMPLETE_ABORT, False)):
        assert ended(transaction(state), commits) == (PID, 5)
        assert ended(transaction(state), not commits) is E.INVALID_TXN_STATE
    for state, commits in ((S.PREPARE_COMMIT, True), (S.PREPARE_ABORT, False)):
        assert ended(transaction(state), commits) is E.CONCURRENT_TRANSACTIONS
        assert ended(transaction(state), not commits) is E.INVALID_TXN_STATE


RAISED = (S.PREPARE_ABORT, PID, 6, 5)
ENDINGS = [
    # state, abort e-1, abort e, commit e-1, commit e
    (S.EMPTY, E.PRODUCER_FENCED, RAISED, E.PRODUCER_FENCED, E.INVALID_TXN_STATE),
    (S.COMPLETE_ABORT, (PID, 5), RAISED, E.PRODUCER_FENCED, E.INVALID_TXN_STATE),
    (S.COMPLETE_COMMIT, E.INVALID_TXN_STATE, RAISED, (PID, 5), E.INVALID_TXN_STATE),
    (S.ONGOING, E.PRODUCER_FENCED, RAISED, E.PRODUCER_FENCED, (S.PREPARE_COMMIT, PID, 6, 5)),
    (S.PREPARE_ABORT, E.CONCURRENT_TRANSACTIONS, E.PRODUCER_FENCED, E.INVALID_TXN_STATE, E.PRODUCER_FENCED),
    (S.PREPARE_COMMIT, E.INVALID_TXN_STATE, E.PRODUCER_FENCED, E.CONCURRENT_TRANSACTIONS, E.PRODUCER_FENCED),
]


@pytest.mark.parametrize("row", ENDINGS, ids=lambda row: row[0].label)
def test_end_in_the_second_protocol(row: tuple[Any, ...]) -> None:
    state, *expected = row
    asked = [(False, 4), (False, 5), (True, 4), (True, 5)]
    for (commits, epoch), answer in zip(asked, expected, strict=True):
        found = end_raising(transaction(state), (PID, epoch), NOW, commits=commits)
        assert outcome(found) == answer, (commits, epoch)
        for wrong in (3, 6, -1):
            assert (
                outcome(end_raising(transaction(state), (PID, wrong), NOW, commits=commits))
                is E.PRODUCER_FENCED
            )
        foreign = end_raising(transaction(state), (8, epoch), NOW, commits=commits)
        assert outcome(foreign) is E.INVALID_PRODUCER_ID_MAPPING
        held = end_raising(transaction(state, pending=S.ONGOING), (8, 3), NOW, commits=commits)
        assert outcome(held) is E.CONCURRENT_TRANSACTIONS


@pytest.mark.parametrize("commits", [True, False])
def test_nobody_is_no_producer_of_before(commits: bool) -> None:
    """An id that has had one producer id alone: -1 with the last epoch does not ask for the next one."""
    for state in (S.COMPLETE_COMMIT, S.COMPLETE_ABORT):
        verdict = end_raising(transaction(state, 0), (-1, EXHAUSTED), NOW, commits=commits, spare_id=SPARE)
        assert outcome(verdict) is E.INVALID_PRODUCER_ID_MAPPING


def test_an_end_that_comes_late_is_not_given_the_identity_of_the_transactions_since_then() -> None:
    """The producer id has changed, and the owner has gone on in the first protocol, with the same epoch."""
    late = PID, EXHAUSTED
    for version, expected in ((2, (SPARE, 0)), (0, E.INVALID_PRODUCER_ID_MAPPING)):
        done = transaction(
            S.COMPLETE_COMMIT, 0, producer_id=SPARE, previous_producer_id=PID, client_version=version
        )
        assert outcome(end_raising(done, late, NOW, commits=True)) == expected


def test_the_last_epoch_of_the_producer_id_before_is_not_that_of_this_one() -> None:
    """Who has slept since then must not fence the owner of the id (KIP-360)."""
    now = transaction(S.EMPTY, EXHAUSTED, previous_producer_id=3)
    assert init(now, (3, EXHAUSTED), spare_id=SPARE) is E.PRODUCER_FENCED
    assert init(now, (PID, EXHAUSTED), spare_id=SPARE) == (S.EMPTY, SPARE, 0, EXHAUSTED)
    # As long as nothing has come after the change it is a lost answer.
    changed = transaction(S.COMPLETE_COMMIT, 0, previous_producer_id=3, last_epoch=EXHAUSTED)
    assert init(changed, (3, EXHAUSTED)) == (S.EMPTY, PID, 0, EXHAUSTED)


def test_an_epoch_of_minus_one_is_no_lost_answer() -> None:
    of = transaction(S.COMPLETE_COMMIT, 0)
    assert outcome(end_raising(of, (PID, -1), NOW, commits=True)) is E.PRODUCER_FENCED


def test_an_abort_of_nothing_has_no_partitions() -> None:
    change = end_raising(transaction(S.COMPLETE_COMMIT), (PID, 5), NOW, commits=False)
    assert isinstance(change, Change)
    assert (change.entry.partitions, change.entry.start_ms, change.entry.client_version) == (set(), NOW, 2)
    assert change.answer == Granted(PID, 6)


def test_the_end_with_the_last_epoch_gives_the_next_producer_id() -> None:
    of = transaction(S.ONGOING, EXHAUSTED)
    assert end_raising(of, (PID, EXHAUSTED), NOW, commits=True) is NEEDS_ID
    change = end_raising(of, (PID, EXHAUSTED), NOW, commits=True, spare_id=SPARE)
    assert isinstance(change, Change)
    assert change.answer == Granted(SPARE, 0)
    assert outcome(change) == (S.PREPARE_COMMIT, PID, MAX_EPOCH, EXHAUSTED)
    assert change.entry.next_producer_id == SPARE
    of.begin(change.entry.state)
    of.complete(change.entry)
    of.begin(S.COMPLETE_COMMIT)
    # Who goes on with the next producer id before it is in force waits.
    held = end_raising(of, (SPARE, 0), NOW, commits=False)
    assert outcome(held) is E.CONCURRENT_TRANSACTIONS
    of.complete(of.entry.completed(NOW))
    assert (of.entry.producer_id, of.entry.epoch, of.entry.next_producer_id) == (SPARE, 0, -1)
    # The answer was lost.
    assert outcome(end_raising(of, (PID, EXHAUSTED), NOW, commits=True)) == (SPARE, 0)
    assert outcome(end_raising(of, (PID, EXHAUSTED), NOW, commits=False)) is E.INVALID_TXN_STATE
    assert outcome(end_raising(of, (PID, MAX_EPOCH), NOW, commits=True)) is E.INVALID_PRODUCER_ID_MAPPING
    assert outcome(end_raising(of, (SPARE, 0), NOW, commits=False)) == (S.PREPARE_ABORT, SPARE, 1, 0)


def test_time_outs_and_expiry() -> None:
    of = transaction(S.ONGOING, start_ms=1000, timeout_ms=500)
    assert [is_timed_out(of, now, 0.0) for now in (1500, 1501)] == [False, True]
    # It is known how long it has been open: the wall clock may say what it likes.
    of.opened(1200, 50.0)
    assert of.open_since == 49.8
    assert [is_timed_out(of, 10**9, now) for now in (50.2, 50.4)] == [False, True]
    of.opened(10, 50.0)
    assert [is_timed_out(of, 10, now) for now in (50.4, 50.6)] == [False, True]
    of.pending = S.ONGOING
    assert not is_timed_out(of, 9999, 9999.0)
    assert not is_timed_out(transaction(S.PREPARE_ABORT), 10**9, 10.0**9)


def test_since_when_it_is_open() -> None:
    of = transaction(S.EMPTY)
    for seconds, state, since in ((5.0, S.ONGOING, 5.0), (7.0, S.ONGOING, 5.0), (9.0, S.PREPARE_ABORT, 9.0)):
        of.begin(state)
        of.complete(replace(of.entry, state=state), seconds)
        assert of.open_since == since
    idle = transaction(S.COMPLETE_COMMIT)
    idle.opened(10**9, 50.0)
    assert idle.open_since is None
    for state in IDLE_STATES:
        idle = transaction(state, last_update_ms=1000)
        assert [is_expired(idle, now, 500) for now in (1499, 1500)] == [False, True]
        assert not is_expired(transaction(state, pending=S.EMPTY), 10**9, 500)
    assert not is_expired(transaction(S.ONGOING), 10**9, 500)
    assert not is_expired(transaction(S.EMPTY, NO_EPOCH), 10**9, 500)


def test_only_valid_predecessors() -> None:
    for to, befores in VALID_PREDECESSORS.items():
        for state in TransactionState:
            of = transaction()
            of.entry = replace(of.entry, state=state)
            if state in befores:
                of.begin(to)
                assert of.pending is to
                with pytest.raises(IllegalTransition):
                    of.begin(to)
            else:
                with pytest.raises(IllegalTransition):
                    of.begin(to)
    of = transaction(S.ONGOING)
    with pytest.raises(IllegalTransition):
        of.complete(of.entry)
