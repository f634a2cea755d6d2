"""Directories and disks that fail or are full, and damaged partitions."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import CorruptLog
from fastlog.storage import partition_files
from fastlog.storage.checkpoints import LOG_START_OFFSETS, RECOVERY_POINTS, read_offsets
from fastlog.storage.log_dir import CLEAN_SHUTDOWN_FILE
from tests.unit.storage.fakes import LOG_FILE, storage_error
from tests.unit.storage.store import ID, Store, advance, make, names


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path)
    yield made
    await made.close()


async def test_a_full_directory_is_passed_over_and_stays_online(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await store.started()
    real = partition_files.make_directory

    def make_directory(path: Path) -> bool:
        if path.parent == store.paths[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path)

    monkeypatch.setattr(partition_files, "make_directory", make_directory)
    await make(manager, "t")
    assert names(store.paths[1]) == ["t-0"]
    assert manager.complete
    monkeypatch.setattr(
        partition_files, "make_directory", lambda path: (_ for _ in ()).throw(OSError(errno.ENOSPC, "x"))
    )
    with pytest.raises(KafkaError) as caught:
        await make(manager, "t", 1)
    assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert manager.complete
    await manager.shutdown()


async def test_a_full_disk_found_by_the_log_leaves_nothing_behind(store: Store) -> None:
    manager = await store.started()
    store.opener.errors["t-0"] = storage_error("no space", no_space=True)
    with pytest.raises(KafkaError):
        await make(manager, "t")
    assert [names(path) for path in store.paths] == [[], []]
    assert manager.complete
    await manager.shutdown()


async def test_a_broken_directory_goes_offline_and_the_next_is_used(store: Store) -> None:
    manager = await store.started()
    store.opener.errors[str(store.paths[0] / "t-0")] = storage_error("EIO")
    await make(manager, "t")
    assert [directory.online for directory in manager.directories] == [False, True]
    assert manager.directory_of("t", 0) is manager.directories[1]
    store.opener.errors["t-1"] = storage_error("EIO")
    with pytest.raises(KafkaError):
        await make(manager, "t", 1)
    assert len(store.halted) == 1


async def test_a_failed_directory_takes_its_partitions_along(store: Store) -> None:
    manager = await store.started()
    heard: list[Any] = []
    manager.add_failure_callback(lambda *args: heard.append(args))
    logs = [await make(manager, "t", partition) for partition in range(4)]
    logs[0].failure = "fdatasync: EIO"
    manager.failures.log_failed(logs[0])
    manager.failures.log_failed(logs[2])
    manager.dir_failed(store.paths[0], "once more")
    assert heard == [(store.paths[0], f"{logs[0].path}: fdatasync: EIO", [("t", 0), ("t", 2)])]
    assert manager.get("t", 0) is None
    assert "fdatasync: EIO" in (manager.offline_reason("t", 2) or "")
    assert manager.get("t", 1) is logs[1]
    assert manager.offline_reason("t", 1) is None
    assert store.halted == []
    # Nothing empty takes the place of what is out of reach, and new partitions go to what works.
    with pytest.raises(KafkaError, match="offline"):
        await make(manager, "t", 0)
    await make(manager, "t", 4)
    assert manager.directory_of("t", 4) is manager.directories[1]
    manager.dir_failed(store.paths[1], "EIO")
    assert store.halted == ["EIO"]


async def test_a_defect_of_who_is_told_first_keeps_nobody_from_being_told(store: Store) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    told: list[str] = []
    manager = await store.started()
    manager.add_failure_callback(fails)
    manager.add_failure_callback(lambda path, reason, partitions: told.append(path.name))
    for path in store.paths:
        with pytest.raises(ZeroDivisionError):
            manager.dir_failed(path, "EIO")
    assert told == [path.name for path in store.paths]
    assert store.halted == ["EIO"]
    await manager.shutdown()


async def test_a_clean_end_marks_what_works_only(store: Store) -> None:
    manager = await store.started()
    for partition in range(4):
        await make(manager, "t", partition)
    manager.dir_failed(store.paths[0], "EIO")
    assert not await manager.shutdown()
    assert [(path / CLEAN_SHUTDOWN_FILE).exists() for path in store.paths] == [False, True]


async def test_a_log_that_does_not_close_keeps_the_mark_away(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    log.fail_on["flush"] = storage_error("EIO")
    assert not await manager.shutdown()
    assert not (store.paths[0] / CLEAN_SHUTDOWN_FILE).exists()
    assert (store.paths[1] / CLEAN_SHUTDOWN_FILE).exists()


async def test_a_defect_at_one_log_keeps_no_other_from_being_closed_and_written_down(store: Store) -> None:
    manager = await store.started()
    logs = [await make(manager, "t", partition) for partition in range(6)]
    for log in logs:
        log.append(b"x" * 10)
    logs[0].fail_on["close"] = ZeroDivisionError()
    assert not await manager.shutdown()
    assert all(log.closed for log in logs[1:])
    points: dict[tuple[str, int], int] = {}
    for path in store.paths:
        points |= read_offsets(path / RECOVERY_POINTS)
    assert points == {("t", partition): 10 for partition in range(1, 6)}


async def test_a_full_disk_does_not_keep_the_mark_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve gives its room to the last small files of the logs, and keeps some for the checkpoints."""
    manager = await store.started()
    log = await make(manager, "t")
    monkeypatch.setattr(type(log), "close", lambda log: close_in_little_room())

    def close_in_little_room() -> None:
        if len(list(store.paths[0].glob(".fastlog-reserve-*"))) > 4:
            raise storage_error("full", no_space=True)

    assert await manager.shutdown()
    assert (store.paths[0] / CLEAN_SHUTDOWN_FILE).exists()
    assert len(list(store.paths[0].glob(".fastlog-reserve-*"))) == 4


async def test_damage_keeps_one_partition_offline_and_the_mark_away(store: Store) -> None:
    manager = await store.started()
    for partition in range(3):
        await make(manager, "t", partition)
    await advance(manager, "t", 2, 7)
    await manager.shutdown()
    store.opener.errors["t-2"] = CorruptLog("00000000000000000000.log: damaged at byte 7")
    again = await store.started()
    assert again.get("t", 0) is not None
    assert again.get("t", 2) is None
    assert "damaged at byte 7" in (again.offline_reason("t", 2) or "")
    assert again.complete
    await again.housekeeping.checkpoint()
    assert read_offsets(store.paths[0] / LOG_START_OFFSETS) == {("t", 2): 7}
    await again.shutdown()
    assert not (store.paths[0] / CLEAN_SHUTDOWN_FILE).exists()
    assert (store.paths[1] / CLEAN_SHUTDOWN_FILE).exists()
    # Repaired: all of it is checked, and what was deleted from it stays deleted.
    del store.opener.errors["t-2"]
    await store.started()
    options = store.opener.logs[str(store.paths[0] / "t-2")].options
    assert (options["recovery_point"], options["log_start_offset"]) == (0, 7)


async def test_a_disk_that_fails_at_the_start_takes_its_directory_offline(store: Store) -> None:
    manager = await store.started()
    for partition in range(4):
        await make(manager, "t", partition)
    await manager.shutdown()
    store.opener.errors["t-2"] = storage_error("EIO")
    again = await store.started()
    assert [directory.online for directory in again.directories] == [False, True]
    assert again.get("t", 0) is None
    assert again.get("t", 1) is not None


async def test_a_full_disk_at_the_start_takes_no_directory_offline(store: Store) -> None:
    manager = await store.started()
    (await make(manager, "t")).append(b"123")
    await manager.shutdown()
    store.opener.errors["t-0"] = storage_error("full", no_space=True)
    again = await store.started()
    assert again.complete
    assert again.offline_reason("t", 0) == "full"
    assert again.waits_for_room("t", 0)
    with pytest.raises(KafkaError, match="full"):
        await make(again, "t")
    del store.opener.errors["t-0"]
    reopened = await make(again, "t")
    assert again.get("t", 0) is reopened
    assert reopened.options["recovery_point"] == 3
    assert again.offline_reason("t", 0) is None
    assert await again.shutdown()


async def test_what_may_be_in_an_offline_directory_cannot_be_deleted_yet(store: Store) -> None:
    manager = await store.started()
    await make(manager, "t", 0)
    await make(manager, "t", 1)
    manager.dir_failed(store.paths[0], "EIO")
    with pytest.raises(KafkaError, match="offline") as caught:
        await manager.delete("t", 0, ID)
    assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    with pytest.raises(KafkaError, match="may be in a log directory that is offline"):
        await manager.delete("unknown", 0, ID)
    await manager.delete("t", 1, ID)


async def test_a_damaged_partition_can_be_deleted(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    log.append(b"x")
    await manager.shutdown()
    store.opener.errors["t-0"] = CorruptLog("damaged")
    again = await store.started()
    await again.delete("t", 0, ID)
    (left,) = names(store.paths[0])
    assert left.endswith("-delete")
    assert (store.paths[0] / left / LOG_FILE).read_bytes() == b"x"
    assert again.offline_reason("t", 0) is None
    await again.shutdown()


async def test_an_unusable_directory_does_not_stop_the_others(store: Store) -> None:
    store.paths[0].touch()
    manager = await store.manager()
    preparation = await manager.prepare()
    assert not preparation.complete
    assert [directory.online for directory in manager.directories] == [False, True]
    await make(manager, "t")
    manager.note_missing("u", 0, ID)
    assert "offline" in (manager.offline_reason("u", 0) or "")


async def test_nothing_is_written_into_a_directory_that_took_the_place_of_ours(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    ours, moved = store.paths[0], store.paths[0].with_name("moved")
    ours.rename(moved)
    ours.mkdir()
    assert not await manager.housekeeping.checkpoint_directory(manager.directories[0])
    assert list(ours.iterdir()) == []
    assert manager.get("t", 0) is None
    assert "moved away or replaced" in (manager.offline_reason("t", 0) or "")
    await make(manager, "u")
    assert not await manager.shutdown()
    assert list(ours.iterdir()) == []
    assert log.path == str(ours / "t-0")


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_directory_that_is_moved_away_goes_offline_soon(store: Store, replaced: bool) -> None:
    manager = await store.started()
    await make(manager, "t")
    await manager.housekeeping.look_at_directories()
    assert manager.complete
    store.paths[0].rename(store.paths[0].with_name("moved"))
    if replaced:
        store.paths[0].mkdir()
    await manager.housekeeping.look_at_directories()
    assert [directory.online for directory in manager.directories] == [False, True]
    # The next partition is made where it can be.
    await make(manager, "u")
    assert manager.directory_of("u", 0) is manager.directories[1]
    await manager.shutdown()
