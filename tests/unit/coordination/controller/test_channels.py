"""One request at a time to each broker, in order, until it is answered or the broker has gone."""

from __future__ import annotations

import asyncio

import pytest

from fastlog.base.tasks import Supervisor
from fastlog.coordination.controller.channel_queue import ControlRequest
from fastlog.coordination.controller.channels import Channels, ControlResponse, LocalLink
from fastlog.coordination.controller.socket_link import VERSIONS
from fastlog.wire import encode_request
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrRequest, LeaderAndIsrResponse
from fastlog.wire.messages.stop_replica import StopReplicaRequest, StopReplicaResponse
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest, UpdateMetadataResponse
from tests.unit.coordination.controller.tree_world import until

ANSWERS = {
    LeaderAndIsrRequest: LeaderAndIsrResponse,
    UpdateMetadataRequest: UpdateMetadataResponse,
    StopReplicaRequest: StopReplicaResponse,
}


class Link:
    """Fails `failures` times, then answers when it is let."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.asked: list[str] = []
        self.in_flight = self.most_in_flight = 0
        self.let = asyncio.Event()
        self.let.set()
        self.closed = False

    async def ask(self, request: ControlRequest) -> ControlResponse:
        self.asked.append(type(request).__name__.removesuffix("Request"))
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        try:
            await self.let.wait()
            if self.failures:
                self.failures -= 1
                raise ConnectionError("no")
        finally:
            self.in_flight -= 1
        answer: ControlResponse = ANSWERS[type(request)]()
        return answer

    async def close(self) -> None:
        self.closed = True


async def test_order_is_kept_and_what_fails_is_sent_again() -> None:
    answered: list[str] = []
    channels = Channels(
        lambda broker, request, _: answered.append(f"{broker} {request.API.name}"), Supervisor()
    )
    link = Link(failures=2)
    channels.open(1, 7, link)
    for request in (LeaderAndIsrRequest, UpdateMetadataRequest, StopReplicaRequest):
        assert channels.send(1, request(broker_epoch=7))
    await until(lambda: len(answered) == 3)
    assert link.asked == ["LeaderAndIsr"] * 3 + ["UpdateMetadata", "StopReplica"]
    assert answered == ["1 LEADER_AND_ISR", "1 UPDATE_METADATA", "1 STOP_REPLICA"]
    assert link.most_in_flight == 1
    await channels.close()
    assert link.closed


async def test_a_broker_that_comes_back_gets_nothing_of_its_former_life() -> None:
    channels = Channels(lambda *_: None, Supervisor())
    former, now = Link(), Link()
    former.let.clear()
    channels.open(1, 7, former)
    assert channels.send(1, LeaderAndIsrRequest(broker_epoch=7))
    assert channels.send(1, StopReplicaRequest(broker_epoch=7))
    await until(lambda: former.asked)
    channels.open(1, 8, now)
    assert not channels.send(1, LeaderAndIsrRequest(broker_epoch=7))
    assert not channels.send(2, LeaderAndIsrRequest(broker_epoch=8))
    assert channels.send(1, UpdateMetadataRequest(broker_epoch=8))
    await until(lambda: now.asked and former.closed)
    assert (former.asked, now.asked) == (["LeaderAndIsr"], ["UpdateMetadata"])
    await channels.close()


async def test_an_answer_that_comes_after_the_broker_has_gone_is_nobodys() -> None:
    answered: list[int] = []
    channels = Channels(lambda broker, *_: answered.append(broker), Supervisor())
    link = Link()
    link.let.clear()
    channels.open(1, 7, link)
    channels.send(1, UpdateMetadataRequest(broker_epoch=7))
    await until(lambda: link.asked)
    channels.remove(1)
    link.let.set()
    await until(lambda: link.closed)
    assert answered == []


class Slow:
    """A broker that takes its time. Implements `ControlReceiver`."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.let = asyncio.Event()

    async def leader_and_isr(self, request: LeaderAndIsrRequest) -> LeaderAndIsrResponse:
        self.begun += 1
        await self.let.wait()
        self.ended += 1
        return LeaderAndIsrResponse()

    async def update_metadata(self, request: UpdateMetadataRequest) -> UpdateMetadataResponse:
        return UpdateMetadataResponse()

    async def stop_replica(self, request: StopReplicaRequest) -> StopReplicaResponse:
        return StopReplicaResponse()


async def test_the_broker_in_this_process_ends_what_it_has_begun() -> None:
    slow = Slow()
    channels = Channels(lambda *_: None, Supervisor())
    channels.open(1, 7, LocalLink(slow))
    channels.send(1, LeaderAndIsrRequest(broker_epoch=7))
    await until(lambda: slow.begun)
    closing = asyncio.create_task(channels.close())
    for _ in range(5):
        await asyncio.sleep(0)
    slow.let.set()
    await closing
    assert slow.ended == 1


async def test_what_cannot_be_encoded_does_not_hold_up_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    class Encoding(Link):
        async def ask(self, request: ControlRequest) -> ControlResponse:
            encode_request(request, VERSIONS[request.API], 1, "controller")
            return await super().ask(request)

    answered: list[str] = []
    channels = Channels(lambda _, request, __: answered.append(request.API.name), Supervisor())
    channels.open(1, 7, Encoding())
    assert channels.send(1, UpdateMetadataRequest(broker_epoch=7, controller_epoch=2**31))
    assert channels.send(1, StopReplicaRequest(broker_epoch=7))
    await until(lambda: answered)
    assert answered == ["STOP_REPLICA"]
    assert "broker 1 is not told something that cannot be: UpdateMetadataRequest" in caplog.text
    await channels.close()
