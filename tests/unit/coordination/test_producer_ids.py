"""Producer ids are never given twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fastlog.coordination.producer_ids import ProducerIds
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.file_metadata import FileMetadata


async def opened(directory: Path) -> FileMetadata:
    store = FileMetadata(directory)
    await store.load()
    return store


async def test_ids_rise_and_blocks_are_stored_before_use(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    ids = ProducerIds(store, block_size=3)
    assert [await ids.allocate() for _ in range(7)] == list(range(7))
    restarted = ProducerIds(await opened(tmp_path), block_size=3)
    assert await restarted.allocate() == 9


async def test_concurrent_callers_get_different_ids(tmp_path: Path) -> None:
    ids = ProducerIds(await opened(tmp_path), block_size=4)
    given = await asyncio.gather(*(ids.allocate() for _ in range(50)))
    assert sorted(given) == list(range(50))


async def test_ids_found_in_logs_are_kept_clear_of(tmp_path: Path) -> None:
    ids = ProducerIds(await opened(tmp_path), block_size=10)
    ids.keep_above(41)
    assert await ids.allocate() == 42
    ids.keep_above(7)
    assert await ids.allocate() == 43
    ids.keep_above(45)
    assert await ids.allocate() == 52
    restarted = ProducerIds(await opened(tmp_path), block_size=10)
    assert await restarted.allocate() == 62


async def test_no_id_without_a_stored_block(tmp_path: Path) -> None:
    store = await opened(tmp_path)

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    good, store.write_file = store.write_file, fail
    ids = ProducerIds(store)
    with pytest.raises(KafkaError) as caught:
        await ids.allocate()
    assert caught.value.code == ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert caught.value.retriable
    store.write_file = good
    assert await ids.allocate() == 0
