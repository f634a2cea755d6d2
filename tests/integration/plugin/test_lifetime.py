"""Brokers of tests end with pytest, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlog.testing import BrokerProcess
from tests.harness.waiting import wait_until
from tests.integration.plugin.suites import BY_NAME

SUITE = """
import os, pathlib, time

def test_waits(kafka_broker, kafka_cluster):
    second = kafka_cluster(1)
    third = kafka_cluster(1)[1]
    third.freeze()
    {extra}
    pids = [kafka_broker.pid, second[1].pid, third.pid, second._keeper.pid, os.getpid()]
    pathlib.Path("pids.partial").write_text(" ".join(map(str, pids)))
    os.rename("pids.partial", "pids")
    time.sleep(60)
"""
# What a shell has in the background ignores interrupts, and so does all that it starts.
WITH_INTERRUPTS = (
    "import signal, sys, pytest; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "sys.exit(pytest.main(sys.argv[1:]))"
)
FORKED = "if not os.fork(): time.sleep(2); os._exit(0)"


def is_alive(pid: int) -> bool:
    """Whether a process does anything still; who would bury orphans may not be there."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


class Run:
    """A run of pytest whose test waits with its brokers."""

    def __init__(self, directory: Path, *options: str, extra: str = "") -> None:
        (directory / "test_it.py").write_text(SUITE.format(extra=extra))
        command = [
            sys.executable,
            "-c",
            WITH_INTERRUPTS,
            *BY_NAME,
            "-p",
            "no:benchmark",
            "-p",
            "no:cacheprovider",
        ]
        self.process = subprocess.Popen([*command, *options], cwd=directory, stdout=subprocess.PIPE)
        found = directory / "pids"
        wait_until(found.exists, lambda: f"no pids; pytest: {self.process.poll()}", seconds=50)
        *self.brokers, self.pytest = (int(text) for text in found.read_text().split())
        assert all(is_alive(pid) for pid in self.brokers)

    def wait_dead(self) -> None:
        wait_until(
            lambda: not any(is_alive(pid) for pid in self.brokers),
            lambda: f"alive: {[pid for pid in self.brokers if is_alive(pid)]}",
            seconds=20,
        )


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    found: list[Run] = []
    yield found
    for run in found:
        run.process.kill()
        run.process.communicate()
        for pid in (*run.brokers, run.pytest):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("extra", ["", FORKED], ids=["alone", "forked"])
def test_brokers_die_with_a_pytest_that_is_killed(tmp_path: Path, runs: list[Run], extra: str) -> None:
    """A frozen one, too; and where a child of a fork holds all descriptors open."""
    run = Run(tmp_path, extra=extra)
    runs.append(run)
    os.kill(run.pytest, signal.SIGKILL)
    run.wait_dead()


def test_brokers_of_a_worker_die_with_it(tmp_path: Path, runs: list[Run]) -> None:
    run = Run(tmp_path, "--numprocesses=1")
    runs.append(run)
    assert run.pytest != run.process.pid
    os.kill(run.pytest, signal.SIGKILL)
    run.wait_dead()


def test_an_interrupted_pytest_leaves_nothing(tmp_path: Path, runs: list[Run]) -> None:
    run = Run(tmp_path)
    runs.append(run)
    run.process.send_signal(signal.SIGINT)
    run.process.wait(30)
    run.wait_dead()


def test_a_broker_lives_on_when_the_thread_that_made_it_ends(tmp_path: Path) -> None:
    """The kernel takes the end of that thread for the end of the parent."""
    broker = BrokerProcess(tmp_path)
    try:
        thread = threading.Thread(target=broker.start)
        thread.start()
        thread.join(50)
        topic = broker.topic()
        time.sleep(0.5)
        topic.send("v")
        assert topic.values() == [b"v"]
        assert broker.is_running
    finally:
        broker.close()


def test_kill_freeze_thaw_and_restart(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        address, pid = broker.bootstrap, broker.pid
        topic = broker.topic("t")
        topic.send(["a", "b"])
        broker.kill()
        assert not broker.is_running
        assert not is_alive(pid)
        with pytest.raises(RuntimeError, match="does not run"):
            broker.freeze()
        broker.start()
        assert (broker.bootstrap, broker.pid == pid) == (address, False)
        assert topic.values() == [b"a", b"b"]
        broker.freeze()
        assert broker.is_frozen
        with pytest.raises(RuntimeError, match="frozen"):
            broker.clock.advance(hours=1)
        broker.thaw()
        topic.send("c")
        assert broker.stop()
        broker.restart()
        assert topic.values() == [b"a", b"b", b"c"]
        assert broker.log_text.count("ready: node 1 listens on") == 3
    assert not broker.is_running


def test_what_a_broker_would_read_of_its_environment_is_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_NUM_PARTITIONS", "no number")
    with BrokerProcess(tmp_path) as broker:
        assert broker.topics() == frozenset()


def test_addresses_and_directories_are_not_to_be_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="listeners of a broker under test"):
        BrokerProcess(tmp_path, {"listeners": "PLAINTEXT://127.0.0.1:9092"})
