"""kazoo's own test suite, client and recipes, against the keeper."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.peers.python_clients import python_with

_ROOT: Final = Path(__file__).parents[2]
# What the suite itself imports, beside the client.
_KAZOO: Final = "kazoo==2.11.0"
_SUITE: Final = ("pyjks==20.0.0", "pyOpenSSL==26.4.0", "objgraph==3.7.0")

# What an embedded keeper is not, or kazoo's suite asks of a certain ZooKeeper.
_NOT_HERE: Final = {
    "TestReconfig": "an ensemble whose members change",
    "TestReadOnlyMode": "an ensemble without a quorum",
    "test_update_host_list": "an ensemble of three",
    "TestSSLClient": "keytool, to make a Java keystore",
    "test_create_large_value": "a limit of 1 MiB a packet; here it is Kafka's 4 MiB",
}
_FILES: Final = {
    "client": ("client", "connection", "watchers", "exceptions"),
    "recipes": ("lock", "election", "barrier", "queue", "party", "cache", "counter", "partitioner", "lease"),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("part", "least"), [("client", 140), pytest.param("recipes", 80, marks=pytest.mark.whole)]
)
def test_kazoos_own_suite_passes(part: str, least: int, tmp_path: Path) -> None:
    environment = dict(python_with(_KAZOO, *_SUITE))
    suite = Path(environment["PYTHONPATH"]) / "kazoo" / "tests"
    environment["PYTHONPATH"] += os.pathsep + str(_ROOT)
    environment["ZOOKEEPER_VERSION"] = "3.9.3"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.compat.kazoo_keeper", "-p", "no:cacheprovider"),
            *("-c", os.devnull, "--rootdir", str(tmp_path), "-q", "--tb=short", "-W", "ignore"),
            *("--timeout", "120", "-k", " and ".join(f"not {name}" for name in _NOT_HERE)),
            *[str(suite / f"test_{name}.py") for name in _FILES[part]],
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
    assert (done.returncode, counts.get("failed", 0)) == (0, 0), done.stdout[-6000:] + done.stderr[-2000:]
    assert counts["passed"] >= least, done.stdout[-2000:]
