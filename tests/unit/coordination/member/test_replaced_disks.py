"""A broker whose log directory is another, empty one leads nothing that was in the former one.

Its followers would cut off what they have: all that was acknowledged would be gone.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fastlog.errors import ErrorCode
from tests.unit.coordination.member.receiving import BROKER_EPOCH, ME, OTHER, OTHER_ID, Receiving, part

NONE, STORAGE = ErrorCode.NONE, ErrorCode.KAFKA_STORAGE_ERROR


async def _started(root: Path, *, allow_data_loss: bool = False) -> Receiving:
    broker = Receiving(root, allow_data_loss=allow_data_loss)
    await broker.start()
    await broker.logs.confirm_identity("c" * 22, ME)
    broker.made_at = BROKER_EPOCH - 1
    return broker


async def test_what_was_led_before_is_not_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await _started(tmp_path)
    wanted = part(0, ME, 4, is_new=False), part(1, ME, 4, is_new=False), part(2, ME, 0)
    assert await broker.assign(*wanted) == {0: STORAGE, 1: STORAGE, 2: NONE}
    assert broker.directories() == ["t-2"]
    assert "2 partitions stay offline, among them t-0, t-1" in caplog.text
    # While nobody leads them they are not begun either: it would be in sync, and the next to lead.
    assert await broker.assign(part(0, -1, 5, is_new=False)) == {0: STORAGE}
    # Others lead them: they come from there.
    assert await broker.assign(part(0, OTHER, 5, is_new=False)) == {0: NONE}
    # From then on it is a replica like all others.
    assert await broker.assign(part(0, ME, 6, is_new=False)) == {0: NONE}
    assert broker.directories() == ["t-0", "t-2"]
    await broker.stop()


@pytest.mark.parametrize("leader", [-1, OTHER])
async def test_who_follows_nobody_that_lives_begins_nothing(tmp_path: Path, leader: int) -> None:
    """It would be in sync, and the next to lead."""
    broker = await _started(tmp_path)
    assert await broker.assign(part(0, leader, 4, is_new=False), live=()) == {0: STORAGE}
    assert broker.directories() == []
    await broker.stop()


async def test_the_next_run_knows_it_too(tmp_path: Path) -> None:
    broker = await _started(tmp_path)
    await broker.assign(part(0, ME, 4, is_new=False))
    # The process is killed: nothing is written any more.
    (root,) = broker.paths
    shutil.copytree(root, tmp_path / "copy")
    await broker.stop()
    shutil.rmtree(root)
    shutil.copytree(tmp_path / "copy", root)
    broker = await _started(tmp_path)
    for leader in (-1, ME, OTHER):
        assert await broker.assign(part(0, leader, 4, is_new=False), live=()) == {0: STORAGE}
    await broker.stop()
    broker = await _started(tmp_path, allow_data_loss=True)
    assert await broker.assign(part(0, ME, 4, is_new=False)) == {0: NONE}
    await broker.stop()


async def test_what_was_made_in_this_life_had_nothing_to_lose(tmp_path: Path) -> None:
    broker = await _started(tmp_path)
    broker.made_at = BROKER_EPOCH + 1
    assert await broker.assign(part(0, ME, 0, is_new=False)) == {0: NONE}
    await broker.stop()


async def test_directories_that_were_its_own_are_believed(tmp_path: Path) -> None:
    await (await _started(tmp_path)).stop()
    broker = await _started(tmp_path)
    assert await broker.assign(part(0, ME, 4, is_new=False)) == {0: NONE}
    await broker.stop()


async def test_nothing_is_lost_where_that_is_allowed(tmp_path: Path) -> None:
    broker = await _started(tmp_path, allow_data_loss=True)
    assert await broker.assign(part(0, ME, 4, is_new=False)) == {0: NONE}
    await broker.stop()


async def test_what_was_deleted_just_before_a_kill_is_not_lost(tmp_path: Path) -> None:
    broker = await _started(tmp_path)
    await broker.assign(part(0, ME, 0), part(1, ME, 0))
    await broker.logs.housekeeping.checkpoint()
    (root,) = broker.paths
    checkpoint = root / "recovery-point-offset-checkpoint"
    written = checkpoint.read_bytes()
    assert await broker.stop_replica((0, -2), delete=True) == {0: NONE}
    shutil.rmtree(root / "t-1")
    await broker.stop()
    checkpoint.write_bytes(written)
    broker = await _started(tmp_path)
    # The topic was made anew while the broker was away; the other one has vanished.
    made_anew = part(0, ME, 4, is_new=False), part(1, ME, 4, is_new=False)
    assert await broker.assign(*made_anew, topic_id=OTHER_ID) == {0: NONE, 1: STORAGE}
    await broker.stop()
