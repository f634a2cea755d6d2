"""Loop lag, disk space and health."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fastlog.base.clock import ManualClock
from fastlog.base.tasks import Supervisor
from fastlog.server.observability.disk_space import DiskSpace, Room
from fastlog.server.observability.health import Health, Phase
from fastlog.server.observability.loop_lag import LAG_BOUNDS, LoopLag
from fastlog.storage.opening_progress import OpeningProgress


async def test_loop_lag_is_measured() -> None:
    now = 100.0
    lag = LoopLag(lambda: now, interval=0.001)
    lag.start(Supervisor())
    await asyncio.sleep(0)
    # The loop's own clock decides when the timer runs; the one that is asked says that 3 seconds went by.
    now = 103.001
    while lag.histogram.count == 0:  # noqa: ASYNC110 - the sampler has no event
        await asyncio.sleep(0.001)
    await lag.stop()
    assert lag.histogram.counts[LAG_BOUNDS.index(5.0)] == 1
    assert lag.histogram.count >= 1


async def test_room_is_asked_for_and_remembered(tmp_path: Path) -> None:
    answers = {tmp_path / "a": Room(1, 10), tmp_path / "b": Room(2, 20)}
    disks = DiskSpace(list(answers), lambda path: answers[path])
    await disks.refresh()
    assert disks.rooms == answers
    del answers[tmp_path / "b"]
    answers[tmp_path / "a"] = Room(5, 10)
    await disks.refresh()
    assert disks.rooms == {tmp_path / "a": Room(5, 10), tmp_path / "b": Room(2, 20)}
    real = DiskSpace([tmp_path])
    await real.refresh()
    assert 0 < real.rooms[tmp_path].free <= real.rooms[tmp_path].total
    disks.close()
    real.close()


async def test_room_is_what_the_user_of_the_broker_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that are kept for root are not free, and blocks are fragments in size (statvfs(3))."""
    stat = SimpleNamespace(f_bsize=1, f_frsize=10, f_blocks=7, f_bfree=5, f_bavail=3)
    monkeypatch.setattr(os, "statvfs", lambda path: stat)
    disks = DiskSpace([tmp_path])
    await disks.refresh(patience=20)
    assert disks.rooms == {tmp_path: Room(30, 70)}
    disks.close()


async def test_a_disk_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    goes_on = threading.Event()
    asked: list[str] = []

    def ask(path: Path) -> Room:
        asked.append(path.name)
        if path.name == "hangs":
            goes_on.wait(30)
        return Room(1, 2)

    disks = DiskSpace([tmp_path / "hangs", tmp_path / "works"], ask)
    await disks.refresh(patience=0.2)
    await disks.refresh(patience=0.2)
    assert disks.rooms == {tmp_path / "works": Room(1, 2)}
    # No second thread for a question that is still open.
    assert sorted(asked) == ["hangs", "works", "works"]
    goes_on.set()
    await disks.refresh(patience=20)
    assert set(disks.rooms) == {tmp_path / "hangs", tmp_path / "works"}
    disks.close()


def logs_of(*online: bool) -> Any:
    directories = [
        SimpleNamespace(path=Path(f"/data{number}"), online=works) for number, works in enumerate(online)
    ]
    return SimpleNamespace(directories=directories, progress=OpeningProgress())


def test_probes_over_the_life_of_a_broker() -> None:
    clock = ManualClock()
    health = Health(clock.monotonic)
    assert (health.liveness()[0], health.readiness()[0], health.startup()[0]) == (True, False, False)
    logs = logs_of(True, True)
    health.watch(logs)
    health.begin("opening logs")
    progress = logs.progress.of(Path("/data0"))
    progress.total, progress.done, progress.clean, progress.bytes_checked = 7, 3, False, 4096
    progress.opening.update({"b-0", "a-1"})
    clock.advance(1500)
    started, shown = health.startup()
    assert not started
    assert shown == {
        "status": "starting",
        "seconds": 1.5,
        "step": "opening logs",
        "partitions_total": 7,
        "partitions_opened": 3,
        "log_dirs": [
            {
                "path": "/data0",
                "clean_shutdown": False,
                "partitions_total": 7,
                "partitions_opened": 3,
                "bytes_checked": 4096,
                "opening": ["a-1", "b-0"],
            }
        ],
    }
    assert health.liveness() == (True, {"status": "alive", "phase": "starting"})

    clock.advance(500)
    health.serving()
    clock.advance(500)
    assert health.readiness() == (True, {"status": "ready"})
    assert health.startup()[0]
    assert health.startup()[1]["seconds"] == 2.0

    logs.directories[0].online = False
    assert health.readiness() == (True, {"status": "ready", "offline_log_dirs": ["/data0"]})
    logs.directories[1].online = False
    ready, shown = health.readiness()
    assert (ready, shown["status"]) == (False, "no log directory is online")
    logs.directories[0].online = True

    health.stopping()
    assert (health.liveness()[0], health.readiness()[0], health.startup()[0]) == (True, False, True)
    assert cast("Phase", health.phase) is Phase.STOPPING
