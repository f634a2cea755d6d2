"""High watermarks that outlive the broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.native import build_batch
from fastlog.storage.checkpoints import HIGH_WATERMARKS, read_offsets
from tests.harness.follower import FollowingBroker

ID = bytes([1] * 16)


async def test_a_partition_starts_with_what_was_committed(tmp_path: Path) -> None:
    async with FollowingBroker(1, [tmp_path]) as broker:
        for number in range(3):
            part = await broker.follow("t", ID, number, -1, 0)
            part.log.append(build_batch([(None, b"x", [], 1)] * 5), leader_epoch=0)
            part.on_followed(5, number + 1)
        await broker.logs.create("t", ID, 3, broker._config)
    assert read_offsets(tmp_path / HIGH_WATERMARKS) == {("t", 0): 1, ("t", 1): 2, ("t", 2): 3}
    async with FollowingBroker(1, [tmp_path]) as broker:
        part = await broker.follow("t", ID, 1, -1, 0)
        assert part.high_watermark == 2
        # Those without a role keep theirs; one that is gone does not.
        await broker.logs.delete("t", 2, ID)
        await broker.watermarks.write()
        assert read_offsets(tmp_path / HIGH_WATERMARKS) == {("t", 0): 1, ("t", 1): 2}
        # Another one of its name begins with nothing.
        assert (await broker.follow("t", ID, 2, -1, 0)).high_watermark == 0


@pytest.mark.parametrize("content", [b"0\n1\nt 0 7\n", b"nonsense", b"0\n1\nt 0 99999\n"])
async def test_kafkas_file_is_read_and_a_damaged_one_is_none(tmp_path: Path, content: bytes) -> None:
    async with FollowingBroker(1, [tmp_path]) as broker:
        part = await broker.follow("t", ID, 0, -1, 0)
        for _ in range(10):
            part.log.append(build_batch([(None, b"x", [], 1)]), leader_epoch=0)
    (tmp_path / HIGH_WATERMARKS).write_bytes(content)
    async with FollowingBroker(1, [tmp_path]) as broker:
        part = await broker.follow("t", ID, 0, -1, 0)
        # Never beyond the log.
        assert part.high_watermark == {b"0\n1\nt 0 7\n": 7, b"nonsense": 0}.get(content, 10)


async def test_a_file_that_says_the_same_is_not_written_again(tmp_path: Path) -> None:
    async with FollowingBroker(1, [tmp_path]) as broker:
        part = await broker.follow("t", ID, 0, -1, 0)
        await broker.watermarks.write()
        before = (tmp_path / HIGH_WATERMARKS).stat().st_ino
        await broker.watermarks.write()
        assert (tmp_path / HIGH_WATERMARKS).stat().st_ino == before
        part.log.append(build_batch([(None, b"x", [], 1)]), leader_epoch=0)
        part.on_followed(1, 1)
        await broker.watermarks.keep([part.key])
        assert read_offsets(tmp_path / HIGH_WATERMARKS) == {part.key: 1}


async def test_nobody_looks_at_partitions_while_nothing_moves(tmp_path: Path) -> None:
    async with FollowingBroker(1, [tmp_path]) as broker:
        part = await broker.follow("t", ID, 0, -1, 0)
        looks: list[object] = []
        find = broker.watermarks._find
        broker.watermarks._find = lambda key: looks.append(key) or find(key)
        await broker.watermarks.write()
        await broker.watermarks.write()
        assert looks == [part.key]
        part.log.append(build_batch([(None, b"x", [], 1)]), leader_epoch=0)
        part.on_followed(1, 1)
        await broker.watermarks.write()
        assert looks == [part.key] * 2
        await broker.logs.delete("t", 0, ID)
        await broker.watermarks.write()
        assert read_offsets(tmp_path / HIGH_WATERMARKS) == {}
