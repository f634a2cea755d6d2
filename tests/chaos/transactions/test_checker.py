"""Each check finds what it is for, and nothing in a history that is as it should be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.transactions.checker import check
from tests.chaos.transactions.history import (
    ABORTED,
    COMMITTED,
    UNKNOWN,
    Transaction,
    TransactionHistory,
    Writer,
    read_history,
)


def sound() -> TransactionHistory:
    """Three transactions: one committed, one aborted, one of which nobody knows."""
    history = TransactionHistory()
    for number, fate in enumerate((COMMITTED, ABORTED, UNKNOWN)):
        sent = [(0, 10 * number), (0, 10 * number + 1), (1, 10 * number + 2)]
        acked = [(0, 3 * number, 10 * number), (0, 3 * number + 1, 10 * number + 1)]
        acked.append((1, 2 * number, 10 * number + 2))
        one = Transaction("p", number, sent, number, acked, fate, "")
        history.transactions["p", number] = one
    kept = (0, 2)
    history.final = [row for number in kept for row in history.transactions["p", number].acked]
    history.readers = {"r": [sorted(history.final)]}
    history.stable["o", 0] += [(0, 0, 3), (0, 6, 8), (1, 8, 9)]
    history.ends = {0: (9, 9), 1: (6, 6)}
    history.positions["p"] += [(1, -1), (1, 0), (1, 2)]
    history.final_positions = {"p": 2}
    return history


def test_nothing_is_wrong() -> None:
    assert check(sound()) == []


def lose(history: TransactionHistory) -> None:
    """The first of two in its partition."""
    _final(history).remove((0, 0, 0))


def lose_the_end(history: TransactionHistory) -> None:
    _final(history)[:] = [row for row in _final(history) if row[0] != 1]


def read_aborted(history: TransactionHistory) -> None:
    _final(history).append((0, 3, 10))


def read_unsent(history: TransactionHistory) -> None:
    _final(history).append((0, 3, 77))


def tear(history: TransactionHistory) -> None:
    _final(history).remove((1, 4, 22))


def double(history: TransactionHistory) -> None:
    _final(history).append((0, 8, 21))


def contradict(history: TransactionHistory) -> None:
    history.readers["s"] = [[(0, 0, 1)]]


def vanish(history: TransactionHistory) -> None:
    history.readers["r"][0].insert(2, (0, 3, 20))


def swap(history: TransactionHistory) -> None:
    _final(history)[:] = [(0, 7, 20) if row[2] == 20 else row for row in _final(history)]
    _final(history)[:] = [(0, 6, 21) if row[2] == 21 else row for row in _final(history)]


def go_back(history: TransactionHistory) -> None:
    history.readers["r"][0].append((0, 1, 1))


def skip(history: TransactionHistory) -> None:
    history.readers["r"][0].remove((0, 1, 1))


def fall(history: TransactionHistory) -> None:
    history.stable["o", 0].append((1, 7, 9))


def hang(history: TransactionHistory) -> None:
    history.ends[0] = 6, 9


def move_aborted(history: TransactionHistory) -> None:
    history.positions["p"].insert(2, (1, 1))


def lose_position(history: TransactionHistory) -> None:
    history.final_positions["p"] = 0


def keep_aborted_position(history: TransactionHistory) -> None:
    history.transactions["p", 2].fate = ABORTED
    _final(history)[:] = [row for row in _final(history) if row[2] < 10]


def move_back(history: TransactionHistory) -> None:
    history.positions["p"].append((1, 0))


def fail(history: TransactionHistory) -> None:
    history.failures.append(("p", "stuck"))


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lose, "lost write"),
        (lose_the_end, "unseen"),
        (read_aborted, "aborted read"),
        (read_unsent, "aborted read"),
        (tear, "torn transaction"),
        (double, "duplicate"),
        (contradict, "inconsistent offset"),
        (vanish, "vanished"),
        (swap, "order"),
        (go_back, "reading"),
        (skip, "reading"),
        (fall, "stability"),
        (hang, "hanging"),
        (move_aborted, "aborted position"),
        (lose_position, "torn transaction"),
        (keep_aborted_position, "aborted position"),
        (move_back, "position"),
        (fail, "failure"),
    ],
)
def test_what_is_wrong_is_found(spoil: Callable[[TransactionHistory], None], kind: str) -> None:
    history = copy.deepcopy(sound())
    spoil(history)
    assert kind in {line.partition(":")[0] for line in check(history)}


def test_what_leaders_of_the_past_say_does_not_count() -> None:
    history = sound()
    history.stable["o", 0].append((0, 3, 3))
    assert check(history) == []


def test_histories_are_read_back(tmp_path: Path) -> None:
    with Writer(tmp_path / "p.jsonl") as writer:
        writer.write("txn", number=3, records=[[0, 7]], position=None)
        writer.records("acked", [(0, 5, 7)], number=3)
        writer.records("acked", [], number=3)
        writer.write("ended", number=3, fate=COMMITTED, why="so")
        writer.write("txn", number=4, records=[[0, 8]], position=4)
        writer.write("position", group="p", node=1, offset=4)
        writer.write("stable", partition=0, epoch=2, stable=5, end=6)
        writer.write("failed", error="no")
        writer.write("begun")
        writer.records("read", [(0, 5, 7)])
    history = read_history([tmp_path / "p.jsonl"])
    assert history.transactions["p", 3] == Transaction("p", 3, [(0, 7)], None, [(0, 5, 7)], COMMITTED, "so")
    assert history.fates == {COMMITTED: 1, UNKNOWN: 1}
    assert history.positions == {"p": [(1, 4)]}
    assert history.stable == {("p", 0): [(2, 5, 6)]}
    assert history.failures == [("p", "no")]
    assert history.readers == {"p": [[(0, 5, 7)]]}


def _final(history: TransactionHistory) -> list[tuple[int, int, int]]:
    assert history.final is not None
    return history.final
