"""Memory budgets of requests and responses."""

from __future__ import annotations

from fastlog.server.flow_control import RequestMemory
from fastlog.server.response_memory import SMALLEST, ResponseMemory

KIB = 1024
MIB = 1024 * KIB


class Reader:
    """Notes whether it may read."""

    def __init__(self) -> None:
        self.reading = True

    def hold_reading(self) -> None:
        self.reading = False

    def release_reading(self) -> None:
        self.reading = True


def test_a_reader_above_the_budget_stops_until_there_is_room() -> None:
    memory = RequestMemory(MIB)
    first, second = Reader(), Reader()
    memory.received(first, 900 * KIB, 0)
    memory.received(second, 200 * KIB, 0)
    assert (first.reading, second.reading) == (True, False)
    memory.done(900 * KIB)
    assert second.reading
    assert memory.used == 200 * KIB


def test_not_everybody_is_let_in_at_once() -> None:
    memory = RequestMemory(MIB)
    readers = [Reader() for _ in range(10)]
    for reader in readers:
        memory.received(reader, MIB + 1 if reader is readers[0] else 1, 0)
    memory.done(MIB - 300 * KIB)
    # Three for 724 KiB of room, and the one that may always go on.
    assert sum(reader.reading for reader in readers) == 4


def test_partial_frames_alone_do_not_lock_everybody_out() -> None:
    memory = RequestMemory(MIB)
    readers = [Reader() for _ in range(4)]
    for reader in readers:
        memory.received(reader, 0, 400 * KIB)
    # One at a time is allowed above the budget: the third, which was the first to cross it.
    assert [reader.reading for reader in readers] == [True, True, True, False]
    for reader in readers[:3]:
        memory.received(reader, 0, 1)
    assert [reader.reading for reader in readers] == [False, False, True, False]


def test_the_lone_reader_is_followed_by_the_one_that_waits_longest() -> None:
    memory = RequestMemory(MIB)
    readers = [Reader() for _ in range(3)]
    for reader in readers:
        memory.received(reader, 0, 600 * KIB)
    memory.received(readers[0], 0, 1)
    assert [reader.reading for reader in readers] == [False, True, False]
    memory.received(readers[1], 600 * KIB, -600 * KIB)
    # Its frame is whole and in work, more than half of the budget: nobody goes on before it is done.
    assert [reader.reading for reader in readers] == [False, False, False]
    memory.done(600 * KIB)
    assert [reader.reading for reader in readers] == [False, False, True]


def test_a_lost_connection_gives_its_bytes_back() -> None:
    memory = RequestMemory(MIB)
    first, second = Reader(), Reader()
    memory.received(first, 0, 900 * KIB)
    memory.received(second, 0, 900 * KIB)
    memory.forget(second, 900 * KIB)
    memory.forget(first, 900 * KIB)
    assert (memory.used, memory.waiting) == (0, 0)


def test_a_frame_larger_than_the_budget_gets_through() -> None:
    memory = RequestMemory(KIB)
    reader = Reader()
    for _ in range(10):
        memory.received(reader, 0, KIB)
        assert reader.reading
    memory.received(reader, 10 * KIB, -10 * KIB)
    assert not reader.reading
    memory.done(10 * KIB)
    assert reader.reading


def test_responses_get_what_is_there_and_at_least_the_smallest_share() -> None:
    memory = ResponseMemory(10 * MIB)
    granted: list[int] = []
    memory.take(6 * MIB, granted.append)
    memory.take(6 * MIB, granted.append)
    assert granted == [6 * MIB, 4 * MIB]
    memory.take(50, granted.append)
    assert (len(granted), memory.waiting) == (2, 1)
    memory.give_back(6 * MIB)
    assert granted == [6 * MIB, 4 * MIB, 50]
    memory.give_back(4 * MIB + 50)
    assert memory.used == 0


def test_waiting_fetches_are_served_in_order() -> None:
    memory = ResponseMemory(2 * SMALLEST)
    order: list[str] = []
    memory.take(2 * SMALLEST, lambda _: order.append("first"))
    memory.take(2 * SMALLEST, lambda _: order.append("second"))
    memory.take(1, lambda _: order.append("third"))
    assert order == ["first"]
    memory.give_back(SMALLEST)
    assert order == ["first", "second"]
    memory.give_back(SMALLEST)
    assert order == ["first", "second", "third"]


def test_an_idle_budget_is_enough_for_anybody() -> None:
    memory = ResponseMemory(10)
    granted: list[int] = []
    memory.take(100, granted.append)
    assert granted == [100]
