"""Three minutes of what `make chaos` does for thirty: moves drawn by a seed, then a look at all."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.chaos import Run, report

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(900)]
_SECONDS: Final = 180.0
_FEWEST_MOVES: Final = 5
"""Kills, freezes and lost sessions of a cluster that goes on after each of them take some ten seconds."""


def test_nothing_acknowledged_is_lost_whatever_happens(tmp_path: Path) -> None:
    """`FASTLOG_CLUSTER_SEED` has a course repeated; histories are kept beside the test's files."""
    seed = int(os.environ.get("FASTLOG_CLUSTER_SEED") or random.SystemRandom().randrange(10**6))
    print(f"seed {seed}, histories in {tmp_path}")
    outcome = Run(tmp_path, ("fastlog",) * 3, "ensemble", seed).run(_SECONDS)
    told = report(outcome)
    print(told)
    assert not outcome.violations, f"seed {seed}\n{told}"
    assert outcome.moves.total() >= _FEWEST_MOVES, told
    assert len(outcome.history.final or ()) > 0
