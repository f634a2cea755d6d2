"""Answers in the making wait for each other, the first goes on; peers that take nothing are cut."""

from __future__ import annotations

import asyncio

import pytest

from fastlog.errors import KafkaError
from fastlog.server.memory.answer_memory import STALLED_SECONDS, AnswerMemory


class FakePeer:
    """A connection."""

    def __init__(self) -> None:
        self.is_cut = False

    def close(self, reason: str, detail: object = None) -> None:
        """Noted."""
        self.is_cut = True


class World:
    """A memory of 100 bytes, where one answer may have 300, and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.memory = AnswerMemory(100, 300, lambda: self.now)

    def peers(self, *sizes: int) -> list[FakePeer]:
        """Peers that have not taken so much."""
        peers = [FakePeer() for _ in sizes]
        for peer, size in zip(peers, sizes, strict=True):
            self.memory.add(peer, size)
        return peers


def test_the_first_goes_on_and_the_others_wait() -> None:
    memory = World().memory
    assert memory.grow("a", 60)
    assert memory.grow("b", 40)
    assert not memory.grow("b", 1)
    assert memory.grow("a", 200)
    with pytest.raises(KafkaError, match="more than 300 bytes"):
        memory.grow("a", 100)
    memory.made("a")
    assert (memory.has_room("b"), memory.in_the_making) == (True, 41)


def test_the_first_waits_only_for_peers_that_have_not_taken_theirs() -> None:
    world = World()
    (peer,) = world.peers(80)
    assert not world.memory.grow("a", 30)
    world.memory.remove(peer, 10)
    assert world.memory.grow("a", 0)
    assert not world.memory.grow("a", 100)
    world.memory.remove(peer, 70)
    assert world.memory.grow("a", 0)


def test_waits_end_with_room_or_with_the_answer() -> None:
    async def scenario() -> None:
        memory = World().memory
        for maker in "abc":
            memory.grow(maker, 60)
        waits = [asyncio.create_task(memory.room(maker)) for maker in "bc"]
        await asyncio.sleep(0)
        assert memory.waiting == 2
        memory.made("c")
        await waits[1]
        assert not waits[0].done()
        memory.made("a")
        await waits[0]
        assert (memory.waiting, memory.in_the_making) == (0, 60)

    asyncio.run(scenario())


def test_one_peer_may_have_any_number_of_bytes_while_nobody_waits() -> None:
    world = World()
    large, *others = world.peers(250, 40, 60)
    world.now = 100
    world.memory.relieve()
    world.memory.relieve()
    assert not any(peer.is_cut for peer in (large, *others))


def test_too_much_of_all_others_costs_who_has_stalled_then_who_has_most() -> None:
    world = World()
    large, one, other = world.peers(250, 40, 60)
    world.memory.add(one, 1)
    assert [peer.is_cut for peer in (large, one, other)] == [False, False, True]
    world.now = STALLED_SECONDS + 1
    late, later = world.peers(40, 40)
    assert [peer.is_cut for peer in (large, one, late, later)] == [True, False, False, False]
    assert world.memory.untaken == 121


def test_one_that_stalls_with_little_does_not_hold_up_a_large_answer() -> None:
    async def scenario() -> bool:
        world = World()
        (peer,) = world.peers(10)
        world.memory.grow("a", 95)
        wait = asyncio.create_task(world.memory.room("a"))
        await asyncio.sleep(0)
        world.memory.relieve()
        world.now = STALLED_SECONDS + 1
        world.memory.relieve()
        await wait
        return peer.is_cut and world.memory.has_room("a")

    assert asyncio.run(scenario())


def test_for_answers_that_wait_the_largest_that_has_stalled_goes_first() -> None:
    async def scenario() -> list[bool]:
        world = World()
        large, small, reads = world.peers(150, 30, 60)
        world.memory.grow("a", 1)
        wait = asyncio.create_task(world.memory.room("a"))
        await asyncio.sleep(0)
        world.memory.relieve()
        world.now = STALLED_SECONDS + 1
        world.memory.remove(reads, 30)
        world.memory.relieve()
        await wait
        return [peer.is_cut for peer in (large, small, reads)]

    assert asyncio.run(scenario()) == [True, True, False]
