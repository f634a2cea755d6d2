"""Questions that meet another change of their id wait for a moment, and are decided when it is in force."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fastlog.coordination.transactions.state import TransactionState
from fastlog.coordination.transactions.verdicts import Granted, Refused
from fastlog.errors import ErrorCode as E
from tests.unit.coordination.transactions.world import A, B, World, begun, end, turns

S = TransactionState


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Its coordinator has all the patience that it takes."""
    world = World(patience=60.0)
    yield world
    await world.close()


async def decided(world: World) -> tuple[int, int]:
    """A commit is decided, and its marker held."""
    identity = await begun(world)
    world.target.write_at_once = None
    assert await end(world, identity) == identity
    await turns()
    return identity


def soon(work: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(work)


def when_settled(world: World, name: str, seconds: float) -> asyncio.Event:
    settled = asyncio.Event()
    world.service.when_settled(name, seconds, settled.set)
    assert not settled.is_set()
    return settled


async def test_the_next_transaction_begins_when_the_one_before_is_complete(world: World) -> None:
    identity = await decided(world)
    adding = soon(world.service.add_partitions("t", identity, frozenset({B}), 0))
    again = soon(end(world, identity))
    await turns()
    assert not adding.done() and not again.done()
    world.target.answer()
    assert await adding is E.NONE
    # In the order of their coming: the commit is that of the next transaction.
    assert await again == identity
    await turns()
    assert world.target.asked[0][0].partitions == (B,)


async def test_who_comes_with_another_epoch_is_fenced_when_that_can_be_told(world: World) -> None:
    identity = await decided(world)
    fencing = soon(world.service.init_producer_id("t", 1000, None))
    adding = soon(world.service.add_partitions("t", identity, frozenset({B}), 0))
    await turns()
    world.target.answer()
    assert await fencing == Granted(identity[0], identity[1] + 1)
    assert await adding is E.PRODUCER_FENCED


async def test_patience_has_an_end(world: World) -> None:
    world.service._questions.patience = 0.05  # type: ignore[misc]
    identity = await decided(world)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await world.service.add_partitions("t", identity, frozenset({B}), 0) is E.CONCURRENT_TRANSACTIONS
    assert 0.05 <= loop.time() - began < 5
    assert world.transaction().take_waiting() == ()
    world.target.answer()
    await turns()
    # Nobody comes late.
    assert world.transaction().entry.state is S.COMPLETE_COMMIT


async def test_a_leader_that_is_about_to_append_does_not_wait(world: World) -> None:
    identity = await decided(world)
    adding = world.service.add_partitions("t", identity, frozenset({B}), 2, waits=False)
    assert await asyncio.wait_for(adding, 5) is E.CONCURRENT_TRANSACTIONS
    told: list[E] = []
    world.service.begin_add("t", identity, frozenset({B}), 2, told.append, waits=False)
    assert told == [E.CONCURRENT_TRANSACTIONS]
    settled = when_settled(world, "t", 60)
    await turns()
    assert not settled.is_set()
    world.target.answer()
    await asyncio.wait_for(settled.wait(), 5)
    assert await world.service.add_partitions("t", identity, frozenset({B}), 2, waits=False) is E.NONE


async def test_what_is_settled_or_elsewhere_is_not_waited_for_and_nothing_for_ever(world: World) -> None:
    await begun(world)
    await asyncio.wait_for(when_settled(world, "t", 60).wait(), 5)
    await asyncio.wait_for(when_settled(world, "unknown", 60).wait(), 5)
    world.target.write_at_once = None
    await end(world, (world.transaction().entry.producer_id, 0))
    await asyncio.wait_for(when_settled(world, "t", 0.01).wait(), 5)
    world.target.answer()
    await turns()
    assert world.transaction().entry.state is S.COMPLETE_COMMIT


async def test_a_change_that_could_not_be_written_lets_the_next_one_go_on(world: World) -> None:
    identity = await begun(world)
    world.appends.at_once = False
    ending = soon(end(world, identity))
    adding = soon(world.service.add_partitions("t", identity, frozenset({B}), 0))
    await turns()
    assert not adding.done()
    world.appends.settle(code=E.NOT_ENOUGH_REPLICAS)
    world.appends.at_once = True
    assert await ending is E.COORDINATOR_NOT_AVAILABLE
    assert await adding is E.NONE
    assert world.transaction().entry.partitions == {A, B}


async def test_who_waits_when_the_leadership_ends_is_sent_away(world: World) -> None:
    world.service._questions.patience = 0.05  # type: ignore[misc]
    identity = await decided(world)
    adding = soon(world.service.add_partitions("t", identity, frozenset({B}), 0))
    await turns()
    world.replica.leads = False
    assert await asyncio.wait_for(adding, 5) is E.NOT_COORDINATOR
    world.replica.leads = True


async def test_a_defect_behind_a_wait_is_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = await decided(world)
    asked = soon(world.service.init_producer_id("t", 1000, identity))
    await turns()
    monkeypatch.setattr(world.service._questions, "has_room", lambda _: 1 // 0)
    monkeypatch.setattr("fastlog.coordination.transactions.questions.growth_of", lambda *_: 1)
    world.target.answer()
    assert await asyncio.wait_for(asked, 5) == Refused(E.UNKNOWN_SERVER_ERROR)
    assert world.tasks.failures["transaction-questions"] == 1
