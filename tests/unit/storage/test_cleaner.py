"""The cleaner over logs that only say how dirty they are."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from fastlog.native import CompactionAborted, CorruptLog
from fastlog.storage import cleaner
from fastlog.storage.cleaner_settings import CleanerSettings, CompactionPolicy
from fastlog.storage.log_manager import LogManager
from tests.unit.storage.cleaner_world import COMPACT, CleanerStore, FakeState, add, until
from tests.unit.storage.fakes import FakeConfig, storage_error
from tests.unit.storage.store import ID


async def start(manager: LogManager, **settings: Any) -> None:
    """Starts the cleaner's threads."""
    manager.cleaner.reconfigure(CleanerSettings(**{"backoff_ms": 1, **settings}))
    manager.cleaner.start()


async def test_one_pass_takes_the_dirtiest(store: CleanerStore, manager: LogManager) -> None:
    logs = {name: await add(manager, name, ratio) for name, ratio in (("a", 0.6), ("b", 0.9), ("c", 0.3))}
    store.policies["a"] = CompactionPolicy(delete_retention_ms=7, min_lag_ms=3, max_lag_ms=9)
    store.limits["a"] = 8
    assert await manager.cleaner.clean_one()
    assert [bool(log.compacted) for log in logs.values()] == [False, True, False]
    assert manager.cleaner.stats.max_dirty_ratio == 0.9
    assert await manager.cleaner.clean_one()
    assert not await manager.cleaner.clean_one()
    (options,) = logs["a"].compacted
    assert options == {
        "clean_from": -1,
        "max_offset": 8,
        "delete_retention_ms": 7,
        "min_lag_ms": 3,
        "memory_bytes": int(128 * 1024 * 1024 * 0.9),
    }
    now = store.clock.now_ms()
    assert logs["a"].asked[0] == (-1, 8, now, {"min_lag_ms": 3, "max_lag_ms": 9})
    stats = manager.cleaner.stats
    assert (stats.runs, stats.bytes_read, stats.bytes_kept) == (2, 2000, 800)
    assert (stats.records_read, stats.records_kept, stats.peak_map_bytes) == (20, 8, 120)
    assert (stats.last_run_ms, stats.running, stats.max_dirty_ratio) == (now, 0, 0.3)


async def test_only_compacted_topics(store: CleanerStore, manager: LogManager) -> None:
    deleted = await add(manager, "deleted", 0.9, config=FakeConfig())
    both = await add(manager, "both", 0.9, config=FakeConfig(compact=True, delete=True))
    foreign = await add(manager, "foreign", 0.9)
    store.limits["foreign"] = None
    assert await manager.cleaner.clean_one()
    assert not await manager.cleaner.clean_one()
    assert (deleted.asked, foreign.asked) == ([], [])
    assert len(both.compacted) == 1


async def test_a_run_that_gets_nowhere_is_not_repeated_at_once(manager: LogManager) -> None:
    log = await add(manager, "a", 0.9)
    log.dirty.first_dirty_offset = log.cleaned_to = 4
    assert not await manager.cleaner.clean_one()
    assert manager.cleaner.stats.runs == 1


async def test_a_log_that_fails_is_left_alone_and_the_others_go_on(
    manager: LogManager, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = await add(manager, "bad", 0.9), await add(manager, "good", 0.6)
    unreadable = await add(manager, "unreadable", 0.8)
    bad.error = CorruptLog("batch at 7: bad checksum")
    unreadable.look_error = RuntimeError("a defect")
    for _ in range(4):
        await manager.cleaner.clean_one()
    assert (len(bad.compacted), len(good.compacted), len(unreadable.asked)) == (1, 1, 1)
    assert manager.cleaner.stats.uncleanable == {
        ("bad", 0): "batch at 7: bad checksum",
        ("unreadable", 0): "a defect",
    }
    assert "bad-0 cannot be compacted and is left alone until the next start: batch at 7" in caplog.text
    assert "RuntimeError: a defect" in caplog.text
    assert manager.complete
    # A new topic of that name has nothing to do with it.
    await manager.delete("bad", 0, ID)
    assert list(manager.cleaner.stats.uncleanable) == [("unreadable", 0)]


async def test_a_full_disk_is_waited_out(
    store: CleanerStore, manager: LogManager, caplog: pytest.LogCaptureFixture
) -> None:
    log = await add(manager, "a", 0.9)
    log.error = storage_error("No space left", no_space=True)
    assert not await manager.cleaner.clean_one()
    assert not await manager.cleaner.clean_one()
    assert (len(log.compacted), manager.complete, manager.cleaner.stats.uncleanable) == (1, True, {})
    assert "waits for room" in caplog.text
    log.error = None
    store.clock.advance(60_000)
    assert await manager.cleaner.clean_one()


@pytest.mark.parametrize("failure", [None, "fsync: EIO"])
async def test_a_disk_that_fails_takes_its_directory_offline(
    store: CleanerStore, manager: LogManager, failure: str | None
) -> None:
    log = await add(manager, "a", 0.9)
    log.error = storage_error("fsync: EIO")
    log.failure = failure
    assert not await manager.cleaner.clean_one()
    assert not manager.complete
    assert len(store.halted) == 1
    assert manager.cleaner.stats.uncleanable == {}


async def test_threads_share_the_work(manager: LogManager) -> None:
    logs = [await add(manager, f"t{index}", 0.9) for index in range(4)]
    gate = threading.Event()
    for log in logs:
        log.gate = gate
    await start(manager, threads=2, dedupe_buffer_bytes=1000, load_factor=0.9)
    await until(lambda: manager.cleaner.stats.running == 2)
    assert len(manager.cleaner.running) == 2
    gate.set()
    await until(lambda: manager.cleaner.stats.runs == 4)
    assert all(len(log.compacted) == 1 for log in logs)
    assert all(log.compacted[0]["memory_bytes"] == 450 for log in logs)
    assert {name for log in logs for name in log.threads} == {"fastlog-cleaner-0_0", "fastlog-cleaner-1_0"}


async def test_the_number_of_threads_changes_while_it_runs(manager: LogManager) -> None:
    logs = [await add(manager, f"t{index}", 0.9) for index in range(6)]
    for log in logs:
        log.gate = threading.Event()
    await start(manager, threads=1, backoff_ms=60_000)
    await until(lambda: manager.cleaner.stats.running == 1)
    manager.cleaner.reconfigure(CleanerSettings(threads=3, backoff_ms=60_000))
    await until(lambda: manager.cleaner.stats.running == 3)
    manager.cleaner.reconfigure(CleanerSettings(threads=1, backoff_ms=60_000))
    for log in logs:
        log.gate.set()
    await until(lambda: manager.cleaner.stats.runs == 6)
    await until(lambda: len(manager.cleaner._workers) == 1)


async def test_a_shorter_pause_holds_at_once(manager: LogManager) -> None:
    await start(manager, backoff_ms=3_600_000)
    log = await add(manager, "a", 0.0)
    await until(lambda: bool(manager.cleaner._workers))
    await asyncio.sleep(0.05)
    log.dirty = FakeState(dirty_ratio=0.9)
    manager.cleaner.reconfigure(CleanerSettings(backoff_ms=1))
    await until(lambda: manager.cleaner.stats.runs == 1)


async def test_the_rate_changes_for_what_runs(manager: LogManager) -> None:
    manager.cleaner.reconfigure(CleanerSettings(bytes_per_second=1000.0))
    assert manager.cleaner._throttle.bytes_per_second == 1000.0
    manager.cleaner.reconfigure(CleanerSettings())
    assert manager.cleaner._throttle.bytes_per_second is None


async def test_a_cleaner_that_is_off(manager: LogManager) -> None:
    log = await add(manager, "a", 0.9)
    await start(manager, enabled=False)
    await asyncio.sleep(0.05)
    assert (log.asked, manager.cleaner._workers) == ([], {})


async def running(manager: LogManager) -> Any:
    """A log whose compaction is under way and would take for ever."""
    log = await add(manager, "a", 0.9)
    log.gate = threading.Event()
    await start(manager)
    await until(log.entered.is_set)
    return log


async def test_deletion_interrupts_a_run(store: CleanerStore, manager: LogManager) -> None:
    log = await running(manager)
    async with asyncio.timeout(10):
        await manager.delete("a", 0, ID)
    assert log.closed
    assert (manager.cleaner.stats.interrupted, manager.cleaner.stats.runs) == (1, 0)
    assert manager.cleaner.running == []
    assert not (store.paths[0] / "cleaner-offset-checkpoint").exists()


async def test_deletion_waits_until_the_thread_has_left_the_log(manager: LogManager) -> None:
    log = await running(manager)
    deaf: list[bool] = []
    log.stop_compaction = lambda: deaf.append(log.closed)
    deletion = asyncio.ensure_future(manager.delete("a", 0, ID))
    await until(lambda: len(deaf) > 2)
    assert not deletion.done()
    log.stopped = True
    await deletion
    assert not any(deaf)


async def test_a_change_of_policy_interrupts_a_run(manager: LogManager, caplog: Any) -> None:
    caplog.set_level("INFO")
    log = await running(manager)
    await manager.update_config("a", FakeConfig(compact=True, delete=True))  # type: ignore[arg-type]
    assert manager.cleaner.running == [("a", 0)]
    await manager.update_config("a", FakeConfig())  # type: ignore[arg-type]
    await until(lambda: manager.cleaner.stats.interrupted == 1)
    assert "a-0 was interrupted: cleanup.policy is not compact any more" in caplog.text
    asked = len(log.asked)
    await asyncio.sleep(0.05)
    assert len(log.asked) == asked
    log.gate.set()
    await manager.update_config("a", COMPACT)  # type: ignore[arg-type]
    await until(lambda: manager.cleaner.stats.runs == 1)


async def test_the_stop_interrupts_a_run(manager: LogManager, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await running(manager)
    async with asyncio.timeout(10):
        await manager.shutdown()
    assert manager.cleaner.stats.interrupted == 1
    assert "a-0 was interrupted: the broker stops" in caplog.text
    assert manager.cleaner._workers == {}


async def test_a_failed_directory_interrupts_a_run(store: CleanerStore, manager: LogManager) -> None:
    log = await running(manager)
    manager.dir_failed(store.paths[0], "EIO")
    await until(lambda: manager.cleaner.stats.interrupted == 1)
    assert len(log.compacted) == 1
    assert manager.cleaner.stats.uncleanable == {}


async def test_what_the_engine_gives_up_is_tried_again(
    manager: LogManager, caplog: pytest.LogCaptureFixture
) -> None:
    """As when retention took away a segment that was being compacted."""
    caplog.set_level("INFO")
    log = await add(manager, "a", 0.9)
    log.error = CompactionAborted("retention")
    assert not await manager.cleaner.clean_one()
    log.error = None
    assert await manager.cleaner.clean_one()
    assert (manager.cleaner.stats.interrupted, manager.cleaner.stats.uncleanable) == (1, {})
    assert "a-0 was interrupted: retention" in caplog.text


async def test_a_log_that_is_closed_while_it_is_looked_at_is_no_failure(manager: LogManager) -> None:
    log = await add(manager, "a", 0.9)
    log.look_gate = threading.Event()
    log.look_error = RuntimeError("the log is closed")
    looking = asyncio.ensure_future(manager.cleaner.clean_one())
    await until(lambda: bool(log.asked))
    manager.table.remove("a", 0)
    log.look_gate.set()
    assert not await looking
    assert manager.cleaner.stats.uncleanable == {}


async def test_logs_are_gathered_while_others_are_looked_at(
    manager: LogManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all of them before the first look, which would hold up the event loop; what is gone is left out."""
    monkeypatch.setattr(cleaner, "_LOGS_PER_THREAD_CALL", 1)
    first, second, third = [await add(manager, name, 0.9) for name in ("a", "b", "c")]
    first.look_gate = threading.Event()
    looking = asyncio.ensure_future(manager.cleaner.clean_one())
    await until(lambda: bool(first.asked))
    manager.table.remove("b", 0)
    first.look_gate.set()
    assert await looking
    assert (len(first.asked), len(second.asked), len(third.asked)) == (1, 0, 1)


async def test_a_defect_does_not_end_a_thread(
    store: CleanerStore, manager: LogManager, caplog: pytest.LogCaptureFixture
) -> None:
    await add(manager, "a", 0.9)
    calls: list[str] = []

    def broken(topic: str) -> CompactionPolicy:
        calls.append(topic)
        if len(calls) == 1:
            raise RuntimeError("a defect")
        return CompactionPolicy()

    manager.cleaner.set_hooks(broken, lambda topic, partition: 1000)
    await start(manager)
    await until(lambda: manager.cleaner.stats.runs == 1)
    assert "background work (cleaner-0) failed" in caplog.text
