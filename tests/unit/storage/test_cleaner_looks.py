"""What happens to a log between the look at it and what follows, and looks that say something odd."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from fastlog.native import CorruptLog, FastlogNativeError
from fastlog.storage.log_manager import LogManager
from tests.unit.storage.cleaner_world import COMPACT, CleanerStore, FakeState, add, until
from tests.unit.storage.fakes import FakeConfig, storage_error
from tests.unit.storage.store import ID


async def look_at(manager: LogManager, log: Any, **state: Any) -> asyncio.Future[bool]:
    """Has a thread look at a log that is dirty, until its `look_gate` is set; what becomes of it."""
    log.dirty = FakeState(cleanable_bytes=90, dirty_ratio=0.9, **state)
    log.look_gate = threading.Event()
    asked = len(log.asked)
    looking = asyncio.ensure_future(manager.cleaner.clean_one())
    await until(lambda: len(log.asked) > asked)
    return looking


def checkpoint(manager: LogManager) -> int | None:
    """How far topic a is compacted."""
    entry = manager.table.get("a", 0)
    assert entry is not None
    return manager.cleaner.checkpoints.get(entry)


async def test_a_topic_made_anew_has_nothing_to_do_with_the_look_at_the_old_one(manager: LogManager) -> None:
    log = await add(manager, "a", 0.9)
    assert await manager.cleaner.clean_one()
    looking = await look_at(manager, log, first_dirty_offset=5, checkpoint_valid=False)
    await manager.delete("a", 0, ID)
    again = await add(manager, "a")
    log.look_gate.set()
    assert not await looking
    assert (len(log.compacted), again.compacted, checkpoint(manager)) == (1, [], None)


async def test_a_policy_that_changes_under_a_look(manager: LogManager) -> None:
    log = await add(manager, "a")
    looking = await look_at(manager, log)
    await manager.update_config("a", FakeConfig())  # type: ignore[arg-type]
    log.look_gate.set()
    assert not await looking
    assert log.compacted == []
    await manager.update_config("a", COMPACT)  # type: ignore[arg-type]
    assert await manager.cleaner.clean_one()


async def test_a_topic_that_the_metadata_no_longer_has(manager: LogManager) -> None:
    log = await add(manager, "a", 0.9)
    manager.cleaner.set_hooks(lambda topic: None, lambda topic, partition: 1000)
    assert not await manager.cleaner.clean_one()
    assert (log.asked, manager.cleaner.stats.uncleanable) == ([], {})


async def test_a_log_that_was_never_compacted_has_no_checkpoint_to_correct(
    manager: LogManager, caplog: pytest.LogCaptureFixture
) -> None:
    log = await add(manager, "a")
    log.dirty = FakeState(first_dirty_offset=4, checkpoint_valid=False, dirty_ratio=0.1)
    assert not await manager.cleaner.clean_one()
    assert (checkpoint(manager), caplog.text) == (None, "")


async def test_retention_may_take_what_was_compacted(
    manager: LogManager, caplog: pytest.LogCaptureFixture
) -> None:
    """With `compact,delete` a log that starts behind its checkpoint is nothing to warn of."""
    log = await add(manager, "a", 0.9, config=FakeConfig(compact=True, delete=True))
    assert await manager.cleaner.clean_one()
    log.dirty = FakeState(first_dirty_offset=40, checkpoint_valid=False)
    assert not await manager.cleaner.clean_one()
    assert (checkpoint(manager), caplog.text) == (40, "")


async def test_a_log_that_is_offline_takes_its_directory_along(
    store: CleanerStore, manager: LogManager
) -> None:
    """Whatever error says so: the log itself knows that its disk has failed."""
    log = await add(manager, "a", 0.9)
    log.failure, log.error = "fsync: EIO", FastlogNativeError("a-0 is offline: fsync: EIO")
    assert not await manager.cleaner.clean_one()
    assert (manager.complete, manager.cleaner.stats.uncleanable) == (False, {})
    assert "fsync: EIO" in str(manager.offline_reason("a", 0))


async def test_what_was_wrong_with_a_log_ends_with_it(store: CleanerStore, manager: LogManager) -> None:
    """Neither a failure nor a full disk is held against a new topic, or a directory that is gone."""
    log = await add(manager, "a", 0.9)
    log.error = storage_error("No space left", no_space=True)
    assert not await manager.cleaner.clean_one()
    await manager.delete("a", 0, ID)
    log = await add(manager, "a", 0.9)
    assert await manager.cleaner.clean_one()
    log.dirty, log.error = FakeState(dirty_ratio=0.9), CorruptLog("batch at 7: bad checksum")
    assert not await manager.cleaner.clean_one()
    assert list(manager.cleaner.stats.uncleanable) == [("a", 0)]
    manager.dir_failed(store.paths[0], "EIO")
    assert manager.cleaner.stats.uncleanable == {}


async def test_runs_in_other_directories_go_on(tmp_path: Path) -> None:
    store = CleanerStore(tmp_path / "two", directories=2)
    manager = await store.opened()
    logs = [await add(manager, name, 0.9) for name in ("a", "b")]
    for log in logs:
        log.gate = threading.Event()
    runs = [asyncio.ensure_future(manager.cleaner.clean_one()) for _ in logs]
    await until(lambda: manager.cleaner.stats.running == 2)
    directory = manager.directory_of("a", 0)
    assert directory is not None and directory is not manager.directory_of("b", 0)
    manager.dir_failed(directory.path, "EIO")
    await until(lambda: manager.cleaner.stats.running == 1)
    logs[1].gate.set()
    assert sorted(await asyncio.gather(*runs)) == [False, True]
    assert manager.cleaner.stats.interrupted == 1
    await manager.shutdown()
    await store.close()


async def test_records_that_had_no_key_are_counted_in_the_log(
    manager: LogManager, caplog: pytest.LogCaptureFixture
) -> None:
    log = await add(manager, "a", 0.9)
    assert await manager.cleaner.clean_one()
    assert caplog.text == ""
    log.dirty, log.invalid_records, log.cleaned_to = FakeState(dirty_ratio=0.9), 3, 20
    assert await manager.cleaner.clean_one()
    assert "a-0: 3 records without a key were dropped" in caplog.text
