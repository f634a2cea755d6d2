"""Offsets of transactions: which of them count when the marker comes."""

from __future__ import annotations

from fastlog.coordination.groups.committed_offsets import CommittedOffset
from fastlog.coordination.groups.pending_offsets import PendingOffsets

A, B = ("t", 0), ("t", 1)


def at(offset: int) -> CommittedOffset:
    return CommittedOffset(offset, -1, "", 0)


def commit(pending: PendingOffsets, producer_id: int, **offsets: int) -> None:
    commits = {("t", int(name[1:])): at(offset) for name, offset in offsets.items()}
    pending.begin(commits)
    pending.end(commits, producer_id, commits)


def test_a_commit_counts_all_that_nothing_has_overtaken() -> None:
    pending = PendingOffsets()
    commit(pending, 1, p0=5, p1=6)
    assert pending.settle(1, commits=True) == {A: at(5), B: at(6)}
    assert not pending
    commit(pending, 1, p0=7)
    assert pending.settle(1, commits=False) == {}


def test_what_was_overtaken_before_it_was_loaded_does_not_count() -> None:
    pending = PendingOffsets()
    pending.restore(1, {A: (at(5), -1), B: (at(6), 2)})
    assert pending.settle(1, commits=True) == {B: at(6)}


def test_a_plain_commit_behind_the_record_stays() -> None:
    pending = PendingOffsets()
    commit(pending, 1, p0=5, p1=6)
    pending.overtake([A])
    assert pending.settle(1, commits=True) == {B: at(6)}


def test_of_two_transactions_the_record_that_is_last_stays_whoever_commits_first() -> None:
    pending = PendingOffsets()
    commit(pending, 1, p0=5, p1=6)
    commit(pending, 2, p0=7)
    assert pending.settle(2, commits=True) == {A: at(7)}
    assert pending.settle(1, commits=True) == {B: at(6)}
