"""Test suites of other projects, as they are, against the broker: librdkafka's, kafka-go's, sarama's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.compat.client_programs import ROOT
from tests.compat.librdkafka_session import Ended, Runs
from tests.harness.broker_process import BrokerProcess
from tests.harness.private_loopback import run_apart
from tests.peers.go_suites import go_suite

# The first run fetches and builds.
pytestmark = pytest.mark.timeout(600)

_CLIENTS: Final = ROOT / "tests/compat/clients"
# Subtests of 0081 that ask for what the broker does not have. Apache Kafka without an authorizer fails in the
# first three too.
_NOT_HERE: Final = {
    "do_test_CreateAcls": "an authorizer",
    "do_test_DescribeAcls": "an authorizer",
    "do_test_DeleteAcls": "an authorizer",
}
_SHARES: Final = 5
# How many subtests pass: with a producer's handle, and again with a consumer's.
_PASSES: Final = {"classic": 96, "consumer": 92}


@pytest.fixture(scope="module")
def admin_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Ended]]:
    """The runs of 0081, by protocol: it mostly waits, so that they share the subtests.

    The broker is its own, since it changes the configuration.
    """
    directory = tmp_path_factory.mktemp("admin")
    settings = {"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "4"}
    with BrokerProcess(directory / "broker", settings=settings) as broker:
        with Runs(broker.bootstrap, directory / "runs") as runs:
            for protocol in _PASSES:
                environment = {
                    # Groups have configurations where the consumer protocol is on: by default from Kafka 4.0.
                    "TEST_KAFKA_VERSION": "4.0.0",
                    "TEST_CONSUMER_GROUP_PROTOCOL": protocol,
                }
                skip = ",".join(_NOT_HERE)
                runs.begin(protocol, "0081", shares=_SHARES, skip=skip, environment=environment)
            ended = {protocol: runs.end(protocol) for protocol in _PASSES}
        assert broker.process.poll() is None, broker.log_text[-4000:]
        assert "Traceback" not in broker.log_text, broker.log_text[-4000:]
    return ended


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.parametrize("protocol", _PASSES)
def test_librdkafkas_admin_test_passes(protocol: str, admin_runs: dict[str, list[Ended]]) -> None:
    """0081, with groups of either protocol."""
    for run in admin_runs[protocol]:
        assert run.code == 0, run.words[-6000:]
    assert sum(len(run.passed) for run in admin_runs[protocol]) == _PASSES[protocol]


def _run_go_suite(suite: str, program: Path, pattern: str, directory: Path) -> list[str]:
    """The names of the tests that passed; all that ran must have."""
    done = run_apart(
        "tests.compat.go_suite_session", suite, str(program), str(directory), pattern, timeout=300
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return sorted(re.findall(r"^--- PASS: (\w+)", done.stdout, re.MULTILINE))


@pytest.mark.slow
def test_kafka_go_reads_what_compaction_left(tmp_path: Path) -> None:
    """Fetches of 200 bytes from segments of 200 bytes, until each key is there once."""
    program = go_suite(_CLIENTS / "go", "github.com/segmentio/kafka-go")
    name = "TestReaderReadCompactedMessage"
    assert _run_go_suite("kafka-go", program, f"^{name}$", tmp_path) == [name]


@pytest.mark.slow
@pytest.mark.whole
def test_saramas_versions_understand_each_other(tmp_path: Path) -> None:
    """What each version of the protocol from 0.11 on wrote, in each codec, each reads in order.

    The older ones write message formats 0 and 1, which the broker does not take.
    """
    file = "utils_functional_test.go"
    changes = {(file, "\tV0_8_2_2,\n"): "", (file, "V0_10_2_2"): "V0_11_0_2"}
    program = go_suite(_CLIENTS / "go", "github.com/IBM/sarama", tags="functional", changes=changes)
    names = [f"TestVersionMatrix{kind}" for kind in ("", "Idempotent", "LZ4", "Zstd")]
    assert _run_go_suite("sarama", program, "^TestVersionMatrix", tmp_path) == names
