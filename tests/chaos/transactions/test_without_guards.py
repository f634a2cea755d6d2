"""Runs of processes whose brokers lack a guard: the checker sees it, within a minute.

`test_guards` has the same in one process, where each course of events is written down.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.transactions.__main__ import run_of
from tests.chaos.transactions.guards import GUARDS, OF_CLUSTERS
from tests.chaos.transactions.single import report
from tests.chaos.transactions.test_guards import HARM

pytestmark = [pytest.mark.whole, pytest.mark.timeout(600)]
_SECONDS = 40
_ENDLESS = "failure"
"""Without some guards transactions do not end: then clients are stuck."""


@pytest.mark.parametrize("guard", GUARDS)
def test_a_run_sees_that_a_guard_is_gone(guard: str, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}, histories in {tmp_path}")
    outcome = run_of(tmp_path, seed, cluster=guard in OF_CLUSTERS, without=guard).run(_SECONDS)
    print(report(outcome))
    kinds = {line.partition(":")[0] for line in outcome.violations}
    assert kinds & {*HARM, _ENDLESS}, kinds
