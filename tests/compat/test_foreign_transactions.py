"""The tests of transactions of franz-go, librdkafka and kafka-python, as they are, against three brokers."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.extent import WHOLE
from tests.compat.client_programs import ROOT
from tests.compat.finalized import finalize, highest_epoch
from tests.compat.librdkafka_session import Ended, Runs
from tests.peers.apache_kafka import KAFKA_3, JavaTools
from tests.peers.go_suites import go_suite
from tests.peers.maven import compiled
from tests.peers.python_suites import python_suite

# The first run fetches and builds.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200 if WHOLE else 600)]

_KIND: Final = os.environ.get("FASTLOG_FOREIGN_ON", "fastlog")
"""What the suites run against: "kafka" is for whoever wants to know what fails there too."""
_SETTINGS: Final = {
    # What a suite does not create it writes to, or reads from, in a topic with three replicas.
    "auto.create.topics.enable": "true",
    "num.partitions": "4",
    "min.insync.replicas": "1",
    "log.segment.bytes": str(64 << 20),
}
_GO_LOAD: Final = {} if WHOLE else {"KGO_TEST_RECORDS": "1000", "KGO_TEST_MAX_TOPIC_PARTS": "7"}
"""franz-go's own numbers are 500,000 records, in up to 31 partitions, through three stages of six groups."""
_CHAINS: Final = (
    "range",
    "cooperative-sticky",
    "cooperative-sticky/static",
    "range/848",
    "sticky/848",
    "sticky/848/static",
)
_SERVICE: Final = """
class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port


class SpawnedService:
    pass
"""
"""How kafka-python's fixtures know a broker that somebody else has started: its distribution lacks it."""
_SHARES: Final = 3
_OF_0103: Final = 14
"""Subtests of 0103, and of 0103_transactions_local."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers: librdkafka's tests ask for three replicas."""
    directory = tmp_path_factory.mktemp("transactions")
    kind = "kafka" if _KIND == "kafka" else "fastlog"
    with Cluster(directory, (kind,) * 3, place="keeper", settings=_SETTINGS) as running:
        yield running
        assert running.tracebacks() == []


def _finalized(cluster: Cluster, level: int) -> list[int]:
    """Has clients choose a protocol: 0, or 2 of KIP-890. Returns the ports of the brokers."""
    ports = [member.port for member in cluster.members.values()]
    if _KIND == "fastlog":
        finalize(level, controller=cluster.members[cluster.controller()].port, ports=ports)
    return ports


def _run_franz_go(cluster: Cluster, pattern: str, directory: Path) -> list[str]:
    """The names of the tests that passed, those within others too; all that ran must have."""
    program = go_suite(ROOT / "tests/compat/clients/go", "github.com/twmb/franz-go", package="pkg/kgo")
    environment = {
        "KGO_SEEDS": cluster.bootstrap,
        "KGO_TEST_RF": "3",
        "KGO_LOG_LEVEL": os.environ.get("KGO_LOG_LEVEL", "none"),
        **_GO_LOAD,
    }
    done = subprocess.run(
        [str(program), "-test.v", "-test.timeout=900s", f"-test.run=^({pattern})$"],
        cwd=directory,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    (directory / "franz-go.log").write_text(done.stdout)
    assert done.returncode == 0, done.stdout[-8000:]
    return sorted(re.findall(r"^ *--- PASS: (\S+)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("level", [pytest.param(0, marks=pytest.mark.whole), 2])
def test_franz_gos_chain_of_transactions(level: int, cluster: Cluster, tmp_path: Path) -> None:
    """TestTxnEtl: three stages of consume, transform, produce, whose members come and go; each record once.

    In six groups, of both protocols of groups; a whole run has the same without transactions beside it.
    """
    ports = _finalized(cluster, level)
    before = highest_epoch(ports) if level == 2 else -1
    tests = ("TestGroupETL", "TestTxnEtl") if WHOLE and level == 2 else ("TestTxnEtl",)
    passed = _run_franz_go(cluster, "|".join(tests), tmp_path)
    assert passed == sorted(
        name for test in tests for name in (test, *(f"{test}/{chain}" for chain in _CHAINS))
    )
    after = highest_epoch(ports)
    if _KIND == "fastlog":
        assert after > before + 3 if level == 2 else after < 3, (before, after)


@pytest.fixture(scope="module")
def librdkafka_runs(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Ended]]:
    """The runs of each test, all at once: they mostly wait."""
    directory = tmp_path_factory.mktemp("librdkafka")
    environment = {"TEST_KAFKA_VERSION": KAFKA_3, "KAFKA_PATH": str(directory)}
    with Runs(cluster.bootstrap, directory) as runs:
        _prepare_java(runs.java, directory)
        runs.begin("0103", "0103", shares=_SHARES, environment=environment)
        runs.begin("0129", "0129", environment=environment)
        runs.begin("0098", "0098", *(() if WHOLE else ("-Q",)), environment=environment)
        return {name: runs.end(name) for name in ("0098", "0103", "0129")}


def _prepare_java(sources: Path, directory: Path) -> None:
    """What 0098 expects where it runs: a Makefile that builds its Java program, a script that starts it."""
    tools = JavaTools(KAFKA_3)
    classes = compiled(sources / "TransactionProducerCli.java", tools.class_path)
    (directory / "Makefile").write_text(".PHONY: java\njava:\n")
    script = directory / "java" / "run-class.sh"
    script.parent.mkdir()
    command = shlex.join([tools.java, "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", classes])
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o755)


@pytest.mark.whole
def test_librdkafkas_producer_of_transactions(librdkafka_runs: dict[str, list[Ended]]) -> None:
    """0103: misuse, commits, aborts, consume and produce, fencing, deleted records, watermarks."""
    for run in librdkafka_runs["0103"]:
        assert run.code == 0, run.words[-6000:]
    assert sum(len(run.passed) for run in librdkafka_runs["0103"]) == _OF_0103


@pytest.mark.parametrize("test", ["0098", "0129"])
def test_librdkafkas_consumer_of_transactions(test: str, librdkafka_runs: dict[str, list[Ended]]) -> None:
    """0098: what is read of transactions of Java's producer and its own. 0129: of aborted ones alone."""
    (run,) = librdkafka_runs[test]
    assert run.code == 0, run.words[-6000:]
    # One that it skips is no failure for it.
    assert re.search(rf"\b{test}_\w+ *\| *PASSED", run.words), run.words[-6000:]


def test_kafka_pythons_transactions(cluster: Cluster) -> None:
    """Its integration tests of idempotent and transactional producers, with the release that is installed."""
    sources = python_suite("kafka-python==3.0.12", "test", {"service.py": _SERVICE})
    # Where its fixtures look for programs of Kafka, of which they need none here.
    (sources / "servers" / KAFKA_3 / "kafka-bin").mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    port = cluster.members[1].port
    environment |= {"KAFKA_VERSION": KAFKA_3, "KAFKA_URI": f"kafka://127.0.0.1:{port}"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-p",
        "no:cacheprovider",
        "-k",
        "idempotent or transactional",
    ]
    done = subprocess.run(
        [*command, "test/integration/test_producer_integration.py"],
        cwd=sources,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert re.findall(r"::(\S+) PASSED", done.stdout) == [
        "test_idempotent_producer",
        "test_transactional_producer_messages",
        *(f"test_idempotent_producer_max_in_flight[{number}]" for number in (1, 2, 5)),
        "test_idempotent_producer_high_throughput",
        "test_transactional_producer_offsets",
    ]
