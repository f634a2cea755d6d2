"""What a history of a group must show, whatever happened to members and broker. Pure: data in, findings out.

| check            | what it finds                                                                       |
|------------------|-------------------------------------------------------------------------------------|
| `lost_records`   | a record in the log that nobody handled, or one acknowledged that is not in the log |
| `double_owners`  | one partition with two members in one generation                                    |
| `generations`    | a member, or the group as it is stored, whose generation falls                      |
| `commits_back`   | committed offsets that fall: in the groups' topic, and in the answers               |
| `late_commits`   | a commit of a past generation that was accepted                                     |
| `resumed_before` | a new owner that starts below what had been committed                               |
| `lag`            | records that are not committed when all is over                                     |
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.history import Assigned, Commit, History

Position = tuple[int, int]
"""Partition and offset."""


@dataclass(slots=True)
class Truth:
    """What the broker itself has at the end, and what it acknowledged to the producer."""

    records: Mapping[Position, int] = field(default_factory=dict)
    acknowledged: Mapping[Position, int] = field(default_factory=dict)
    stored_commits: Sequence[Position] = ()
    """All offset records of the group in `__consumer_offsets`, in the order of the log."""
    stored_generations: Sequence[int] = ()
    """The generation of each record of the group's metadata, in the order of the log."""
    end_offsets: Mapping[int, int] = field(default_factory=dict)
    committed: Mapping[int, int] = field(default_factory=dict)


def check(history: History, truth: Truth) -> list[str]:
    """Everything that is wrong, in words; nothing is wrong when the list is empty."""
    return [
        *lost_records(history, truth),
        *double_owners(history.assigned),
        *generations(history.assigned, truth.stored_generations),
        *commits_back(history.commits, truth.stored_commits),
        *late_commits(history),
        *resumed_before(history),
        *lag(truth),
    ]


def lost_records(history: History, truth: Truth) -> list[str]:
    """At least once: all that is in the log was handled, all that was acknowledged is in the log."""
    handled = {(row[0], row[1]): row[2] for event in history.handled for row in event.records}
    found = [
        f"lost write: {value} was acknowledged at {where}, the log has {truth.records.get(where)}"
        for where, value in truth.acknowledged.items()
        if truth.records.get(where) != value
    ]
    found += [
        f"unhandled: {where} ({truth.records[where]})" for where in truth.records if where not in handled
    ]
    return found + [
        f"wrong value: {where} was handled as {value}, the log has {truth.records.get(where)}"
        for where, value in handled.items()
        if truth.records.get(where) != value
    ]


def double_owners(assigned: Iterable[Assigned]) -> list[str]:
    """One owner for each partition in each generation."""
    owners: dict[Position, str] = {}
    found = []
    for event in assigned:
        if event.generation is None:
            continue
        for partition in event.partitions:
            owner = owners.setdefault((event.generation, partition), event.member)
            if owner != event.member:
                found.append(
                    f"two owners: partition {partition} in generation {event.generation}: "
                    f"{owner} and {event.member} ({event.process})"
                )
    return found


def generations(assigned: Iterable[Assigned], stored: Sequence[int]) -> list[str]:
    """Generations rise, for each process and in what is stored."""
    found = []
    last: dict[str, int] = {}
    for event in assigned:
        if event.generation is None:
            continue
        before = last.get(event.process, 0)
        if event.generation < before:
            found.append(f"generation falls: {event.process} had {before}, then {event.generation}")
        last[event.process] = event.generation
    found += [
        f"stored generation falls: {before}, then {after}"
        for before, after in itertools.pairwise(stored)
        if after < before
    ]
    return found


def commits_back(commits: Iterable[Commit], stored: Sequence[Position]) -> list[str]:
    """Per partition no commit is below one that was there before it."""
    found = []
    highest: dict[int, int] = {}
    for partition, offset in stored:
        before = highest.get(partition, 0)
        if offset < before:
            found.append(f"commit goes back: partition {partition} from {before} to {offset} in the topic")
        highest[partition] = max(before, offset)
    done = _Floors(commits)
    for commit in commits:
        if commit.error is None:
            for partition, offset in commit.offsets.items():
                floor = done.at(partition, commit.began)
                if offset < floor:
                    found.append(
                        f"commit goes back: partition {partition} from {floor} to {offset} "
                        f"by {commit.process}"
                    )
    return found


def late_commits(history: History) -> list[str]:
    """Once somebody has an assignment of a generation, no commit of an earlier one is accepted."""
    began = sorted(
        (event.time, event.generation) for event in history.assigned if event.generation is not None
    )
    times = [time for time, _ in began]
    newest: list[int] = []
    for _, generation in began:
        newest.append(max(generation, newest[-1] if newest else generation))
    found = []
    for commit in history.commits:
        if commit.error is not None or commit.generation is None:
            continue
        index = bisect.bisect_left(times, commit.began)
        if index and newest[index - 1] > commit.generation:
            found.append(
                f"late commit: {commit.process} committed {commit.offsets} in generation "
                f"{commit.generation} when {newest[index - 1]} had begun"
            )
    return found


def resumed_before(history: History) -> list[str]:
    """What a member handles first of a partition it was given is not below what was committed by then."""
    done = _Floors(history.commits)
    handled: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for event in history.handled:
        handled[event.process].extend((event.time, row[0], row[1]) for row in event.records)
    turns: dict[str, list[Assigned]] = defaultdict(list)
    for assignment in history.assigned:
        turns[assignment.process].append(assignment)
    found = []
    for process, assignments in turns.items():
        rows, position = handled[process], 0
        for number, turn in enumerate(assignments):
            until = assignments[number + 1].time if number + 1 < len(assignments) else None
            seen: set[int] = set()
            while position < len(rows) and rows[position][0] < turn.time:
                position += 1
            while position < len(rows) and (until is None or rows[position][0] < until):
                _, partition, offset = rows[position]
                position += 1
                if partition in seen:
                    continue
                seen.add(partition)
                floor = done.at(partition, turn.time)
                if offset < floor:
                    found.append(
                        f"resumed before the commit: {process} began partition {partition} in generation "
                        f"{turn.generation} at {offset}, {floor} had been committed"
                    )
    return found


def lag(truth: Truth) -> list[str]:
    """In the end everything is committed."""
    return [
        f"lag: partition {partition} is committed to {truth.committed.get(partition)} of {end}"
        for partition, end in truth.end_offsets.items()
        if truth.committed.get(partition, 0) != end
    ]


class _Floors:
    """The highest offset of each partition whose commit had been answered by some time."""

    def __init__(self, commits: Iterable[Commit]) -> None:
        rows: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for commit in commits:
            if commit.error is None:
                for partition, offset in commit.offsets.items():
                    rows[partition].append((commit.ended, offset))
        self._times: dict[int, list[int]] = {}
        self._highest: dict[int, list[int]] = {}
        for partition, answers in rows.items():
            answers.sort()
            self._times[partition] = [time for time, _ in answers]
            highest = 0
            self._highest[partition] = [highest := max(highest, offset) for _, offset in answers]

    def at(self, partition: int, time: int) -> int:
        """What was committed by `time`, 0 for nothing."""
        index = bisect.bisect_left(self._times.get(partition, []), time)
        return self._highest[partition][index - 1] if index else 0
