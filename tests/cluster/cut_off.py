"""A cluster whose members reach ZooKeeper over a proxy each, and what can be done there, by name.

Members that are cut off run on, with all their other connections: they find out, or not, that they have lost
their sessions, and what became of a write whose answer never came.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Final

from tests.cluster.cluster import SESSION_SECONDS, Cluster
from tests.cluster.operator import create_topic, rotations
from tests.harness.cutting_proxy import CuttingProxy

CutOffMove = Callable[["CutOffCluster", str, random.Random], None]
"""Does it to a cluster, and to who leads the first partition of a topic."""
_AWAY_SECONDS: Final = SESSION_SECONDS * 1.3
_LOST: Final = ("request", "answer")


class CutOffCluster(Cluster):
    """On one server, or a keeper."""

    def _open_ways(self) -> None:
        port = int(self._place.address.rpartition(":")[2])
        self.proxies = {number: self._stack.enter_context(CuttingProxy(port)) for number in self.members}
        for number, member in self.members.items():
            member.connect = self.connect.replace(self._place.address, self.proxies[number].address)

    def cut_off(self, *numbers: int) -> None:
        """These members do not reach ZooKeeper for longer than their sessions live."""
        for number in numbers:
            self.proxies[number].refuse(True)
        time.sleep(_AWAY_SECONDS)
        for number in numbers:
            self.proxies[number].refuse(False)

    def lose(self, chance: random.Random, times: int, share: float = 0.4) -> None:
        """Some of what is asked next, or answered, does not arrive, so many times."""
        for _ in range(times):
            for proxy in self.proxies.values():
                if chance.random() < share:
                    proxy.lose(chance.choice(_LOST))
            time.sleep(chance.uniform(0, 0.5))


def leader_cut_off(cluster: CutOffCluster, topic: str, _: random.Random) -> None:
    """Others lead; it believes that it leads until it hears of that."""
    cluster.cut_off(cluster.leader(topic))


def controller_cut_off(cluster: CutOffCluster, _: str, __: random.Random) -> None:
    """Another is elected; it believes that it controls."""
    cluster.cut_off(cluster.controller())


def all_cut_off(cluster: CutOffCluster, _: str, __: random.Random) -> None:
    """All sessions end, and nobody stops."""
    cluster.cut_off(*cluster.members)


def answers_lost(cluster: CutOffCluster, _: str, chance: random.Random) -> None:
    """Nobody knows what became of what they have written while a topic is made."""
    cluster.lose(chance, 4)
    create_topic(cluster, f"lost-{chance.randrange(10**9)}", rotations([*cluster.members]))
    cluster.lose(chance, 4)


def answers_lost_at_a_stop(cluster: CutOffCluster, _: str, chance: random.Random) -> None:
    """The same while the controller gives its partitions away, and its seat."""
    number = cluster.controller()
    cluster.members[number].terminate()
    cluster.lose(chance, 5)
    cluster.members[number].wait_end()
    cluster.start(number)


def answers_lost_at_a_failover(cluster: CutOffCluster, _: str, chance: random.Random) -> None:
    """The same while another controller takes over."""
    number = cluster.controller()
    cluster.kill(number)
    cluster.lose(chance, SESSION_SECONDS * 4, share=0.2)
    cluster.start(number)


CUTS: Final[Mapping[str, CutOffMove]] = {
    "leader cut off": leader_cut_off,
    "controller cut off": controller_cut_off,
    "all cut off": all_cut_off,
    "answers lost": answers_lost,
    "answers lost at a stop": answers_lost_at_a_stop,
    "answers lost at a failover": answers_lost_at_a_failover,
}
