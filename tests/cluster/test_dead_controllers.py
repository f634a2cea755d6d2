"""Whoever dies is missed at once, also with the controller, or after connections were closed for idleness.

No session runs out while a test waits: what happens is because a port refused.
"""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.cluster.cluster import PATIENCE_SECONDS, Cluster
from tests.cluster.operator import create_topic, rotations
from tests.cluster.tree_state import TreeState
from tests.harness.waiting import wait_until

_SETTINGS = {"zookeeper.session.timeout.ms": str(2 * 1000 * PATIENCE_SECONDS)}
_TOPIC = "led"


def test_others_lead_at_once_when_connections_were_idle(tmp_path: Path) -> None:
    settings = {**_SETTINGS, "connections.max.idle.ms": "1000"}
    with Cluster(tmp_path, ["fastlog"] * 3, place="keeper", settings=settings) as cluster:
        create_topic(cluster, _TOPIC, rotations([*cluster.members]))
        controller = cluster.controller()
        member = next(number for number in cluster.members if number != controller)
        before = _connections(cluster, controller, member)
        # What the controller has nothing to say on is closed; what followers fetch by is not.
        wait_until(
            lambda: before - _connections(cluster, controller, member),
            lambda: "no connection is closed for idleness",
            seconds=PATIENCE_SECONDS,
        )
        cluster.kill(member)
        _wait_led_without(cluster, member)
        cluster.kill(controller)
        _wait_led_without(cluster, member, controller)


def test_others_lead_at_once_when_one_dies_with_the_controller(tmp_path: Path) -> None:
    with Cluster(tmp_path, ["fastlog"] * 3, place="keeper", settings=_SETTINGS) as cluster:
        create_topic(cluster, _TOPIC, rotations([*cluster.members]))
        controller = cluster.controller()
        member, left = (number for number in cluster.members if number != controller)
        # One is what it fetches by; by the other one it watches. Whom it has not met yet it does not miss.
        wait_until(
            lambda: len(_connections(cluster, left, controller)) > 1,
            lambda: f"broker {left} does not watch its controller",
            seconds=PATIENCE_SECONDS,
        )
        cluster.kill(controller, member)
        _wait_led_without(cluster, controller, member)


def _connections(cluster: Cluster, of: int, to: int) -> set[int]:
    """The local ports of what one member has open to another one."""
    found = psutil.Process(cluster.members[of].pid).net_connections(kind="tcp")
    port = cluster.members[to].port
    return {row.laddr.port for row in found if row.raddr and row.raddr.port == port}


def _wait_led_without(cluster: Cluster, *dead: int) -> None:
    """Returns when others control and lead, and the dead are in sync nowhere; they are registered still."""

    def led(state: TreeState) -> bool:
        parts = state.of(_TOPIC).values()
        return state.controller not in (None, *dead) and not any(
            {*dead} & {part.leader, *part.isr} for part in parts
        )

    cluster.wait_for(led, f"brokers {dead} are not missed")
    assert cluster.look().brokers.keys() >= {*dead}
