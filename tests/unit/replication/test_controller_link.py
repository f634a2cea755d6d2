"""Asking whoever is the controller: over a connection, in this process, and when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fastlog.errors import ErrorCode
from fastlog.net.errors import RequestTimedOut, VersionMismatch
from fastlog.replication import controller_link
from fastlog.replication.controller_link import ControllerLink, ControllerPlace
from fastlog.wire import API_VERSIONS, ApiKey, Request, Response
from fastlog.wire.headers import RequestHeader
from fastlog.wire.messages.alter_partition import AlterPartitionRequest, AlterPartitionResponse
from tests.unit.net.fake_broker import FakeBroker, Hangup

API = ApiKey.ALTER_PARTITION


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller_link, "AGAIN_SECONDS", 0.001)


class Elected:
    """Who is the controller."""

    def __init__(self) -> None:
        self.place: ControllerPlace | None = None
        self.looks = 0

    def __call__(self) -> ControllerPlace | None:
        self.looks += 1
        return self.place

    def elect(self, broker: FakeBroker) -> None:
        self.place = ControllerPlace(broker.node_id, "127.0.0.1", broker.port)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never comes")


def make(version: int) -> AlterPartitionRequest:
    """The version, where the other side sees it."""
    return AlterPartitionRequest(broker_id=1, broker_epoch=version)


def says(error: ErrorCode = ErrorCode.NONE) -> AlterPartitionResponse:
    return AlterPartitionResponse(error_code=error)


async def test_one_connection_serves_all_that_is_asked() -> None:
    elected = Elected()
    link = ControllerLink(1, elected)
    async with FakeBroker(lambda header, request: says(ErrorCode.STALE_BROKER_EPOCH), node_id=2) as broker:
        elected.elect(broker)
        answers = await asyncio.gather(*(link.ask(API, make, timeout=10) for _ in range(3)))
        assert answers == [says(ErrorCode.STALE_BROKER_EPOCH)] * 3
        assert [request.broker_epoch for request in broker.asked(API)] == [3, 3, 3]  # type: ignore[attr-defined]
        assert broker.connections == 1
        await link.close()


async def test_the_versions_of_the_controller_and_of_the_caller_hold() -> None:
    elected = Elected()
    link = ControllerLink(1, elected)
    versions: dict[int, tuple[int, int]] = {**API_VERSIONS, API: (0, 2)}
    async with FakeBroker(lambda header, request: says(), versions=versions) as broker:
        elected.elect(broker)
        elected.place = ControllerPlace(2, "127.0.0.1", broker.port)
        await link.ask(API, make, timeout=10)
        await link.ask(API, make, timeout=10, highest=1)
        assert [request.broker_epoch for request in broker.asked(API)] == [2, 1]  # type: ignore[attr-defined]
        with pytest.raises(VersionMismatch):
            await link.ask(API, make, timeout=10, lowest=3)
        await link.close()


async def test_it_waits_for_a_controller_and_goes_with_it() -> None:
    elected = Elected()
    link = ControllerLink(1, elected)
    asking = asyncio.create_task(link.ask(API, make, timeout=10))
    await until(lambda: elected.looks >= 3)
    refusals = 0

    def hangs_up(header: RequestHeader, request: Request) -> Response:
        raise Hangup

    def resigned(header: RequestHeader, request: Request) -> Response:
        nonlocal refusals
        refusals += 1
        if refusals == 2:
            elected.elect(third)
        return says(ErrorCode.NOT_CONTROLLER)

    async with (
        FakeBroker(hangs_up, node_id=2) as first,
        FakeBroker(resigned, node_id=3) as second,
        FakeBroker(lambda header, request: says(), node_id=4) as third,
    ):
        elected.elect(first)
        await until(lambda: len(first.asked(API)) >= 2)
        elected.elect(second)
        assert await asking == says()
        assert (refusals, len(third.asked(API))) == (2, 1)
        await link.close()


async def test_one_that_hangs_is_not_waited_for_when_there_is_another() -> None:
    elected = Elected()
    link = ControllerLink(1, elected)
    held = asyncio.Event()

    async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    frozen = await asyncio.start_server(hangs, "127.0.0.1", 0)
    async with FakeBroker(lambda header, request: says(), node_id=3) as broker:
        elected.place = ControllerPlace(2, "127.0.0.1", frozen.sockets[0].getsockname()[1])
        asking = asyncio.create_task(link.ask(API, make, timeout=600))
        await until(lambda: elected.looks >= 3)
        assert not asking.done()
        elected.elect(broker)
        assert await asyncio.wait_for(asking, 60) == says()
        await link.close()
    held.set()
    frozen.close()


async def test_this_brokers_own_controller_is_asked_without_a_socket() -> None:
    elected, asked = Elected(), []

    async def local(request: Request) -> Response:
        asked.append(request)
        if len(asked) == 2:
            await asyncio.Event().wait()
        return says(ErrorCode.NOT_CONTROLLER if len(asked) == 1 else ErrorCode.NONE)

    link = ControllerLink(1, elected, local=local)
    elected.place = ControllerPlace(1)
    with pytest.raises(RequestTimedOut, match=r"this broker's controller took"):
        # The first one resigns, the second one hangs.
        await link.ask(API, make, timeout=0.1)
    assert await link.ask(API, make, timeout=10) == says()
    assert asked == [make(3)] * 3


async def test_silence_has_an_end() -> None:
    elected = Elected()
    link = ControllerLink(1, elected)
    with pytest.raises(RequestTimedOut, match="no controller is known"):
        await link.ask(API, make, timeout=0.01)
    async with FakeBroker(lambda header, request: None, node_id=2) as broker:
        elected.elect(broker)
        with pytest.raises(RequestTimedOut):
            await link.ask(API, make, timeout=0.1)
        await link.close()
