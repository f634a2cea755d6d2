"""`make test-trees`: the integration tests with the metadata of all their brokers in trees of others.

First on a `fastlog-keeper`, then on a real ZooKeeper ensemble of three. `make test` runs the same tests with
the keeper that each broker has of its own; they must not see a difference.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.harness.keeper_process import KeeperProcess
from tests.harness.metadata_place import ZOOKEEPER
from tests.peers.zookeeper import ZooKeeperEnsemble

_ROOT: Final = Path(__file__).parents[2]
# These look into the files of a keeper in the broker's process.
_OF_ITS_OWN: Final = ("doctor", "earlier", "test_wheel.py", "test_keeper_listen.py")


def run(address: str, more: list[str]) -> int:
    """pytest's exit status."""
    ignored = [f"--ignore=tests/integration/{name}" for name in _OF_ITS_OWN]
    command = [sys.executable, "-m", "pytest", "tests/integration", "-p", "no:benchmark", *ignored, *more]
    environment = {**os.environ, ZOOKEEPER: address}
    return subprocess.run(command, cwd=_ROOT, env=environment, check=False).returncode


def main() -> None:
    """Runs both, whatever the first says; arguments go to pytest."""
    more = sys.argv[1:]
    with TemporaryDirectory(prefix="fastlog-trees-") as directory:
        (keepers := Path(directory, "keeper")).mkdir()
        (servers := Path(directory, "ensemble")).mkdir()
        with KeeperProcess(keepers) as keeper:
            on_keeper = run(keeper.address, more)
        with ZooKeeperEnsemble(servers) as ensemble:
            on_ensemble = run(ensemble.address, more)
    sys.exit(on_keeper or on_ensemble)


if __name__ == "__main__":
    main()
