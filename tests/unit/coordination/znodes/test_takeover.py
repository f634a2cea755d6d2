"""Taking metadata into a tree, with a crash between any two writes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fastlog.base.files import make_directories
from fastlog.coordination.embedded import KEEPER_DIRECTORY, MOVED_AWAY
from fastlog.coordination.former_file import METADATA_FILE, TAKEN_OVER
from fastlog.coordination.offline import read_offline
from fastlog.coordination.store import ANY_VERSION, ClusterMetadata, PartitionRecord, StoreError
from fastlog.coordination.znodes.fenced_tree import Part
from fastlog.coordination.znodes.metadata_store import TreeMetadataStore
from fastlog.coordination.znodes.takeover import FormerTree
from tests.unit.coordination.file_metadata import FileMetadata
from tests.unit.coordination.znodes.world import World, topic

MOVED = PartitionRecord((1,), (1,), 1, leader_epoch=5)


async def file_in(directory: Path) -> ClusterMetadata:
    """A file with all that there may be in one."""
    make_directories(directory)
    file = FileMetadata(directory)
    await file.load()
    await file.create_topics([topic("a", 2, k="v"), topic("b"), topic("c"), topic("d", 3)])
    await file.set_materialised("a", 2, ANY_VERSION)
    await file.set_leadership({"a": {1: MOVED}})
    await file.set_materialised("b", 1, ANY_VERSION)
    await file.mark_deleting([replace(topic("b"), version=ANY_VERSION)])
    await file.set_materialised("d", 1, ANY_VERSION)
    await file.set_broker_configs(1, {"k": "v"})
    await file.set_configs([], {"g": {"k": "v"}})
    await file.allocate_producer_ids(5000)
    return file.read()


def essence(metadata: ClusterMetadata) -> object:
    topics = {name: replace(record, version=0) for name, record in metadata.topics.items()}
    return (
        metadata.cluster_id,
        topics,
        metadata.broker_configs,
        metadata.group_configs,
        metadata.next_producer_id,
    )


def killed_after(store: TreeMetadataStore, writes: int) -> None:
    """Lets so many writes through, and no other."""
    commit, left = store._tree.commit, writes

    async def count(parts: Sequence[Part]) -> list[int]:
        nonlocal left
        left -= 1
        if left < 0:
            raise StoreError("killed")
        return await commit(parts)

    store._tree.commit = count  # type: ignore[method-assign]


async def test_whichever_write_is_the_last_before_a_crash_the_next_start_takes_over_all(
    tmp_path: Path,
) -> None:
    former = await file_in(tmp_path / "old")
    for writes in range(100):
        (directory := tmp_path / f"at{writes}").mkdir()
        shutil.copy(tmp_path / "old" / METADATA_FILE, directory)
        async with World(directory) as world:
            store = world.store(former=directory)
            killed_after(store, writes)
            try:
                taken = await store.load(former.cluster_id)
            except StoreError:
                await store.close()
                assert (directory / METADATA_FILE).exists()
                again = world.store(former=directory)
                assert essence(await again.load(former.cluster_id)) == essence(former), writes
                await again.close()
            else:
                await store.close()
                assert essence(taken) == essence(former)
                assert writes > 8
                return


@pytest.mark.parametrize("writes", [0, 4, 7])
async def test_a_file_that_is_half_in_the_keeper_goes_to_an_ensemble_as_a_whole(
    tmp_path: Path, writes: int
) -> None:
    former = await file_in(tmp_path / "old")
    async with World(tmp_path / "old") as own:
        store = own.store(former=tmp_path / "old")
        killed_after(store, writes)
        with pytest.raises(StoreError):
            await store.load(former.cluster_id)
        await store.close()
    assert essence(read_offline([tmp_path / "old"])) == essence(former)
    (tmp_path / "ensemble").mkdir()
    async with World(tmp_path / "ensemble") as world:
        store = TreeMetadataStore(world.seat(), world.clock, FormerTree([tmp_path / "old"]))
        assert essence(await store.load(former.cluster_id)) == essence(former)
        await store.close()
    names = {path.name for path in (tmp_path / "old").iterdir()}
    assert {MOVED_AWAY, TAKEN_OVER} <= names
    assert not {KEEPER_DIRECTORY, METADATA_FILE} & names
