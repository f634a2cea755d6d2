"""Making, deleting and opening partitions over several log directories, and directories that fail."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastlog.base import files
from fastlog.base.uuids import random_uuid
from fastlog.errors import ErrorCode, FastlogError, KafkaError
from fastlog.storage import partition_files
from fastlog.storage.checkpoints import HIGH_WATERMARKS, LOG_START_OFFSETS, read_offsets, write_offsets
from fastlog.storage.dir_lock import DirectoryLocked
from fastlog.storage.io import IoLoop
from fastlog.storage.log_dir import CLEAN_SHUTDOWN_FILE, LogDirectory
from fastlog.storage.partition_dirs import DirectoryKind, parse_name
from fastlog.storage.partition_metadata import read_topic_id
from fastlog.storage.recovery import Opening
from tests.unit.storage.fakes import FakeConfig, FakeEngine
from tests.unit.storage.store import ID, Store, advance, make, names


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path)
    yield made
    await made.close()


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
    await advance(manager, "t", 0, 30)
    await manager.shutdown()
    assert log.calls == ["flush", "close"]
    again = await store.started()
    reopened = store.opener.logs[log.path]
    assert reopened.options == {
        "recovery_point": 100,
        "log_start_offset": 30,
        "compacted_below": 0,
        "offsets_are_exact": True,
        "adopted": False,
        "clean_shutdown": True,
        "allow_data_loss": False,
    }
    await again.shutdown()


async def test_many_log_start_offsets_are_written_down_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[LogDirectory] = []
    write = LogDirectory.write_checkpoints

    def noted(directory: LogDirectory, *args: Any, **kwargs: Any) -> None:
        written.append(directory)
        write(directory, *args, **kwargs)

    manager = await store.started()
    for partition in range(6):
        (await make(manager, "t", partition)).append(b"x" * 100)
    monkeypatch.setattr(LogDirectory, "write_checkpoints", noted)
    keys = [("t", partition) for partition in range(6)]
    for topic, partition in keys:
        await manager.advance_log_start(topic, partition, 30)
    assert await manager.keep_log_starts([*keys, ("gone", 0)]) == {("gone", 0)}
    assert sorted(directory.path for directory in written) == sorted(store.paths)
    starts = [read_offsets(path / LOG_START_OFFSETS) for path in store.paths]
    assert starts[0] | starts[1] == dict.fromkeys(keys, 30)
    await manager.shutdown()


async def test_a_log_start_offset_survives_a_crash(store: Store) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    log.append(b"x" * 100)
    assert await advance(manager, "t", 0, 30) == 30
    for directory in manager.directories:
        directory.close()
    await store.started()
    options = store.opener.logs[log.path].options
    assert (options["log_start_offset"], options["clean_shutdown"]) == (30, False)


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


async def test_the_next_attempt_waits_as_the_first_and_keeps_the_delay_of_the_topic(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await store.manager()
    engine = FakeEngine()
    io = IoLoop(engine)  # type: ignore[arg-type]
    manager._io = io
    await manager.prepare()
    config: Any = FakeConfig(file_delete_delay_ms=5)
    log: Any = await manager.create("t", ID, 0, config)
    io.produce("plan", [log], [0])  # type: ignore[arg-type]
    settled = io.settled
    with monkeypatch.context() as patch:
        patch.setattr(io, "settled", lambda log: settled(log, 0.01))
        for _ in range(2):
            with pytest.raises(KafkaError, match="does not end"):
                await manager.delete("t", 0, ID)
            assert (names(store.paths[0]), log.closed) == (["t-0"], False)
            with pytest.raises(KafkaError, match="is offline: it is being deleted"):
                await make(manager, "t")
    deletion = asyncio.create_task(manager.delete("t", 0, ID))
    await asyncio.sleep(0.01)
    engine.finish(1, [])
    await deletion
    assert log.closed
    assert names(store.paths[0]) != ["t-0"]
    store.clock.advance(5)
    await manager.housekeeping.purge()
    assert names(store.paths[0]) == []
    assert manager.offline_reason("t", 0) is None
    await manager.shutdown()
    await io.close()


async def test_a_rename_that_is_not_durable_is_taken_back_and_done_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await store.started()
    await make(manager, "t")
    real = os.fsync

    def full(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENOSPC, "full")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(KafkaError, match="full"):
            await manager.delete("t", 0, ID)
    assert names(store.paths[0]) == ["t-0"]
    await manager.delete("t", 0, ID)
    store.clock.advance(60_000)
    await manager.housekeeping.purge()
    assert names(store.paths[0]) == []
    await manager.shutdown()


async def test_an_attempt_that_comes_late_leaves_another_partition_of_the_name_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def settled(_log: object) -> None:
        if begun.is_set():
            await go_on.wait()
        begun.set()

    monkeypatch.setattr(manager._io, "settled", settled)
    attempts = [asyncio.create_task(manager.delete("t", 0, ID)) for _ in range(2)]
    await attempts[0]
    assert log.closed
    another = await make(manager, "t", 0, random_uuid())
    go_on.set()
    await attempts[1]
    assert manager.get("t", 0) is another
    assert "t-0" in names(store.paths[0])
    await manager.shutdown()


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
    await advance(manager, "t", 0, 400)
    log.flush()
    await manager.housekeeping.checkpoint()
    await manager.delete("t", 0, ID)
    await make(manager, "t")
    for directory in manager.directories:
        directory.close()
    await store.started()
    options = store.opener.logs[str(store.paths[0] / "t-0")].options
    assert (options["recovery_point"], options["log_start_offset"]) == (0, 0)


async def test_nor_does_it_inherit_what_a_slow_thread_has_not_written_yet(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await store.started()
    log = await make(manager, "t")
    log.append(b"x" * 500)
    log.advance_log_start_offset(400)
    (directory, *_) = manager.directories
    begun, go_on, write = threading.Event(), threading.Event(), LogDirectory.write_checkpoints

    def slow_at_first(*args: Any, **kwargs: Any) -> None:
        if not begun.is_set():
            begun.set()
            go_on.wait()
        write(*args, **kwargs)

    monkeypatch.setattr(LogDirectory, "write_checkpoints", slow_at_first)
    checkpoint = asyncio.create_task(manager.housekeeping.checkpoint_directory(directory))
    await asyncio.to_thread(begun.wait)
    await manager.delete("t", 0, ID)
    await make(manager, "t")
    go_on.set()
    assert await checkpoint
    assert directory.read_log_start_offsets() == {}
    await manager.shutdown()


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


async def test_logs_are_told_the_high_watermark_of_the_last_run(store: Store) -> None:
    """What ended above it is not decided, whatever snapshots say."""
    manager = await store.started()
    for topic in ("kept", "unknown"):
        await make(manager, topic)
    await manager.shutdown()
    paths = [path for path in store.paths if "kept-0" in names(path)]
    for path in paths:
        write_offsets(path / HIGH_WATERMARKS, {("kept", 0): 7})
    again = await store.started()
    kept, unknown = again.get("kept", 0), again.get("unknown", 0)
    assert kept.calls == ["recall_unreplicated 7"]  # type: ignore[union-attr]
    assert unknown.calls == []  # type: ignore[union-attr]
    await again.shutdown()


async def test_a_damaged_file_of_high_watermarks_keeps_nothing_from_being_opened(store: Store) -> None:
    manager = await store.started()
    await make(manager, "t")
    await manager.shutdown()
    for path in store.paths:
        (path / HIGH_WATERMARKS).write_text("?")
    again = await store.started()
    assert again.get("t", 0) is not None
    await again.shutdown()
