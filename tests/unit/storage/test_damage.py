"""What becomes of a log whose files are damaged, and the scrub that looks for damage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.storage.checkpoints import LOG_START_OFFSETS, RECOVERY_POINTS, read_offsets
from fastlog.storage.log_manager import LogManager
from tests.unit.storage.fakes import storage_error
from tests.unit.storage.store import Store, advance, make


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path, directories=1)
    yield made
    await made.close()


@pytest.fixture
async def manager(store: Store) -> LogManager:
    return await store.started()


def damage(log: Any) -> None:
    log.failure = log.damage = "00000000000000000000.log: damaged at byte 7"
    log.fail_on["scrub"] = storage_error(log.damage)


async def test_damage_takes_the_partition_offline_and_not_its_directory(
    store: Store, manager: LogManager
) -> None:
    told: list[Any] = []
    manager.add_failure_callback(lambda *what: told.append(what))
    sound, broken = await make(manager, "sound"), await make(manager, "broken")
    damage(broken)
    await manager.housekeeping.watch()
    assert manager.get("sound", 0) is sound
    assert manager.get("broken", 0) is None
    assert manager.offline_reason("broken", 0) == broken.damage
    assert manager.complete
    assert told == [(store.paths[0], broken.damage, [("broken", 0)])]
    assert manager.failures.damaged == 1
    assert store.halted == []


async def test_what_a_damaged_partition_had_reached_is_not_forgotten(
    store: Store, manager: LogManager
) -> None:
    log = await make(manager, "t")
    log.append(b"x" * 100)
    log.flush()
    await advance(manager, "t", 0, 30)
    damage(log)
    await manager.housekeeping.watch()
    await manager.housekeeping.checkpoint()
    for manager_ in (manager, None):
        if manager_ is not None:
            await manager_.shutdown()
        assert read_offsets(store.paths[0] / RECOVERY_POINTS) == {("t", 0): 100}
        assert read_offsets(store.paths[0] / LOG_START_OFFSETS) == {("t", 0): 30}
    assert not (store.paths[0] / ".kafka_cleanshutdown").exists()


async def test_recovery_points_that_moved_are_written_down_soon(store: Store, manager: LogManager) -> None:
    log = await make(manager, "t")
    await manager.housekeeping.watch()
    log.append(b"x" * 100)
    log.flush()
    await manager.housekeeping.watch()
    assert read_offsets(store.paths[0] / RECOVERY_POINTS) == {("t", 0): 100}
    written = manager.housekeeping.stats.checkpoints
    await manager.housekeeping.watch()
    assert manager.housekeeping.stats.checkpoints == written


async def test_the_scrub_reads_everything_and_tells_how_old_that_is(
    store: Store, manager: LogManager
) -> None:
    logs = [await make(manager, "t", partition) for partition in range(3)]
    for log in logs:
        log.append(b"x" * 5)
    store.clock.advance(60_000)
    assert manager.scrubber.age_seconds == 60
    await manager.scrubber.scrub_all()
    assert all("scrub" in log.calls for log in logs)
    assert (manager.scrubber.stats.passes, manager.scrubber.stats.bytes) == (1, 15)
    assert manager.scrubber.age_seconds == 0


async def test_damage_that_the_scrub_finds_does_not_end_it(manager: LogManager) -> None:
    broken, sound = await make(manager, "a"), await make(manager, "b")
    damage(broken)
    await manager.scrubber.scrub_all()
    assert manager.get("a", 0) is None
    assert manager.get("b", 0) is sound
    assert "scrub" in sound.calls


async def test_a_defect_at_one_log_keeps_no_other_from_being_read(store: Store) -> None:
    manager = await store.started()
    logs = [await make(manager, "t", partition) for partition in range(3)]
    logs[1].fail_on["scrub"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await manager.scrubber.scrub_all()
    assert [log.calls for log in logs] == 3 * [["scrub"]]
    assert manager.scrubber.stats.passes == 0
    await manager.shutdown()
