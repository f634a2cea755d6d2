"""Nodes of topics that somebody removes by hand: what the controller does without them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlog.coordination.znodes import paths
from tests.unit.coordination.controller.cluster import Cluster
from tests.unit.coordination.controller.tree_world import until


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as made:
        yield made


async def remove_state(cluster: Cluster, topic: str, *, parents: bool = False) -> None:
    await cluster.admin.delete(paths.state(topic, 0))
    if parents:
        await cluster.admin.delete(paths.partition(topic, 0))
        await cluster.admin.delete(paths.partitions(topic))


@pytest.mark.parametrize("parents", [False, True])
async def test_a_state_that_is_gone_is_made_again_with_the_next_change(
    cluster: Cluster, parents: bool
) -> None:
    await cluster.broker(1, 2, 3)
    controller = await cluster.active(1)
    await cluster.topic("a", (2, 3))
    await until(lambda: cluster.state("a"))
    await cluster.stop(3)
    await until(lambda: cluster.led("a") == (2, (2,)))
    await cluster.broker(3)
    await cluster.settled(controller)
    before = cluster.state("a")
    assert before is not None and before.partition_epoch > 0
    await remove_state(cluster, "a", parents=parents)
    # Who leads fails, and nobody else is in sync: the last member stays.
    await cluster.stop(2)
    await until(lambda: cluster.led("a") == (-1, (2,)))
    after = cluster.state("a")
    assert after is not None
    assert after.leader_epoch > before.leader_epoch
    # Brokers of Kafka take no partition epoch below the one that they know.
    assert after.partition_epoch > before.partition_epoch
    await cluster.settled(controller)
    assert cluster.brokers[3].metadata["a", 0].zk_version == after.partition_epoch


async def test_without_the_topics_node_its_states_are_not_made_again(cluster: Cluster) -> None:
    await cluster.broker(1, 2, 3)
    controller = await cluster.active(1)
    await cluster.topic("a", (2, 3))
    await until(lambda: cluster.state("a"))
    await remove_state(cluster, "a", parents=True)
    await cluster.admin.delete(paths.topic("a"))
    await until(lambda: controller.context is not None and "a" not in controller.context.topics)
    await cluster.stop(2)
    await cluster.settled(controller)
    assert not cluster.has(paths.topic("a"))
    # Nobody was told that the topic is gone: who leads it goes on.
    assert cluster.brokers[3].metadata["a", 0].leader == 2
    assert cluster.brokers[3].deleted == set()


async def test_the_next_controller_goes_on_from_what_its_broker_was_told(cluster: Cluster) -> None:
    cluster.remember = True
    await cluster.broker(1, 2, 3)
    one = await cluster.active(1)
    await cluster.topic("a", (2, 3))
    await until(lambda: cluster.state("a"))
    await cluster.stop(2)
    await until(lambda: cluster.led("a") == (3, (3,)))
    await cluster.broker(2)
    await cluster.settled(one)
    before = cluster.state("a")
    await remove_state(cluster, "a")
    await cluster.stop(1)
    three = await cluster.active(3)
    await cluster.settled(three)
    after = cluster.state("a")
    assert before is not None and after is not None
    # Broker 2, the preferred leader, is not in sync: it does not lead, and counts for none that is.
    assert (after.leader, after.isr) == (3, (3,))
    assert after.leader_epoch == before.leader_epoch + 1
    assert cluster.brokers[2].replicas["a", 0].leader_epoch == after.leader_epoch
