"""The metadata store in a file: durable, conditional, and never started on damage."""

from __future__ import annotations

import asyncio
import errno
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fastlog.base.files import write_atomically
from fastlog.base.uuids import random_uuid
from fastlog.coordination.file_store import METADATA_FILE, FileMetadataStore
from fastlog.coordination.store import (
    MetadataDamaged,
    PartitionRecord,
    StoreError,
    TopicRecord,
)
from fastlog.storage.disk_guard import DiskReserve
from tests.unit.coordination.store_contract import check_conditions

PARTITION = PartitionRecord((1,), (1,), 1)


def topic(name: str, partitions: int = 1) -> TopicRecord:
    return TopicRecord(name, random_uuid(), (PARTITION,) * partitions)


async def loaded(directory: Path, **options: object) -> FileMetadataStore:
    store = FileMetadataStore([directory], **options)  # type: ignore[arg-type]
    await store.load()
    return store


async def test_a_new_store_takes_the_given_cluster_id_or_makes_one(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    assert (await FileMetadataStore([tmp_path / "a"]).load("given")).cluster_id == "given"
    made = (await FileMetadataStore([tmp_path / "b"]).load()).cluster_id
    assert len(made) == 22
    assert (await FileMetadataStore([tmp_path / "b"]).load()).cluster_id == made
    assert (await FileMetadataStore([tmp_path / "c"]).load()).cluster_id != made


async def test_every_change_is_there_after_a_restart(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    a, b = topic("a", 2), topic("b")
    await store.create_topics([a])
    await store.create_topics([b])
    await store.set_materialised("a", 2, 0)
    await store.add_partitions({"a": (1, [PARTITION])})
    wanted = replace(a, configs={"retention.ms": "5"}, version=2)
    (changed,) = await store.set_configs([wanted], {"g": {"one": "1"}, "h": {"two": "2"}, "gone": {}})
    assert changed.version == 3
    moved = PartitionRecord((1,), (1,), 1, leader_epoch=7)
    await store.set_leadership({"a": {1: moved}})
    (marked,) = await store.mark_deleting([b])
    assert await store.mark_deleting([marked]) == [marked]
    await store.set_broker_configs(None, {"k": "v"})
    await store.set_broker_configs(1, {"own": "x"})
    assert await store.allocate_producer_ids(1000) == 0
    await store.close()
    metadata = await FileMetadataStore([tmp_path]).load()
    assert metadata.topics["a"] == TopicRecord(
        "a", a.topic_id, (PARTITION, moved, PARTITION), {"retention.ms": "5"}, materialised=2, version=4
    )
    assert metadata.topics["b"].deleting
    assert metadata.broker_configs == {None: {"k": "v"}, 1: {"own": "x"}}
    assert metadata.group_configs == {"g": {"one": "1"}, "h": {"two": "2"}}
    again = await loaded(tmp_path)
    assert await again.allocate_producer_ids(1000) == 1000
    assert await again.allocate_producer_ids(1000, at_least=50_000) == 50_000
    await again.delete_topics(["b", "c"])
    await again.delete_topics(["b"])
    await again.set_broker_configs(1, {})
    await again.set_configs([], {"g": {}})
    metadata = await FileMetadataStore([tmp_path]).load()
    assert list(metadata.topics) == ["a"]
    assert metadata.broker_configs == {None: {"k": "v"}}
    assert metadata.group_configs == {"h": {"two": "2"}}


async def test_conditions_are_checked(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    await check_conditions(store, topic)


async def test_concurrent_changes_all_last(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    await asyncio.gather(*(store.create_topics([topic(f"t{index}")]) for index in range(30)))
    metadata = await FileMetadataStore([tmp_path]).load()
    assert len(metadata.topics) == 30


async def test_a_cancelled_change_finishes_before_the_next_begins(tmp_path: Path) -> None:
    inside, go = threading.Event(), threading.Event()

    def slow(path: Path, data: bytes, spare: object) -> None:
        inside.set()
        assert go.wait(10)
        write_atomically(path, data)

    store = await loaded(tmp_path)
    store._write_file = slow
    first = asyncio.create_task(store.create_topics([topic("a")]))
    assert await asyncio.to_thread(inside.wait, 10)
    second = asyncio.create_task(store.create_topics([topic("b")]))
    first.cancel()
    await asyncio.sleep(0.01)
    assert not first.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert set((await FileMetadataStore([tmp_path]).load()).topics) == {"a", "b"}


@pytest.mark.parametrize(
    ("error", "broken"),
    [(OSError(errno.ENOSPC, "no"), False), (OSError(errno.EIO, "no"), True), (MemoryError(), False)],
    ids=["full", "disk", "memory"],
)
async def test_a_failed_write_changes_nothing(tmp_path: Path, error: Exception, broken: bool) -> None:
    failures: list[tuple[Path, str]] = []
    store = await loaded(tmp_path, on_disk_failure=lambda *args: failures.append(args))
    await store.create_topics([topic("a")])

    def fail(*args: object) -> None:
        raise error

    store._write_file = fail
    with pytest.raises(StoreError, match="cannot write"):
        await store.create_topics([topic("b")])
    assert [path for path, _ in failures] == ([tmp_path] if broken else [])
    store._write_file = write_atomically
    await store.create_topics([topic("b")])
    assert set((await FileMetadataStore([tmp_path]).load()).topics) == {"a", "b"}


async def test_the_reserve_is_offered(tmp_path: Path) -> None:
    reserve = DiskReserve(tmp_path)
    offered: list[object] = []

    def write(path: Path, data: bytes, spare: object) -> None:
        offered.append(spare)
        write_atomically(path, data)

    store = FileMetadataStore([tmp_path], spare={tmp_path: reserve}, write_file=write)
    await store.load()
    assert offered == [reserve]


async def test_any_flipped_byte_stops_the_start_and_touches_nothing(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    await store.create_topics([topic("a", 2)])
    path = tmp_path / METADATA_FILE
    data = path.read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(MetadataDamaged, match="No data was touched") as caught:
            await FileMetadataStore([tmp_path], used_before=True, allow_data_loss=True).load()
        assert str(path) in str(caught.value)
        assert path.read_bytes() == damaged


async def test_a_missing_file_is_a_loss_only_where_fastlog_was_before(tmp_path: Path) -> None:
    with pytest.raises(MetadataDamaged, match=f"{METADATA_FILE} is missing.*--allow-data-loss"):
        await FileMetadataStore([tmp_path], used_before=True).load()
    assert not (tmp_path / METADATA_FILE).exists()
    await FileMetadataStore([tmp_path], used_before=True, allow_data_loss=True).load("c")
    assert (await FileMetadataStore([tmp_path], used_before=True).load()).cluster_id == "c"


async def test_the_file_is_found_in_any_log_directory(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    b.mkdir()
    store = await loaded(b)
    await store.create_topics([topic("t")])
    found = FileMetadataStore([a, b])
    assert list((await found.load()).topics) == ["t"]
    await found.create_topics([topic("u")])
    assert not (a / METADATA_FILE).exists()
    (a / METADATA_FILE).write_bytes(b"another")
    with pytest.raises(MetadataDamaged, match="more than one log directory"):
        await FileMetadataStore([a, b]).load()


async def test_the_metadata_of_another_cluster_is_refused(tmp_path: Path) -> None:
    await FileMetadataStore([tmp_path]).load("mine")
    with pytest.raises(MetadataDamaged, match="do not belong together"):
        await FileMetadataStore([tmp_path]).load("other")
