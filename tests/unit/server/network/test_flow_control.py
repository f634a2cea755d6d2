"""Memory budgets of requests and responses."""

from __future__ import annotations

import random

from fastlog.server.memory.response_memory import SMALLEST, ResponseMemory
from fastlog.server.network.flow_control import RequestMemory

KIB = 1024
MIB = 1024 * KIB
LIMIT = 128 * MIB


class Reader:
    """Notes whether it may read."""

    def __init__(self, peer: str = "10.0.0.1") -> None:
        self.peer = peer
        self.reading = True

    def hold_reading(self) -> None:
        self.reading = False

    def release_reading(self) -> None:
        self.reading = True


def begin(memory: RequestMemory, size: int, peer: str = "10.0.0.1", now: float = 0.0) -> Reader:
    """A reader with an unfinished frame."""
    reader = Reader(peer)
    assert memory.begin(reader, size, 100, now)
    return reader


def test_a_frame_that_does_not_fit_waits_until_another_is_done() -> None:
    memory = RequestMemory(LIMIT)
    first, second = begin(memory, 100 * MIB), begin(memory, 60 * MIB)
    assert (first.reading, second.reading, memory.waiting) == (True, False, 1)
    memory.finish(100 * MIB)
    assert not second.reading
    memory.done(100 * MIB)
    assert second.reading
    assert (memory.used, memory.unfinished, memory.waiting) == (60 * MIB, 60 * MIB, 0)


def test_large_frames_leave_the_shares_of_smaller_ones() -> None:
    memory = RequestMemory(LIMIT)
    large = [begin(memory, 100 * MIB) for _ in range(10)]
    medium = [begin(memory, 4 * MIB) for _ in range(100)]
    small = [begin(memory, 64 * KIB) for _ in range(5000)]
    assert [sum(reader.reading for reader in readers) for readers in (large, medium, small)] == [1, 4, 64]
    # All that is left is for whole requests of simple clients, and they never wait.
    simple = Reader()
    for _ in range(1024):
        memory.arrived_tiny(4 * KIB)
        memory.check(simple, 0.0, tiny=True)
    assert simple.reading
    assert memory.used <= LIMIT


def test_small_frames_use_what_larger_ones_leave_until_one_of_those_waits() -> None:
    memory = RequestMemory(LIMIT)
    small = [begin(memory, 64 * KIB) for _ in range(3000)]
    assert sum(reader.reading for reader in small) == 1984
    large = begin(memory, 90 * MIB)
    assert not large.reading
    for reader in [reader for reader in small if reader.reading][:1500]:
        memory.forget(reader, 64 * KIB)
    # Others that wait do not take its room away again.
    assert large.reading


def test_not_everything_may_be_received_before_it_waits() -> None:
    memory = RequestMemory(LIMIT)
    begin(memory, 100 * MIB)
    readers = [Reader() for _ in range(300)]
    taken = [memory.begin(reader, 100 * MIB, 64 * KIB, 0.0) for reader in readers]
    assert (taken.count(True), memory.waiting) == (256, 256)
    memory.forget(readers[0], 100 * MIB)
    assert memory.begin(readers[299], 100 * MIB, 64 * KIB, 0.0)


def test_peers_take_turns() -> None:
    memory = RequestMemory(LIMIT)
    begin(memory, 100 * MIB)
    greedy = [begin(memory, 100 * MIB) for _ in range(5)]
    modest = begin(memory, 100 * MIB, "10.0.0.2")
    memory.done(100 * MIB)
    assert [reader.reading for reader in (*greedy, modest)] == [True] + 5 * [False]
    memory.done(100 * MIB)
    assert modest.reading


def test_readers_above_the_budget_stop_until_there_is_room() -> None:
    memory = RequestMemory(MIB)
    first, second = Reader(), Reader()
    for reader in (first, second):
        for _ in range(9):
            memory.arrived(60 * KIB)
        memory.check(reader, 0.0, tiny=False)
    assert (first.reading, second.reading) == (True, False)
    memory.done(60 * KIB)
    assert second.reading


def test_not_everybody_is_let_in_at_once() -> None:
    memory = RequestMemory(2 * MIB)
    readers = [Reader() for _ in range(10)]
    memory.arrived(700 * KIB)
    for _ in range(22):
        memory.arrived(64 * KIB)
    for reader in readers:
        memory.check(reader, 0.0, tiny=False)
    assert memory.waiting == 10
    memory.done(700 * KIB)
    # One for each 256 KiB.
    assert sum(reader.reading for reader in readers) == 3


def test_a_frame_larger_than_the_budget_gets_through_alone() -> None:
    memory = RequestMemory(KIB)
    first, second = begin(memory, 10 * KIB), begin(memory, 10 * KIB)
    assert (first.reading, second.reading) == (True, False)
    memory.finish(10 * KIB)
    memory.done(10 * KIB)
    assert second.reading


def test_a_lost_connection_gives_its_bytes_back() -> None:
    memory = RequestMemory(MIB)
    first, second = begin(memory, 900 * KIB), begin(memory, 900 * KIB)
    memory.forget(second, 900 * KIB)
    memory.forget(first, 900 * KIB)
    assert (memory.used, memory.unfinished, memory.waiting) == (0, 0, 0)


def test_the_longest_wait_is_that_of_whoever_waits() -> None:
    memory = RequestMemory(LIMIT)
    assert memory.longest_wait(100.0) == 0.0
    begin(memory, 100 * MIB, now=1.0)
    waiting = begin(memory, 100 * MIB, now=2.0)
    begin(memory, 100 * MIB, now=3.0)
    assert memory.longest_wait(100.0) == 98.0
    memory.forget(waiting, 100 * MIB)
    assert memory.longest_wait(100.0) == 97.0


def test_whatever_happens_the_limit_holds_and_nobody_is_forgotten() -> None:
    chance = random.Random(1)
    memory = RequestMemory(LIMIT)
    unfinished: list[tuple[Reader, int]] = []
    whole: list[int] = []
    for turn in range(20_000):
        size = chance.choice((5 * KIB, 64 * KIB, 900 * KIB, 5 * MIB, 100 * MIB))
        match chance.randrange(5):
            case 0 | 1 if len(unfinished) < 500:
                unfinished.append((begin(memory, size, f"10.0.0.{chance.randrange(9)}", turn), size))
            case 2 if unfinished:
                reader, size = unfinished.pop(chance.randrange(len(unfinished)))
                if reader.reading:
                    memory.finish(size)
                    whole.append(size)
                else:
                    memory.forget(reader, size)
            case 3 if unfinished:
                memory.forget(*unfinished.pop(chance.randrange(len(unfinished))))
            case _ if whole:
                memory.done(whole.pop(chance.randrange(len(whole))))
        let_in = sum(whole) + sum(size for reader, size in unfinished if reader.reading)
        assert memory.used == let_in <= LIMIT
        assert memory.waiting == sum(not reader.reading for reader, _ in unfinished)
    while unfinished or whole:
        for size in whole:
            memory.done(size)
        whole.clear()
        ready = [entry for entry in unfinished if entry[0].reading]
        assert ready or not unfinished, "somebody waits although nothing is in memory"
        for entry in ready:
            unfinished.remove(entry)
            memory.finish(entry[1])
            whole.append(entry[1])
    assert (memory.used, memory.unfinished, memory.waiting) == (0, 0, 0)


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
