"""Tombstones and commits share one order, and what could not be removed is in force again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fastlog.base.clock import ManualClock
from fastlog.coordination.groups import removal
from fastlog.coordination.groups.classic.state import Group, GroupState
from fastlog.coordination.groups.committed_offsets import CommittedOffset, GroupOffsets
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.coordination.groups.consumer.writer import GroupWriter
from fastlog.coordination.groups.removal import Removals
from fastlog.coordination.groups.results import GroupLimits
from fastlog.coordination.groups.table import GroupEntry, GroupTable
from fastlog.errors import ErrorCode, KafkaError

FIVE = {("t", number): CommittedOffset(number, -1, "", 0) for number in range(5)}


class Log:
    """Batches, and what is called with their outcomes."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.thens: list[Callable[[Exception | None], None]] = []

    def write(
        self,
        _: int,
        records: Sequence[tuple[bytes, bytes | None]],
        then: Callable[[Exception | None], None],
        *,
        divisible: bool,
    ) -> None:
        assert divisible
        assert all(value is None for _, value in records)
        self.batches.append([key for key, _ in records])
        self.thens.append(then)

    def end(self, *failed: int) -> None:
        """All of them are written but those."""
        thens, self.thens = self.thens, []
        for number, then in enumerate(thens):
            then(KafkaError(ErrorCode.NOT_COORDINATOR) if number in failed else None)


class World:
    """Group `g` with five offsets and a generation; two tombstones share a batch."""

    def __init__(self) -> None:
        unused: Any = None
        self.table = GroupTable(view=unused, replicas=unused, clock=ManualClock(), config=unused)
        self.table._limits = (unused, GroupLimits())
        self.table._config = lambda: unused
        self.log: Any = Log()
        self.writer = GroupWriter(self.log)
        self.removals = Removals(self.table, self.log, self.writer)
        self.group = Group("g", GroupLimits(), self.table.now())
        self.group.generation = 7
        self.entry = GroupEntry(self.group, 0, GroupOffsets(FIVE))
        self.table.put(self.entry)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(removal, "_TOMBSTONES_PER_BATCH", 2)
    return World()


async def test_a_group_goes_at_once_and_in_one_go(world: World) -> None:
    done = world.removals.forget(world.entry, world.entry.offsets.touched(), with_group=True)
    assert world.table.get("g") is None
    assert [len(batch) for batch in world.log.batches] == [3, 2, 1]
    assert not done.done()
    world.log.end()
    assert done.done() and done.exception() is None
    assert not world.entry.offsets.committed


async def test_tombstones_with_long_names_share_smaller_batches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "_TOMBSTONES_PER_BATCH", 1000)
    group_id = "g" * 1200
    offsets = GroupOffsets({("t", number): CommittedOffset(0, -1, "", 0) for number in range(500)})
    entry = GroupEntry(Group(group_id, GroupLimits(), world.table.now()), 0, offsets)
    world.removals.forget(entry, offsets.touched())
    sizes = [sum(len(key) for key in batch) for batch in world.log.batches]
    assert max(sizes) <= 16 << 10
    assert sum(len(batch) for batch in world.log.batches) == 500


@pytest.mark.parametrize(("failed", "left", "generation"), [((0,), 2, 7), ((1,), 2, 0), ((0, 1, 2), 5, 7)])
async def test_what_is_not_written_is_in_force_again(
    world: World, failed: tuple[int, ...], left: int, generation: int
) -> None:
    done = world.removals.forget(world.entry, world.entry.offsets.touched(), with_group=True)
    world.log.end(*failed)
    assert isinstance(done.exception(), KafkaError)
    assert world.table.get("g") is world.entry
    assert world.entry.group.state is GroupState.EMPTY
    assert world.entry.group.generation == generation
    assert len(world.entry.offsets.committed) == left


async def test_the_next_group_of_the_name_inherits_what_could_not_be_removed(world: World) -> None:
    done = world.removals.forget(world.entry, world.entry.offsets.touched(), with_group=True)
    following = GroupEntry(Group("g", GroupLimits(), world.table.now()), 0)
    world.table.put(following)
    newer = {("t", 4): CommittedOffset(99, -1, "", 0)}
    following.offsets.end(following.offsets.begin(newer), written=True)
    world.log.end(0, 1, 2)
    assert done.exception() is not None
    assert world.table.get("g") is following
    assert following.offsets.committed == {**FIVE, **newer}


async def test_commits_and_removals_count_in_the_order_of_the_log(world: World) -> None:
    offsets = world.entry.offsets
    before = offsets.begin({("t", 0): CommittedOffset(50, -1, "", 0)})
    done = world.removals.forget(world.entry, [("t", 0)])
    after = offsets.begin({("t", 0): CommittedOffset(51, -1, "", 0)})
    assert offsets.left()["t", 0].offset == 51
    offsets.end(before, written=True)
    assert offsets.committed["t", 0].offset == 50
    world.log.end()
    await done
    assert ("t", 0) not in offsets.committed
    offsets.end(after, written=True)
    assert offsets.committed["t", 0].offset == 51


async def test_a_group_with_a_commit_on_its_way_does_not_go_with_its_last_offset(world: World) -> None:
    change = world.entry.offsets.begin({("u", 0): CommittedOffset(1, -1, "", 0)})
    done = world.removals.forget(world.entry, list(FIVE))
    world.log.end()
    await done
    assert world.table.get("g") is world.entry
    world.entry.offsets.end(change, written=False)
    assert not world.entry.offsets


async def test_records_that_are_owed_to_a_consumer_group_become_tombstones(world: World) -> None:
    """A write of its that failed, or still may, must not come after them, nor leave a member behind."""
    submitted: list[dict[bytes, bytes | None]] = []

    def submit(_: int, records: Sequence[tuple[bytes, bytes | None]]) -> asyncio.Future[None]:
        submitted.append(dict(records))
        return asyncio.get_running_loop().create_future()

    world.log.submit = submit
    limits: Any = None
    group = ConsumerGroup("g", limits)
    world.entry.group = group
    group.set_target("gone", frozenset({(b"i" * 16, 0)}))
    world.writer.flush(world.entry, group)
    del group.targets["gone"]
    group.set_epoch(3)
    waiting = world.writer.flush(world.entry, group)
    assert waiting is not None
    done = world.removals.forget(world.entry, [], with_group=True)
    assert set(submitted[0]) < set(world.log.batches[0])
    world.log.end()
    await done
    await asyncio.wait_for(waiting, 5)
    assert len(submitted) == 1
