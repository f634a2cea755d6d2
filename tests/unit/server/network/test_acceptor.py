"""Connections are let in as fast as quotas allow: one waits, those behind it wait in the system's queue."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, cast

import pytest

from fastlog.server.network.connection import Connection
from fastlog.server.network.listener import BoundListener, bind
from fastlog.server.network.session import ListenerIdentity
from fastlog.server.quotas.connection_quotas import ConnectionLimits, ConnectionQuotas, plain_address
from fastlog.server.quotas.rates import QuotaWindows
from tests.unit.server.fakes import FakeTransport, Harness


class World:
    """A listener on a real socket, in front of connections that nobody reads."""

    def __init__(self, listener: BoundListener, limits: ConnectionLimits) -> None:
        self.harness = Harness()
        self.failures: list[BaseException] = []
        self.quotas = ConnectionQuotas(
            time.monotonic, QuotaWindows(2, 1000), limits, self.harness.metrics.connections_of
        )
        self.listener = listener
        self.harness.table.on_room = self.quotas.on_change = listener.go_on
        listener.accept(self.harness.host, self.quotas, self.failures.append)
        self.ending = ExitStack()

    def connect(self) -> socket.socket:
        """A connection, as far as the system is concerned."""
        return self.ending.enter_context(
            socket.create_connection(("127.0.0.1", self.listener.port), timeout=5)
        )

    async def let_in(self, seconds: float = 0.2) -> int:
        """How many are let in, after a while."""
        await asyncio.sleep(seconds)
        return len(self.harness.table)


@pytest.fixture
async def listener() -> AsyncIterator[BoundListener]:
    """One that is bound and does not accept yet."""
    bound = await bind("PLAINTEXT", "127.0.0.1", 0, 100)
    yield bound
    bound.close()


async def test_without_limits_all_come_in_at_once(listener: BoundListener) -> None:
    world = World(listener, ConnectionLimits())
    with world.ending:
        for _ in range(80):
            world.connect()
        assert await world.let_in() == 80
        assert world.quotas.throttled_ms == {}
    assert world.failures == []


async def test_the_next_one_waits_until_another_ends(listener: BoundListener) -> None:
    world = World(listener, ConnectionLimits(most=3))
    with world.ending:
        for _ in range(5):
            world.connect()
        assert await world.let_in() == 3
        for connection in list(world.harness.table._connections)[:2]:
            connection.close("test")
        # Closed ones make room for both that waited.
        assert await world.let_in() == 3
        world.quotas.set_limits(ConnectionLimits(most=5))
        world.connect()
        assert await world.let_in() == 4
    assert world.harness.refused == []


async def test_a_listener_has_a_limit_of_its_own(listener: BoundListener) -> None:
    world = World(listener, ConnectionLimits(most=100, most_of={"PLAINTEXT": 2, "OTHER": 1}))
    with world.ending:
        for _ in range(4):
            world.connect()
        assert await world.let_in() == 2


async def test_the_listener_of_brokers_is_spared_and_takes_the_place_of_a_silent_client(
    listener: BoundListener,
) -> None:
    world = World(listener, ConnectionLimits(most=2, most_of={"PLAINTEXT": 2}, protected="PLAINTEXT"))
    clients = [Connection(replace(world.harness.host, listener=ListenerIdentity("CLIENTS"))) for _ in "ab"]
    for number, client in enumerate(clients):
        client.connection_made(cast("Any", FakeTransport()))
        client.last_active = float(number)
    assert not world.quotas.has_room("CLIENTS")
    with world.ending:
        for _ in range(3):
            world.connect()
        # Its own limit holds.
        assert await world.let_in() == 2 + 2
    assert world.harness.metrics.connections_of == {"CLIENTS": 2, "PLAINTEXT": 2}
    assert world.harness.closed == ["room for brokers", "room for brokers"]
    assert clients[0]._aborted


async def test_nobody_is_closed_while_all_places_are_taken_at_once(listener: BoundListener) -> None:
    """What arrives is counted once, also in the moment in which it is open already."""
    limits = ConnectionLimits(most=30, protected="BROKERS")
    world = World(listener, limits)
    with world.ending:
        for _ in range(60):
            world.connect()
        assert await world.let_in() == 30
    assert world.harness.closed == []


async def test_who_comes_too_fast_waits_a_window_at_most(listener: BoundListener) -> None:
    world = World(listener, ConnectionLimits(rate=4))
    with world.ending:
        began = time.monotonic()
        for _ in range(8):
            world.connect()
        assert await world.let_in(0.1) == 4
        while len(world.harness.table) < 8:
            await asyncio.sleep(0.02)
            assert time.monotonic() - began < 10
        assert world.quotas.throttled_ms["PLAINTEXT"] > 0
        assert time.monotonic() - began > 0.5


async def test_an_address_that_comes_too_fast_is_closed_a_while_later(listener: BoundListener) -> None:
    world = World(listener, ConnectionLimits())
    world.quotas.put((("ip", None),), {"connection_creation_rate": 1000.0})
    world.quotas.put((("ip", "127.0.0.1"),), {"connection_creation_rate": 2.0})
    with world.ending:
        first = [world.connect() for _ in range(2)]
        late = world.connect()
        began = time.monotonic()
        assert await world.let_in() == 2
        late.setblocking(False)
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(late, 1), 5) == b""
        assert 0.1 < time.monotonic() - began < 3
        assert world.quotas.refused_addresses == 1
        assert world.harness.metrics.refused["connection_creation_rate"] == 1
        for client in first:
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(1)


async def test_at_the_end_nothing_is_left_open(listener: BoundListener) -> None:
    world = World(listener, ConnectionLimits(most=1))
    with world.ending:
        clients = [world.connect() for _ in range(3)]
        assert await world.let_in() == 1
        listener.close()
        for client in clients[1:]:
            client.settimeout(5)
            with pytest.raises((ConnectionError, AssertionError)):
                assert client.recv(1) != b""
        with pytest.raises(ConnectionError):
            world.connect()


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("local", "local"),
    ],
)
def test_addresses_have_one_form(written: str, plain: str) -> None:
    assert plain_address(written) == plain


def test_a_crowd_of_addresses_takes_no_memory_and_names_have_no_effect() -> None:
    quotas = ConnectionQuotas(lambda: 1.0, QuotaWindows(), ConnectionLimits(), {})
    quotas.put((("ip", "no.address.example"),), {"connection_creation_rate": 1.0})
    assert quotas.address_delay_ms("10.0.0.1") == 0
    assert quotas.known_addresses == 0
    quotas.put((("ip", None),), {"connection_creation_rate": 1.0})
    for number in range(30_000):
        assert quotas.address_delay_ms(f"2001:db8::{number:x}") == 0
    assert quotas.known_addresses == 10_000
    quotas.put((("ip", None),), {})
    assert quotas.known_addresses == 0
