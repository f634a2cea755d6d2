"""Test suites of other projects, as they are, against the broker: librdkafka's, kafka-go's, sarama's."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.compat.client_programs import ROOT
from tests.harness.broker_process import BrokerProcess
from tests.harness.private_loopback import run_apart
from tests.peers.go_suites import go_suite
from tests.peers.librdkafka import librdkafka_runner

# The first run fetches and builds.
pytestmark = pytest.mark.timeout(600)

_CLIENTS: Final = ROOT / "tests/compat/clients"
# Subtests of 0081 that ask for what the broker does not have. Apache Kafka without an authorizer fails in the
# first three too.
_NOT_HERE: Final = {
    "do_test_CreateAcls": "an authorizer",
    "do_test_DescribeAcls": "an authorizer",
    "do_test_DeleteAcls": "an authorizer",
    "do_test_UserScramCredentials": "SCRAM",
}
_SHARES: Final = 8
# How many subtests pass: with a producer's handle, and again with a consumer's.
_PASSES: Final = {"classic": 90, "consumer": 86}
# What the runner writes around its words.
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def admin_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """Its own: the test changes the broker's configuration."""
    settings = {"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "4"}
    with BrokerProcess(tmp_path_factory.mktemp("admin"), settings=settings) as broker:
        yield broker
        assert broker.process.poll() is None, broker.log_text[-4000:]
        assert "Traceback" not in broker.log_text, broker.log_text[-4000:]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_librdkafkas_admin_test_passes(protocol: str, admin_broker: BrokerProcess, tmp_path: Path) -> None:
    """0081, with groups of either protocol; it mostly waits, so several runs share the subtests."""
    runner = librdkafka_runner("0081-admin", _CLIENTS / "librdkafka/subtests.c")
    configuration = tmp_path / "test.conf"
    configuration.write_text(f"metadata.broker.list={admin_broker.bootstrap}\n")
    environment = os.environ | {
        "TESTS": "0081",
        # Groups have configurations where the consumer protocol is on: by default from Kafka 4.0.
        "TEST_KAFKA_VERSION": "4.0.0",
        "TEST_CONSUMER_GROUP_PROTOCOL": protocol,
        "RDKAFKA_TEST_CONF": str(configuration),
        "SUBTESTS_SKIP": ",".join(_NOT_HERE),
    }
    outputs = [tmp_path / f"share-{share}" for share in range(_SHARES)]
    runs = []
    for share, output in enumerate(outputs):
        with output.open("wb") as file:
            runs.append(
                subprocess.Popen(
                    [str(runner), "-p1"],
                    cwd=tmp_path,
                    env=environment | {"SUBTESTS_SHARE": f"{share}/{_SHARES}"},
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            )
    passed = 0
    for run, output in zip(runs, outputs, strict=True):
        code = run.wait()
        words = _COLOURS.sub("", output.read_text(errors="replace"))
        assert code == 0, words[-6000:]
        passed += len(re.findall(r"^.*\[ do_test_\w+:.*: PASS \(", words, re.MULTILINE))
    assert passed == _PASSES[protocol]


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
def test_saramas_versions_understand_each_other(tmp_path: Path) -> None:
    """What each version of the protocol from 0.11 on wrote, in each codec, each reads in order.

    The older ones write message formats 0 and 1, which the broker does not take.
    """
    file = "utils_functional_test.go"
    changes = {(file, "\tV0_8_2_2,\n"): "", (file, "V0_10_2_2"): "V0_11_0_2"}
    program = go_suite(_CLIENTS / "go", "github.com/IBM/sarama", tags="functional", changes=changes)
    names = [f"TestVersionMatrix{kind}" for kind in ("", "Idempotent", "LZ4", "Zstd")]
    assert _run_go_suite("sarama", program, "^TestVersionMatrix", tmp_path) == names
