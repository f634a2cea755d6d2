"""The in-sync set: all sets of a few brokers, and what each event makes of each of them."""

from __future__ import annotations

from itertools import chain, combinations

import pytest

from fastlog.errors import ErrorCode
from fastlog.replication.isr import InSyncSet, Refusal, least_in_sync

BROKERS = (1, 2, 3)
LEADER = 1
MEMBERS = [
    frozenset({LEADER, *others}) for others in chain.from_iterable(combinations((2, 3), n) for n in range(3))
]
CODES = list(ErrorCode)


def changes(state: InSyncSet) -> list[InSyncSet]:
    """All changes that may be asked for."""
    joins = [state.joined(broker) for broker in BROKERS if broker not in state.committed]
    others = sorted(state.committed - {LEADER})
    leaves = [state.without(some) for n in range(1, len(others) + 1) for some in combinations(others, n)]
    return [*joins, *leaves]


def reachable() -> list[InSyncSet]:
    settled = [InSyncSet(members, epoch) for members in MEMBERS for epoch in (4, 5)]
    return [*settled, *(changed for state in settled for changed in changes(state))]


@pytest.mark.parametrize("state", reachable(), ids=str)
def test_every_event_in_every_state(state: InSyncSet) -> None:
    assert state.maximal >= state.committed | state.proposed
    assert state.is_changing is (state.proposed != state.committed)
    for members in MEMBERS:
        for epoch in (3, 4, 5, 6):
            after = state.confirmed(members, epoch)
            assert after == (state if epoch < state.partition_epoch else InSyncSet(members, epoch))
    for code in CODES:
        after, refusal = state.refused(code)
        assert (after.committed, after.partition_epoch) == (state.committed, state.partition_epoch)
        assert after.is_changing is (state.is_changing and refusal is not Refusal.ROLL_BACK)
    if state.is_changing:
        for ask in (lambda: state.joined(9), lambda: state.without({2})):
            with pytest.raises(ValueError, match="cannot"):
                ask()


def test_who_is_in_cannot_join_and_nobody_leaves_who_is_not_in() -> None:
    state = InSyncSet(frozenset({1, 2}))
    for ask in (lambda: state.joined(2), lambda: state.without({3}), lambda: state.without({1, 2})):
        with pytest.raises(ValueError, match="cannot"):
            ask()


@pytest.mark.parametrize(
    ("code", "refusal"),
    [(55, "ROLL_BACK"), (107, "ROLL_BACK")]
    + [(code, "WAIT") for code in (3, 42, 74, 95, 100)]
    + [(code, "RETRY") for code in (-1, 7, 41, 77)],
)
def test_refusals(code: int, refusal: str) -> None:
    assert InSyncSet(frozenset({1})).joined(2).refused(code)[1] is Refusal[refusal]


def test_a_topic_cannot_ask_for_more_than_it_has() -> None:
    assert [least_in_sync(2, replicas) for replicas in (1, 2, 3)] == [1, 2, 2]
