"""How a run is given up, and what the cleaner counts."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from fastlog.native import CleanerThrottle
from fastlog.storage.cleaner_choice import LogToClean
from fastlog.storage.cleaner_run import Run
from fastlog.storage.cleaner_settings import CompactionPolicy
from fastlog.storage.cleaner_stats import CleanerStats
from tests.unit.storage.cleaner_world import FakeReport, FakeState, until


class Stoppable:
    """A log that takes its time to stop; also the entry that it is in."""

    def __init__(self) -> None:
        self.log = self
        self.stops = 0
        self.gate = threading.Event()

    def stop_compaction(self) -> None:
        self.stops += 1
        assert self.gate.wait(30)


@pytest.fixture
def log() -> Stoppable:
    return Stoppable()


@pytest.fixture
def run(log: Stoppable) -> Run:
    entry: Any = log
    state: Any = FakeState()
    return Run(LogToClean(entry, CompactionPolicy(), 0, 10, state), 100, CleanerThrottle(None), 0)


async def test_the_first_reason_counts_and_one_is_enough(log: Stoppable, run: Run) -> None:
    run.interrupt("one")
    run.interrupt("two")
    await until(lambda: log.stops > 0)
    await asyncio.sleep(0.02)
    assert (run.reason, log.stops) == ("one", 1)
    run.ended()
    log.gate.set()
    await run.wait()
    assert log.stops == 1


async def test_nobody_touches_the_log_after_the_wait(log: Stoppable, run: Run) -> None:
    """Whoever waits is about to close it: the thread that asks it to stop must have left it, too."""
    run.interrupt("one")
    await until(lambda: log.stops > 0)
    run.ended()
    waiting = asyncio.ensure_future(run.wait())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    log.gate.set()
    await waiting


def test_the_largest_map_is_remembered() -> None:
    stats = CleanerStats()
    for size in (100, 300, 200):
        report: Any = FakeReport(1, map_memory_bytes=size)
        stats.add(report, 1.5, 7)
    assert (stats.last_map_bytes, stats.peak_map_bytes, stats.runs) == (200, 300, 3)
