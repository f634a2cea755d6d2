"""A disk that fails: its directory goes offline, nothing is acknowledged any more, other directories go on.

The errors are real to the broker: strace makes the system call fail in the running process.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from tests.harness.batches import batch
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.integration.requests import fetch, metadata, produce
from tests.peers import PeerMissingError

FAILED = ErrorCode.KAFKA_STORAGE_ERROR
TOPICS = ("one", "two")


@contextmanager
def failing(process: int, call: str, path: Path) -> Iterator[Path]:
    """Makes `call` fail with EIO on one file of a running process; yields strace's report."""
    strace = shutil.which("strace")
    if strace is None:
        raise PeerMissingError("strace is not installed: this test makes system calls fail with it")
    report = path.parent.parent.parent / "strace"
    with subprocess.Popen(
        [
            *(strace, "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:error=EIO"),
            *("-P", str(path), "-o", str(report), "-p", str(process)),
        ],
        stderr=subprocess.PIPE,
    ) as tracer:
        deadline = time.monotonic() + 10
        while "TracerPid:\t0\n" in Path(f"/proc/{process}/status").read_text():
            if tracer.poll() is not None:
                assert tracer.stderr is not None
                raise PeerMissingError(f"strace cannot attach here: {tracer.stderr.read().decode()}")
            assert time.monotonic() < deadline
            time.sleep(0.01)
        try:
            yield report
        finally:
            tracer.terminate()


def injected(report: Path) -> int:
    """How many calls were made to fail."""
    return report.read_text().count("INJECTED")


class Fixture:
    """Two log directories, one topic in each, durable before the answer."""

    def __init__(self, root: Path) -> None:
        self.broker = BrokerProcess(
            root,
            settings={
                "fastlog.durability": "fsync",
                "num.partitions": "1",
                "fastlog.io.threads": "2",
            },
        )
        self.broker.data_dir = Path(f"{root / 'data'},{root / 'data2'}")
        self.broker.start()
        self.paths: dict[str, Path] = {}
        with Link(self.broker.port) as link:
            for topic in TOPICS:
                answer: Any = link.call(metadata(topic), 9)
                assert answer.topics[0].error_code == 0
                (path,) = root.glob(f"data*/{topic}-0")
                self.paths[topic] = path
        assert self.paths["one"].parent != self.paths["two"].parent

    def log_file(self, topic: str) -> Path:
        return self.paths[topic] / "00000000000000000000.log"


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Fixture]:
    made = Fixture(tmp_path)
    yield made
    if made.broker.process.poll() is None:
        made.broker.stop()


def send(link: Link, topic: str, value: bytes, acks: int = -1) -> tuple[int, int]:
    answer: Any = link.call(produce(topic, batch(value), acks=acks), 8)
    (row,) = answer.responses[0].partition_responses
    return row.error_code, row.base_offset


def read(link: Link, topic: str, offset: int = 0) -> tuple[int, bytes]:
    answer: Any = link.call(fetch(topic, offset), 11)
    (row,) = answer.responses[0].partitions
    return row.error_code, bytes(row.records or b"")


@pytest.mark.parametrize("call", ["fdatasync", "pwritev"])
def test_a_failed_call_takes_one_directory_offline(disks: Fixture, call: str) -> None:
    broker = disks.broker
    with Link(broker.port) as link:
        for topic in TOPICS:
            assert send(link, topic, b"before") == (0, 0)
        with failing(broker.process.pid, call, disks.log_file("one")) as report:
            assert send(link, "one", b"lost")[0] == FAILED
            assert injected(report) > 0
            # The other directory does not notice.
            assert send(link, "two", b"meanwhile") == (0, 1)
        # The disk works again, but what it said is not forgotten: nothing is acknowledged on hope.
        for _ in range(3):
            assert send(link, "one", b"later")[0] == FAILED
            assert send(link, "one", b"later", acks=1)[0] == FAILED
            assert read(link, "one")[0] == FAILED
        assert send(link, "two", b"after") == (0, 2)
        code, records = read(link, "two")
        assert code == 0
        assert records.count(b"before") == records.count(b"meanwhile") == records.count(b"after") == 1
        # New partitions go where a disk works.
        answer: Any = link.call(metadata("three"), 9)
        assert answer.topics[0].error_code == 0
        assert (disks.paths["two"].parent / "three-0").exists()
    assert f"log directory {disks.paths['one'].parent} is offline" in broker.log_text
    broker.stop()
    assert not (disks.paths["one"].parent / ".kafka_cleanshutdown").exists()
    assert (disks.paths["two"].parent / ".kafka_cleanshutdown").exists()
    # After a restart (a repaired disk) what was acknowledged is there.
    broker.start()
    with Link(broker.port) as link:
        code, records = read(link, "one")
        assert code == 0
        assert records.count(b"before") == 1
        assert records.count(b"later") == 0
        assert send(link, "one", b"again")[0] == 0


def test_the_last_directory_that_fails_ends_the_broker(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path, settings={"fastlog.durability": "fsync", "num.partitions": "1"})
    broker.start()
    with Link(broker.port) as link:
        link.call(metadata("t"), 9)
        assert send(link, "t", b"before") == (0, 0)
        with failing(
            broker.process.pid, "fdatasync", broker.data_dir / "t-0/00000000000000000000.log"
        ) as report:
            link.send(produce("t", batch(b"lost")), 8)
            assert broker.process.wait(timeout=20) == 1
            assert injected(report) > 0
    assert "no log directory is left" in broker.log_text
    broker.start()
    with Link(broker.port) as link:
        assert read(link, "t")[1].count(b"before") == 1
    broker.stop()
