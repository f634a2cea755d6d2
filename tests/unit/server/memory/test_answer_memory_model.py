"""Whatever peers take and however they end: the budget of answers is the sum of what is held for them."""

from __future__ import annotations

import random

import pytest

from fastlog.server.memory.answer_memory import AnswerMemory

LIMIT = 1000


class Peer:
    """A connection and the answers that it has not taken. Its loss follows some time after the cut."""

    def __init__(self) -> None:
        self.is_cut = False
        self.answers: list[int] = []

    def close(self, reason: str, detail: object = None) -> None:
        """Its loss will be told later."""
        assert not self.is_cut, "cut twice"
        self.is_cut = True


class World:
    """Peers, makers of answers and their memory; time goes on by itself."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.memory = AnswerMemory(LIMIT, 5 * LIMIT, lambda: self.now)
        self.peers: list[Peer] = []
        self.made: dict[int, int] = {}
        self.answers_after_the_cut = 0

    def lose(self, peer: Peer) -> None:
        """As a connection does that is lost."""
        self.peers.remove(peer)
        for size in peer.answers:
            self.memory.remove(peer, size)
        self.memory.forget(peer)

    def take(self, peer: Peer) -> None:
        """A peer takes an answer, or a part of it."""
        size = peer.answers.pop(0)
        part = self.chance.randrange(1, size + 1)
        if part < size:
            peer.answers.insert(0, size - part)
        self.memory.remove(peer, part)

    def make(self) -> None:
        """An answer grows, or is whole."""
        maker = self.chance.randrange(5)
        if self.chance.random() < 0.5 and self.made.get(maker, 0) < 4 * LIMIT:
            self.made[maker] = self.made.get(maker, 0) + 100
            self.memory.grow(maker, 100)
        else:
            self.made.pop(maker, None)
            self.memory.made(maker)

    def go_on(self) -> None:
        """One event."""
        self.now += self.chance.random()
        peer = self.chance.choice(self.peers) if self.peers else None
        match self.chance.randrange(8):
            case 0 if len(self.peers) < 20:
                self.peers.append(Peer())
            case 1 | 2 | 3 if peer is not None:
                self.answers_after_the_cut += peer.is_cut
                peer.answers.append(self.chance.randrange(1, 600))
                self.memory.add(peer, peer.answers[-1])
            case 4 | 5 if peer is not None and peer.answers and not peer.is_cut:
                self.take(peer)
            case 6 if peer is not None and (peer.is_cut or self.chance.random() < 0.1):
                self.lose(peer)
            case _:
                self.make()
                self.memory.relieve()

    def confirm(self) -> None:
        """What the memory says is what is held."""
        held = [sum(peer.answers) for peer in self.peers if not peer.is_cut]
        assert self.memory.untaken == sum(held)
        assert self.memory.in_the_making == sum(self.made.values())
        # More than the limit is never held but for one of them.
        assert sum(held) - max(held, default=0) <= LIMIT


@pytest.mark.parametrize("seed", range(8))
def test_the_budget_is_the_sum_of_what_is_held(seed: int) -> None:
    world = World(seed)
    for _ in range(3000):
        world.go_on()
        world.confirm()
    assert world.answers_after_the_cut
    for peer in list(world.peers):
        world.lose(peer)
    for maker in list(world.made):
        world.memory.made(maker)
    assert (world.memory.untaken, world.memory.in_the_making, world.memory.waiting) == (0, 0, 0)
    # Nothing is kept of a connection that is gone.
    assert not world.memory._peers
    assert not world.memory._cut_off
