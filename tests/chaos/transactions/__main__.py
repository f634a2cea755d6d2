"""A run by hand: `python -m tests.chaos.transactions [--minutes N] [--seed N] [--cluster]`, and more."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.chaos.transactions.cluster import EFFECTS as EFFECTS_OF_CLUSTER
from tests.chaos.transactions.cluster import ClusterRun
from tests.chaos.transactions.guards import GUARDS, LATE, OF_CLUSTERS, command
from tests.chaos.transactions.load import Clients
from tests.chaos.transactions.single import EFFECTS, SingleRun, report
from tests.chaos.transactions.wire import GIVE_UP_SECONDS
from tests.cluster.cluster import Place

_PATIENCE_WITHOUT: Final = 30.0
"""Without a guard something may never happen, and that is what is to be seen."""


def run_of(
    directory: Path, seed: int, *, cluster: bool, place: Place = "keeper", without: str | None = None
) -> ClusterRun | SingleRun:
    """One broker, or three; `without` a guard."""
    broken, patience, clients = None, GIVE_UP_SECONDS, Clients(partitions=6 if cluster else 4)
    if without is not None:
        broken, patience = command(without), _PATIENCE_WITHOUT
        if without in LATE:
            clients = replace(clients, ambushed=0.5, kinds=(LATE[without],))
    if cluster:
        return ClusterRun(directory, seed, place=place, clients=clients, command=broken, patience=patience)
    return SingleRun(directory, seed, clients=clients, command=broken, patience=patience)


def main() -> int:
    """Runs, prints counts and violations; 0 when there are none and every fault has taken effect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="what happens, and in which order")
    parser.add_argument("--cluster", action="store_true", help="three brokers on a fastlog-keeper")
    parser.add_argument("--place", choices=("keeper", "server", "ensemble"), default="keeper")
    parser.add_argument("--directory", type=Path, help="keep all files there, and not only histories")
    parser.add_argument("--without", choices=GUARDS, help="brokers lack this guard: it must be seen")
    given = parser.parse_args()
    if given.without in OF_CLUSTERS and not given.cluster:
        parser.error(f"one broker needs no {given.without!r}: nothing shows without --cluster")
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    directory = given.directory or Path(tempfile.mkdtemp(prefix="fastlog-transactions-"))
    print(f"seed {seed}, histories in {directory / 'histories'}", flush=True)
    run = run_of(directory, seed, cluster=given.cluster, place=given.place, without=given.without)
    outcome = run.run(given.minutes * 60)
    print(report(outcome))
    missing = outcome.missing(EFFECTS_OF_CLUSTER if given.cluster else EFFECTS)
    if missing:
        print(f"without effect: {', '.join(missing)}")
    if not outcome.violations and given.directory is None:
        for left in directory.iterdir():
            if left.name != "histories":
                shutil.rmtree(left)
    return 1 if outcome.violations or missing else 0


if __name__ == "__main__":
    sys.exit(main())
