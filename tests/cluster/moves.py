"""What happens to a cluster under load, by name; each leaves all brokers and servers running again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from tests.cluster.cluster import SESSION_SECONDS, Cluster

Move = Callable[[Cluster, str], None]
"""Does it to a cluster, and to who leads the first partition of a topic."""


def delete_controller(cluster: Cluster, _: str) -> None:
    """The znode of the controller is deleted; the brokers elect."""
    cluster.move_controller("delete")


def kill_controller(cluster: Cluster, _: str) -> None:
    """kill -9: another takes over when its session has run out."""
    cluster.start(cluster.move_controller("kill"))


def stop_controller(cluster: Cluster, _: str) -> None:
    """Controlled shutdown, which the controller itself has to carry out."""
    cluster.start(cluster.move_controller("stop"))


def kill_leader(cluster: Cluster, topic: str) -> None:
    """kill -9; the others elect a leader."""
    number = cluster.leader(topic)
    cluster.kill(number)
    cluster.wait_led_by_others(topic, number)
    cluster.start(number)


def stop_leader(cluster: Cluster, topic: str) -> None:
    """Controlled shutdown: it gives its partitions away before it ends."""
    number = cluster.leader(topic)
    cluster.stop(number)
    cluster.wait_led_by_others(topic, number)
    cluster.start(number)


def freeze_leader(cluster: Cluster, topic: str) -> None:
    """SIGSTOP past its session, then it wakes up and believes that it leads."""
    cluster.freeze_past_session(cluster.leader(topic))


def freeze_controller(cluster: Cluster, _: str) -> None:
    """The same with who believes that it is the controller."""
    cluster.freeze_past_session(cluster.controller())


def kill_leader_and_controller(cluster: Cluster, topic: str) -> None:
    """kill -9 of both at once, or of two others where they are one: too few are left in sync to write."""
    two = {cluster.leader(topic), cluster.controller()}
    two |= set(sorted(cluster.members.keys() - two)[: 2 - len(two)])
    cluster.kill(*two)
    cluster.start(*two)


def kill_all(cluster: Cluster, _: str) -> None:
    """kill -9 of all; the data is in the page cache."""
    cluster.kill(*cluster.members)
    cluster.start(*cluster.members)


def stop_all(cluster: Cluster, _: str) -> None:
    """SIGTERM to all at once: the last ones have nobody to give their partitions to, nor to wait for."""
    cluster.stop(*cluster.members)
    cluster.start(*cluster.members)


def kill_server(cluster: Cluster, _: str) -> None:
    """kill -9 of the leading ZooKeeper server: sessions go on with another."""
    assert cluster.ensemble is not None
    cluster.ensemble.leader().kill()
    time.sleep(SESSION_SECONDS / 2)
    cluster.ensemble.restore()


def lose_quorum(cluster: Cluster, _: str) -> None:
    """Two of three ZooKeeper servers are gone for longer than a session."""
    assert cluster.ensemble is not None
    for server in cluster.ensemble.members[:2]:
        server.kill()
    time.sleep(SESSION_SECONDS * 1.5)
    cluster.ensemble.restore()


OF_BROKERS: Final[Mapping[str, Move]] = {
    "controller deleted": delete_controller,
    "controller killed": kill_controller,
    "controller stopped": stop_controller,
    "controller frozen": freeze_controller,
    "leader killed": kill_leader,
    "leader stopped": stop_leader,
    "leader frozen": freeze_leader,
    "leader and controller killed": kill_leader_and_controller,
    "all killed": kill_all,
    "all stopped": stop_all,
}
OF_SERVERS: Final[Mapping[str, Move]] = {"server killed": kill_server, "quorum lost": lose_quorum}
SHORT: Final = ("controller killed", "leader frozen", "all killed")
"""Those of brokers that every run of the tests does."""
