"""A stop comes to its end whatever hangs in it, and vouches for nothing then."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.cli.exit_codes import ExitCode
from fastlog.coordination.groups.service import GroupService
from fastlog.coordination.member.topics import MemberTopics
from fastlog.replication.purgatory import Purgatory
from fastlog.server import broker as wiring
from fastlog.server.membership import Membership
from fastlog.server.network.connection_table import ConnectionTable
from fastlog.server.network.listener import BoundListener
from fastlog.server.observability.http_service import Observability
from fastlog.storage import closing, housekeeping
from fastlog.storage.cleaner import LogCleaner
from fastlog.storage.housekeeping import Housekeeping
from fastlog.storage.io import IoLoop
from fastlog.storage.log_dir import LogDirectory
from tests.harness.broker_process import BrokerProcess
from tests.harness.waiting import wait_until
from tests.integration.requests import make_topic
from tests.integration.running import RunningBroker

MARK = ".kafka_cleanshutdown"
GIVEN_UP = "the stop does not wait any longer for: "
FAILED = "the stop goes on after a failure of: "

# What waits, by what it is called in the log; True where the mark is on the disk by then.
WAITS: list[tuple[str, Any, str, bool]] = [
    ("groups", GroupService, "close", False),
    ("topic changes", MemberTopics, "close", False),
    ("metadata", Membership, "close", False),
    ("compaction", LogCleaner, "stop", False),
    ("background passes", Housekeeping, "stop", False),
    ("I/O threads", IoLoop, "close", True),
    ("metrics and health", Observability, "close", True),
]
CALLS: list[tuple[str, Any, str]] = [
    ("resigning as coordinator", GroupService, "resign"),
    ("finishing connections", ConnectionTable, "finish"),
    ("parked requests", Purgatory, "close"),
    ("listening", BoundListener, "close"),
]


Start = Callable[[], RunningBroker]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a broker in which what was patched before will hang or fail."""
    monkeypatch.setattr(wiring, "STOP_MARGIN_SECONDS", 0.2)
    broker = RunningBroker(tmp_path / "data", {"fastlog.shutdown.timeout.ms": "100"})

    def run() -> RunningBroker:
        broker.start()
        with broker.connect() as client:
            make_topic(client, "t")
        listeners.extend(broker.broker._listeners)
        return broker

    listeners: list[BoundListener] = []
    yield run
    monkeypatch.undo()
    for listener in listeners:
        broker._loop.call_soon_threadsafe(listener.close)
    broker.run(leave_nothing())
    broker.close()
    gc.collect()


async def leave_nothing() -> None:
    """Ends what the stop gave up."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def test_without_anything_wedged_the_mark_is_written(start: Start) -> None:
    running = start()
    assert running.stop()
    assert (running.directory / MARK).exists()


@pytest.mark.parametrize(("what", "where", "method", "marked"), WAITS, ids=lambda value: str(value))
def test_each_wait_has_a_bound(
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    what: str,
    where: Any,
    method: str,
    marked: bool,
) -> None:
    async def for_ever(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(where, method, for_ever)
    running = start()
    assert not running.stop()
    assert GIVEN_UP + what in caplog.text
    assert (running.directory / MARK).exists() == marked


@pytest.mark.parametrize(("what", "where", "method"), CALLS, ids=lambda value: str(value))
def test_a_part_that_fails_keeps_no_other_from_ending(
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    what: str,
    where: Any,
    method: str,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(where, method, fail)
    running = start()
    assert not running.stop()
    assert FAILED + what in caplog.text
    assert not (running.directory / MARK).exists()


def test_results_that_never_come_are_given_up(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = start()
    monkeypatch.setattr(IoLoop, "pending", property(lambda _: 1))
    assert not running.stop()
    assert GIVEN_UP + "reads and appends under way" in caplog.text
    assert not (running.directory / MARK).exists()


@pytest.mark.parametrize("where", ["a log", "a checkpoint", "a pass"])
def test_a_thread_whose_disk_hangs_is_left(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    running = start()
    disk_works = threading.Event()
    hung = threading.Event()

    def hang(*_: object, **__: object) -> Any:
        hung.set()
        disk_works.wait(60)
        raise OSError("it works again, too late")

    if where == "a log":
        monkeypatch.setattr(closing, "_close_one", hang)
    elif where == "a checkpoint":
        monkeypatch.setattr(LogDirectory, "write_checkpoints", hang)
    else:
        monkeypatch.setattr(housekeeping, "_apply", hang)
        _in_a_pass(running, hung)
    try:
        assert not running.stop()
    finally:
        disk_works.set()
    assert GIVEN_UP in caplog.text
    assert not (running.directory / MARK).exists()


def _in_a_pass(running: RunningBroker, hung: threading.Event) -> None:
    """Has the loop of a pass be in it when the stop comes: one that is started again begins at once."""
    retention = running.broker.tasks.loops["retention"]
    running._loop.call_soon_threadsafe(retention._task.cancel)
    assert hung.wait(20)


PROGRAM = """
import threading
from fastlog.cli.broker import signals
from fastlog.server import broker
from fastlog.storage.log_dir import LogDirectory
broker.STOP_MARGIN_SECONDS, signals.LEAVE_SECONDS = 0.5, 0.5
LogDirectory.write_checkpoints = lambda *_, **__: threading.Event().wait()
from fastlog.cli.broker.main import main
main()
"""


def test_a_signal_ends_the_process_although_a_disk_hangs(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path, command=[sys.executable, "-c", PROGRAM])
    with broker:
        # It listens a little earlier; a stop before that gives up a start, and is another matter.
        wait_until(lambda: "ready: node" in broker.log_text, "it does not start", seconds=30)
        assert broker.stop(timeout=30) == ExitCode.UNCLEAN
    assert GIVEN_UP + "flushing and closing logs" in broker.log_text
    assert "not everything was flushed, the next start will check the logs" in broker.log_text
    assert not (broker.data_dir / MARK).exists()
