"""`fastlog-broker` without one of its guards: `python -m tests.cluster.guards.broker GUARD ...`."""

from __future__ import annotations

import sys

from fastlog.cli.broker.main import main
from tests.cluster.guards.removals import GUARDS


def command(guard: str) -> list[str]:
    """The command line, to which the broker's own arguments are added."""
    return [sys.executable, "-m", "tests.cluster.guards.broker", guard]


if __name__ == "__main__":
    GUARDS[sys.argv.pop(1)](setattr)
    main()
