"""The background passes."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from fastlog.storage import housekeeping, log_dir
from fastlog.storage.checkpoints import LOG_START_OFFSETS, RECOVERY_POINTS, read_offsets
from fastlog.storage.log_manager import LogManager
from tests.unit.storage.fakes import FakeConfig, storage_error
from tests.unit.storage.store import ID, Store, make, names


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path, directories=1)
    yield made
    await made.close()


@pytest.fixture
async def manager(store: Store) -> LogManager:
    return await store.started()


async def test_retention_and_purge_reach_every_log(manager: LogManager) -> None:
    logs = [await make(manager, "t", partition) for partition in range(130)]
    assert await manager.housekeeping.retain() == 130
    assert await manager.housekeeping.purge() == 260
    assert all(log.calls == ["apply_retention", "purge_deleted"] for log in logs)


async def test_only_logs_with_removed_files_are_purged(manager: LogManager) -> None:
    logs = [await make(manager, "t", partition) for partition in range(130)]
    for log in logs:
        log.has_deleted = log is logs[77]
    assert await manager.housekeeping.purge() == 2
    assert [log.calls for log in logs if log.calls] == [["purge_deleted"]]


async def test_retention_stays_below_the_limit(manager: LogManager) -> None:
    log = await make(manager, "t")
    await manager.housekeeping.retain()
    manager.set_retention_limit(lambda topic, partition: len(topic) * 100 + partition)
    await manager.housekeeping.retain()
    assert log.retention_limits == [None, 100]


async def test_a_log_start_that_moves_is_told(manager: LogManager) -> None:
    """By retention, which may fail when it has moved it, and by whoever deletes records."""
    kept, cut, failing = [await make(manager, "t", partition) for partition in range(3)]
    moved: list[tuple[str, int]] = []
    manager.set_log_start_hook(moved.append)

    def retain(*_: object) -> int:
        cut.log_start_offset = 7
        return 1

    def fail(*_: object) -> int:
        failing.log_start_offset = 7
        raise storage_error("full")

    cut.apply_retention, failing.apply_retention = retain, fail
    await manager.housekeeping.retain()
    assert moved == [("t", 1), ("t", 2)]
    await manager.advance_log_start("t", 0, 5)
    assert (moved[2:], kept.log_start_offset) == ([("t", 0)], 5)


async def test_silent_producers_are_forgotten(manager: LogManager) -> None:
    await make(manager, "t", 0)
    await make(manager, "t", 1)
    assert await manager.housekeeping.expire_producers() == 6


async def test_what_comes_together_is_flushed_in_the_background(store: Store, manager: LogManager) -> None:
    """So that a crash has less to check: after a checkpoint interval, or a segment's worth of bytes."""
    slow, fast = await make(manager, "slow"), await make(manager, "fast")
    slow.append(b"x")
    fast.append(b"x" * 1000)
    await manager.housekeeping.watch()
    assert (slow.calls, fast.calls) == ([], ["flush"])
    store.clock.advance(60_000)
    await manager.housekeeping.watch()
    assert (slow.calls, fast.calls) == (["flush"], ["flush"])


async def test_one_log_in_trouble_does_not_stop_the_pass(
    manager: LogManager, caplog: pytest.LogCaptureFixture
) -> None:
    logs = [await make(manager, "t", partition) for partition in range(3)]
    logs[1].fail_on["apply_retention"] = storage_error("cannot rename")
    assert await manager.housekeeping.retain() == 2
    assert "retention of t-1: cannot rename" in caplog.text
    assert manager.complete


async def test_a_log_that_failed_takes_its_directory_offline(store: Store, manager: LogManager) -> None:
    log = await make(manager, "t")
    log.fail_on["apply_retention"] = storage_error("EIO")
    log.failure = "rename: EIO"
    await manager.housekeeping.retain()
    assert not manager.complete
    assert len(store.halted) == 1


async def test_a_failure_that_no_job_met_is_noticed(store: Store, manager: LogManager) -> None:
    log = await make(manager, "t")
    await manager.housekeeping.watch()
    assert store.halted == []
    log.failure = "background flush: EIO"
    await manager.housekeeping.watch()
    assert store.halted == [f"{log.path}: background flush: EIO"]


async def test_logs_are_flushed_when_their_time_has_come(store: Store, manager: LogManager) -> None:
    timed = await manager.create("timed", ID, 0, FakeConfig(flush_ms=1000))  # type: ignore[arg-type]
    lazy = await make(manager, "lazy")
    for log in (timed, lazy):
        log.append(b"x")  # type: ignore[call-arg]
    store.clock.advance(999)
    await manager.housekeeping.watch()
    assert timed.calls == []  # type: ignore[attr-defined]
    store.clock.advance(1)
    await manager.housekeeping.watch()
    await manager.housekeeping.watch()
    assert timed.calls == ["flush"]  # type: ignore[attr-defined]
    store.clock.advance(1000)
    await manager.housekeeping.watch()
    # Nothing was appended since, so there is nothing to flush.
    assert timed.calls == ["flush"]  # type: ignore[attr-defined]
    assert lazy.calls == []


async def test_a_flush_that_fails_is_reported(
    store: Store, manager: LogManager, caplog: pytest.LogCaptureFixture
) -> None:
    log: Any = await manager.create("t", ID, 0, FakeConfig(flush_ms=0))  # type: ignore[arg-type]
    log.append(b"x")
    log.fail_on["flush"] = storage_error("EIO")
    log.failure = None
    await manager.housekeeping.watch()
    assert "flushing t-0: EIO" in caplog.text


async def test_checkpoints_hold_all_open_logs(store: Store, manager: LogManager) -> None:
    logs = [await make(manager, "t", partition) for partition in range(2)]
    logs[0].append(b"x" * 10)
    logs[0].flush()
    logs[1].advance_log_start_offset(5)
    await manager.housekeeping.checkpoint()
    assert read_offsets(store.paths[0] / RECOVERY_POINTS) == {("t", 0): 10, ("t", 1): 0}
    assert read_offsets(store.paths[0] / LOG_START_OFFSETS) == {("t", 1): 5}


@pytest.mark.parametrize(("code", "online"), [(errno.ENOSPC, True), (errno.EIO, False)])
async def test_checkpoints_that_cannot_be_written(
    store: Store,
    manager: LogManager,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: int,
    online: bool,
) -> None:
    def fail(*args: object) -> None:
        raise OSError(code, "no")

    with monkeypatch.context() as patch:
        patch.setattr(log_dir, "write_offsets", fail)
        await manager.housekeeping.checkpoint()
        await manager.housekeeping.checkpoint()
    assert manager.complete is online
    if online:
        assert caplog.text.count("is full") == 1
        caplog.set_level("INFO")
        await manager.housekeeping.checkpoint()
        assert "has room again" in caplog.text


async def test_the_passes_run_until_stopped(store: Store) -> None:
    manager = await store.manager()
    quick = type(manager.settings)(
        log_dirs=store.paths,
        initial_delay_ms=1,
        retention_check_ms=1,
        checkpoint_ms=1,
        watch_ms=1,
        purge_ms=1,
        reserve_ms=1,
    )
    manager.housekeeping._settings = quick
    await manager.prepare()
    await manager.open([])
    log = await make(manager, "t")
    manager.start_housekeeping()
    for _ in range(10_000):
        written = (store.paths[0] / RECOVERY_POINTS).exists()
        if written and {"apply_retention", "purge_deleted"} <= set(log.calls):
            break
        await asyncio.sleep(0.001)
    else:
        pytest.fail("not every pass was run")
    await manager.shutdown()
    count = len(log.calls)
    await asyncio.sleep(0.01)
    assert len(log.calls) == count


async def test_a_defect_at_one_partition_keeps_no_other_from_its_turn(
    manager: LogManager,
) -> None:
    logs = [await make(manager, "t", partition) for partition in range(3)]
    logs[1].fail_on["apply_retention"] = RuntimeError("a defect")
    with pytest.raises(RuntimeError, match="a defect"):
        await manager.housekeeping.retain()
    assert all("apply_retention" in log.calls for log in (logs[0], logs[2]))


def no_thread(*_: object, **__: object) -> Any:
    """What `asyncio.to_thread` may do at any time."""
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("defect", ["no thread", "no memory", "removal", "a log"])
async def test_a_directory_that_is_to_be_removed_is_not_forgotten(
    store: Store, manager: LogManager, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    def fails(_path: Path) -> None:
        raise MemoryError if defect == "no memory" else ValueError(defect)

    log = await make(manager, "stays")
    for partition in range(3):
        await make(manager, "t", partition)
        await manager.delete("t", partition, ID)
    store.clock.advance(60_000)
    with monkeypatch.context() as patch:
        match defect:
            case "no thread":
                patch.setattr(housekeeping.asyncio, "to_thread", no_thread)
            case "a log":
                patch.setitem(log.fail_on, "purge_deleted", ValueError(defect))
            case _:
                patch.setattr(housekeeping, "remove_tree", fails)
        # A shortage passes: it is no defect.
        with nullcontext() if defect.startswith("no ") else pytest.raises(ValueError, match=defect):
            await manager.housekeeping.purge()
    left = names(store.paths[0])
    # A defect of a log is none of theirs.
    assert len(left) == (1 if defect == "a log" else 4)
    store.clock.advance(60_000)
    await manager.housekeeping.purge()
    assert names(store.paths[0]) == ["stays-0"]
    assert manager.housekeeping.stats.removals == 3 + 2 * (1 + (defect in ("no memory", "removal")))


async def test_what_was_done_counts_although_a_log_had_a_defect(manager: LogManager) -> None:
    logs = [await make(manager, "t", partition) for partition in range(3)]
    for call in ("apply_retention", "expire_producers"):
        logs[1].fail_on[call] = RuntimeError("a defect")
    for action in (manager.housekeeping.retain, manager.housekeeping.expire_producers):
        with pytest.raises(RuntimeError, match="a defect"):
            await action()
    stats = manager.housekeeping.stats
    assert (stats.retired_segments, stats.expired_producers) == (2, 6)


async def test_a_log_that_fails_keeps_no_other_from_being_flushed(store: Store, manager: LogManager) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a defect")

    manager.add_failure_callback(fails)
    manager.housekeeping.follow_writes()
    logs = [await make(manager, "t", partition) for partition in range(3)]
    for log in logs:
        log.append(b"x")
    logs[1].damage = logs[1].failure = "a batch is damaged"
    store.clock.advance(60_000)
    with pytest.raises(RuntimeError, match="a defect"):
        await manager.housekeeping.watch()
    assert [log.calls for log in logs] == [["flush"], [], ["flush"]]


async def test_recovery_points_that_cannot_be_noted_are_noted_later(
    store: Store, manager: LogManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    log = await make(manager, "t")
    manager.housekeeping.follow_writes()
    log.append(b"x" * 10)
    log.flush()
    with monkeypatch.context() as patch:
        patch.setattr(log_dir, "write_offsets", full)
        await manager.housekeeping.watch()
        patch.setattr(housekeeping.asyncio, "to_thread", no_thread)
        store.clock.advance(60_000)
        await manager.housekeeping.watch()
        assert manager.housekeeping.stats.failed_checkpoints == 2
    store.clock.advance(60_000)
    await manager.housekeeping.watch()
    assert read_offsets(store.paths[0] / RECOVERY_POINTS) == {("t", 0): 10}


async def test_no_directory_waits_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, directories=2)
    manager = await store.started()
    first, _ = manager.directories
    real = log_dir.LogDirectory.write_checkpoints

    def fails(directory: log_dir.LogDirectory, *args: Any, **kwargs: Any) -> None:
        if directory is first:
            raise ZeroDivisionError
        real(directory, *args, **kwargs)

    monkeypatch.setattr(log_dir.LogDirectory, "write_checkpoints", fails)
    with pytest.raises(ZeroDivisionError):
        await manager.housekeeping.checkpoint()
    assert [(path / RECOVERY_POINTS).exists() for path in store.paths] == [False, True]
    await store.close()
