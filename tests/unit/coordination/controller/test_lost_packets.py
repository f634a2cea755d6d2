"""Whatever packet between the controller and the tree is lost, the cluster ends up as it should."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlog.coordination.znodes import paths
from tests.unit.coordination.controller.cluster import Cluster
from tests.unit.coordination.controller.tree_world import until
from tests.unit.coordination.znodes.world import Cutter


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as made:
        yield made


def is_right(cluster: Cluster, *live: int) -> bool:
    """Whether each partition is led by somebody alive, who is told so, and all members are alive."""
    for topic in ("a", "b"):
        for number, assignment in cluster.assignment(topic).items():
            leader, members = cluster.led(topic, number)
            if leader not in live or not set(members) <= set(live) & set(assignment.replicas):
                return False
            for replica in set(assignment.replicas) & set(live):
                told = cluster.brokers[replica].replicas.get((topic, number))
                if told is None or told.leader != leader or set(told.isr) != set(members):
                    return False
            for broker_id in live:
                known = cluster.brokers[broker_id].metadata.get((topic, number))
                if known is None or known.leader != leader:
                    return False
    return True


@pytest.mark.parametrize("lost", range(0, 60, 3))
@pytest.mark.parametrize("direction", ["requests", "answers"])
async def test_topics_and_failures_are_dealt_with(cluster: Cluster, direction: str, lost: int) -> None:
    cutter = Cutter(cluster.keeper)
    await cluster.broker(1, cutter=cutter)
    await cluster.broker(2, 3)
    await cluster.topic("a", (1, 2, 3), (2, 3, 1))
    setattr(cutter, direction, lost)
    controller = await cluster.controller(1)
    await until(lambda: controller.is_active)
    await cluster.topic("b", (2, 1), (3, 2), (2, 3))
    await until(lambda: is_right(cluster, 1, 2, 3))
    await cluster.stop(2)
    await until(lambda: is_right(cluster, 1, 3))
    await cluster.admin.create(paths.deletion("a"))
    await cluster.broker(2)
    await until(lambda: not cluster.has(paths.topic("a")) and not cluster.has(paths.deletion("a")))
    assert controller.is_active


@pytest.mark.parametrize("lost", range(0, 40, 5))
async def test_a_new_controller_takes_over_whatever_the_former_one_has_left(
    cluster: Cluster, lost: int
) -> None:
    cutter = Cutter(cluster.keeper)
    await cluster.broker(1, cutter=cutter)
    await cluster.broker(2, 3)
    one = await cluster.controller(1)
    await until(lambda: one.is_active)
    cutter.requests = lost
    await cluster.topic("a", (2, 3), (3, 2))
    await cluster.topic("b", (2, 1), (1, 2), (1, 2, 3))
    await cluster.stop(2)
    await cluster.stop(1)
    # What is lost may be the request that ends the session: then it runs out.
    await until(lambda: not cluster.has(paths.broker_id(1)))
    await cluster.broker(1, 2)
    await cluster.active(3)
    await until(lambda: is_right(cluster, 1, 2, 3))
