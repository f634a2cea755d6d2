"""cleaner-offset-checkpoint: written after each run, bounded by the log, without entries of what is gone."""

from __future__ import annotations

import asyncio
import errno
import threading
from pathlib import Path
from typing import Any

import pytest

from fastlog.errors import KafkaError
from fastlog.storage import cleaner_checkpoints
from fastlog.storage.checkpoints import CLEANER_OFFSETS, read_offsets, write_offsets
from fastlog.storage.log_manager import LogManager
from fastlog.storage.partitions import ClosedPartition
from tests.unit.storage.cleaner_world import CleanerStore, add, until
from tests.unit.storage.store import ID


def on_disk(store: CleanerStore) -> dict[tuple[str, int], int]:
    return read_offsets(store.paths[0] / CLEANER_OFFSETS)


def checkpoint(manager: LogManager, topic: str) -> int | None:
    entry = manager.table.get(topic, 0)
    assert entry is not None
    return manager.cleaner.checkpoints.get(entry)


async def cleaned(store: CleanerStore, *topics: str) -> LogManager:
    """A manager that has compacted these topics, each up to offset 10."""
    manager = await store.opened()
    for topic in topics:
        await add(manager, topic, 0.9)
        assert await manager.cleaner.clean_one()
    return manager


async def test_every_run_is_written_down(store: CleanerStore) -> None:
    manager = await cleaned(store, "a", "b")
    assert on_disk(store) == {("a", 0): 10, ("b", 0): 10}
    log = await add(manager, "c", 0.9)
    log.cleaned_to = 7
    assert await manager.cleaner.clean_one()
    assert on_disk(store) == {("a", 0): 10, ("b", 0): 10, ("c", 0): 7}


async def test_it_survives_a_restart(store: CleanerStore) -> None:
    manager = await cleaned(store, "a")
    await manager.shutdown()
    again = await store.opened()
    assert checkpoint(again, "a") == 10
    await again.cleaner.clean_one()
    log: Any = again.get("a", 0)
    assert log.asked[0][0] == 10
    assert log.options["compacted_below"] == 10


async def test_kafkas_file_is_read(store: CleanerStore) -> None:
    """Kafka's own has no checksum line."""
    manager = await store.opened()
    await add(manager, "a")
    await manager.shutdown()
    (store.paths[0] / CLEANER_OFFSETS).write_bytes(b"0\n1\na 0 6\n")
    assert checkpoint(await store.opened(), "a") == 6


async def test_it_does_not_reach_beyond_a_log_that_lost_its_end(store: CleanerStore) -> None:
    manager = await cleaned(store, "a")
    await manager.shutdown()
    write_offsets(store.paths[0] / CLEANER_OFFSETS, {("a", 0): 25})
    again = await store.opened()
    # What is appended at offsets 10 to 24 from now on has not been compacted.
    assert checkpoint(again, "a") == 10


async def test_it_follows_a_truncation(store: CleanerStore) -> None:
    manager = await cleaned(store, "a")
    entry = manager.table.get("a", 0)
    assert entry is not None
    manager.cleaner.checkpoints.truncated(entry, 12)
    assert checkpoint(manager, "a") == 10
    manager.cleaner.checkpoints.truncated(entry, 4)
    assert checkpoint(manager, "a") == 4
    await manager.shutdown()
    assert on_disk(store) == {("a", 0): 4}


async def test_an_offset_outside_of_the_log_is_corrected(
    store: CleanerStore, caplog: pytest.LogCaptureFixture
) -> None:
    manager = await cleaned(store, "a")
    log = manager.get("a", 0)
    assert log is not None
    log.dirty.first_dirty_offset = 11  # type: ignore[attr-defined]
    log.dirty.checkpoint_valid = False  # type: ignore[attr-defined]
    await manager.cleaner.clean_one()
    assert checkpoint(manager, "a") == 11
    assert "a-0 was compacted up to offset 10, which is not in its log: it starts at 11" in caplog.text


async def test_a_deleted_topic_leaves_no_entry(store: CleanerStore) -> None:
    manager = await cleaned(store, "a", "b")
    await manager.delete("a", 0, ID)
    assert on_disk(store) == {("b", 0): 10}


async def test_partitions_that_are_deleted_together_share_a_write(
    store: CleanerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = [f"t{number}" for number in range(12)]
    manager = await cleaned(store, *topics)
    writes: list[int] = []

    def write(path: Path, offsets: Any, *_: object) -> None:
        writes.append(len(offsets))
        write_offsets(path, offsets)

    monkeypatch.setattr(cleaner_checkpoints, "write_offsets", write)
    drops = [manager.cleaner.checkpoints.drop(manager.directories[0], (topic, 0)) for topic in topics]
    assert all(await asyncio.gather(*drops))
    assert on_disk(store) == {}
    assert len(writes) <= 2


async def test_a_new_topic_does_not_inherit(store: CleanerStore) -> None:
    """A crash between the deletion of a partition and of its entry."""
    manager = await cleaned(store, "b")
    await manager.shutdown()
    write_offsets(store.paths[0] / CLEANER_OFFSETS, {("a", 0): 5, ("b", 0): 10})
    again = await store.opened()
    await add(again, "a")
    assert checkpoint(again, "a") is None
    assert on_disk(store) == {("b", 0): 10}


async def test_no_partition_is_made_while_the_file_names_its_predecessor(
    store: CleanerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    manager = await cleaned(store, "a")
    with monkeypatch.context() as patch:
        patch.setattr(cleaner_checkpoints, "write_offsets", full)
        await manager.delete("a", 0, ID)
        for _ in range(2):
            with pytest.raises(KafkaError, match=f"the former a-0 is still in {CLEANER_OFFSETS}"):
                await add(manager, "a", 0.9)
        assert not (store.paths[0] / "a-0").exists()
    await add(manager, "a", 0.9)
    assert on_disk(store) == {}


async def test_damage_costs_a_pass(store: CleanerStore, caplog: pytest.LogCaptureFixture) -> None:
    manager = await cleaned(store, "a")
    await manager.shutdown()
    (store.paths[0] / CLEANER_OFFSETS).write_bytes(b"0\n7\na 0 6\n")
    again = await store.opened()
    assert checkpoint(again, "a") is None
    assert again.complete
    assert "compacted from their start again" in caplog.text


@pytest.mark.parametrize(("code", "online"), [(errno.ENOSPC, True), (errno.EIO, False)])
async def test_a_checkpoint_that_cannot_be_written(
    store: CleanerStore, monkeypatch: pytest.MonkeyPatch, code: int, online: bool
) -> None:
    manager = await store.opened()

    def fail(*args: object) -> None:
        raise OSError(code, "no")

    await add(manager, "a", 0.9)
    with monkeypatch.context() as patch:
        patch.setattr(cleaner_checkpoints, "write_offsets", fail)
        await manager.cleaner.clean_one()
    assert manager.complete is online
    if online:
        assert checkpoint(manager, "a") == 10
        assert await manager.cleaner.checkpoints.write(manager.directories[0])
        assert on_disk(store) == {("a", 0): 10}


async def test_a_write_that_failed_half_way_is_done_again(
    store: CleanerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file may hold what was not confirmed, here an offset that has been taken back since."""
    manager = await cleaned(store, "a")
    entry = manager.table.get("a", 0)
    assert entry is not None
    checkpoints, (directory,) = manager.cleaner.checkpoints, manager.directories

    def fail_late(path: Path, offsets: dict[tuple[str, int], int]) -> None:
        write_offsets(path, offsets)
        raise OSError(errno.ENOSPC, "no")

    checkpoints.set(entry, 12)
    with monkeypatch.context() as patch:
        patch.setattr(cleaner_checkpoints, "write_offsets", fail_late)
        assert not await checkpoints.write(directory)
    assert on_disk(store) == {("a", 0): 12}
    checkpoints.truncated(entry, 10)
    assert await checkpoints.write(directory)
    assert on_disk(store) == {("a", 0): 10}
    # Once it is confirmed there is nothing to write.
    monkeypatch.setattr(cleaner_checkpoints, "write_offsets", fail_late)
    assert await checkpoints.write(directory)


async def test_only_partitions_of_the_directory_are_written(store: CleanerStore) -> None:
    """Those that cannot be opened are of it, those that a crash left in the file are not."""
    manager = await cleaned(store, "a")
    await manager.shutdown()
    write_offsets(store.paths[0] / CLEANER_OFFSETS, {("a", 0): 10, ("closed", 0): 5, ("gone", 0): 7})
    again = await store.opened()
    (directory,) = again.directories
    again.table.add_closed(("closed", 0), ClosedPartition(ID, "damaged", None, directory))
    assert await again.cleaner.checkpoints.write(directory)
    assert on_disk(store) == {("a", 0): 10, ("closed", 0): 5}


async def test_a_directory_that_is_offline_is_not_written(store: CleanerStore) -> None:
    manager = await cleaned(store, "a")
    entry = manager.table.get("a", 0)
    assert entry is not None
    manager.cleaner.checkpoints.set(entry, 12)
    manager.dir_failed(store.paths[0], "EIO")
    assert not await manager.cleaner.checkpoints.write(manager.directories[0])
    assert on_disk(store) == {("a", 0): 10}


async def test_a_partition_that_is_deleted_while_the_file_is_written(
    store: CleanerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first entry is on the way to the disk: it must not arrive after the deletion."""
    manager = await cleaned(store, "a")
    await add(manager, "b")
    entry = manager.table.get("b", 0)
    assert entry is not None
    checkpoints, (directory,) = manager.cleaner.checkpoints, manager.directories
    entered, gate = threading.Event(), threading.Event()

    def slow(path: Path, offsets: dict[tuple[str, int], int]) -> None:
        entered.set()
        assert gate.wait(30)
        write_offsets(path, offsets)

    monkeypatch.setattr(cleaner_checkpoints, "write_offsets", slow)
    checkpoints.set(entry, 10)
    writing = asyncio.ensure_future(checkpoints.write(directory))
    await until(entered.is_set)
    deletion = asyncio.ensure_future(manager.delete("b", 0, ID))
    await until(lambda: checkpoints.get(entry) is None)
    gate.set()
    assert await writing
    await deletion
    assert on_disk(store) == {("a", 0): 10}


async def test_a_full_disk_is_told_of_once(
    store: CleanerStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manager = await cleaned(store, "a")
    entry = manager.table.get("a", 0)
    assert entry is not None
    checkpoints, (directory,) = manager.cleaner.checkpoints, manager.directories

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "no")

    for offset in (11, 12):
        with monkeypatch.context() as patch:
            patch.setattr(cleaner_checkpoints, "write_offsets", fail)
            for _ in range(2):
                checkpoints.set(entry, offset)
                assert not await checkpoints.write(directory)
        assert await checkpoints.write(directory)
    # Once for each time that it was full.
    assert caplog.text.count("waits for room") == 2
