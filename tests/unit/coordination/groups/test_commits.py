"""Passes over all groups: they give the event loop its turns, and touch nothing that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from fastlog.base.clock import ManualClock
from fastlog.base.tasks import Supervisor
from fastlog.coordination.groups.admin import GroupAdmin
from fastlog.coordination.groups.classic.state import Group
from fastlog.coordination.groups.commits import Commits
from fastlog.coordination.groups.committed_offsets import CommittedOffset, GroupOffsets
from fastlog.coordination.groups.consumer.members import ConsumerMember, Details, Position
from fastlog.coordination.groups.consumer.results import ConsumerLimits
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.coordination.groups.consumer.writer import GroupWriter
from fastlog.coordination.groups.records import OffsetKey, decode_key
from fastlog.coordination.groups.removal import Removals
from fastlog.coordination.groups.results import GroupLimits
from fastlog.coordination.groups.table import GroupEntry, GroupTable
from fastlog.errors import ErrorCode, KafkaError

GROUPS = 100
RETENTION_MS = 1000


class Written:
    """`GroupLog`, as far as passes need it: the names of the groups that lost an offset."""

    def __init__(self) -> None:
        self.groups: list[str] = []
        self.failure: Exception | None = None

    def write(
        self,
        partition: int,
        records: Sequence[tuple[bytes, bytes | None]],
        then: Callable[[Exception | None], None],
        *,
        divisible: bool,
    ) -> None:
        assert divisible
        for key, value in records:
            found = decode_key(key)
            assert value is None and isinstance(found, OffsetKey)
            self.groups.append(found.group)
        asyncio.get_running_loop().call_soon(then, self.failure)


class World:
    """Groups g0 to g99, each with an offset of topic t from the beginning of time."""

    def __init__(self) -> None:
        unused: Any = None
        self.clock = ManualClock()
        self.table = GroupTable(view=unused, replicas=unused, clock=self.clock, config=unused)
        self.log = Written()
        log: Any = self.log
        self.commits = Commits(self.table, log, Removals(self.table, log, GroupWriter(log)), Supervisor())
        limits = GroupLimits(
            initial_rebalance_delay_ms=0, min_session_timeout_ms=1, max_session_timeout_ms=1, max_size=1
        )
        self.entries = [
            GroupEntry(
                Group(f"g{number}", limits, self.table.now()),
                0,
                GroupOffsets({("t", 0): CommittedOffset(1, -1, "", 0)}),
            )
            for number in range(GROUPS)
        ]
        for entry in self.entries:
            self.table.put(entry)


async def turns_during(work: Awaitable[object]) -> int:
    """How often others had a turn."""
    turns = 0
    working = asyncio.ensure_future(work)
    while not working.done():
        await asyncio.sleep(0)
        turns += 1
    await working
    return turns


@pytest.mark.parametrize(
    "work",
    [
        lambda commits: commits.expire(1 << 60),
        lambda commits: commits.forget_topic("another"),
    ],
)
async def test_a_pass_that_finds_nothing_does_not_hold_the_loop(
    work: Callable[[Commits], Awaitable[object]],
) -> None:
    world = World()
    assert await turns_during(work(world.commits)) > 5
    assert world.log.groups == []


async def test_a_group_that_goes_during_a_pass_is_not_touched() -> None:
    world = World()
    world.clock.advance(10 * RETENTION_MS)
    expiry = asyncio.ensure_future(world.commits.expire(RETENTION_MS))
    await asyncio.sleep(0)
    world.table.remove(world.entries[-1])
    assert await expiry == GROUPS - 1
    assert world.log.groups == [f"g{number}" for number in range(GROUPS - 1)]


async def test_a_topic_whose_offsets_cannot_be_removed_is_not_forgotten() -> None:
    world = World()
    world.log.failure = KafkaError(ErrorCode.NOT_COORDINATOR)
    with pytest.raises(KafkaError):
        await world.commits.forget_topic("t")
    assert all(entry.offsets for entry in world.entries)
    world.log.failure = None
    await world.commits.forget_topic("t")
    assert len(world.table) == 0
    world.table.closed = True
    with pytest.raises(KafkaError):
        await world.commits.forget_topic("t")


async def test_a_group_that_somebody_is_about_to_join_stays() -> None:
    world = World()
    world.clock.advance(10 * RETENTION_MS)
    world.entries[0].group.pending["m"] = world.clock.monotonic() + 60
    await world.commits.expire(RETENTION_MS)
    assert [entry.group.group_id for entry in world.table] == ["g0"]
    assert not world.entries[0].offsets


LARGE = 5000


class Large(World):
    """Group g0 has a lot of offsets of topic t."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = self.entries[0]
        old = CommittedOffset(1, -1, "", 0)
        self.entry.offsets = GroupOffsets({("t", number): old for number in range(LARGE)})
        self.table.error = lambda *_, **__: ErrorCode.NONE  # type: ignore[method-assign]
        self.removals = self.commits.removals
        self.admin = GroupAdmin(self.table, self.removals)

    @property
    def left(self) -> int:
        return len(self.entry.offsets.committed)


async def has_begun(world: Large) -> None:
    """The first offsets are gone."""
    for _ in range(100):
        if world.left < LARGE:
            return
        await asyncio.sleep(0)
    raise AssertionError("nothing is removed")


def delete_offsets(world: Large) -> Awaitable[object]:
    return world.commits.delete("g0", {("t", number): None for number in range(LARGE)})


def delete_group(world: Large) -> Awaitable[object]:
    return world.admin.delete("g0")


def expire(world: Large) -> Awaitable[object]:
    world.clock.advance(10 * RETENTION_MS)
    return world.commits.expire(RETENTION_MS)


def forget_topic(world: Large) -> Awaitable[object]:
    return world.commits.forget_topic("t")


PASSES = pytest.mark.parametrize("work", [delete_offsets, delete_group, expire, forget_topic])


@PASSES
async def test_a_large_group_loses_its_offsets_in_turns(work: Callable[[Large], Awaitable[object]]) -> None:
    world, seen = Large(), set[int]()
    working = asyncio.ensure_future(work(world))
    while not working.done():
        await asyncio.sleep(0)
        seen.add(world.left)
    await working
    assert len(seen) > 5
    assert world.left == 0
    assert world.table.get("g0") is None


@pytest.mark.parametrize("work", [delete_offsets, expire])
async def test_what_is_committed_meanwhile_stays(work: Callable[[Large], Awaitable[object]]) -> None:
    world = Large()
    working = asyncio.ensure_future(work(world))
    await has_begun(world)
    now = world.clock.now_ms()
    fresh = {("t", number): CommittedOffset(2, -1, "", now) for number in (0, LARGE - 1)}
    on_its_way = world.entry.offsets.begin(fresh)
    if work is expire:
        await working
        world.entry.offsets.end(on_its_way, written=True)
        assert world.entry.offsets.committed == fresh
    else:
        # It was asked for before the partition had its turn.
        world.entry.offsets.end(on_its_way, written=True)
        await working
        assert list(world.entry.offsets.committed) == [("t", 0)]
    assert world.table.get("g0") is world.entry


async def test_requests_wait_while_a_large_group_is_deleted() -> None:
    world = Large()
    del world.table.error
    led: Any = SimpleNamespace(leader_error=lambda: 0)
    replicas: Any = SimpleNamespace(get=lambda *_: led)
    view: Any = SimpleNamespace(topics={"__consumer_offsets": SimpleNamespace(partitions=[0])})
    world.table._replicas, world.table._view, election = replicas, view, object()
    world.table.elections[0] = election  # type: ignore[assignment]
    assert world.table.error("g0") is ErrorCode.NONE
    working = asyncio.ensure_future(world.admin.delete("g0"))
    await has_begun(world)
    assert world.table.error("g0") is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    assert world.table.error("g1") is ErrorCode.NONE
    assert await working is ErrorCode.NONE
    assert world.table.error("g0") is ErrorCode.NONE


async def test_a_large_group_that_goes_elsewhere_meanwhile_loses_no_more() -> None:
    world = Large()
    working = asyncio.ensure_future(world.admin.delete("g0"))
    await has_begun(world)
    another: Any = object()
    world.table.elections[0] = another
    assert await working is ErrorCode.NOT_COORDINATOR
    assert world.left > 0
    assert not world.entry.is_held


async def test_offsets_of_a_topic_that_a_member_begins_to_use_stay() -> None:
    world = Large()
    working = asyncio.ensure_future(
        world.commits.delete("g0", {("t", number): None for number in range(LARGE)})
    )
    await has_begun(world)
    group = ConsumerGroup("g0", ConsumerLimits())
    group.put(ConsumerMember("m", Details(topics=("t",)), Position()))
    world.entry.group = group
    error, codes = await working
    assert error is ErrorCode.NONE
    assert set(codes.values()) == {ErrorCode.NONE, ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC}
    assert world.left == list(codes.values()).count(ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC) > 0
