"""A connection that is held up: its answer goes out, and nothing else is read or begun meanwhile."""

from __future__ import annotations

import asyncio
import struct
import time

from fastlog.server.network.flow_control import FlowLimits
from tests.unit.server.fakes import FakeTransport, Harness, receive, request

MIB = 1024 * 1024


async def until_read(transport: FakeTransport) -> float:
    """Waits until it is read again; the seconds that that took."""
    began = time.monotonic()
    async with asyncio.timeout(20):
        while not transport.reading:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.005)
    return time.monotonic() - began


async def test_the_answer_goes_out_and_nothing_more_is_read_or_begun() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(connection, request(1) + request(2) + request(3))
    (first,) = harness.started
    first.throttle(300)
    assert not transport.reading
    first.reply(b"answer")
    assert bytes(transport.written) == b"answer"
    assert harness.started == [first]
    assert harness.metrics.connections_muted == 1
    assert await until_read(transport) > 0.25
    assert (transport.reading, len(harness.started)) == (True, 2)
    assert harness.metrics.connections_muted == 0


async def test_no_time_is_no_wait() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(connection, request(1))
    harness.started[0].throttle(0)
    harness.started[0].reply(b"x")
    assert transport.reading
    assert connection.muted_since is None


async def test_the_later_end_counts() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    connection.throttle(0.4)
    connection.throttle(0.01)
    assert await until_read(transport) > 0.35
    connection.throttle(0.01)
    connection.throttle(0.4)
    assert await until_read(transport) > 0.35
    assert connection.muted_since is None


async def test_requests_of_the_same_api_are_not_begun_either() -> None:
    harness = Harness()
    connection, _ = harness.connect()
    receive(connection, request(1) + request(2))
    harness.started[0].let_same()
    assert len(harness.started) == 2
    harness.started[0].throttle(10_000)
    harness.started[1].let_same()
    receive(connection, request(3))
    assert len(harness.started) == 2


async def test_a_closing_connection_answers_what_has_come() -> None:
    harness = Harness()
    connection, transport = harness.connect()
    receive(connection, request(1) + request(2))
    harness.started[0].throttle(60_000)
    harness.started[0].reply(b"1")
    connection.finish()
    assert len(harness.started) == 2
    harness.started[1].throttle(60_000)
    harness.started[1].reply(b"2")
    assert bytes(transport.written) == b"12"
    assert transport.closing
    assert harness.metrics.connections_muted == 0


async def test_a_lost_connection_begins_nothing() -> None:
    harness = Harness()
    connection, _ = harness.connect()
    receive(connection, request(1) + request(2))
    harness.started[0].throttle(20)
    harness.started[0].reply(b"1")
    connection.connection_lost(None)
    await asyncio.sleep(0.05)
    assert len(harness.started) == 1
    assert harness.metrics.connections_muted == 0
    assert harness.memory.used == 0


async def test_one_that_is_held_up_is_not_closed_for_what_it_cannot_do() -> None:
    harness = Harness(FlowLimits(idle_seconds=10, frame_seconds=10))
    connection, transport = harness.connect()
    receive(connection, request(1) + struct.pack(">i", 2 * MIB) + bytes(100))
    harness.started[0].throttle(100)
    harness.started[0].reply(b"1")
    harness.loop.now += 600
    harness.table.sweep(harness.loop.now)
    assert harness.closed == []
    await until_read(transport)
    harness.table.sweep(harness.loop.now)
    # The rest of the frame has its time from now on.
    assert harness.closed == []
    harness.loop.now += 600
    harness.table.sweep(harness.loop.now)
    assert harness.closed == ["unfinished frame"]


async def test_one_that_is_held_up_makes_room_when_others_wait_for_memory() -> None:
    harness = Harness(FlowLimits(request_memory_bytes=4 * MIB))
    connection, _ = harness.connect()
    receive(connection, request(1) + struct.pack(">i", 3 * MIB) + bytes(100))
    harness.started[0].throttle(60_000)
    harness.started[0].reply(b"1")
    other, _ = harness.connect("10.0.0.2")
    receive(other, struct.pack(">i", 3 * MIB) + bytes(100))
    harness.loop.now += 5
    harness.table.sweep(harness.loop.now)
    assert harness.closed == ["slow frame"]
