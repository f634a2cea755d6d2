"""Making, deleting and opening partitions over several log directories, and directories that fail."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.clock import ManualClock
from fastlog.errors import ErrorCode, FastlogError, KafkaError
from fastlog.native import CorruptLog
from fastlog.storage import partition_files
from fastlog.storage.checkpoints import LOG_START_OFFSETS, read_offsets
from fastlog.storage.dir_lock import DirectoryLocked
from fastlog.storage.io import IoLoop
from fastlog.storage.log_dir import CLEAN_SHUTDOWN_FILE
from fastlog.storage.manager import LogManager
from fastlog.storage.partition_dirs import DirectoryKind, parse_name
from fastlog.storage.partition_metadata import read_topic_id
from fastlog.storage.recovery import Opening
from fastlog.storage.settings import StorageSettings
from fastlog.storage.uuids import random_uuid
from tests.unit.storage.fakes import LOG_FILE, FakeConfig, FakeEngine, LogOpener, flushing, storage_error

ID = random_uuid()
CLUSTER = "vPeOCWypqUOSepEvx0cbog"


class Store:
    """Log directories that outlive the managers opened on them."""

    def __init__(self, root: Path, directories: int = 2) -> None:
        self.paths = [root / f"d{index}" for index in range(directories)]
        self.opener = LogOpener()
        self.clock = ManualClock()
        self.halted: list[str] = []
        self.allow_data_loss = False
        self._ios: list[IoLoop] = []

    async def manager(self) -> LogManager:
        io = IoLoop(FakeEngine(flushing))  # type: ignore[arg-type]
        self._ios.append(io)
        settings = StorageSettings(log_dirs=self.paths, allow_data_loss=self.allow_data_loss)
        return LogManager(settings, self.clock, io, open_log=self.opener, on_all_failed=self.halted.append)

    async def started(self) -> LogManager:
        """A manager with every partition found on disk open."""
        manager = await self.manager()
        preparation = await manager.prepare()
        await manager.confirm_identity(preparation.cluster_id or CLUSTER, 1)
        await manager.open([Opening(found, ID, FakeConfig()) for found in preparation.partitions])  # type: ignore[arg-type]
        return manager

    async def close(self) -> None:
        for io in self._ios:
            await io.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path)
    yield made
    await made.close()


async def make(manager: LogManager, topic: str, partition: int = 0, topic_id: bytes = ID) -> Any:
    return await manager.create(topic, topic_id, partition, FakeConfig())  # type: ignore[arg-type]


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir())


async def test_partitions_spread_over_the_directories(store: Store) -> None:
    manager = await store.started()
    for partition in range(5):
        log = await make(manager, "t", partition)
        assert manager.get("t", partition) is log
    assert [len(names(path)) for path in store.paths] == [3, 2]
    assert read_topic_id(store.paths[0] / "t-0") == ID
    await manager.shutdown()


async def test_a_partition_that_is_there_is_not_made_again(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    assert await make(manager, "t") is log
    with pytest.raises(KafkaError, match="another topic id") as caught:
        await make(manager, "t", topic_id=random_uuid())
    assert caught.value.code == ErrorCode.INCONSISTENT_TOPIC_ID
    await manager.shutdown()


async def test_what_a_crash_left_of_a_creation_is_completed(store: Store) -> None:
    (store.paths[0] / "t-0").mkdir(parents=True)
    manager = await store.manager()
    await manager.prepare()
    await make(manager, "t")
    assert read_topic_id(store.paths[0] / "t-0") == ID
    await manager.shutdown()


async def test_data_of_another_topic_is_not_taken_over(store: Store) -> None:
    other = random_uuid()
    path = store.paths[0] / "t-0"
    path.mkdir(parents=True)
    partition_files.write_topic_id(path, other)
    manager = await store.manager()
    await manager.prepare()
    with pytest.raises(KafkaError, match="in the way"):
        await make(manager, "t")
    assert read_topic_id(path) == other
    await manager.shutdown()


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


async def test_a_clean_end_marks_what_works_only(store: Store) -> None:
    manager = await store.started()
    for partition in range(4):
        await make(manager, "t", partition)
    manager.dir_failed(store.paths[0], "EIO")
    assert not await manager.shutdown()
    assert [(path / CLEAN_SHUTDOWN_FILE).exists() for path in store.paths] == [False, True]


async def test_the_mark_is_gone_before_a_log_is_opened(store: Store) -> None:
    manager = await store.started()
    await make(manager, "t")
    assert await manager.shutdown()
    assert (store.paths[0] / CLEAN_SHUTDOWN_FILE).exists()
    seen: list[bool] = []
    real = store.opener.__class__.__call__

    def watching(path: str, config: Any, **options: Any) -> Any:
        seen.append((store.paths[0] / CLEAN_SHUTDOWN_FILE).exists())
        return real(store.opener, path, config, **options)

    again = await store.manager()
    again._open_log = watching
    preparation = await again.prepare()
    await again.open([Opening(found, ID, FakeConfig()) for found in preparation.partitions])  # type: ignore[arg-type]
    assert seen == [False]
    assert store.opener.logs[str(store.paths[0] / "t-0")].options["clean_shutdown"] is True
    await again.shutdown()


async def test_a_start_that_is_refused_keeps_the_mark(store: Store) -> None:
    manager = await store.started()
    await make(manager, "t")
    await manager.shutdown()
    refused = await store.manager()
    await refused.prepare()
    await refused.shutdown()
    assert (store.paths[0] / CLEAN_SHUTDOWN_FILE).exists()


async def test_offsets_come_back_after_a_clean_end(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    log.append(b"x" * 100)
    await manager.advance_log_start("t", 0, 30)
    await manager.shutdown()
    assert log.calls == ["flush", "close"]
    again = await store.started()
    reopened = store.opener.logs[log.path]
    assert reopened.options == {
        "recovery_point": 100,
        "log_start_offset": 30,
        "clean_shutdown": True,
        "allow_data_loss": False,
    }
    await again.shutdown()


async def test_a_log_start_offset_survives_a_crash(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    log.append(b"x" * 100)
    assert await manager.advance_log_start("t", 0, 30) == 30
    for directory in manager.directories:
        directory.close()
    await store.started()
    options = store.opener.logs[log.path].options
    assert (options["log_start_offset"], options["clean_shutdown"]) == (30, False)


async def test_a_log_that_does_not_close_keeps_the_mark_away(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    log.fail_on["flush"] = storage_error("EIO")
    assert not await manager.shutdown()
    assert not (store.paths[0] / CLEAN_SHUTDOWN_FILE).exists()
    assert (store.paths[1] / CLEAN_SHUTDOWN_FILE).exists()


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
    await manager.advance_log_start("t", 2, 7)
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


async def test_deletion_renames_at_once_and_removes_later(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    log.append(b"x")
    await manager.delete("t", 0, ID)
    assert log.closed
    assert manager.get("t", 0) is None
    assert manager.offline_reason("t", 0) is None
    (left,) = names(store.paths[0])
    parsed = parse_name(left)
    assert parsed is not None
    assert parsed.kind is DirectoryKind.DELETED
    await manager.housekeeping.purge()
    assert names(store.paths[0]) == [left]
    store.clock.advance(60_000)
    await manager.housekeeping.purge()
    assert names(store.paths[0]) == []
    await manager.delete("t", 0, ID)
    await manager.shutdown()


async def test_a_deletion_waits_for_appends_under_way(store: Store) -> None:
    manager = await store.manager()
    engine = FakeEngine()
    io = IoLoop(engine)  # type: ignore[arg-type]
    manager._io = io
    await manager.prepare()
    log = await make(manager, "t")
    io.produce("plan", [log], [0])  # type: ignore[arg-type]
    deletion = asyncio.create_task(manager.delete("t", 0, ID))
    await asyncio.sleep(0.01)
    assert names(store.paths[0]) == ["t-0"]
    assert not log.closed
    engine.finish(1, [])
    await deletion
    assert log.closed
    assert names(store.paths[0]) != ["t-0"]
    await manager.shutdown()
    await io.close()


async def test_what_was_deleted_is_removed_after_a_restart_too(store: Store) -> None:
    manager = await store.started()
    await make(manager, "t")
    await manager.delete("t", 0, ID)
    await manager.shutdown()
    again = await store.started()
    store.clock.advance(60_000)
    await again.housekeeping.purge()
    assert names(store.paths[0]) == []
    await again.shutdown()


async def test_another_topic_of_the_name_is_not_deleted(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    await manager.delete("t", 0, random_uuid())
    assert manager.get("t", 0) is log
    await manager.shutdown()


async def test_a_recreated_partition_does_not_inherit_offsets(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    log.append(b"x" * 500)
    await manager.advance_log_start("t", 0, 400)
    log.flush()
    await manager.housekeeping.checkpoint()
    await manager.delete("t", 0, ID)
    await make(manager, "t")
    for directory in manager.directories:
        directory.close()
    await store.started()
    options = store.opener.logs[str(store.paths[0] / "t-0")].options
    assert (options["recovery_point"], options["log_start_offset"]) == (0, 0)


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


async def test_two_managers_cannot_share_a_directory(store: Store) -> None:
    first = await store.started()
    second = await store.manager()
    with pytest.raises(DirectoryLocked):
        await second.prepare()
    await first.shutdown()


async def test_directories_of_two_clusters_are_refused(store: Store) -> None:
    for path, cluster in zip(store.paths, ("a", "b"), strict=True):
        path.mkdir()
        (path / "meta.properties").write_text(f"version=0\nbroker.id=1\ncluster.id={cluster}\n")
    manager = await store.manager()
    with pytest.raises(FastlogError, match="do not belong together"):
        await manager.prepare()


async def test_an_unusable_directory_does_not_stop_the_others(store: Store) -> None:
    store.paths[0].touch()
    manager = await store.manager()
    preparation = await manager.prepare()
    assert not preparation.complete
    assert [directory.online for directory in manager.directories] == [False, True]
    await make(manager, "t")
    manager.note_missing("u", 0, ID)
    assert "offline" in (manager.offline_reason("u", 0) or "")


async def test_the_identity_found_on_disk_is_reported(store: Store) -> None:
    store.paths[1].mkdir()
    (store.paths[1] / "meta.properties").write_text("version=0\nbroker.id=9\ncluster.id=abc\n")
    manager = await store.manager()
    preparation = await manager.prepare()
    assert (preparation.cluster_id, preparation.node_id, preparation.used_before) == ("abc", 9, False)
    await manager.confirm_identity("abc", 9)
    await manager.shutdown()
    again = await store.manager()
    assert (await again.prepare()).used_before
    await again.shutdown()


async def test_new_settings_reach_the_open_logs(store: Store) -> None:
    manager = await store.started()
    logs = [await make(manager, "t", partition) for partition in range(3)]
    other = await make(manager, "u")
    new = FakeConfig(flush_ms=5)
    await manager.update_config("t", new)  # type: ignore[arg-type]
    assert all(log.config is new for log in logs)
    assert other.config is not new
    await manager.shutdown()
