"""Connection: answers meet their requests, and whoever waits is told when it is over."""

from __future__ import annotations

import asyncio
import re
import ssl
import struct
from pathlib import Path

import pytest

from fastlog.errors import ErrorCode
from fastlog.net.connection import Connection
from fastlog.net.errors import BadResponse, ConnectionFailed, RequestTimedOut
from fastlog.net.opening import open_connection
from fastlog.wire import ApiKey, Request, UnencodableMessage, decode_body
from fastlog.wire.headers import RequestHeader
from fastlog.wire.messages.groups import HeartbeatRequest, HeartbeatResponse
from tests.harness.certificates import make_certificate
from tests.harness.net import free_port
from tests.unit.net.fake_broker import Answer, FakeBroker, Hangup


def beat(number: int) -> HeartbeatRequest:
    return HeartbeatRequest(group_id="g", generation_id=number, member_id="m")


async def connect(broker: FakeBroker, **how: int) -> Connection:
    return await open_connection("127.0.0.1", broker.port, client_id="test", **how)


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
            text = rf"Heartbeat at {broker.address} \[\d\]: the connection ended before"
            assert re.match(text, str(result))
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


async def test_what_is_no_answer_ends_the_connection() -> None:
    async with FakeBroker(lambda header, request: struct.pack(">iiq", 12, 77_777, 0)) as broker:
        connection = await connect(broker)
        with pytest.raises(ConnectionFailed, match="nobody asked for"):
            await connection.call(beat(1), 4, timeout=20)
        assert not connection.is_open
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
        await open_connection("127.0.0.1", port)
    with pytest.raises(ConnectionFailed, match=r"no-such-host.invalid:1: .*cannot be resolved"):
        await open_connection("no-such-host.invalid", 1)


async def test_a_raw_answer_is_the_body_without_its_header() -> None:
    async with FakeBroker(lambda header, request: HeartbeatResponse(error_code=25)) as broker:
        connection = await connect(broker)
        for version in (3, 4):
            body = await connection.call_raw(beat(1), version, timeout=20)
            assert decode_body(HeartbeatResponse, version, body) == HeartbeatResponse(error_code=25)
        await connection.close()


async def test_a_raw_answer_without_a_whole_header_ends_the_connection() -> None:
    def script(header: RequestHeader, request: Request) -> Answer:
        return struct.pack(">iiI", 8, header.correlation_id, 0x0700FFFF)

    async with FakeBroker(script) as broker:
        connection = await connect(broker)
        with pytest.raises(BadResponse, match="the answer of version 4 cannot be read: 7 tagged fields"):
            await connection.call_raw(beat(1), 4, timeout=20)
        assert not connection.is_open
        await connection.close()


class Gate:
    """A script that holds the first answer back until it is opened."""

    def __init__(self) -> None:
        self.asked, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, header: RequestHeader, request: Request) -> Answer:
        self.asked.set()
        await self.open.wait()
        assert isinstance(request, HeartbeatRequest)
        return HeartbeatResponse(error_code=request.generation_id)


async def test_with_one_in_flight_the_others_follow_in_turn() -> None:
    gate = Gate()
    async with FakeBroker(gate) as broker:
        connection = await connect(broker, max_in_flight=1)
        calls = [asyncio.ensure_future(connection.call(beat(n), 4, timeout=20)) for n in range(4)]
        await gate.asked.wait()
        assert (connection.in_flight, len(broker.requests)) == (1, 1)
        # One that waits for room gives up: those behind it do not wait for it.
        calls[1].cancel()
        with pytest.raises(RequestTimedOut, match="could not be sent within 0"):
            await connection.call(beat(9), 4, timeout=0)
        gate.open.set()
        answers = await asyncio.gather(*calls[2:], calls[0])
        assert [answer.error_code for answer in answers] == [2, 3, 0]  # type: ignore[attr-defined]
        assert [r.generation_id for r in broker.asked(ApiKey.HEARTBEAT)] == [0, 2, 3]  # type: ignore[attr-defined]
        await connection.close()


async def test_room_granted_to_one_that_gave_up_goes_to_the_next() -> None:
    gate = Gate()
    async with FakeBroker(gate) as broker:
        connection = await connect(broker, max_in_flight=1)
        first = connection.start(beat(0), 4, timeout=20)
        second, third = (asyncio.ensure_future(connection.call(beat(n), 4, timeout=20)) for n in (1, 2))
        await gate.asked.wait()
        # Comes after the second was granted the room, and before it runs.
        first.add_done_callback(lambda _: second.cancel())
        gate.open.set()
        async with asyncio.timeout(20):
            assert (await third).error_code == 2  # type: ignore[attr-defined]
        assert second.cancelled()
        await connection.close()


async def test_room_granted_to_a_request_that_cannot_be_encoded_goes_to_the_next() -> None:
    gate = Gate()
    async with FakeBroker(gate) as broker:
        connection = await connect(broker, max_in_flight=1)
        first = connection.start(beat(0), 4, timeout=20)
        second = asyncio.ensure_future(connection.call(beat(1 << 40), 4, timeout=20))
        third = asyncio.ensure_future(connection.call(beat(2), 4, timeout=20))
        await gate.asked.wait()
        gate.open.set()
        async with asyncio.timeout(20):
            await first
            with pytest.raises(UnencodableMessage):
                await second
            assert (await asyncio.wait_for(third, 10)).error_code == 2  # type: ignore[attr-defined]
        await connection.close()


async def test_the_end_of_a_connection_reaches_those_that_wait_for_room() -> None:
    gate = Gate()
    async with FakeBroker(gate) as broker:
        connection = await connect(broker, max_in_flight=1)
        sent, unsent = (asyncio.ensure_future(connection.call(beat(n), 4, timeout=20)) for n in range(2))
        await gate.asked.wait()
        await connection.close()
        for call, was_sent in ((sent, True), (unsent, False)):
            with pytest.raises(ConnectionFailed, match="closed by this client") as caught:
                await call
            assert caught.value.sent is was_sent


async def test_an_encrypted_connection_carries_answers_of_any_size(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    accepts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepts.load_cert_chain(certificate, key)
    bodies = [bytes([n]) * size for n, size in enumerate((3, 5, 16_384, 300_000))]

    def script(header: RequestHeader, request: Request) -> Answer:
        assert isinstance(request, HeartbeatRequest)
        body = b"\0" + bodies[request.generation_id]  # a header without tags before it
        return struct.pack(">ii", 4 + len(body), header.correlation_id) + body

    async with FakeBroker(script, tls=accepts) as broker:
        trusts = ssl.create_default_context(cafile=certificate)
        connection = await open_connection("localhost", broker.port, tls=trusts)
        for number, body in enumerate(bodies):
            assert await connection.call_raw(beat(number), 4, timeout=20) == body
        await connection.close()
        with pytest.raises(ConnectionFailed, match="certificate is not accepted: IP address mismatch"):
            await open_connection("127.0.0.1", broker.port, tls=trusts)


async def test_a_peer_without_tls_is_told_as_that() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionFailed, match="cannot connect: no TLS with this peer"):
            await open_connection("127.0.0.1", port, tls=ssl.create_default_context())
