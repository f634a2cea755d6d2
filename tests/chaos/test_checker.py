"""The checker passes a clean history, and finds each violation that is planted into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.checker import Truth, check
from tests.chaos.history import Assigned, Commit, Handled, History, read_history


def clean() -> tuple[History, Truth]:
    """Two members share two partitions; the second one dies, and the first one takes over."""
    history = History(
        assigned=[
            Assigned("a", 10, 1, "a-1", (0,)),
            Assigned("a", 100, 2, "a-1", (0, 1)),
            Assigned("b", 11, 1, "b-1", (1,)),
        ],
        handled=[
            Handled("a", 20, ((0, 0, 100), (0, 1, 102))),
            Handled("a", 120, ((0, 2, 104), (1, 1, 103))),
            Handled("b", 21, ((1, 0, 101),)),
            Handled("b", 40, ((1, 1, 103),)),
        ],
        commits=[
            Commit("a", 22, 25, 1, {0: 2}, None),
            Commit("a", 121, 130, 2, {0: 3, 1: 2}, None),
            Commit("b", 22, 26, 1, {1: 1}, None),
            Commit("b", 110, 111, 1, {1: 2}, "ILLEGAL_GENERATION"),
        ],
    )
    records = {(0, 0): 100, (1, 0): 101, (0, 1): 102, (1, 1): 103, (0, 2): 104}
    truth = Truth(
        records=records,
        acknowledged={key: value for key, value in records.items() if value != 104},
        stored_commits=[(0, 2), (1, 1), (0, 3), (1, 2)],
        stored_generations=[1, 2],
        end_offsets={0: 3, 1: 2},
        committed={0: 3, 1: 2},
    )
    return history, truth


def test_a_clean_history_passes() -> None:
    assert check(*clean()) == []


def nobody_handles_a_record(history: History, truth: Truth) -> None:
    history.handled[1] = Handled("a", 120, ((1, 1, 103),))


def a_record_is_not_in_the_log(history: History, truth: Truth) -> None:
    truth.acknowledged = {**truth.acknowledged, (1, 9): 999}


def another_record_is_in_its_place(history: History, truth: Truth) -> None:
    history.handled[0] = Handled("a", 20, ((0, 0, 7), (0, 1, 102)))


def a_partition_has_two_owners(history: History, truth: Truth) -> None:
    history.assigned[0] = replace(history.assigned[0], partitions=(0, 1))


def a_generation_falls(history: History, truth: Truth) -> None:
    history.assigned.append(Assigned("a", 140, 1, "a-2", ()))


def a_stored_generation_falls(history: History, truth: Truth) -> None:
    truth.stored_generations = [1, 2, 1]


def a_stored_commit_goes_back(history: History, truth: Truth) -> None:
    truth.stored_commits = [*truth.stored_commits, (1, 1)]


def an_answered_commit_goes_back(history: History, truth: Truth) -> None:
    history.commits.append(Commit("a", 131, 140, 2, {0: 2}, None))


def a_commit_of_the_past_is_accepted(history: History, truth: Truth) -> None:
    history.commits[3] = replace(history.commits[3], error=None)


def an_owner_resumes_too_early(history: History, truth: Truth) -> None:
    history.handled[1] = Handled("a", 120, ((0, 2, 104), (1, 0, 101), (1, 1, 103)))


def something_is_not_committed(history: History, truth: Truth) -> None:
    truth.committed = {0: 3, 1: 1}


def nothing_is_committed(history: History, truth: Truth) -> None:
    truth.committed = {0: 3}


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (nobody_handles_a_record, "unhandled: (0, 2)"),
        (a_record_is_not_in_the_log, "lost write: 999"),
        (another_record_is_in_its_place, "wrong value: (0, 0)"),
        (a_partition_has_two_owners, "two owners: partition 1 in generation 1"),
        (a_generation_falls, "generation falls: a had 2, then 1"),
        (a_stored_generation_falls, "stored generation falls"),
        (a_stored_commit_goes_back, "partition 1 from 2 to 1 in the topic"),
        (an_answered_commit_goes_back, "partition 0 from 3 to 2 by a"),
        (a_commit_of_the_past_is_accepted, "late commit: b"),
        (an_owner_resumes_too_early, "resumed before the commit: a began partition 1"),
        (something_is_not_committed, "lag: partition 1"),
        (nothing_is_committed, "lag: partition 1"),
    ],
)
def test_a_planted_violation_is_found(plant: Callable[[History, Truth], None], words: str) -> None:
    history, truth = clean()
    plant(history, truth)
    assert [finding for finding in check(history, truth) if words in finding]


def test_overlapping_commits_are_in_no_order() -> None:
    """A commit that began before another one was answered may come after it."""
    history, truth = clean()
    history.commits.append(Commit("a", 129, 140, 2, {0: 2}, None))
    assert check(history, truth) == []


def test_events_are_read_back_without_a_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "java-1.jsonl"
    path.write_text(
        '{"e": "assigned", "t": 1, "generation": 4, "member": "m", "partitions": [3]}\n'
        '{"e": "handled", "t": 2, "records": [[3, 0, 17]]}\n'
        '{"e": "commit", "began": 3, "t": 4, "generation": 4, "offsets": {"3": 1}, "error": null}\n'
        '{"e": "trouble", "t": 5, "error": "lost"}\n'
        '{"e": "handled", "t": 6, "rec'
    )
    history = read_history([path])
    assert history.assigned == [Assigned("java-1", 1, 4, "m", (3,))]
    assert history.handled == [Handled("java-1", 2, ((3, 0, 17),))]
    assert history.commits == [Commit("java-1", 3, 4, 4, {3: 1}, None)]
    assert history.troubles == ["java-1: lost"]
