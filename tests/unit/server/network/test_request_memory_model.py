"""Whatever connections bring and however they end: the budget of requests is the sum of what they hold."""

from __future__ import annotations

import random

import pytest

from fastlog.server.network.flow_control import TINY_FRAME, FlowLimits, RequestMemory
from tests.unit.server.fakes import Harness, receive, request

KIB = 1024
MIB = 1024 * KIB
_RECEIVE_BUFFER = 64 * KIB
_SIZES = (100, 4 * KIB, 5 * KIB, 20 * KIB, 64 * KIB, 900 * KIB, 3 * MIB, 5 * MIB, 60 * MIB, 100 * MIB)


class Client:
    """One connection: what it has brought, as `Connection` counts it."""

    def __init__(self, memory: RequestMemory, peer: str) -> None:
        self.memory = memory
        self.peer = peer
        self.reading = True
        self.begun = 0
        """Bytes of the frame that has begun."""
        self.whole: list[int] = []
        """Frames that are not answered."""

    def hold_reading(self) -> None:
        """It reads no further."""
        self.reading = False

    def release_reading(self) -> None:
        """Only one that is held is let go."""
        assert not self.reading
        self.reading = True

    @property
    def let_in(self) -> int:
        """Bytes that it holds."""
        return sum(self.whole) + self.unfinished

    @property
    def unfinished(self) -> int:
        """Those of its frame that has begun and was let in."""
        return 0 if self.memory.is_waiting(self) else self.begun

    def receive(self, others: list[int], beginning: int, received: int, now: float) -> bool:
        """The rest of the frame that has begun, whole ones, the beginning of one; whether it goes on."""
        assert self.reading
        memory, tiny = self.memory, 0
        frames = [self.begun] * bool(self.begun) + others
        for index, size in enumerate(frames):
            if size <= TINY_FRAME:
                tiny += size
            elif self.begun and not index:
                memory.finish(size)
            else:
                memory.arrived(size)
        self.begun = 0
        self.whole += frames
        memory.arrived_tiny(tiny)
        if frames:
            memory.check(self, now, tiny=tiny == sum(frames))
        if beginning > TINY_FRAME:
            if not memory.begin(self, beginning, received, now):
                return False
            self.begun = beginning
        return True

    def answer(self, index: int) -> None:
        """A request is answered."""
        self.memory.done(self.whole.pop(index))

    def close(self) -> None:
        """The connection is lost."""
        begun, self.begun = self.begun, 0
        self.memory.forget(self, begun)
        while self.whole:
            self.answer(0)


def some_frames(chance: random.Random) -> list[int]:
    """Whole frames of one receive buffer."""
    frames: list[int] = []
    while chance.random() < 0.6:
        frames.append(chance.choice(_SIZES[:4]))
    return frames if sum(frames) <= _RECEIVE_BUFFER else frames[:1]


def confirm(memory: RequestMemory, clients: list[Client]) -> None:
    """What the budget says is what its clients hold."""
    assert memory.used == sum(client.let_in for client in clients)
    assert memory.unfinished == sum(client.unfinished for client in clients)
    assert memory.waiting == sum(not client.reading for client in clients)
    assert all(memory.others_wait(client) == (memory.waiting > (not client.reading)) for client in clients)


def something_happens(chance: random.Random, memory: RequestMemory, clients: list[Client], turn: int) -> bool:
    """One event. Whether a client has brought whole frames and the beginning of one that waits."""
    active = [client for client in clients if client.reading]
    match chance.randrange(8):
        case 0 | 1 if len(clients) < 60:
            clients.append(Client(memory, f"10.0.0.{chance.randrange(9)}"))
        case 2 | 3 | 4 if active:
            client = chance.choice(active)
            beginning = chance.choice(_SIZES) if chance.random() < 0.7 else 0
            received = chance.randrange(1, _RECEIVE_BUFFER)
            if not client.receive(some_frames(chance), beginning, received, turn):
                clients.remove(client)
                client.close()
            return memory.is_waiting(client) and bool(client.whole)
        case 5 if chance.random() < 0.3 and clients:
            clients.pop(chance.randrange(len(clients))).close()
        case _:
            busy = [client for client in clients if client.whole]
            if busy:
                client = chance.choice(busy)
                client.answer(chance.randrange(len(client.whole)))
    return False


def end_all(memory: RequestMemory, clients: list[Client]) -> None:
    """Everything that has begun comes, and is answered; sweeps look after those who wait."""
    while memory.waiting or any(client.begun or client.whole for client in clients):
        waiting = memory.waiting
        memory.admit()
        ready = [client for client in clients if client.whole or (client.reading and client.begun)]
        assert ready or memory.waiting < waiting, "somebody waits although nothing is in work"
        for client in ready:
            if client.reading and client.begun:
                client.receive([], 0, 0, 3000.0)
            while client.whole:
                client.answer(0)
            confirm(memory, clients)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [MIB, 16 * MIB, 128 * MIB])
def test_the_budget_is_the_sum_of_what_is_held_and_everybody_is_let_go(seed: int, limit: int) -> None:
    chance = random.Random(seed)
    memory = RequestMemory(limit)
    clients: list[Client] = []
    held_with_frames = 0
    for turn in range(1500):
        held_with_frames += something_happens(chance, memory, clients, turn)
        confirm(memory, clients)
    assert held_with_frames, "nobody has brought whole frames and the beginning of one that waits"
    end_all(memory, clients)
    assert (memory.used, memory.unfinished, memory.waiting) == (0, 0, 0)
    assert all(client.reading for client in clients)


def test_whole_frames_above_the_limit_and_the_beginning_of_a_large_one_wait_once() -> None:
    harness = Harness()
    memory = harness.memory
    large, _ = harness.connect()
    receive(large, request(1, 90 * MIB)[:100])
    while memory.used <= memory.limit:
        busy, _ = harness.connect()
        receive(busy, request(2, 60_000))
    connection, transport = harness.connect()
    receive(connection, request(3, 20_000) + request(4, 60 * MIB)[:5000])
    assert not transport.reading
    for exchange in [it for it in harness.started if it.correlation_id == 2][:20]:
        exchange.reply(b"")
    assert memory.used < memory.limit
    # There is room, but not for the frame that it has begun.
    assert memory.is_waiting(connection)
    assert not transport.reading
    large.connection_lost(None)
    assert transport.reading
    connection.connection_lost(None)
    for exchange in harness.started:
        exchange.reply(b"")
    assert (memory.used, memory.unfinished, memory.waiting) == (0, 0, 0)


def test_a_reader_that_is_held_goes_on_when_its_frame_is_let_in_at_once() -> None:
    memory = RequestMemory(MIB)
    client = Client(memory, "10.0.0.1")
    for _ in range(60):
        memory.arrived(20 * KIB)
    # Larger than the share of its class, in which there is nothing.
    assert client.receive([20 * KIB], 5 * MIB, 5000, 0.0)
    assert client.reading
    assert (memory.unfinished, memory.waiting) == (5 * MIB, 0)


def test_those_for_whom_there_is_room_are_let_go_although_nothing_is_in_memory_any_more() -> None:
    harness = Harness(FlowLimits(request_memory_bytes=MIB))
    memory = harness.memory
    clients = [Client(memory, "10.0.0.1") for _ in range(10)]
    memory.arrived(2 * MIB)
    for client in clients:
        memory.check(client, 0.0, tiny=False)
    memory.done(2 * MIB)
    # One for each 256 KiB.
    assert sum(client.reading for client in clients) == 4
    for second in range(2):
        harness.table.sweep(float(second))
    assert all(client.reading for client in clients)
