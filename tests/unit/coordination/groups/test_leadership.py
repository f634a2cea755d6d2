"""Partitions of the groups' topic come and go: what is led is served, also when it was led before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from fastlog.base.clock import ManualClock
from fastlog.base.tasks import Supervisor
from fastlog.coordination.groups import leadership
from fastlog.coordination.groups.leadership import GroupLeadership
from fastlog.coordination.groups.loading import LoadedPartition
from fastlog.coordination.groups.table import GroupTable
from fastlog.coordination.groups.transactional_commits import TransactionalCommits
from fastlog.errors import FastlogError


class GateLog:
    """`GroupLog`, as far as leadership needs it: the partitions that let nothing through."""

    def __init__(self) -> None:
        self.closed: set[int] = set()

    def shut(self, partition: int) -> None:
        self.closed.add(partition)

    def open(self, partition: int) -> None:
        self.closed.discard(partition)

    async def appended(self, _: int) -> None:
        pass


class World:
    """Partition 0 with an empty log."""

    def __init__(self) -> None:
        unused: Any = None
        self.tasks = Supervisor(first_pause=0.01)
        self.replica: Any = None
        self.make()
        found: Any = SimpleNamespace(get=lambda *_: self.replica)
        view: Any = SimpleNamespace(topics={})
        self.log: Any = GateLog()
        self.table = GroupTable(view=view, replicas=found, clock=ManualClock(), config=unused)
        config: Any = SimpleNamespace(offsets_load_buffer_size=1 << 20)
        self.leadership = GroupLeadership(
            view=view,
            replicas=found,
            table=self.table,
            log=self.log,
            membership=unused,
            consumer=unused,
            removals=unused,
            transactional=TransactionalCommits(self.table, self.log),
            config=lambda: config,
            tasks=self.tasks,
        )
        self.task = asyncio.create_task(self.leadership.run())

    def make(self) -> None:
        """Another replica takes the place of this one."""
        self.replica = SimpleNamespace(
            leader_epoch=0, log=SimpleNamespace(log_start_offset=0, log_end_offset=0, path="p")
        )


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what another thread brings about; the limit of the test is the bound."""
    while not condition():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.01)


async def until_done() -> None:
    """All that was asked for is done."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.leadership.close()
    world.task.cancel()


async def test_a_partition_that_was_deleted_takes_records_when_it_is_made_again(world: World) -> None:
    world.leadership.elected(0)
    await world.leadership.deleted(0)
    await until_done()
    assert world.log.closed == {0}
    world.make()
    world.leadership.elected(0)
    assert world.log.closed == set()
    assert not world.table.loading


async def test_an_empty_partition_that_is_led_anew_takes_records(world: World) -> None:
    world.leadership.elected(0)
    world.leadership.resigned(0)
    await until_done()
    world.leadership.elected(0)
    assert world.log.closed == set()


async def test_it_stays_shut_while_groups_of_before_are_forgotten(world: World) -> None:
    world.leadership.elected(0)
    world.leadership.resigned(0)
    world.leadership.elected(0)
    assert world.log.closed == {0}
    assert world.table.loading == {0}
    await until(lambda: not world.table.loading)
    assert world.log.closed == set()


async def test_a_shortage_while_groups_are_read_passes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(24, "Too many open files"), MemoryError(), RuntimeError("can't start new thread")]

    def load(*_: object) -> LoadedPartition:
        if failures:
            raise failures.pop()
        return LoadedPartition()

    monkeypatch.setattr(leadership, "load_partition", load)
    world.replica.log.log_end_offset = 5
    world.leadership.elected(0)
    await until(lambda: not world.table.loading and not world.table.failed)
    assert (failures, world.table.failed, world.table.loading) == ([], set(), set())
    assert world.tasks.failures == {"group-loading-again": 3}
    assert "group-loading-again" in world.tasks.failing


async def test_damage_is_not_read_again_and_a_partition_that_goes_neither(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Exception] = []
    error: Exception = FastlogError("no whole batch")

    def load(*_: object) -> LoadedPartition:
        calls.append(error)
        raise error

    monkeypatch.setattr(leadership, "load_partition", load)
    world.replica.log.log_end_offset = 5
    world.leadership.elected(0)
    await until(lambda: bool(world.table.failed))
    assert (len(calls), world.table.failed, world.tasks.failures) == (1, {0}, {})
    error = OSError(5, "no")
    world.leadership.resigned(0)
    world.leadership.elected(0)
    await until(lambda: len(calls) > 2)
    assert world.table.failed | world.table.loading == {0}
    world.leadership.resigned(0)
    await asyncio.sleep(0.1)
    before = len(calls)
    await asyncio.sleep(0.3)
    assert len(calls) == before
