"""Offsets of transactions: which of them count when the marker comes."""

from __future__ import annotations

import random

import pytest

from fastlog.coordination.groups.committed_offsets import CommittedOffset, TopicPartition
from fastlog.coordination.groups.pending_offsets import PendingOffsets
from fastlog.coordination.groups.weight import most_commit_weight

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


def test_what_was_overtaken_stays_so_in_a_group_of_the_same_name() -> None:
    former, pending = PendingOffsets(), PendingOffsets()
    commit(former, 1, p0=5, p1=6)
    former.overtake([A])
    pending.inherit(former)
    assert pending.partitions() == {A, B}
    assert pending.settle(1, commits=True) == {B: at(6)}


@pytest.mark.parametrize("weight", [None, 5000])
def test_they_weigh_what_is_there(weight: int | None) -> None:
    pending = PendingOffsets()
    first = {A: at(5), B: CommittedOffset(6, -1, "text", 0)}
    pending.begin(first)
    assert pending.weight == 0
    pending.end(first, 1, first, weight)
    assert pending.weight == (weight or most_commit_weight(first))
    again = {B: at(7), ("t", 2): at(8)}
    pending.begin(again)
    pending.end(again, 1, again, weight)
    # What replaces another weighs what is new of it. All of it is weighed when much of it is new.
    assert pending.weight == most_commit_weight(first) + most_commit_weight({A: at(0)}) - 4
    pending.drop([B])
    pending.drop([("t", 9)])
    commit(pending, 2, p0=9)
    pending.settle(2, commits=True)
    pending.settle(1, commits=True)
    assert (pending.weight, bool(pending)) == (0, False)


class Model:
    """The rules said once more: a list of records in the order of the log, looked through each time."""

    def __init__(self) -> None:
        self.log: list[tuple[str, int, dict[TopicPartition, int]]] = []
        self.committed: dict[TopicPartition, int] = {}
        self.counting: dict[TopicPartition, int] = {}
        """The place of the record that counts."""

    def open(self, producer: int) -> dict[TopicPartition, tuple[int, int]]:
        found: dict[TopicPartition, tuple[int, int]] = {}
        for place, (kind, who, offsets) in enumerate(self.log):
            if kind == "pending" and who == producer:
                found.update({key: (offset, place) for key, offset in offsets.items()})
            elif kind == "end" and who == producer:
                found.clear()
            elif kind == "drop":
                for key in offsets:
                    found.pop(key, None)
        return found

    def count(self, offsets: dict[TopicPartition, tuple[int, int]]) -> None:
        for key, (offset, place) in offsets.items():
            if place > self.counting.get(key, -1):
                self.committed[key], self.counting[key] = offset, place


@pytest.mark.parametrize("seed", range(30))
def test_it_is_as_if_the_log_was_looked_through_each_time(seed: int) -> None:
    draw = random.Random(seed)
    pending, model = PendingOffsets(), Model()
    committed: dict[TopicPartition, int] = {}
    for step in range(120):
        some = {("t", number): step for number in draw.sample(range(6), draw.randint(1, 4))}
        producer = draw.randrange(3)
        kind = draw.choice(["pending", "pending", "pending", "plain", "drop", "commit", "abort"])
        offsets = {key: at(offset) for key, offset in some.items()}
        if kind == "pending":
            pending.begin(offsets)
            pending.end(offsets, producer, offsets, most_commit_weight(offsets))
            model.log.append(("pending", producer, some))
        elif kind == "plain":
            committed.update(some)
            pending.overtake(some)
            model.log.append(("plain", -1, some))
            model.count({key: (offset, len(model.log) - 1) for key, offset in some.items()})
        elif kind == "drop":
            for key in some:
                committed.pop(key, None)
                model.committed.pop(key, None)
            pending.drop(some)
            model.log.append(("drop", -1, some))
        else:
            settled = pending.settle(producer, commits=kind == "commit")
            committed.update({key: found.offset for key, found in settled.items()})
            if kind == "commit":
                model.count(model.open(producer))
            model.log.append(("end", producer, {}))
        assert committed == model.committed, (step, kind)
        unstable = {key for who in range(3) for key in model.open(who)}
        assert pending.partitions() == unstable
        some_keys = [("t", number) for number in range(0, 9, 2)]
        assert pending.among(some_keys) == unstable & {*some_keys}
        assert bool(pending) == bool(unstable)
        assert pending.weight == sum(
            most_commit_weight({key: at(0) for key in model.open(who)}) for who in range(3)
        )
