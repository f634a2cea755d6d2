"""Brokers come, fail, bounce, lose directories, shut down; a new controller takes over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastlog.coordination.controller import brokers
from fastlog.coordination.controller.data import Replica
from fastlog.coordination.controller.states import PartitionPhase, ReplicaPhase
from fastlog.errors import ErrorCode, KafkaError
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest
from tests.unit.coordination.controller.world import World, live

KEY = ("t", 0)


def test_the_difference_of_registrations() -> None:
    world = World([1, 2, 3, 4])
    known = world.context.brokers
    found = {
        1: known[1],
        2: live(2, known[2].epoch + 100),
        3: live(3, known[3].epoch - 1),
        7: live(7, 9000),
        6: live(6, 9001),
    }
    assert brokers.broker_diff(world.context, found) == brokers.BrokerDiff(
        new=(6, 7), bounced=(2,), dead=(4,)
    )


def test_a_failure_elects_and_takes_out_of_the_set() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3], [2, 1], [2, 3])
    assert world.run(brokers.brokers_failed(world.context, [1])) == []
    assert world.state(KEY) == (2, 1, (2, 3))
    assert world.state(("t", 1)) == (2, 1, (2,))
    assert world.state(("t", 2)) == (2, 0, (2, 3))
    assert {write.key for write in world.writes} == {KEY, ("t", 1)}
    assert not world.told_to_lead(("t", 2))
    assert world.told_metadata(KEY)[2].offline_replicas == [1]
    assert {broker for broker, _ in world.sent} == {2, 3}


def test_a_failure_of_the_only_replica_leaves_no_leader() -> None:
    world = World([1, 2])
    world.create("t", [1])
    world.run(brokers.brokers_failed(world.context, [1]))
    assert world.state(KEY) == (-1, 1, (1,))
    assert world.context.phase(KEY) is PartitionPhase.OFFLINE
    world.forget()
    world.run(brokers.brokers_started(world.context, [live(1, world.next_zxid())]))
    assert world.state(KEY) == (1, 2, (1,))
    assert set(world.told_to_lead(KEY)) == {1}


def test_a_broker_that_hosted_nothing_is_told_of_all_the_same() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2])
    world.run(brokers.brokers_failed(world.context, [3]))
    assert world.updated() == [1, 2]
    message = world.sent[0][1]
    assert isinstance(message, UpdateMetadataRequest)
    assert [broker.id_ for broker in message.live_brokers] == [1, 2]
    assert message.topic_states == []


def test_a_start_tells_others_of_the_broker_and_the_broker_of_all() -> None:
    world = World([1, 2])
    world.create("t", [1, 2, 3])
    world.create("gone", [1])
    world.context.deleting.add("gone")
    world.run(brokers.brokers_started(world.context, [live(3, world.next_zxid())]))
    assert [broker for broker, _ in world.sent[:3]] == [1, 2, 3]
    first, _, full = (message for _, message in world.sent[:3])
    assert isinstance(first, UpdateMetadataRequest)
    assert isinstance(full, UpdateMetadataRequest)
    assert first.topic_states == []
    assert [topic.topic_name for topic in full.topic_states] == ["t"]
    told = world.told_to_lead(KEY)
    assert set(told) == {3}
    assert not told[3].is_new
    assert world.state(KEY) == (1, 0, (1, 2))


def test_brokers_that_bounce_lose_their_leads() -> None:
    world = World([1, 2])
    world.create("t", [1, 2])
    world.run(brokers.brokers_failed(world.context, [1]))
    world.run(brokers.brokers_started(world.context, [live(1, world.next_zxid())]))
    assert world.state(KEY) == (2, 1, (2,))
    assert world.told_to_lead(KEY)[1].leader_epoch == 1


def test_a_directory_that_is_offline() -> None:
    world = World([1, 2])
    world.create("t", [1, 2], [1, 2])
    world.run(brokers.ask_directories(world.context, [1, 9]))
    assert {b: (s.is_new, s.leader_epoch) for b, s in world.told_to_lead(KEY).items()} == {1: (False, 0)}
    storage, stale = ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.STALE_CONTROLLER_EPOCH
    answer = {KEY: storage, ("t", 1): stale}
    world.run(brokers.directories_answer(world.context, 1, answer))
    assert world.state(KEY) == (2, 1, (2,))
    assert world.state(("t", 1)) == (1, 0, (1, 2))
    assert world.told_metadata(KEY)[1].offline_replicas == [1]
    world.forget()
    world.run(brokers.directories_answer(world.context, 1, answer))
    assert not world.sent, "it is known already"
    world.run(brokers.directories_answer(world.context, 1, {KEY: 0, ("t", 1): 0}))
    assert world.context.is_online(1, KEY)


def test_the_replicas_of_deleted_topics_are_not_deleted_for_now() -> None:
    world = World([1, 2])
    world.create("t", [1, 2])
    world.context.deleting.add("t")
    world.context.put_replica_phase(Replica(KEY, 2), ReplicaPhase.DELETION_STARTED)
    assert world.run(brokers.brokers_failed(world.context, [2])) == [Replica(KEY, 2)]
    assert world.context.replica_phase(Replica(KEY, 2)) is ReplicaPhase.INELIGIBLE
    assert world.context.deletion_ineligible == {"t"}
    assert not world.writes


def test_a_controlled_shutdown_moves_what_it_can() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2], [2, 1], [1], [1, 3])
    world.put_state(("t", 3), 1, (1,))
    epoch = world.context.brokers[1].epoch
    assert world.run(brokers.controlled_shutdown(world.context, 1, epoch)) == [("t", 3)]
    assert world.state(KEY) == (2, 1, (2,))
    assert world.state(("t", 1)) == (2, 1, (2,))
    assert world.state(("t", 2)) == (1, 0, (1,))
    assert set(world.told_to_stop(("t", 1))) == {1}
    assert not world.told_to_stop(KEY)
    assert set(world.told_to_lead(KEY)) == {1, 2}
    assert world.told_metadata(KEY)[1].leader == 2
    world.forget()
    assert world.run(brokers.controlled_shutdown(world.context, 1, epoch)) == [("t", 3)], "asked again"
    world.run(brokers.brokers_failed(world.context, [1]))
    assert world.state(("t", 2)) == (-1, 1, (1,))
    assert not world.context.shutting_down


def test_a_shutdown_must_come_from_the_broker_of_now() -> None:
    world = World([1])
    with pytest.raises(KafkaError) as unknown:
        world.run(brokers.controlled_shutdown(world.context, 2, 5))
    assert unknown.value.code is ErrorCode.BROKER_NOT_AVAILABLE
    with pytest.raises(KafkaError) as stale:
        world.run(brokers.controlled_shutdown(world.context, 1, world.context.brokers[1].epoch - 1))
    assert stale.value.code is ErrorCode.STALE_BROKER_EPOCH
    assert world.run(brokers.controlled_shutdown(world.context, 1, -1)) == []


def take_over(world: World) -> None:
    """A new controller with what is stored."""
    fresh = World()
    fresh.context.epoch = world.context.epoch + 1
    for broker in world.context.brokers.values():
        fresh.context.put_broker(broker)
    for topic, partitions in world.assignments.items():
        fresh.context.put_topic(topic, world.context.topic_id(topic))
        for number, assignment in partitions.items():
            fresh.context.put_assignment((topic, number), assignment)
    for key, now in world.nodes.items():
        fresh.context.put_leadership(key, now)
    world.context = fresh.context
    world.run(brokers.take_over(world.context))


def test_a_new_controller_tells_everybody_and_elects() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2], [2, 3], [3])
    world.context.remove_broker(3)
    take_over(world)
    assert world.updated()[:2] == [1, 2]
    assert world.state(KEY) == (1, 0, (1, 2))
    assert world.state(("t", 1)) == (2, 1, (2,))
    assert world.state(("t", 2)) == (-1, 1, (3,))
    assert world.told_to_lead(KEY).keys() == {1, 2}
    assert world.told_to_lead(KEY)[1].controller_epoch == 5


def test_a_new_controller_tells_of_partitions_that_nobody_has() -> None:
    world = World([1, 2])
    world.create("t", [1], [2])
    world.create("never", [1])
    del world.nodes["never", 0]
    world.put_state(("t", 1), -1, (2,))
    world.context.remove_broker(2)
    world.context.remove_broker(1)
    world.context.put_broker(live(3, world.next_zxid()))
    take_over(world)
    assert {number: world.told_metadata(("t", number))[3].leader for number in (0, 1)} == {0: -1, 1: -1}
    # Of what never had a leader there is nothing to tell.
    assert world.told_metadata(("never", 0)) == {}


def test_a_new_controller_begins_partitions_that_have_no_state() -> None:
    world = World([1, 2])
    world.create("t", [1, 2])
    del world.nodes[KEY]
    take_over(world)
    assert world.state(KEY) == (1, 0, (1, 2))


def test_a_new_controller_sees_restarts_that_no_controller_saw() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3], [2, 1], [1], [1, 3])
    world.put_state(("t", 1), 2, (2,))
    # Broker 1 died and came back while nobody was controller; 3 then died.
    world.context.put_broker(replace(world.context.brokers[1], epoch=world.next_zxid()))
    world.context.remove_broker(3)
    take_over(world)
    assert world.state(KEY) == (2, 3, (2,))
    assert world.state(("t", 1)) == (2, 0, (2,))
    assert world.state(("t", 2)) == (1, 0, (1,)), "the last member is better than nobody"
    assert world.state(("t", 3)) == (1, 1, (1,)), "the other one cannot lead"
    assert world.told_to_lead(KEY)[1].leader == 2


def test_after_a_stop_of_the_whole_cluster_anyone_in_sync_may_lead() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3])
    for broker in (2, 3):
        world.context.put_broker(replace(world.context.brokers[broker], epoch=world.next_zxid()))
    world.context.remove_broker(1)
    take_over(world)
    assert world.state(KEY)[0] == 2
    assert world.state(KEY)[2] == (2, 3)
