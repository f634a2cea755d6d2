"""The metadata file of earlier releases: read whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.base.uuids import random_uuid
from fastlog.coordination.former_file import METADATA_FILE, read_former_file
from fastlog.coordination.store import MetadataDamaged, PartitionRecord, TopicRecord
from tests.unit.coordination.file_metadata import FileMetadata

PARTITION = PartitionRecord((1,), (1,), 1)


def topic(name: str, partitions: int = 1) -> TopicRecord:
    return TopicRecord(name, random_uuid(), (PARTITION,) * partitions)


async def written(directory: Path) -> FileMetadata:
    store = FileMetadata(directory)
    await store.load("mine")
    await store.create_topics([topic("a", 2)])
    return store


async def test_what_it_says_is_read_from_any_log_directory(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    b.mkdir()
    assert read_former_file([a, b], "mine") is None
    store = await written(b)
    found = read_former_file([a, b], "mine")
    assert found == store.read()
    assert found is not None
    assert list(found.topics) == ["a"]
    (a / METADATA_FILE).write_bytes(b"another")
    with pytest.raises(MetadataDamaged, match=f"more than one log directory: {a}.*{b}"):
        read_former_file([a, b], "mine")


async def test_any_flipped_byte_stops_the_start_and_touches_nothing(tmp_path: Path) -> None:
    path = (await written(tmp_path)).path
    data = path.read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(MetadataDamaged, match=r"No data was touched.*--allow-data-loss") as caught:
            read_former_file([tmp_path], "mine")
        assert str(path) in str(caught.value)
        assert path.read_bytes() == damaged


async def test_one_that_cannot_be_read_is_no_reason_to_go_on_without(tmp_path: Path) -> None:
    (tmp_path / METADATA_FILE).mkdir()
    with pytest.raises(MetadataDamaged, match=f"cannot read {tmp_path / METADATA_FILE}"):
        read_former_file([tmp_path], "mine")


async def test_the_metadata_of_another_cluster_is_refused(tmp_path: Path) -> None:
    await written(tmp_path)
    with pytest.raises(MetadataDamaged, match=r"belongs to cluster mine.*do not belong together"):
        read_former_file([tmp_path], "other")
