"""The controller at work on a tree: brokers and topics come and go, and what they are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastlog.coordination.znodes import node_json, paths
from fastlog.coordination.znodes.controller_json import encode_state
from fastlog.wire.messages.allocate_producer_ids import AllocateProducerIdsRequest
from fastlog.wire.messages.alter_partition import (
    AlterPartitionData,
    AlterPartitionRequest,
    AlterPartitionTopic,
    BrokerState,
)
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownRequest
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest
from tests.unit.coordination.controller.cluster import Cluster
from tests.unit.coordination.controller.tree_world import until


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as made:
        yield made


async def test_a_new_topic_gets_leaders_and_all_brokers_learn_of_it(cluster: Cluster) -> None:
    await cluster.broker(1, 2, 3)
    controller = await cluster.active(1)
    await cluster.topic("a", (1, 2), (2, 3))
    await until(lambda: cluster.state("a", 1))
    await cluster.settled(controller)
    assert cluster.led("a", 0) == (1, (1, 2))
    assert cluster.led("a", 1) == (2, (2, 3))
    two = cluster.brokers[2]
    assert {key: state.is_new for key, state in two.replicas.items()} == {("a", 0): True, ("a", 1): True}
    assert ("a", 1) not in cluster.brokers[1].replicas
    for broker in cluster.brokers.values():
        assert broker.metadata.keys() == {("a", 0), ("a", 1)}
        assert broker.live == {1, 2, 3}
        assert broker.controller == 1
    assert cluster.data(paths.FEATURE) == node_json.NO_FEATURES


async def test_brokers_are_told_who_lives_before_anything_refers_to_them(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    await cluster.topic("a", (1, 2))
    await cluster.active(1)
    for broker in cluster.brokers.values():
        first = broker.requests[0]
        assert isinstance(first, UpdateMetadataRequest)
        assert not first.topic_states
        assert first.broker_epoch == cluster.epochs[broker.id]
        assert broker.kinds()[1] == "LeaderAndIsr"


async def test_a_topic_without_an_id_gets_one(cluster: Cluster) -> None:
    await cluster.broker(1)
    await cluster.topic("old", (1,), topic_id=None)
    await cluster.active(1)
    stored = node_json.decode_topic("", cluster.data(paths.topic("old"))).topic_id
    assert stored is not None
    assert cluster.led("old") == (1, (1,))


async def test_others_lead_when_a_broker_fails_and_it_comes_back_as_a_follower(cluster: Cluster) -> None:
    await cluster.broker(1, 2, 3)
    controller = await cluster.active(1)
    await cluster.topic("a", (2, 3), (3, 2), (2,))
    await until(lambda: cluster.state("a", 2))
    await cluster.settled(controller)
    await cluster.stop(2)
    await until(lambda: cluster.led("a", 2) == (-1, (2,)))
    await cluster.settled(controller)
    assert cluster.led("a", 0) == (3, (3,))
    assert cluster.led("a", 1) == (3, (3,))
    assert cluster.brokers[3].live == {1, 3}
    assert cluster.brokers[3].replicas["a", 0].leader == 3
    before = len(cluster.brokers[2].requests)
    await cluster.broker(2)
    await until(lambda: cluster.led("a", 2) == (2, (2,)))
    await cluster.settled(controller)
    again = cluster.brokers[2].requests[before:]
    assert {request.broker_epoch for request in again} == {cluster.epochs[2]}
    assert cluster.brokers[2].replicas["a", 0].leader == 3
    assert cluster.brokers[2].metadata.keys() == {("a", 0), ("a", 1), ("a", 2)}


async def test_a_broker_that_bounced_between_two_looks_has_failed_and_started(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    await cluster.topic("a", (2, 1))
    await until(lambda: cluster.state("a"))
    await cluster.settled(controller)
    cluster.brokers[2].away = True
    await cluster.topic("b", (2, 1))
    await until(lambda: cluster.state("b"))
    former = cluster.epochs[2]
    await cluster.sessions[2].session.close()
    await cluster.broker(2)
    cluster.brokers[2].away = False
    before = len(cluster.brokers[2].requests)
    await until(lambda: cluster.led("a") == (1, (1,)) and ("b", 0) in cluster.brokers[2].replicas)
    await cluster.settled(controller)
    epochs = {request.broker_epoch for request in cluster.brokers[2].requests[before:]}
    assert epochs == {cluster.epochs[2]} != {former}
    assert cluster.brokers[2].replicas["b", 0].leader == 1


async def test_the_next_controller_goes_on_and_the_former_one_writes_nothing(cluster: Cluster) -> None:
    await cluster.broker(1, 2, 3)
    one = await cluster.active(1)
    await cluster.topic("a", (1, 2, 3))
    await until(lambda: cluster.state("a"))
    await cluster.settled(one)
    two = await cluster.controller(2)
    await until(lambda: two.controller_id == 1)
    assert not two.is_active
    # As an operator does who wants an election; the former one does not know yet.
    await cluster.admin.delete(paths.CONTROLLER)
    await until(lambda: one.is_active or two.is_active)
    await until(lambda: cluster.data(paths.CONTROLLER_EPOCH) == b"2")
    winner, loser = (one, two) if one.is_active else (two, one)
    await until(lambda: winner.is_active and not loser.is_active)
    await cluster.settled(winner)
    await cluster.stop(winner.node_id)
    await until(lambda: loser.is_active)
    await cluster.settled(loser)
    assert loser.epoch == 3
    leader, members = cluster.led("a")
    assert winner.node_id not in (leader, *members)


async def test_a_session_that_expires_costs_the_seat_and_comes_back_registered(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    one = await cluster.active(1)
    two = await cluster.controller(2)
    await until(lambda: two.controller_id == 1)
    session = cluster.sessions[1].session
    former = session.session_id
    cluster.keeper.close_session(former)
    assert session._link is not None
    session._link.end("cut")
    await until(lambda: two.is_active or one.epoch == 2)
    await until(lambda: cluster.has(paths.broker_id(1)))
    active = two if two.is_active else one
    await cluster.settled(active)
    assert session.session_id != former
    context = active.context
    assert context is not None
    assert context.live_ids() == {1, 2}
    assert one.is_active + two.is_active == 1


async def test_in_sync_replicas_change_once_and_only_for_the_leader(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    topic_id = await cluster.topic("a", (1, 2))
    await until(lambda: cluster.state("a"))
    await cluster.settled(controller)
    request = AlterPartitionRequest(
        broker_id=1,
        broker_epoch=cluster.epochs[1],
        topics=[AlterPartitionTopic("", topic_id, [data(0, 0, 0, (1, cluster.epochs[1]))])],
    )
    for broker in cluster.brokers.values():
        broker.requests.clear()
    response = await controller.alter_partition(request, 3)
    row = response.topics[0].partitions[0]
    assert (row.error_code, row.isr, row.partition_epoch, row.leader_epoch) == (0, [1], 1, 0)
    await cluster.settled(controller)
    assert cluster.led("a") == (1, (1,))
    assert all(set(broker.kinds()) == {"UpdateMetadata"} for broker in cluster.brokers.values())
    # The tree has another version than the controller knows.
    state = cluster.data(paths.state("a", 0))
    await cluster.admin.set(paths.state("a", 0), state)
    request.topics[0].partitions = [data(0, 0, 1, (1, -1), (2, -1))]
    response = await controller.alter_partition(request, 3)
    assert response.topics[0].partitions[0].error_code == 95
    request.broker_epoch -= 1
    assert (await controller.alter_partition(request, 3)).error_code == 77


async def test_who_is_not_the_controller_says_so(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    await cluster.active(1)
    two = await cluster.controller(2)
    assert (await two.alter_partition(AlterPartitionRequest(), 3)).error_code == 41
    assert (await two.allocate_producer_ids(AllocateProducerIdsRequest())).error_code == 41
    assert (await two.controlled_shutdown(ControlledShutdownRequest())).error_code == 11
    assert two.epoch == 0


async def test_blocks_of_producer_ids_are_given_out_once(cluster: Cluster) -> None:
    await cluster.broker(1)
    controller = await cluster.active(1)
    epoch = cluster.epochs[1]
    first = await controller.allocate_producer_ids(AllocateProducerIdsRequest(1, epoch))
    second = await controller.allocate_producer_ids(AllocateProducerIdsRequest(1, epoch))
    assert (first.producer_id_start, second.producer_id_start, second.producer_id_len) == (0, 1000, 1000)
    assert (await controller.allocate_producer_ids(AllocateProducerIdsRequest(9, epoch))).error_code == 102
    assert (await controller.allocate_producer_ids(AllocateProducerIdsRequest(1, 5))).error_code == 77


async def test_a_broker_that_shuts_down_hands_its_leaders_on(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    await cluster.topic("a", (2, 1), (1, 2), (2,))
    await until(lambda: cluster.state("a", 2))
    await cluster.settled(controller)
    answer = await controller.controlled_shutdown(ControlledShutdownRequest(2, cluster.epochs[2]))
    assert (answer.error_code, answer.remaining_partitions) == (0, [])
    assert cluster.led("a", 0) == (1, (1,))
    assert cluster.led("a", 1) == (1, (1,))
    assert cluster.led("a", 2) == (2, (2,))
    await cluster.settled(controller)
    assert cluster.brokers[2].replicas["a", 0].leader == 1
    stale = await controller.controlled_shutdown(ControlledShutdownRequest(2, cluster.epochs[2] - 1))
    assert stale.error_code == 77


async def test_partitions_are_added_and_a_directory_fails(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    topic_id = await cluster.topic("a", (1, 2))
    await until(lambda: cluster.state("a"))
    grown = {"0": [1, 2], "1": [2, 1]}
    fields = node_json.load("", cluster.data(paths.topic("a"))) | {"partitions": grown}
    await cluster.admin.set(paths.topic("a"), node_json.dump(fields))
    await until(lambda: cluster.led("a", 1) == (2, (2, 1)))
    await cluster.settled(controller)
    assert cluster.brokers[1].replicas["a", 1].is_new
    assert node_json.decode_topic("", cluster.data(paths.topic("a"))).topic_id == topic_id
    cluster.brokers[2].offline = {("a", 1)}
    event = f"{paths.LOG_DIR_EVENTS}/log_dir_event_0000000000"
    await cluster.admin.create(event, b'{"version":1,"broker":2,"event":1}')
    await until(lambda: cluster.led("a", 1) == (1, (1,)))
    await cluster.settled(controller)
    assert cluster.led("a", 0) == (1, (1, 2))
    assert not cluster.has(event)


async def test_a_changed_listener_is_told(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    controller = await cluster.active(1)
    path = paths.broker_id(2)
    await cluster.admin.set(
        path, node_json.encode_broker([("PLAINTEXT", "elsewhere", 9, "PLAINTEXT")], None, 0)
    )
    await until(lambda: "elsewhere" in hosts(cluster))
    await cluster.settled(controller)


async def test_notifications_of_old_brokers_are_taken_in_and_removed(cluster: Cluster) -> None:
    await cluster.broker(1, 2)
    await cluster.topic("a", (1, 2))
    stale = f"{paths.ISR_CHANGES}/isr_change_0000000000"
    await cluster.admin.create(stale, b"{}")
    controller = await cluster.active(1)
    assert not cluster.has(stale)
    found = cluster.state("a")
    assert found is not None
    await cluster.admin.set(paths.state("a", 0), encode_state(replace(found, isr=(1,)), 1))
    told = f"{paths.ISR_CHANGES}/isr_change_0000000001"
    data = b'{"version":1,"partitions":[{"topic":"a","partition":0},{"topic":"gone","partition":0}]}'
    await cluster.admin.create(told, data)
    await until(lambda: not cluster.has(told))
    await cluster.settled(controller)
    assert cluster.brokers[2].metadata["a", 0].isr == [1]


def data(
    number: int, leader_epoch: int, partition_epoch: int, *members: tuple[int, int]
) -> AlterPartitionData:
    return AlterPartitionData(
        partition_index=number,
        leader_epoch=leader_epoch,
        partition_epoch=partition_epoch,
        new_isr_with_epochs=[BrokerState(*member) for member in members],
    )


def hosts(cluster: Cluster) -> set[str]:
    last = cluster.brokers[1].requests[-1]
    if not isinstance(last, UpdateMetadataRequest):
        return set()
    return {endpoint.host for broker in last.live_brokers for endpoint in broker.endpoints}
