"""What operators ask of the controller: deletions, moves, elections; by requests and through the tree."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.controller import Controller
from fastlog.coordination.controller.data import Assignment, Replica
from fastlog.coordination.controller.states import ReplicaPhase
from fastlog.coordination.znodes import controller_json, node_json, paths
from fastlog.wire.messages.alter_partition import (
    AlterPartitionData,
    AlterPartitionRequest,
    AlterPartitionTopic,
    BrokerState,
)
from fastlog.wire.messages.partition_admin import (
    AlterPartitionReassignmentsRequest,
    ElectLeadersRequest,
    ListPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
    TopicPartitions,
)
from tests.unit.coordination.controller.cluster import Cluster
from tests.unit.coordination.controller.tree_world import until


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as made:
        yield made


async def topic(cluster: Cluster, controller: Controller, name: str, *replicas: tuple[int, ...]) -> bytes:
    """A topic that all brokers have."""
    topic_id = await cluster.topic(name, *replicas)
    await until(lambda: all(cluster.state(name, number) for number in range(len(replicas))))
    await cluster.settled(controller)
    return topic_id


async def in_sync(cluster: Cluster, controller: Controller, topic_id: bytes, name: str, *members: int) -> int:
    """What the leader asks for when followers have caught up; the error code."""
    now = cluster.state(name)
    assert now is not None
    data = AlterPartitionData(
        partition_index=0,
        leader_epoch=now.leader_epoch,
        partition_epoch=now.partition_epoch,
        new_isr_with_epochs=[BrokerState(member) for member in members],
    )
    request = AlterPartitionRequest(
        now.leader, cluster.epochs[now.leader], [AlterPartitionTopic("", topic_id, [data])]
    )
    return (await controller.alter_partition(request, 3)).topics[0].partitions[0].error_code


async def test_a_deleted_topic_leaves_no_replica_and_no_node(cluster: Cluster) -> None:
    await cluster.broker(1, 2, 3)
    controller = await cluster.active(1)
    await topic(cluster, controller, "a", (1, 2), (3, 1))
    await topic(cluster, controller, "b", (1,))
    await cluster.admin.create(paths.deletion("a"))
    await until(lambda: not cluster.has(paths.deletion("a")))
    await cluster.settled(controller)
    assert not [path for path in cluster.keeper.machine.tree.nodes if path.endswith("/a") or "/a/" in path]
    assert cluster.brokers[1].deleted == {("a", 0), ("a", 1)}
    assert cluster.brokers[1].metadata.keys() == {("b", 0)}
    # A new one of the same name has nothing of the old one.
    await topic(cluster, controller, "a", (2,))
    assert cluster.led("a") == (2, (2,))


async def test_a_deletion_waits_for_a_broker_that_is_away_and_for_one_that_cannot(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    await topic(cluster, controller, "a", (1, 2))
    await cluster.stop(2)
    await until(lambda: cluster.led("a") == (1, (1,)))
    await cluster.admin.create(paths.deletion("a"))
    await until(lambda: ("a", 0) in cluster.brokers[1].deleted)
    await cluster.settled(controller)
    assert cluster.has(paths.topic("a"))
    cluster.brokers[2].cannot_delete = True
    await cluster.broker(2)
    await until(lambda: "StopReplica" in cluster.brokers[2].kinds())
    await cluster.settled(controller)
    assert cluster.has(paths.topic("a"))
    cluster.brokers[2].cannot_delete = False
    await cluster.stop(2)
    await cluster.broker(2)
    await until(lambda: not cluster.has(paths.topic("a")))


async def test_a_deletion_does_not_cost_by_how_many_others_wait(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    looks = 0
    usual = ControllerContext.replica_phase

    def counting(context: ControllerContext, replica: Replica) -> ReplicaPhase:
        nonlocal looks
        looks += 1
        return usual(context, replica)

    async def cost(name: str) -> int:
        nonlocal looks
        await topic(cluster, controller, name, (1,))
        looks = 0
        await cluster.admin.create(paths.deletion(name))
        await until(lambda: not cluster.has(paths.topic(name)))
        await cluster.settled(controller)
        return looks

    waiting = [f"waits-{number}" for number in range(40)]
    for name in waiting:
        await topic(cluster, controller, name, (1, 2))
    await cluster.stop(2)
    await until(lambda: all(cluster.led(name) == (1, (1,)) for name in waiting))
    monkeypatch.setattr(ControllerContext, "replica_phase", counting)
    alone = await cost("a")
    for name in waiting:
        await cluster.admin.create(paths.deletion(name))
    await until(lambda: all((name, 0) in cluster.brokers[1].deleted for name in waiting))
    await cluster.settled(controller)
    assert await cost("b") == alone > 0


async def test_the_next_controller_ends_deletions_and_nothing_is_deleted_where_that_is_forbidden(
    cluster: Cluster,
) -> None:
    await cluster.broker(1, 2)
    one = await cluster.active(1)
    await topic(cluster, one, "a", (2,))
    cluster.settings = replace(cluster.settings, delete_topic_enable=False)
    await cluster.admin.create(paths.deletion("a"))
    await until(lambda: not cluster.has(paths.deletion("a")))
    assert cluster.has(paths.topic("a"))
    cluster.settings = replace(cluster.settings, delete_topic_enable=True)
    cluster.brokers[2].away = True
    await cluster.admin.create(paths.deletion("a"))
    await cluster.admin.create(paths.deletion("never was"))
    await cluster.stop(1)
    cluster.brokers[2].away = False
    await cluster.active(2)
    await until(lambda: not cluster.has(paths.topic("a")))
    await until(lambda: not cluster.has(paths.deletion("never was")))


async def test_a_partition_moves_when_its_new_replicas_are_in_sync(cluster: Cluster) -> None:
    await cluster.broker(1, 2, 3)
    controller = await cluster.active(1)
    topic_id = await topic(cluster, controller, "a", (1, 2))
    answer = await controller.alter_reassignments(move("a", 0, [3, 2]))
    assert [row.error_code for row in answer.responses[0].partitions] == [0]
    listed = (
        (await controller.list_reassignments(ListPartitionReassignmentsRequest())).topics[0].partitions[0]
    )
    assert (listed.replicas, listed.adding_replicas, listed.removing_replicas) == ([3, 2, 1], [3], [1])
    assert cluster.assignment("a")[0] == Assignment((3, 2, 1), (3,), (1,))
    await cluster.settled(controller)
    assert cluster.brokers[3].replicas["a", 0].is_new
    assert await in_sync(cluster, controller, topic_id, "a", 1, 2, 3) == 0
    await until(lambda: cluster.assignment("a")[0] == Assignment((3, 2)))
    await cluster.settled(controller)
    leader, members = cluster.led("a")
    assert leader in (2, 3)
    assert set(members) == {2, 3}
    assert cluster.brokers[1].deleted == {("a", 0)}
    assert (await controller.list_reassignments(ListPartitionReassignmentsRequest())).topics == []


async def test_moves_that_cannot_be_are_refused_and_others_cancelled(cluster: Cluster) -> None:
    await cluster.broker(1, 2, 3)
    controller = await cluster.active(1)
    await topic(cluster, controller, "a", (1, 2))
    for request, code in (
        (move("a", 0, []), 39),
        (move("a", 0, [1, 1]), 39),
        (move("a", 0, [9]), 39),
        (move("a", 0, None), 85),
        (move("b", 0, [1]), 3),
    ):
        answer = await controller.alter_reassignments(request)
        assert answer.responses[0].partitions[0].error_code == code
    await controller.alter_reassignments(move("a", 0, [3]))
    await cluster.settled(controller)
    answer = await controller.alter_reassignments(move("a", 0, None))
    assert answer.responses[0].partitions[0].error_code == 0
    await cluster.settled(controller)
    assert cluster.assignment("a")[0] == Assignment((1, 2))
    assert ("a", 0) in cluster.brokers[3].deleted


async def test_an_old_tool_moves_through_the_tree_and_the_next_controller_goes_on(cluster: Cluster) -> None:
    await cluster.broker(1, 2, 3)
    one = await cluster.active(1)
    topic_id = await topic(cluster, one, "a", (2, 3))
    wanted = {("a", 0): (2, 1), ("gone", 0): (1,)}
    await cluster.admin.create(paths.REASSIGNMENTS, controller_json.encode_reassignments(wanted))
    await until(lambda: cluster.assignment("a")[0].is_moving)
    await cluster.settled(one)
    left = controller_json.decode_reassignments("", cluster.data(paths.REASSIGNMENTS))
    assert left == {("a", 0): (2, 1)}
    await cluster.stop(1)
    two = await cluster.active(2)
    await cluster.broker(1)
    await cluster.settled(two)
    assert await in_sync(cluster, two, topic_id, "a", 2, 3, 1) == 0
    await until(lambda: not cluster.has(paths.REASSIGNMENTS))
    assert cluster.assignment("a")[0] == Assignment((2, 1))


async def test_preferred_leaders_are_elected_on_request_through_the_tree_and_by_the_timer(
    cluster: Cluster,
) -> None:
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    topic_id = await topic(cluster, controller, "a", (2, 1))
    asked = ElectLeadersRequest(0, [TopicPartitions("a", [0]), TopicPartitions("b", [7])])

    async def back() -> None:
        await cluster.stop(2)
        await until(lambda: cluster.led("a") == (1, (1,)))
        await cluster.broker(2)
        await until(lambda: 2 in cluster.brokers[1].live and cluster.brokers[2].metadata)
        await cluster.settled(controller)

    assert codes(await controller.elect_leaders(asked)) == {("a", 0): 84, ("b", 7): 3}
    await back()
    assert codes(await controller.elect_leaders(asked))["a", 0] == 80
    assert await in_sync(cluster, controller, topic_id, "a", 1, 2) == 0
    assert codes(await controller.elect_leaders(ElectLeadersRequest(0, None))) == {("a", 0): 0}
    assert cluster.led("a")[0] == 2
    await back()
    await in_sync(cluster, controller, topic_id, "a", 1, 2)
    rows = b'{"version":1,"partitions":[{"topic":"a","partition":0}]}'
    await cluster.admin.create(paths.PREFERRED_ELECTIONS, rows)
    await until(lambda: not cluster.has(paths.PREFERRED_ELECTIONS))
    assert cluster.led("a")[0] == 2
    await back()
    await in_sync(cluster, controller, topic_id, "a", 1, 2)
    cluster.settings = replace(cluster.settings, leader_imbalance_check_interval_seconds=0)
    controller._balance_in(0)
    await until(lambda: cluster.led("a")[0] == 2)
    cluster.settings = replace(cluster.settings, leader_imbalance_check_interval_seconds=300)


async def test_losing_records_is_allowed_by_the_topic_by_the_default_or_by_an_operator(
    cluster: Cluster,
) -> None:
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    for name in ("a", "b", "c"):
        topic_id = await topic(cluster, controller, name, (2, 1))
        assert await in_sync(cluster, controller, topic_id, name, 2) == 0
    await cluster.stop(2)
    await until(lambda: all(cluster.led(name) == (-1, (2,)) for name in "abc"))
    await cluster.settled(controller)
    config = node_json.encode_config({"unclean.leader.election.enable": "true"})
    await cluster.admin.set(paths.topic_config("a"), config)
    controller.unclean_enabled("a")
    await until(lambda: cluster.led("a") == (1, (1,)))
    found = cluster.state("a")
    assert found is not None
    assert found.recovering
    unclean = ElectLeadersRequest(1, [TopicPartitions("b", [0])])
    assert codes(await controller.elect_leaders(unclean)) == {("b", 0): 0}
    assert cluster.led("b") == (1, (1,))
    cluster.settings = replace(cluster.settings, unclean_leader_election_enable=True)
    controller.unclean_enabled(None)
    await until(lambda: cluster.led("c") == (1, (1,)))


def move(name: str, number: int, replicas: list[int] | None) -> AlterPartitionReassignmentsRequest:
    return AlterPartitionReassignmentsRequest(
        topics=[ReassignableTopic(name, [ReassignablePartition(number, replicas)])]
    )


def codes(response: object) -> dict[tuple[str, int], int]:
    results = getattr(response, "replica_election_results")  # noqa: B009 - any answer of that form
    return {
        (row.topic, found.partition_id): found.error_code for row in results for found in row.partition_result
    }
