"""Short runs as part of every test run: `python -m tests.chaos.transactions` is the long one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.transactions.cluster import ClusterRun
from tests.chaos.transactions.load import Clients
from tests.chaos.transactions.single import SingleRun, report

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_one_broker_that_is_killed(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}, histories in {tmp_path}")
    outcome = SingleRun(tmp_path, seed, clients=Clients(2, 2, 1), every=(0.5, 2)).run(12)
    print(report(outcome))
    assert outcome.violations == []
    assert outcome.missing(("broker", "frame")) == []
    assert outcome.history.fates["committed"] > 0


def test_three_brokers_whose_leaders_are_killed(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}, histories in {tmp_path}")
    outcome = ClusterRun(tmp_path, seed, clients=Clients(2, 2, 0, partitions=3)).run(10)
    print(report(outcome))
    assert outcome.violations == []
    assert outcome.missing(("frame",)) == []
    assert outcome.history.fates["committed"] > 0
