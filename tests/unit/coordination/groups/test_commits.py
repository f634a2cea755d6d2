"""Passes over all groups: they give the event loop its turns, and touch nothing that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from fastlog.clock import ManualClock
from fastlog.coordination.groups.commits import Commits
from fastlog.coordination.groups.offsets import CommittedOffset, GroupOffsets
from fastlog.coordination.groups.records import OffsetKey, decode_key
from fastlog.coordination.groups.results import GroupLimits
from fastlog.coordination.groups.state import Group
from fastlog.coordination.groups.table import GroupEntry, GroupTable

GROUPS = 100
RETENTION_MS = 1000


class Written:
    """`GroupLog`, as far as passes need it: the names of the groups that lost an offset."""

    def __init__(self) -> None:
        self.groups: list[str] = []

    async def append(self, partition: int, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        for key, value in records:
            found = decode_key(key)
            assert value is None and isinstance(found, OffsetKey)
            self.groups.append(found.group)


class World:
    """Groups g0 to g99, each with an offset of topic t from the beginning of time."""

    def __init__(self) -> None:
        unused: Any = None
        self.clock = ManualClock()
        self.table = GroupTable(view=unused, replicas=unused, clock=self.clock, config=unused)
        self.log = Written()
        self.commits = Commits(self.table, self.log)  # type: ignore[arg-type]
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
        lambda commits: commits.forget_missing_topics({"t"}),
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


async def test_a_group_that_somebody_is_about_to_join_stays() -> None:
    world = World()
    world.clock.advance(10 * RETENTION_MS)
    world.entries[0].group.pending["m"] = world.clock.monotonic() + 60
    await world.commits.expire(RETENTION_MS)
    assert [entry.group.group_id for entry in world.table] == ["g0"]
    assert not world.entries[0].offsets
