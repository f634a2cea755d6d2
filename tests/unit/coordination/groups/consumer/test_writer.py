"""Writes of consumer groups: one at a time, in order, and nothing is lost when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, cast

from fastlog.coordination.groups.batches import KeyValue
from fastlog.coordination.groups.consumer.records import encode_key
from fastlog.coordination.groups.consumer.results import ConsumerLimits
from fastlog.coordination.groups.consumer.state import Before, ConsumerGroup, Kind
from fastlog.coordination.groups.consumer.undoing import restore
from fastlog.coordination.groups.consumer.writer import GroupWriter
from fastlog.coordination.groups.group_batch import NotAcknowledged
from fastlog.coordination.groups.results import Now
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

    async def end(self, number: int, *, fails: bool = False, how: type[KafkaError] = KafkaError) -> None:
        if fails:
            self.futures[number].set_exception(how(ErrorCode.NOT_COORDINATOR))
        else:
            self.futures[number].set_result(None)
        for _ in range(3):
            await asyncio.sleep(0)


class World:
    def __init__(self, *, takes_back: bool = False) -> None:
        self.log = FakeLog()
        self.writer = GroupWriter(cast("GroupLog", self.log), undo=self._undo if takes_back else None)
        self.group = ConsumerGroup("g", ConsumerLimits())
        self.entry = GroupEntry(self.group, 0)

    def _undo(self, _: GroupEntry, group: ConsumerGroup, before: Before) -> None:
        restore(group, before, Now(0, 0))

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


def test_what_the_log_refuses_is_taken_back_with_all_that_came_after() -> None:
    async def test() -> None:
        world = World(takes_back=True)
        group = world.group
        group.set_epoch(1)
        world.flush()
        await world.log.end(0)
        group.set_epoch(2)
        first = world.flush()
        group.set_epoch(3)
        group.set_assignment_epoch(3)
        second = world.flush()
        group.set_epoch(4)
        await world.log.end(1, fails=True)
        assert (group.epoch, group.assignment_epoch) == (1, 0)
        for waiting in (first, second):
            assert waiting is not None
            assert isinstance(waiting.exception(), KafkaError)
        assert world.flush() is None, "nothing is owed"
        assert len(world.log.batches) == 2

    run(test())


def test_what_may_be_in_the_log_is_not_taken_back() -> None:
    async def test() -> None:
        world = World(takes_back=True)
        world.group.set_epoch(1)
        world.flush()
        await world.log.end(0, fails=True, how=NotAcknowledged)
        assert world.group.epoch == 1
        world.group.set_assignment_epoch(1)
        world.flush()
        assert set(world.log.batches[1]) == {EPOCH, TARGET}
        # Nobody can tell what of it is stored: it is written again until it is.
        await world.log.end(1, fails=True)
        assert (world.group.epoch, world.group.assignment_epoch) == (1, 1)
        world.flush()
        assert set(world.log.batches[2]) == {EPOCH, TARGET}

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


def test_a_move_that_is_refused_is_taken_back() -> None:
    async def test() -> None:
        world = World()
        stays: list[str] = []
        moved = world.writer.replace(
            world.entry, world.group, [(b"classic", None)], lambda: stays.append("back")
        )
        world.group.set_epoch(2)
        waiting = world.flush()
        await world.log.end(0, fails=True)
        assert stays == ["back"]
        for future in (moved, waiting):
            assert future is not None
            assert isinstance(future.exception(), KafkaError)
        assert len(world.log.batches) == 1
        assert world.flush() is None, "nothing is owed"

    run(test())


def test_a_move_that_may_be_in_the_log_is_owed() -> None:
    async def test() -> None:
        world = World()
        stays: list[str] = []
        world.writer.replace(world.entry, world.group, [(b"classic", None)], lambda: stays.append("back"))
        await world.log.end(0, fails=True, how=NotAcknowledged)
        world.group.set_epoch(2)
        world.flush()
        assert set(world.log.batches[1]) == {b"classic", EPOCH}
        await world.log.end(1, fails=True)
        assert stays == []

    run(test())


def test_moves_that_are_refused_one_after_the_other_are_taken_back_in_turn() -> None:
    async def test() -> None:
        world = World()
        stays: list[str] = []
        world.writer.replace(world.entry, world.group, [(b"there", None)], lambda: stays.append("there"))
        world.writer.replace(world.entry, world.group, [(b"back", None)], lambda: stays.append("back"))
        assert set(world.log.batches[1]) == {b"there", b"back"}
        await world.log.end(0, fails=True)
        assert stays == []
        await world.log.end(1, fails=True)
        assert stays == ["back", "there"]
        assert world.flush() is None

    run(test())


def test_what_was_on_its_way_before_a_move_is_owed_when_that_is_refused() -> None:
    async def test() -> None:
        world = World()
        stays: list[str] = []
        world.writer.replace(world.entry, world.group, [(b"there", None)], lambda: stays.append("there"))
        world.writer.replace(world.entry, world.group, [(b"back", None)], lambda: stays.append("back"))
        await world.log.end(1, fails=True)
        assert stays == ["back"]
        await world.log.end(0, fails=True, how=NotAcknowledged)
        world.group.set_epoch(2)
        world.flush()
        assert set(world.log.batches[2]) == {b"there", EPOCH}

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
        tombstones, last = world.writer.bury(world.group)
        assert dict(tombstones) == {EPOCH: None, TARGET: None}
        await world.log.end(0, fails=True)
        assert len(world.log.batches) == 1
        assert waiting is not None
        assert last is waiting
        assert world.flush() is None

    run(test())
