"""Targets of large groups are made beside the event loop, one run at a time, and joins share them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from fastlog.base.tasks import Supervisor
from fastlog.coordination.groups.consumer import member_heartbeat, targets
from fastlog.coordination.groups.consumer.assigning import TargetRuns
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.coordination.groups.consumer.targets import Made, Plan
from fastlog.coordination.groups.table import GroupEntry
from tests.unit.coordination.groups.consumer.world import Client, ConsumerWorld

PARTITIONS = targets.MOST_STEPS_AT_ONCE


class Runs:
    """A large group, with a thread that waits until the test lets it go on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.world = ConsumerWorld(t=PARTITIONS)
        self.entry = GroupEntry(self.world.group, 0)
        self.tasks = Supervisor()
        self.made: list[int] = []
        self.runs = TargetRuns(lambda: self.world.topics, self._on_made, self.tasks.guard("group-targets"))
        self.may_go_on = threading.Event()
        self.fails = False
        self.threads: set[str] = set()
        make = Plan.make

        def held(plan: Plan) -> Made:
            self.threads.add(threading.current_thread().name)
            assert self.may_go_on.wait(20)
            if self.fails:
                raise ValueError("a defect")
            return make(plan)

        patch.setattr(Plan, "make", held)

    def _on_made(self, _: GroupEntry, group: ConsumerGroup) -> None:
        self.made.append(group.assignment_epoch)

    def enter(self, name: str) -> Client:
        """A member joins; what it is to own is not known yet."""
        client = Client(self.world, name)
        member_heartbeat.enter(self.world.group, client.request(), self.world.now(), self.world.topics)
        assert self.world.group.wants_targets
        self.runs.start(self.entry, self.world.group)
        return client


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


def test_joins_during_a_run_share_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        held = Runs(monkeypatch)
        group = held.world.group
        first = held.enter("m0")
        await asyncio.sleep(0)
        clients = [first, *(held.enter(f"m{number}") for number in range(1, 9))]
        assert group.state.name == "ASSIGNING"
        assert first.beat().epoch == group.assignment_epoch == 1
        assert not first.owned
        held.may_go_on.set()
        await held.runs.wait(group, 20)
        assert held.made == [2, group.epoch], "one run for the first member, one for all others"
        assert not any(name.startswith("MainThread") for name in held.threads)
        for client in clients:
            client.beat()
        assert group.state.name == "STABLE"
        assert sum(len(client.owned) for client in clients) == PARTITIONS
        await held.runs.close()
        assert not group.wants_targets

    run(test())


def test_nobody_waits_for_long_and_a_defect_ends_only_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        held = Runs(monkeypatch)
        group = held.world.group
        client = held.enter("m0")
        await held.runs.wait(group, 0.01)
        assert client.beat().epoch == 1
        held.fails = True
        held.may_go_on.set()
        await held.runs.wait(group, 20)
        assert not held.made
        assert held.tasks.failures["group-targets"] == 1
        assert not group.wants_targets
        held.fails = False
        client.beat()
        held.runs.start(held.entry, group)
        await held.runs.wait(group, 20)
        client.beat()
        assert len(client.owned) == PARTITIONS
        await held.runs.close()

    run(test())


def test_a_run_for_a_group_that_is_gone_comes_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        held = Runs(monkeypatch)
        held.enter("m0")
        await asyncio.sleep(0)
        held.world.group.die()
        touched = list(held.world.group.touched)
        held.may_go_on.set()
        await held.runs.wait(held.world.group, 20)
        assert not held.made
        assert list(held.world.group.touched) == touched
        await held.runs.close()

    run(test())


def test_a_small_group_has_its_target_at_once() -> None:
    world = ConsumerWorld(t=100)
    client = Client(world, "m0")
    client.beat()
    assert len(client.owned) == 100
    assert not world.group.wants_targets
