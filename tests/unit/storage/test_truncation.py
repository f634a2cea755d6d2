"""What follows a follower's log when it is cut."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from fastlog.native import FencedLeader, Log, build_batch
from fastlog.storage.checkpoints import RECOVERY_POINTS, read_offsets
from fastlog.storage.truncation import Cut, LogTruncation
from tests.harness.follower import FollowingBroker

ID = bytes([1] * 16)


def truncation(broker: FollowingBroker) -> LogTruncation:
    return LogTruncation(
        broker.io,
        broker.logs.table,
        truncated=broker.logs.cleaner.checkpoints.truncated,
        checkpoint=broker.logs.housekeeping.checkpoint_directory,
    )


async def filled(broker: FollowingBroker, number: int) -> Log:
    part = await broker.follow("t", ID, number, -1, 3)
    for _ in range(10):
        part.log.append(build_batch([(None, b"x", [], 1)]), leader_epoch=3)
    part.log.flush()
    return part.log


async def test_the_recovery_point_falls_before_the_log_does(tmp_path: Path) -> None:
    async with FollowingBroker(1, [tmp_path / "own"]) as broker:
        logs = [await filled(broker, number) for number in range(3)]
        await broker.logs.housekeeping.checkpoint()
        entry = broker.logs.table.get("t", 0)
        assert entry is not None
        broker.logs.cleaner.checkpoints.set(entry, 9)
        written = broker.logs.housekeeping.stats.checkpoints
        cuts = [
            Cut(("t", 0), logs[0], 4, 3),
            Cut(("t", 1), logs[1], 50, 3, start_over=True),
            Cut(("t", 2), logs[2], 2, 2),
        ]
        first, second, fenced = await truncation(broker).cut(cuts)
        assert (first, second) == (4, 50)
        assert isinstance(fenced, FencedLeader)
        points = read_offsets(tmp_path / "own" / RECOVERY_POINTS)
        assert all(points["t", number] <= end for number, end in enumerate((4, 50, 10)))
        assert broker.logs.housekeeping.stats.checkpoints == written + 1
        assert broker.logs.cleaner.checkpoints.get(entry) == 4
        assert (logs[1].log_start_offset, logs[2].log_end_offset) == (50, 10)
        # The end of the broker: whoever finds the directories finds no loss.
        shutil.copytree(tmp_path / "own", tmp_path / "copy", ignore=shutil.ignore_patterns(".lock"))
        await broker.logs.housekeeping.checkpoint()
        points = read_offsets(tmp_path / "own" / RECOVERY_POINTS)
        assert [points["t", number] for number in range(3)] == [4, 50, 10]
    async with FollowingBroker(1, [tmp_path / "copy"]) as broker:
        found = [broker.logs.get("t", number) for number in range(3)]
        assert [log and log.log_end_offset for log in found] == [4, 50, 10]


async def test_a_log_whose_recovery_point_cannot_be_lowered_is_not_cut(tmp_path: Path) -> None:
    async with FollowingBroker(1, [tmp_path]) as broker:
        log = await filled(broker, 0)
        await broker.logs.housekeeping.checkpoint()

        async def refuse(_: object) -> bool:
            return False

        cutter = LogTruncation(
            broker.io, broker.logs.table, truncated=lambda entry, end: None, checkpoint=refuse
        )
        (outcome,) = await cutter.cut([Cut(("t", 0), log, 4, 3)])
        assert not isinstance(outcome, int)
        assert log.log_end_offset == 10
        await broker.logs.housekeeping.checkpoint()
        assert read_offsets(tmp_path / RECOVERY_POINTS) == {("t", 0): 10}


async def test_appends_under_way_come_first_and_reads_do_not_matter(tmp_path: Path) -> None:
    async with FollowingBroker(1, [tmp_path]) as broker:
        log = await filled(broker, 0)
        rows = [("t", ID, 0, 0, 0, 0, 0, None, None, False, -1, log, 0, 10, 100, True)]
        append = broker.io.append([(log, 3, [(None, b"late")], None)], timestamp_ms=1, codec="none")
        read = broker.io.fetch(13, 1, rows, max_bytes=100, min_bytes=0)
        order: list[str] = []
        append.add_done_callback(lambda _: order.append("append"))
        await truncation(broker).cut([Cut(("t", 0), log, 4, 3)])
        order.append("cut")
        assert order == ["append", "cut"]
        assert log.log_end_offset == 4
        await asyncio.wait_for(read, 10)
