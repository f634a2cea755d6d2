"""What leaders ask the controller for: when, how often, and what becomes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from fastlog.base.tasks import Supervisor
from fastlog.errors import ErrorCode
from fastlog.native import Log
from fastlog.net.errors import RequestTimedOut
from fastlog.replication import isr_manager
from fastlog.replication.isr_manager import IsrManager
from fastlog.replication.partition import Partition, ReplicaSettings, Surroundings
from fastlog.replication.replica_manager import ReplicaManager
from fastlog.wire import ApiKey, Request, Response
from fastlog.wire.messages.alter_partition import (
    AlterPartitionDataResponse,
    AlterPartitionRequest,
    AlterPartitionResponse,
    AlterPartitionTopicResponse,
)
from tests.unit.replication.fakes import FakeLog

ALL = (1, 2, 3)
LAG = 100


class FakeController:
    """Keeps requests until the test answers them."""

    def __init__(self, version: int = 3) -> None:
        self.version = version
        self.asked: asyncio.Queue[tuple[AlterPartitionRequest, asyncio.Future[Response]]] = asyncio.Queue()
        self.under_way = 0

    async def ask(
        self,
        api: ApiKey,
        make: Callable[[int], Request],
        *,
        timeout: float,  # noqa: ASYNC109
        lowest: int = 0,
        highest: int | None = None,
    ) -> Response:
        """As `ControllerLink.ask`."""
        self.under_way += 1
        assert (api, self.under_way) == (ApiKey.ALTER_PARTITION, 1)
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        version = self.version if highest is None else min(self.version, highest)
        self.asked.put_nowait((cast("AlterPartitionRequest", make(version)), answer))
        try:
            return await answer
        finally:
            self.under_way -= 1


class World:
    """A broker that leads partitions of three replicas."""

    def __init__(self, version: int = 3) -> None:
        self.now, self.epoch = 0, 70
        self.replicas = ReplicaManager(1, lambda _: None, Surroundings(lambda: self.now))
        self.controller = FakeController(version)
        self.tasks = Supervisor()
        self.manager = IsrManager(
            1,
            self.controller,
            self.replicas,
            broker_epoch=lambda: self.epoch,
            max_lag_ms=lambda: 10_000_000,
            tasks=self.tasks,
            epoch_of=self.replicas.broker_epochs.of,
        )
        self.manager.start()

    def lead(
        self,
        topic: str,
        number: int = 0,
        in_sync: frozenset[int] = frozenset({1}),
        *,
        epoch: int = 5,
        partition_epoch: int = 8,
        topic_id: bytes | None = None,
    ) -> Partition:
        found = self.replicas.get(topic, number)
        return self.replicas.become_leader(
            topic,
            topic.encode() * 16 if topic_id is None else topic_id,
            number,
            cast("Log", FakeLog()) if found is None else found.log,
            leader_epoch=epoch,
            in_sync=in_sync,
            settings=ReplicaSettings(max_lag_ms=LAG),
            replicas=ALL,
            partition_epoch=partition_epoch,
        )

    def catch_up(self, partition: Partition, replica: int = 2) -> None:
        """A follower has all."""
        wanted = partition.on_fetched(replica, 0, 0)
        if wanted is not None:
            self.manager.propose(partition, wanted)

    async def request(self) -> tuple[AlterPartitionRequest, asyncio.Future[Response]]:
        async with asyncio.timeout(10):
            return await self.controller.asked.get()

    async def quiet(self) -> bool:
        """Whether nothing is asked for, however long it is waited."""
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.sleep(4 * isr_manager.RETRY_SECONDS)
        for _ in range(20):
            await asyncio.sleep(0)
        return self.controller.asked.empty()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(isr_manager, "RETRY_SECONDS", 0.001)
    made = World()
    yield made
    await made.manager.stop()


def answer(*rows: tuple[Partition, int, dict[str, Any]], error: int = 0) -> AlterPartitionResponse:
    """A response: (partition, error code, the other fields) of each."""
    return AlterPartitionResponse(
        error_code=error,
        topics=[
            AlterPartitionTopicResponse(
                topic_id=partition.topic_id,
                partitions=[AlterPartitionDataResponse(partition.key[1], error_code=code, **fields)],
            )
            for partition, code, fields in rows
        ],
    )


def stored(partition: Partition, *isr: int, epoch: int = 9, leader_epoch: int = 5) -> Any:
    return (
        partition,
        0,
        {"leader_id": 1, "leader_epoch": leader_epoch, "isr": list(isr), "partition_epoch": epoch},
    )


async def test_all_that_is_wanted_goes_into_one_request_while_one_is_under_way(world: World) -> None:
    one = world.lead("a")
    world.catch_up(one)
    request, reply = await world.request()
    assert (request.broker_id, request.broker_epoch) == (1, 70)
    ((topic,), (row,)) = (request.topics, request.topics[0].partitions)
    assert (topic.topic_id, topic.topic_name) == (b"a" * 16, "")
    assert (row.partition_index, row.leader_epoch, row.partition_epoch) == (0, 5, 8)
    assert [(state.broker_id, state.broker_epoch) for state in row.new_isr_with_epochs] == [(1, 70), (2, -1)]
    others = [world.lead("b", 0), world.lead("b", 1), world.lead("c", 0)]
    for other in others:
        world.catch_up(other)
    assert await world.quiet()
    reply.set_result(answer(stored(one, 1, 2)))
    request, reply = await world.request()
    assert [
        (topic.topic_id[:1], [row.partition_index for row in topic.partitions]) for topic in request.topics
    ] == [
        (b"b", [0, 1]),
        (b"c", [0]),
    ]
    assert (one.in_sync, one.isr.partition_epoch, world.manager.expansions) == (frozenset({1, 2}), 9, 1)
    reply.set_result(answer(*(stored(other, 1, 2) for other in others)))
    assert await world.quiet()
    assert all(other.in_sync == {1, 2} for other in others)


async def test_what_fails_as_a_whole_is_asked_again(world: World) -> None:
    one = world.lead("a")
    world.catch_up(one)
    for failure in (
        RequestTimedOut("no answer"),
        ErrorCode.STALE_BROKER_EPOCH,
        ErrorCode.UNKNOWN_SERVER_ERROR,
    ):
        _, reply = await world.request()
        if isinstance(failure, ErrorCode):
            reply.set_result(answer(error=failure))
        else:
            reply.set_exception(failure)
    # A defect ends the loop, which is started again: what was asked for then is not forgotten.
    _, reply = await world.request()
    reply.set_exception(RuntimeError("a defect"))
    _, reply = await world.request()
    # An answer that leaves it out is none.
    reply.set_result(answer())
    _, reply = await world.request()
    reply.set_result(answer(stored(one, 1, 2)))
    assert await world.quiet()
    assert one.in_sync == {1, 2}


async def test_nothing_is_asked_before_this_broker_is_registered(world: World) -> None:
    world.epoch = -1
    world.catch_up(world.lead("a"))
    assert await world.quiet()
    world.epoch = 71
    request, _ = await world.request()
    assert request.broker_epoch == 71


@pytest.mark.parametrize(
    ("code", "again", "changing"),
    [
        (ErrorCode.INELIGIBLE_REPLICA, False, False),
        (ErrorCode.OPERATION_NOT_ATTEMPTED, False, False),
        (ErrorCode.INVALID_UPDATE_VERSION, False, True),
        (ErrorCode.FENCED_LEADER_EPOCH, False, True),
        (ErrorCode.NOT_CONTROLLER, True, True),
        (9999, True, True),
    ],
)
async def test_each_partition_has_its_own_outcome(
    world: World, code: int, again: bool, changing: bool
) -> None:
    one, two = world.lead("a"), world.lead("b")
    world.catch_up(one)
    world.catch_up(two)
    _, reply = await world.request()
    reply.set_result(answer((one, int(code), {}), stored(two, 1, 2)))
    if again:
        request, _ = await world.request()
        assert [topic.topic_id for topic in request.topics] == [one.topic_id]
    else:
        assert await world.quiet()
    assert (two.in_sync, one.isr.is_changing, world.manager.failures > 0) == ({1, 2}, changing, True)


async def test_a_change_without_an_answer_is_asked_for_again_after_a_while(world: World) -> None:
    one = world.lead("a")
    world.catch_up(one)
    _, reply = await world.request()
    reply.set_result(answer((one, int(ErrorCode.INVALID_UPDATE_VERSION), {})))
    assert await world.quiet()
    await world.manager.look()
    assert await world.quiet()
    await world.manager.look()
    _, reply = await world.request()
    reply.set_result(answer(stored(one, 1, 2)))
    assert await world.quiet()
    assert one.in_sync == {1, 2}


async def test_an_answer_to_what_is_over_changes_nothing(world: World) -> None:
    one = world.lead("a")
    world.catch_up(one)
    _, reply = await world.request()
    world.lead("a", in_sync=frozenset({1, 3}), epoch=6, partition_epoch=10)
    reply.set_result(answer(stored(one, 1, 2)))
    assert await world.quiet()
    assert (one.in_sync, one.isr.partition_epoch) == ({1, 3}, 10)


async def test_an_answer_of_an_earlier_request_is_not_taken_for_this_one(world: World) -> None:
    one = world.lead("a")
    world.catch_up(one)
    _, reply = await world.request()
    reply.set_result(answer(stored(one, 1, epoch=7)))
    _, reply = await world.request()
    assert one.in_sync == {1}
    # The same epoch is: the controller had stored it before, and the first answer was lost.
    reply.set_result(answer(stored(one, 1, 2, epoch=8)))
    assert await world.quiet()
    assert (one.in_sync, one.isr.is_changing) == ({1, 2}, False)


async def test_members_are_named_with_the_epochs_in_which_they_have_fetched(world: World) -> None:
    """A controller tells by that whether one of them has come back since, with less than it had (KIP-903)."""
    one = world.lead("a", in_sync=frozenset({1, 3}))
    for epoch in (40, 41, 40):
        world.replicas.broker_epochs.admit(2, epoch)
    world.catch_up(one)
    request, reply = await world.request()
    (row,) = request.topics[0].partitions
    states = [(state.broker_id, state.broker_epoch) for state in row.new_isr_with_epochs]
    assert states == [(1, 70), (2, 41), (3, -1)]
    reply.set_result(answer(stored(one, 1, 2, 3)))
    assert await world.quiet()


async def test_members_that_fall_behind_are_to_leave(world: World) -> None:
    one = world.lead("a", in_sync=frozenset(ALL))
    idle = world.lead("b", in_sync=frozenset(ALL))
    for partition in (one, idle):
        for replica in (2, 3):
            world.catch_up(partition, replica)
    one.on_appended(4)
    world.now = LAG // 2
    one.on_fetched(2, 4, 0)
    world.now = LAG + 1
    await world.manager.look()
    request, reply = await world.request()
    (row,) = request.topics[0].partitions
    assert [state.broker_id for state in row.new_isr_with_epochs] == [1, 2]
    reply.set_result(answer(stored(one, 1, 2)))
    assert await world.quiet()
    assert (one.in_sync, idle.in_sync, world.manager.shrinks) == ({1, 2}, set(ALL), 1)


@pytest.mark.parametrize(
    ("version", "topic_id", "by_id"), [(2, None, True), (1, None, False), (3, bytes(16), False)]
)
async def test_older_controllers_are_asked_in_their_form(
    world: World, version: int, topic_id: bytes | None, by_id: bool
) -> None:
    world.controller.version = version
    one = world.lead("a", topic_id=topic_id)
    world.catch_up(one)
    request, reply = await world.request()
    ((topic,), (row,)) = (request.topics, request.topics[0].partitions)
    assert (bool(topic.topic_name), topic.topic_id != bytes(16)) == (not by_id, by_id)
    assert (row.new_isr, row.new_isr_with_epochs) == ([1, 2], [])
    response = answer(stored(one, 1, 2))
    if not by_id:
        response.topics[0].topic_id, response.topics[0].topic_name = bytes(16), "a"
    reply.set_result(response)
    assert await world.quiet()
    assert one.in_sync == {1, 2}
