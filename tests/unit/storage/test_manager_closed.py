"""Partitions that are not open: what is known of them, and what happens to them meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.errors import ErrorCode, KafkaError
from fastlog.storage.checkpoints import LOG_START_OFFSETS, RECOVERY_POINTS, read_offsets
from fastlog.storage.log_manager import LogManager
from tests.unit.storage.fakes import LOG_FILE, LogOpener, storage_error
from tests.unit.storage.store import ID, Store, make

KEY = ("t", 0)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path, directories=1)
    yield made
    await made.close()


class SlowOpener(LogOpener):
    """Waits with each log until `go_on` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, path: str, config: Any, **options: Any) -> Any:
        self.begun.set()
        assert self.go_on.wait(20)
        return super().__call__(path, config, **options)


def fail(manager: LogManager, log: Any) -> None:
    """One file of a log cannot be used any more."""
    log.failure, log.failure_cause = "00000000000000000007.index: is a directory", "file"
    manager.failures.log_failed(log)
    assert manager.offline_reason(*KEY) == log.failure


def checkpointed(store: Store) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], int]]:
    """(recovery points, log start offsets) on the disk."""
    path = store.paths[0]
    return read_offsets(path / RECOVERY_POINTS), read_offsets(path / LOG_START_OFFSETS)


async def test_what_a_failed_partition_had_reached_is_not_forgotten(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    log.append(b"x" * 100)
    log.flush()
    await manager.advance_log_start("t", 0, 30)
    fail(manager, log)
    await manager.housekeeping.checkpoint()
    assert checkpointed(store) == ({KEY: 100}, {KEY: 30})
    await manager.shutdown()
    assert checkpointed(store) == ({KEY: 100}, {KEY: 30})


async def test_a_failed_partition_is_not_noted_with_what_another_of_its_name_had_reached(
    store: Store,
) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    log.append(b"x" * 1000)
    await manager.advance_log_start("t", 0, 900)
    await manager.shutdown()
    again = await store.started()
    await again.delete("t", 0, ID)
    log = await make(again, "t")
    log.append(b"y" * 10)
    log.flush()
    fail(again, log)
    await again.housekeeping.checkpoint()
    # Started with the other one's offsets, the log would be taken for one that is deleted up to them.
    assert checkpointed(store) == ({KEY: 10}, {})
    await again.delete("t", 0, ID)
    await again.housekeeping.checkpoint()
    assert checkpointed(store) == ({}, {})
    assert not again.directories[0].former_recovery_points
    await again.shutdown()


async def test_the_log_of_a_failed_partition_is_closed_before_its_directory_goes(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    settled: list[Any] = []

    async def wait(log: Any) -> None:
        settled.append(log)

    manager._io.settled = wait  # type: ignore[method-assign, assignment]
    fail(manager, log)
    await manager.delete("t", 0, ID)
    assert settled == [log]
    assert log.closed
    await manager.shutdown()


async def postponed(store: Store) -> tuple[LogManager, SlowOpener]:
    """A manager with a partition that could not be opened for want of room."""
    manager = await store.started()
    await make(manager, "t")
    await manager.shutdown()
    store.opener.errors["t-0"] = storage_error("full", no_space=True)
    again = await store.started()
    opener = SlowOpener()
    again._open_log = opener
    return again, opener


async def test_a_partition_is_opened_by_one_at_a_time(store: Store) -> None:
    manager, opener = await postponed(store)
    first = asyncio.create_task(make(manager, "t"))
    await asyncio.to_thread(opener.begun.wait)
    for other in (make(manager, "t"), manager.delete("t", 0, ID)):
        with pytest.raises(KafkaError, match="being made, or opened") as caught:
            await other
        assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    opener.go_on.set()
    assert await first is manager.get("t", 0)
    await manager.shutdown()


async def test_a_partition_that_is_opened_late_is_not_compacted_beyond_its_end(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    log.append(b"x" * 100)
    entry = manager.table.get(*KEY)
    assert entry is not None
    manager.cleaner.checkpoints.set(entry, 80)
    await manager.shutdown()
    (store.paths[0] / "t-0" / LOG_FILE).write_bytes(b"x" * 50)
    store.opener.errors["t-0"] = storage_error("full", no_space=True)
    again = await store.started()
    store.opener.errors.clear()
    await make(again, "t")
    entry = again.table.get(*KEY)
    assert entry is not None
    assert again.cleaner.checkpoints.get(entry) == 50
    await again.shutdown()


async def test_a_partition_that_is_brought_back_is_checked(store: Store) -> None:
    """It may have been moved away after a crash: a clean end of a run without it says nothing of it."""
    manager = await store.started()
    await make(manager, "t")
    log = await make(manager, "u")
    log.append(b"x" * 80)
    await manager.housekeeping.checkpoint()
    for directory in manager.directories:
        directory.close()
    partition = store.paths[0] / "u-0"
    partition.rename(store.paths[0].with_name("aside"))
    without = await store.started()
    without.note_missing("u", 0, ID)
    await without.shutdown()
    store.paths[0].with_name("aside").rename(partition)
    again = await store.started()
    options = store.opener.logs[str(partition)].options
    assert not options["clean_shutdown"]
    assert not options["offsets_are_exact"]
    await again.shutdown()


@pytest.mark.parametrize("new", [True, False])
async def test_what_is_opened_in_a_directory_that_fails_meanwhile_is_not_served(
    store: Store, new: bool
) -> None:
    if new:
        manager, opener = await store.started(), SlowOpener()
        manager._open_log = opener
    else:
        manager, opener = await postponed(store)
    making = asyncio.create_task(make(manager, "t"))
    await asyncio.to_thread(opener.begun.wait)
    manager.dir_failed(store.paths[0], "EIO")
    opener.go_on.set()
    with pytest.raises(KafkaError, match="EIO"):
        await making
    assert manager.get("t", 0) is None
    assert "EIO" in (manager.offline_reason("t", 0) or "")
