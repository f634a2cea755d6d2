"""A run by hand: `python -m tests.chaos [--short] [--seconds N] [--seed N] [--broken GUARD]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.chaos.broken_broker import GUARDS, command
from tests.chaos.churn import FULL, SHORT, Churn, report


def main() -> int:
    """Runs, prints counts and violations; 0 when there are none and every fault has taken effect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few members, half a minute")
    parser.add_argument("--seconds", type=float, help="how long members and broker come and go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--broken", choices=sorted(GUARDS), help="take this guard out of the broker")
    parser.add_argument("--directory", type=Path, help="keep all files there")
    given = parser.parse_args()
    plan = SHORT if given.short else FULL
    plan = replace(plan, seconds=given.seconds or plan.seconds, seed=given.seed)
    with tempfile.TemporaryDirectory(prefix="fastlog-churn-") as scratch:
        run = Churn(given.directory or Path(scratch), plan, command(given.broken) if given.broken else None)
        outcome = run.run()
    print(report(outcome))
    missing = outcome.missing_effects(plan)
    if missing:
        print(f"without effect: {', '.join(missing)}")
    return 1 if outcome.violations or missing else 0


if __name__ == "__main__":
    sys.exit(main())
