"""The write side of the groups' topic: shared batches, order, and failures that stay where they belong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from fastlog.coordination.groups.batches import read_records
from fastlog.coordination.groups.group_log import GroupLog
from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import RejectedBatch
from fastlog.replication.purgatory import Purgatory


class FakeReplica:
    """A partition that acknowledges up to `high_watermark`, which follows the log if `instant`."""

    def __init__(self, purgatory: Purgatory, partition: int) -> None:
        self.key = ("__consumer_offsets", partition)
        self.log = self
        self.leader_epoch = 0
        self.waits_for_disk = False
        self.batches: list[list[bytes]] = []
        self.instant = True
        self.high_watermark = 0
        self.limit = 1_000_000
        self.refuses = False
        self._purgatory = purgatory
        self._end = 0

    def write_error(self, _: int) -> int:
        return int(ErrorCode.NOT_LEADER_OR_FOLLOWER) if self.refuses else 0

    def append(self, batch: bytes, *, leader_epoch: int) -> Any:
        if len(batch) > self.limit:
            raise _rejected(ErrorCode.MESSAGE_TOO_LARGE)
        keys = [key for key, _ in read_records(batch)[0]]
        self.batches.append(keys)
        self._end += len(keys)
        return SimpleNamespace(end_offset=self._end)

    def on_appended(self, end_offset: int) -> None:
        if self.instant:
            self.acknowledge(end_offset)

    def acknowledge(self, offset: int) -> None:
        self.high_watermark = offset
        self._purgatory.check(self.key)

    def ack_error(self, _: int, end_offset: int, __: int) -> int | None:
        return 0 if self.high_watermark >= end_offset else None


def _rejected(code: ErrorCode) -> Exception:
    error = RejectedBatch("too large")
    error.code = int(code)
    return error


class World:
    """Two partitions and a log over them."""

    def __init__(self) -> None:
        self.purgatory = Purgatory(asyncio.get_running_loop())
        self.replicas = {number: FakeReplica(self.purgatory, number) for number in range(2)}
        config: Any = SimpleNamespace(offsets_topic_compression_codec=0, offsets_commit_timeout_ms=200)
        found: Any = SimpleNamespace(get=lambda _, partition: self.replicas.get(partition))
        clock: Any = SimpleNamespace(now_ms=lambda: 1)
        committer: Any = None
        self.log = GroupLog(
            replicas=found,
            purgatory=self.purgatory,
            committer=committer,
            clock=clock,
            config=lambda: config,
        )
        self.outcomes: list[tuple[bytes, ErrorCode | None]] = []

    def write(self, partition: int, key: bytes, size: int = 1) -> None:
        """One record; its outcome is noted."""

        def then(error: Exception | None) -> None:
            self.outcomes.append((key, error.code if isinstance(error, KafkaError) else None))

        self.log.write(partition, [(key, b"x" * size)], then)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.log.close()
    world.purgatory.close()


async def test_what_comes_together_shares_a_batch(world: World) -> None:
    for number in range(6):
        world.write(number % 2, b"%d" % number)
    await world.log.close()
    assert world.replicas[0].batches == [[b"0", b"2", b"4"]]
    assert world.replicas[1].batches == [[b"1", b"3", b"5"]]
    assert {key for key, error in world.outcomes if error is None} == {b"%d" % number for number in range(6)}


async def test_shared_batches_have_a_bound(world: World) -> None:
    for number in range(4):
        world.write(0, b"%d" % number, 100_000)
    world.write(0, b"huge", 500_000)
    await world.log.close()
    assert world.replicas[0].batches == [[b"0", b"1"], [b"2", b"3"], [b"huge"]]


async def test_one_that_is_too_large_fails_alone_and_in_its_place(world: World) -> None:
    world.replicas[0].limit = 600
    for key, size in ((b"a", 10), (b"b", 1000), (b"c", 10)):
        world.write(0, key, size)
    await world.log.close()
    assert world.replicas[0].batches == [[b"a"], [b"c"]]
    assert world.outcomes == [(b"a", None), (b"b", ErrorCode.MESSAGE_TOO_LARGE), (b"c", None)]


async def test_a_partition_that_is_not_here_fails_alone(world: World) -> None:
    world.replicas[1].refuses = True
    world.write(0, b"good")
    world.write(1, b"refused")
    world.write(7, b"absent")
    await world.log.close()
    assert dict(world.outcomes) == {
        b"good": None,
        b"refused": ErrorCode.NOT_COORDINATOR,
        b"absent": ErrorCode.NOT_COORDINATOR,
    }


async def test_one_that_waits_holds_up_no_other_partition(world: World) -> None:
    world.replicas[0].instant = False
    world.write(0, b"waits")
    await world.log.append(1, [(b"other", b"")])
    world.write(0, b"waits too")
    await world.log.append(1, [(b"another", b"")])
    assert world.outcomes == []
    world.replicas[0].acknowledge(2)
    assert world.outcomes == [(b"waits", None), (b"waits too", None)]


async def test_a_wait_ends_with_the_time_for_commits(world: World) -> None:
    world.replicas[0].instant = False
    with pytest.raises(KafkaError) as raised:
        await world.log.append(0, [(b"waits", b"")])
    assert raised.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE


async def test_it_is_written_although_nobody_waits_any_more(world: World) -> None:
    task = asyncio.create_task(world.log.append(0, [(b"left", b"")]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.log.close()
    assert world.replicas[0].batches == [[b"left"]]
