"""A short run as part of every test run; `FASTLOG_CHAOS=full` makes it the long one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.churn import FULL, SHORT, Churn, report


@pytest.mark.java
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_group_survives_churn(tmp_path: Path) -> None:
    plan = FULL if os.environ.get("FASTLOG_CHAOS") == "full" else SHORT
    outcome = Churn(tmp_path, plan).run()
    print(report(outcome))
    assert outcome.violations == [], report(outcome)
    assert outcome.missing_effects(plan) == [], report(outcome)
