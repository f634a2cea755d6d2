"""The fields of the three requests, who gets them, and in which order."""

from __future__ import annotations

from dataclasses import replace

from fastlog.coordination.controller.control_batch import ControlBatch, ControlRequest
from fastlog.coordination.controller.data import Assignment, Endpoint, LiveBroker
from fastlog.wire.codec import decode_body, encode_body
from fastlog.wire.messages.leader_and_isr import LeaderAndIsrLiveLeader, LeaderAndIsrRequest
from fastlog.wire.messages.stop_replica import StopReplicaRequest
from fastlog.wire.messages.update_metadata import UpdateMetadataEndpoint, UpdateMetadataRequest
from tests.unit.coordination.controller.world import World, live

KEY = ("t", 0)
VERSIONS = {LeaderAndIsrRequest: 7, UpdateMetadataRequest: 8, StopReplicaRequest: 4}


def requests_of(batch: ControlBatch) -> list[ControlRequest]:
    return list(batch.requests(100, "INNER"))


def world_of_three() -> World:
    world = World([1, 2, 3])
    world.create("t", [1, 2], [2, 1])
    world.create("u", [1])
    return world


def test_one_request_of_each_kind_in_order() -> None:
    world = world_of_three()
    batch = ControlBatch(world.context)
    assert not batch
    batch.stop([2], KEY, delete=False)
    batch.lead([1, 2], KEY, is_new=False)
    batch.lead([1], ("u", 0), is_new=False)
    batch.lead([1], ("t", 1), is_new=False)
    assert batch
    requests = requests_of(batch)
    assert [(broker, type(message).__name__) for broker, message in requests] == [
        (1, "LeaderAndIsrRequest"),
        (2, "LeaderAndIsrRequest"),
        (1, "UpdateMetadataRequest"),
        (2, "UpdateMetadataRequest"),
        (3, "UpdateMetadataRequest"),
        (2, "StopReplicaRequest"),
    ]
    for broker, message in requests:
        assert message.controller_id == 100
        assert message.controller_epoch == 5
        assert message.broker_epoch == world.context.brokers[broker].epoch
        assert not message.is_k_raft_controller
        version = VERSIONS[type(message)]
        assert decode_body(type(message), version, encode_body(message, version)) == message
    lead = requests[0].message
    assert isinstance(lead, LeaderAndIsrRequest)
    assert lead.type_ == 0
    assert [(t.topic_name, t.topic_id[:1], len(t.partition_states)) for t in lead.topic_states] == [
        ("t", b"t", 2),
        ("u", b"u", 1),
    ]
    assert lead.live_leaders == [
        LeaderAndIsrLiveLeader(1, "inner-1", 9001),
        LeaderAndIsrLiveLeader(2, "inner-2", 9002),
    ]


def test_metadata_names_brokers_that_shut_down_and_replicas_that_are_offline() -> None:
    world = world_of_three()
    world.context.put_broker(live(3, world.next_zxid(), "r3"))
    world.context.begin_shutdown(3)
    world.context.put_offline_in_directories(2, [KEY])
    batch = ControlBatch(world.context)
    batch.update([3], [KEY, ("unknown", 0)])
    ((broker, message),) = requests_of(batch)
    assert broker == 3
    assert isinstance(message, UpdateMetadataRequest)
    assert [(b.id_, b.rack) for b in message.live_brokers] == [(1, None), (2, None), (3, "r3")]
    assert message.live_brokers[0].endpoints == [
        UpdateMetadataEndpoint(9001, "inner-1", "INNER", 0),
        UpdateMetadataEndpoint(9092, "b1", "OUTER", 1),
    ]
    ((topic),) = message.topic_states
    (state,) = topic.partition_states
    assert (state.replicas, state.offline_replicas, state.zk_version) == ([1, 2], [2], 0)


def test_a_deleted_topic_has_leader_minus_two() -> None:
    world = world_of_three()
    world.put_state(KEY, 1, (1, 2), leader_epoch=7, partition_epoch=9)
    world.context.deleting.add("t")
    batch = ControlBatch(world.context)
    batch.update_all([KEY])
    world.sent.extend(requests_of(batch))
    states = world.told_metadata(KEY)
    assert set(states) == {1, 2, 3}
    assert (states[1].leader, states[1].leader_epoch, states[1].zk_version, states[1].isr) == (
        -2,
        0,
        0,
        [1, 2],
    )


def test_new_and_deleted_stay_so() -> None:
    world = world_of_three()
    batch = ControlBatch(world.context)
    batch.lead([1], KEY, is_new=True)
    world.put_state(KEY, 2, (2,), leader_epoch=3)
    batch.lead([1, 2], KEY, is_new=False)
    batch.stop([1], KEY, delete=True)
    batch.stop([1, 2], KEY, delete=False)
    world.sent.extend(requests_of(batch))
    assert {b: (s.is_new, s.leader_epoch) for b, s in world.told_to_lead(KEY).items()} == {
        1: (True, 3),
        2: (False, 3),
    }
    assert {b: s.delete_partition for b, s in world.told_to_stop(KEY).items()} == {1: True, 2: False}


def test_brokers_that_are_gone_are_told_nothing() -> None:
    world = world_of_three()
    batch = ControlBatch(world.context)
    batch.lead([1, 2], KEY, is_new=False)
    batch.stop([2], KEY, delete=False)
    world.context.remove_broker(2)
    assert [broker for broker, _ in requests_of(batch)] == [1, 1, 3]


def test_a_leader_without_the_listener_has_no_endpoint() -> None:
    world = world_of_three()
    world.context.put_broker(LiveBroker(1, 5, (Endpoint("OUTER", "h", 1, 0),)))
    batch = ControlBatch(world.context)
    batch.lead([2], KEY, is_new=False)
    message = requests_of(batch)[0].message
    assert isinstance(message, LeaderAndIsrRequest)
    assert message.live_leaders == []


def test_what_recovers_is_told_so() -> None:
    world = world_of_three()
    world.context.put_leadership(KEY, replace(world.nodes[KEY], recovering=True))
    world.context.put_assignment(KEY, Assignment((1, 2, 3), (3,), (2,)))
    batch = ControlBatch(world.context)
    batch.lead([1], KEY, is_new=False)
    world.sent.extend(requests_of(batch))
    state = world.told_to_lead(KEY)[1]
    assert state.leader_recovery_state == 1
    assert (state.adding_replicas, state.removing_replicas) == ([3], [2])
