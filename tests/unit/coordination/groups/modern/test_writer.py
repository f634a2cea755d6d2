"""Writes of consumer groups: one at a time, in order, and nothing is lost when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, cast

from fastlog.coordination.groups.batches import KeyValue
from fastlog.coordination.groups.modern.records import encode_key
from fastlog.coordination.groups.modern.results import ConsumerLimits
from fastlog.coordination.groups.modern.state import ConsumerGroup, Kind
from fastlog.coordination.groups.modern.writer import GroupWriter
from fastlog.coordination.groups.table import GroupEntry
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.coordination.groups.group_log import GroupLog

EPOCH = encode_key("g", (Kind.GROUP, ""))
TARGET = encode_key("g", (Kind.TARGET_EPOCH, ""))


class FakeLog:
    """Keeps batches until the test says how they end."""

    def __init__(self) -> None:
        self.batches: list[dict[bytes, bytes | None]] = []
        self.futures: list[asyncio.Future[None]] = []

    def submit(self, partition: int, records: Sequence[KeyValue]) -> asyncio.Future[None]:
        self.batches.append(dict(records))
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    async def end(self, number: int, *, fails: bool = False) -> None:
        if fails:
            self.futures[number].set_exception(KafkaError(ErrorCode.NOT_COORDINATOR))
        else:
            self.futures[number].set_result(None)
        for _ in range(3):
            await asyncio.sleep(0)


class World:
    def __init__(self) -> None:
        self.log = FakeLog()
        self.writer = GroupWriter(cast("GroupLog", self.log))
        self.group = ConsumerGroup("g", ConsumerLimits())
        self.entry = GroupEntry(self.group, 0)

    def flush(self) -> asyncio.Future[None] | None:
        return self.writer.flush(self.entry, self.group)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))


def test_changes_during_a_write_share_the_next_one() -> None:
    async def test() -> None:
        world = World()
        assert world.flush() is None
        world.group.set_epoch(1)
        first = world.flush()
        assert world.flush() is first, "an answer that changed nothing waits for what it rests on"
        world.group.set_epoch(2)
        second = world.flush()
        world.group.set_epoch(3)
        assert world.flush() is second
        assert second is not None
        assert len(world.log.batches) == 1
        await world.log.end(0)
        assert not second.done()
        assert [list(batch) for batch in world.log.batches] == [[EPOCH], [EPOCH]]
        await world.log.end(1)
        assert second.done()
        assert world.flush() is None

    run(test())


def test_a_failed_write_is_taken_along_by_the_next() -> None:
    async def test() -> None:
        world = World()
        world.group.set_epoch(1)
        first = world.flush()
        world.group.set_assignment_epoch(1)
        second = world.flush()
        await world.log.end(0, fails=True)
        assert first is not None
        assert first.exception() is not None
        assert set(world.log.batches[1]) == {EPOCH, TARGET}
        await world.log.end(1, fails=True)
        assert second is not None
        failure = second.exception()
        assert isinstance(failure, KafkaError)
        assert failure.code is ErrorCode.NOT_COORDINATOR
        world.group.set_epoch(9)
        third = world.flush()
        assert set(world.log.batches[2]) == {EPOCH, TARGET}
        assert world.log.batches[2][EPOCH] != world.log.batches[1][EPOCH]
        await world.log.end(2)
        assert third is not None
        assert third.exception() is None

    run(test())


def test_a_group_that_moves_does_not_wait() -> None:
    async def test() -> None:
        world = World()
        world.group.set_epoch(1)
        world.flush()
        world.group.set_epoch(2)
        waiting = world.flush()
        world.group.die()
        moved = world.writer.replace(world.entry, world.group, [(b"classic", b"group")])
        assert world.log.batches[1] == {EPOCH: None, TARGET: None, b"classic": b"group"}
        # The write before it fails: what it wanted to write is over.
        await world.log.end(0, fails=True)
        assert len(world.log.batches) == 2
        await world.log.end(1)
        assert moved is not None
        assert waiting is not None
        assert waiting.done()
        assert world.flush() is None

    run(test())


def test_nothing_is_written_after_the_tombstones_of_a_group() -> None:
    async def test() -> None:
        world = World()
        world.group.set_epoch(1)
        world.flush()
        world.group.set_epoch(2)
        waiting = world.flush()
        # It is deleted: whoever does that writes the tombstones.
        world.group.die()
        assert (Kind.GROUP, "") in world.group.take_touched()
        await world.log.end(0)
        assert len(world.log.batches) == 1
        assert waiting is not None
        assert waiting.done()
        assert world.flush() is None

    run(test())
