"""Connection: answers meet their requests, and whoever waits is told when it is over."""

from __future__ import annotations

import asyncio
import struct

import pytest

from fastlog.client.connection import Connection
from fastlog.client.errors import BadResponse, ConnectionFailed, RequestTimedOut
from fastlog.client.versions import negotiate
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey, Request
from fastlog.wire.headers import RequestHeader
from fastlog.wire.messages.groups import HeartbeatRequest, HeartbeatResponse
from tests.harness.net import free_port
from tests.unit.client.fake_broker import Answer, FakeBroker, Hangup


def beat(number: int) -> HeartbeatRequest:
    return HeartbeatRequest(group_id="g", generation_id=number, member_id="m")


async def connect(broker: FakeBroker, **how: int) -> Connection:
    return await Connection.open("127.0.0.1", broker.port, client_id="test", **how)


async def test_pipelined_requests_get_their_own_answers_in_whatever_order_they_come() -> None:
    all_sent = asyncio.Event()

    async def script(header: RequestHeader, request: Request) -> Answer:
        assert isinstance(request, HeartbeatRequest)
        number = request.generation_id
        if len(broker.requests) == 10:
            all_sent.set()
        await all_sent.wait()
        for _ in range(10 - number):
            await asyncio.sleep(0)
        return HeartbeatResponse(error_code=number)

    async with FakeBroker(script, concurrent=True) as broker:
        connection = await connect(broker)
        answers = await asyncio.gather(*(connection.call(beat(n), 4, timeout=20) for n in range(10)))
        assert [answer.error_code for answer in answers] == list(range(10))  # type: ignore[attr-defined]
        assert [r.generation_id for r in broker.asked(ApiKey.HEARTBEAT)] == list(range(10))  # type: ignore[attr-defined]
        assert broker.requests[0][0].client_id == "test"
        assert connection.in_flight == 0
        await connection.close()


async def test_a_dying_connection_fails_every_waiting_request_with_api_broker_and_cause() -> None:
    def script(header: RequestHeader, request: Request) -> Answer:
        if len(broker.requests) == 3:
            raise Hangup
        return None

    async with FakeBroker(script) as broker:
        connection = await connect(broker)
        results = await asyncio.gather(
            *(connection.call(beat(n), 4, timeout=20) for n in range(3)), return_exceptions=True
        )
        for result in results:
            assert isinstance(result, ConnectionFailed)
            assert result.sent
            assert result.retriable
            assert str(result).startswith(f"Heartbeat at {broker.address}: the connection ended before")
        assert not connection.is_open
        with pytest.raises(ConnectionFailed, match="the connection is closed") as caught:
            await connection.call(beat(9), 4, timeout=20)
        assert not caught.value.sent
        await connection.close()


async def test_a_late_answer_closes_the_connection_and_fails_what_stands_behind_it() -> None:
    async with FakeBroker() as broker:
        connection = await connect(broker)
        behind = asyncio.ensure_future(connection.call(beat(2), 4, timeout=20))
        await asyncio.sleep(0)
        with pytest.raises(RequestTimedOut, match=r"Heartbeat at .*: no answer within 0\.1 s") as caught:
            await connection.call(beat(1), 4, timeout=0.1)
        assert caught.value.code is ErrorCode.REQUEST_TIMED_OUT
        with pytest.raises(ConnectionFailed, match="closed because Heartbeat got no answer"):
            await behind
        assert not connection.is_open
        await connection.close()


async def test_a_cancelled_request_leaves_the_connection_usable() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def script(header: RequestHeader, request: Request) -> Answer:
        assert isinstance(request, HeartbeatRequest)
        asked.set()
        await go_on.wait()
        return HeartbeatResponse(error_code=request.generation_id)

    async with FakeBroker(script) as broker:
        connection = await connect(broker)
        first = asyncio.ensure_future(connection.call(beat(1), 4, timeout=20))
        await asked.wait()
        first.cancel()
        second = asyncio.ensure_future(connection.call(beat(2), 4, timeout=20))
        go_on.set()
        assert (await second).error_code == 2  # type: ignore[attr-defined]
        assert first.cancelled()
        await connection.close()


@pytest.mark.parametrize(
    ("bytes_sent", "words"),
    [
        (struct.pack(">i", 2**31 - 1), "a frame that cannot be"),
        (struct.pack(">i", -5), "a frame that cannot be"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a frame that cannot be"),
        (struct.pack(">iiq", 12, 77_777, 0), "nobody asked for"),
    ],
    ids=["giant", "negative", "http", "unknown-correlation-id"],
)
async def test_what_is_no_answer_ends_the_connection(bytes_sent: bytes, words: str) -> None:
    async with FakeBroker(lambda header, request: bytes_sent) as broker:
        connection = await connect(broker, max_frame_bytes=1 << 20)
        with pytest.raises(ConnectionFailed, match=words):
            await connection.call(beat(1), 4, timeout=20)
        await connection.close()


async def test_an_answer_that_cannot_be_read_is_told_apart_and_ends_the_connection() -> None:
    def script(header: RequestHeader, request: Request) -> Answer:
        return struct.pack(">ii", 10, header.correlation_id) + b"\xff" * 6

    async with FakeBroker(script) as broker:
        connection = await connect(broker)
        with pytest.raises(BadResponse, match="the answer of version 4 cannot be read"):
            await connection.call(beat(1), 4, timeout=20)
        assert not connection.is_open
        await connection.close()


async def test_closing_fails_what_waits_and_may_be_repeated() -> None:
    async with FakeBroker() as broker:
        connection = await connect(broker)
        waiting = asyncio.ensure_future(connection.call(beat(1), 4, timeout=20))
        await asyncio.sleep(0)
        await connection.close()
        await connection.close()
        with pytest.raises(ConnectionFailed, match="closed by this client"):
            await waiting


async def test_refused_and_unknown_addresses_say_so() -> None:
    port = free_port()
    with pytest.raises(ConnectionFailed, match=rf"127.0.0.1:{port}: cannot connect: connection refused"):
        await Connection.open("127.0.0.1", port)
    with pytest.raises(ConnectionFailed, match=r"no-such-host.invalid:1: .*cannot be resolved"):
        await Connection.open("no-such-host.invalid", 1)


RANGES = {int(ApiKey.METADATA): (4, 9), int(ApiKey.PRODUCE): (3, 11)}


@pytest.mark.parametrize(("highest", "asked"), [(4, 4), (3, 3), (2, 2), (0, 0)])
async def test_negotiation_comes_down_to_what_the_broker_speaks(highest: int, asked: int) -> None:
    async with FakeBroker(versions={**RANGES, ApiKey.API_VERSIONS: (0, highest)}) as broker:
        connection = await connect(broker)
        versions = await negotiate(connection, "1.2.3", 20)
        assert versions.ranges[ApiKey.METADATA] == (4, 9)
        assert versions.pick(ApiKey.METADATA) == 9
        header, _ = broker.requests[0]
        assert header.api_version == asked
        assert len(broker.requests) == 1
        await connection.close()


async def test_a_broker_that_hangs_up_on_the_first_request_gets_a_hint() -> None:
    async with FakeBroker() as broker:

        async def hang_up(*_: object) -> Answer:
            raise Hangup

        broker._answer = hang_up  # type: ignore[method-assign]
        connection = await connect(broker)
        with pytest.raises(ConnectionFailed, match=r"ApiVersions at .* without TLS and SASL"):
            await negotiate(connection, "1", 20)
        await connection.close()
