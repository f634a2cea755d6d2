"""A check that has never failed may be unable to: without its guard each course of events is seen to do harm.

The same courses are harmless with all guards.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.transactions.checker import check
from tests.chaos.transactions.course import SETTINGS, Course, HeldBroker
from tests.chaos.transactions.guards import GUARDS
from tests.chaos.transactions.scripts import SCRIPTS, Script

HARM = {
    *("lost write", "unseen", "aborted read", "torn transaction", "duplicate"),
    *("vanished", "hanging", "aborted position"),
}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeldBroker]:
    broker = HeldBroker(tmp_path_factory.mktemp("broker"), SETTINGS)
    broker.start()
    yield broker
    broker.close()


@pytest.fixture
def course(running: HeldBroker) -> Iterator[Course]:
    course = Course(running, f"course-{next(_numbers)}")
    yield course
    course.close()


def test_each_guard_has_a_script() -> None:
    assert SCRIPTS.keys() == GUARDS.keys()


@pytest.mark.parametrize("script", dict.fromkeys(SCRIPTS.values()), ids=lambda script: script.__name__)
def test_with_all_guards_nothing_happens(course: Course, script: Script, tmp_path: Path) -> None:
    assert check(script(course, tmp_path)) == []


@pytest.mark.parametrize("guard", GUARDS)
def test_the_checker_sees_that_a_guard_is_gone(
    course: Course, guard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    GUARDS[guard](monkeypatch.setattr)
    found = check(SCRIPTS[guard](course, tmp_path))
    assert {line.partition(":")[0] for line in found} & HARM, found
