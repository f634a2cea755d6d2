"""Who is the controller, as a test chooses, and what commands leave in the tree under each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fastlog.coordination.zookeeper.client import ZkClient
from tests.cluster.cluster import Cluster
from tests.cluster.kinds import Kind
from tests.cluster.tree_state import read_state
from tests.harness.tree import at, nodes_below
from tests.harness.waiting import wait_until

_RANDOM: Final = ("topic_id",)


class Parts(NamedTuple):
    """Three members: one of each kind, which control in turns, and the one to which things happen."""

    kafka: int
    fastlog: int
    target: int

    @property
    def replicas(self) -> list[int]:
        """All of them, the one to which things happen first."""
        return [self.target, self.kafka, self.fastlog]


def of_kind(cluster: Cluster, kind: Kind) -> int:
    """The first member of a kind."""
    return next(number for number, member in cluster.members.items() if member.kind == kind)


def give_control(cluster: Cluster, number: int) -> None:
    """Makes a member the controller: the others are held, well within their sessions, while it is elected."""
    before = cluster.look()
    if before.controller == number:
        return
    others = [member for other, member in cluster.members.items() if other != number]
    for member in others:
        member.freeze()
    try:
        cluster.move_controller("delete")
    finally:
        for member in others:
            member.thaw()
    assert cluster.controller() == number
    cluster.wait_whole()


def nodes_of(cluster: Cluster, topic: str) -> dict[str, Any]:
    """The nodes of a topic and its configs by path, with what must be the same under each controller.

    Of the topic's id only the type is there; the controller's epoch is how far it is behind the present one.
    """

    async def work(client: ZkClient) -> dict[str, Any]:
        now = (await read_state(client)).controller_epoch
        tops = (f"/brokers/topics/{topic}", f"/config/topics/{topic}", f"/admin/delete_topics/{topic}")
        return {
            path.replace(topic, "T"): (
                _plain(node.data, now),
                *(node.stat.version, node.stat.cversion, node.stat.aversion),
                *(node.stat.ephemeral_owner, node.stat.children),
            )
            for top in tops
            for path, node in (await nodes_below(client, top)).items()
        }

    return at(cluster.connect, work)


def settled(cluster: Cluster, topic: str) -> dict[str, Any]:
    """The same once two looks, a second apart, show no difference."""
    last: dict[str, Any] = {"?": None}

    def still() -> bool:
        nonlocal last
        before, last = last, nodes_of(cluster, topic)
        return before == last

    wait_until(still, lambda: f"{topic} does not settle: {last}", seconds=30, pause=1.0)
    return last


def _plain(data: bytes | None, epoch: int) -> object:
    try:
        document = json.loads(data or b"")
    except ValueError:
        return data
    if not isinstance(document, dict):
        return data
    plain: Mapping[str, Any] = {
        name: type(value).__name__ if name in _RANDOM else value for name, value in document.items()
    }
    if "controller_epoch" in plain:
        return {**plain, "controller_epoch": plain["controller_epoch"] - epoch}
    return plain
