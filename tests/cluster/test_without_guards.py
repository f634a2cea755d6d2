"""A check that has never failed may be unable to: without its guard each course of events is seen to lose.

The same courses are harmless with all guards. Nothing here needs a JVM.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.cluster.checker import check
from tests.cluster.guards.removals import GUARDS
from tests.cluster.guards.scripts import SCRIPTS, Script
from tests.cluster.guards.stage import Stage

pytestmark = pytest.mark.timeout(180)
_LOSSES = {"lost write", "unseen", "vanished", "aborted read"}
_topics = (f"topic-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


def test_each_guard_has_a_script() -> None:
    assert SCRIPTS.keys() == GUARDS.keys()


@pytest.mark.parametrize("script", dict.fromkeys(SCRIPTS.values()), ids=lambda script: script.__name__)
def test_with_all_guards_nothing_is_lost(stage: Stage, script: Script) -> None:
    assert check(script(stage, next(_topics))) == []


@pytest.mark.parametrize("guard", GUARDS)
def test_the_checker_sees_that_a_guard_is_gone(
    stage: Stage, guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    GUARDS[guard](monkeypatch.setattr)
    found = check(SCRIPTS[guard](stage, next(_topics)))
    kinds = {line.partition(":")[0] for line in found}
    assert kinds & _LOSSES, found
