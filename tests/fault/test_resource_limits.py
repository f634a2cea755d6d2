"""Limits of the process, set and lifted while the broker runs: each costs what meets it, no more.

The limits are the kernel's own (prlimit of a running process), so the errors are what it really gives.
"""

from __future__ import annotations

import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from tests.fault.test_disk_errors import read, send
from tests.harness.broker_process import BrokerProcess
from tests.harness.link import Link
from tests.harness.waiting import wait_until
from tests.integration.requests import metadata

# Everything happens all the time: rolls, retention, checkpoints, compaction, the reserve.
BUSY = {
    "num.partitions": "1",
    "log.segment.bytes": "20000",
    "log.retention.bytes": "200000",
    "log.retention.ms": "-1",
    "log.retention.check.interval.ms": "100",
    "log.segment.delete.delay.ms": "100",
    "log.flush.offset.checkpoint.interval.ms": "100",
    "log.initial.task.delay.ms": "0",
    "log.cleaner.backoff.ms": "100",
}
PASSING = {0, ErrorCode.KAFKA_STORAGE_ERROR}


@contextmanager
def limited(broker: BrokerProcess, kind: int, soft: int) -> Iterator[None]:
    """Lowers a soft limit of the running broker."""
    before = resource.prlimit(broker.process.pid, kind)
    resource.prlimit(broker.process.pid, kind, (soft, before[1]))
    try:
        yield
    finally:
        resource.prlimit(broker.process.pid, kind, before)


def descriptors(broker: BrokerProcess) -> int:
    return len(list(Path(f"/proc/{broker.process.pid}/fd").iterdir()))


def address_space(broker: BrokerProcess) -> int:
    pages = Path(f"/proc/{broker.process.pid}/statm").read_text().split()[0]
    return int(pages) * resource.getpagesize()


def few_descriptors(directory: Path, limit: int) -> BrokerProcess:
    command = ["prlimit", f"--nofile={limit}:{limit}", sys.executable, "-m", "fastlog.cli.broker.main"]
    return BrokerProcess(directory, settings=BUSY, command=command)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path, settings=BUSY) as made:
        yield made


def is_well(broker: BrokerProcess) -> None:
    """The broker lives, no directory and no partition was given up, and new topics can be made."""
    assert broker.process.poll() is None, broker.log_text[-2000:]
    assert "is offline" not in broker.log_text, broker.log_text[-2000:]
    assert "Traceback" not in broker.log_text.replace("asyncio", ""), broker.log_text[-3000:]


@pytest.mark.parametrize("kind", ["descriptors", "file size", "memory"])
def test_a_limit_costs_what_meets_it_and_passes(broker: BrokerProcess, kind: str) -> None:
    with Link(broker.port) as link:
        link.call(metadata("t"), 9)
        assert send(link, "t", b"first")[0] == 0
        acknowledged = [b"first"]
        limit = {
            "descriptors": lambda: (resource.RLIMIT_NOFILE, descriptors(broker)),
            "file size": lambda: (resource.RLIMIT_FSIZE, 15_000),
            # Nothing for a large map or a thread, some for what each request needs.
            "memory": lambda: (resource.RLIMIT_AS, address_space(broker) + (4 << 20)),
        }[kind]()
        with limited(broker, *limit):
            deadline = time.monotonic() + 3
            number = 0
            while time.monotonic() < deadline:
                value = b"%06d" % number + b"." * 3000
                code, _ = send(link, "t", value)
                assert code in PASSING, code
                if code == 0:
                    acknowledged.append(value[:6])
                number += 1
                if number % 20 == 1:
                    answer: Any = link.call(metadata(f"new-{number}"), 9)
                    assert answer.topics[0].error_code in {*PASSING, ErrorCode.LEADER_NOT_AVAILABLE}
        # Without a restart all of it works again.
        wait_until(lambda: send(link, "t", b"last")[0] == 0, lambda: broker.log_text[-2000:], seconds=20)
        wait_until(
            lambda: link.call(metadata("later"), 9).topics[0].error_code == 0,  # type: ignore[attr-defined]
            lambda: broker.log_text[-2000:],
            seconds=20,
        )
        assert send(link, "later", b"x") == (0, 0)
        end = send(link, "t", b"end")[1]
    is_well(broker)
    assert broker.stop() == 0
    with broker, Link(broker.port) as link:
        # What was acknowledged and retention has kept is there, in one piece.
        assert send(link, "t", b"after")[1] == end + 1
        code, records = read(link, "t", end)
        assert code == 0
        assert b"end" in records
        assert len(acknowledged) > 1


def test_connections_leave_descriptors_for_files(tmp_path: Path) -> None:
    """More clients than there are descriptors: who is too many is refused, all others are served."""
    with few_descriptors(tmp_path, 256) as broker, Link(broker.port) as link:
        link.call(metadata("t"), 9)
        others = []
        for _ in range(300):
            other = socket.create_connection(("127.0.0.1", broker.port), timeout=10)
            others.append(other)
        for number in range(40):
            assert send(link, "t", b"%d" % number + b"." * 2000)[0] == 0
        answer: Any = link.call(metadata("another"), 9)
        assert answer.topics[0].error_code == 0
        for other in others:
            other.close()

        def lets_in() -> bool:
            try:
                with Link(broker.port) as late:
                    return send(late, "another", b"x")[0] == 0
            except ConnectionError:
                return False

        wait_until(lets_in, "nobody is let in", seconds=20)
        is_well(broker)
        assert "ulimit -n" in broker.log_text
        assert broker.stop() == 0


@pytest.mark.parametrize("descriptors", [24, 40, 64])
def test_a_start_with_few_descriptors(tmp_path: Path, descriptors: int) -> None:
    """It serves, or says in one line why not; in neither case is a directory or a partition to blame."""
    with BrokerProcess(tmp_path, settings=BUSY | {"num.partitions": "40"}) as full, Link(full.port) as link:
        link.call(metadata("t"), 9)
        assert send(link, "t", b"kept")[0] == 0
    limited_one = few_descriptors(tmp_path, descriptors)
    try:
        limited_one.start()
    except AssertionError:
        assert "cannot start" in limited_one.log_text
        assert "too many open files" in limited_one.log_text.lower()
    else:
        with Link(limited_one.port) as link:
            wait_until(lambda: b"kept" in read(link, "t")[1], "the record is not there", seconds=20)
        limited_one.stop()
    assert "is offline with" not in limited_one.log_text
    with full, Link(full.port) as link:
        assert b"kept" in read(link, "t")[1]
