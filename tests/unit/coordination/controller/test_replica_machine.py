"""Replicas come, fail, are deleted: what their brokers and the others are told, and what is written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastlog.coordination.controller.data import Assignment, Replica
from fastlog.coordination.controller.flow import Failed, StateWrite, WriteResult
from fastlog.coordination.controller.replica_machine import begin, change
from fastlog.coordination.controller.states import PartitionPhase, ReplicaPhase
from tests.unit.coordination.controller.world import World

KEY = ("t", 0)


def put(world: World, phase: ReplicaPhase, *brokers: int) -> None:
    world.run(change(world.context, [Replica(KEY, broker) for broker in brokers], phase))


def phases(world: World) -> dict[int, ReplicaPhase]:
    replicas = world.context.assignment(KEY).replicas
    return {broker: world.context.replica_phase(Replica(KEY, broker)) for broker in replicas}


@pytest.fixture
def world() -> World:
    made = World([1, 2, 3])
    made.create("t", [1, 2, 3])
    return made


def test_a_follower_that_fails_leaves_the_set(world: World) -> None:
    put(world, ReplicaPhase.OFFLINE, 2)
    assert world.state(KEY) == (1, 1, (1, 3))
    assert world.nodes[KEY].controller_epoch == 5
    stop = world.told_to_stop(KEY)
    assert set(stop) == {2}
    # The epoch of before, which the broker has: it takes its own and later ones.
    assert (stop[2].leader_epoch, stop[2].delete_partition) == (0, False)
    told = world.told_to_lead(KEY)
    assert set(told) == {1, 3}
    assert (told[1].leader_epoch, told[1].isr, told[1].partition_epoch) == (1, [1, 3], 1)
    assert set(world.told_metadata(KEY)) == {1, 2, 3}
    assert phases(world)[2] is ReplicaPhase.OFFLINE


def test_a_leader_that_fails_leads_no_more(world: World) -> None:
    put(world, ReplicaPhase.OFFLINE, 1)
    assert world.state(KEY) == (-1, 1, (2, 3))
    assert world.context.phase(KEY) is PartitionPhase.OFFLINE
    assert world.context.pending() == [KEY]
    assert world.context.led_by(1) == set()


def test_the_last_member_stays_in_sync(world: World) -> None:
    world.put_state(KEY, 1, (1,))
    put(world, ReplicaPhase.OFFLINE, 1)
    assert world.state(KEY) == (-1, 1, (1,))


def test_of_all_members_that_fail_together_the_leader_stays(world: World) -> None:
    world.put_state(KEY, 2, (1, 2, 3))
    put(world, ReplicaPhase.OFFLINE, 1, 2, 3)
    assert world.state(KEY) == (-1, 1, (2,))
    assert len(world.writes) == 1
    assert world.told_to_lead(KEY) == {}


def test_who_is_not_in_sync_leaves_nothing_to_write(world: World) -> None:
    world.put_state(KEY, 1, (1, 3))
    put(world, ReplicaPhase.OFFLINE, 2)
    assert not world.writes
    assert set(world.told_to_lead(KEY)) == {1, 3}
    assert phases(world)[2] is ReplicaPhase.OFFLINE


def test_a_replica_without_leader_is_only_told_of(world: World) -> None:
    world.context.put_assignment(("u", 0), Assignment((1, 2)))
    new = [Replica(("u", 0), 1)]
    world.run(change(world.context, new, ReplicaPhase.NEW))
    assert not world.sent
    world.run(change(world.context, new, ReplicaPhase.OFFLINE))
    assert set(world.told_to_stop(("u", 0))) == {1}
    assert world.told_to_stop(("u", 0))[1].leader_epoch == -1
    assert world.updated() == [1, 2, 3]


def test_a_replica_whose_state_cannot_be_written_stays_as_it_is(world: World) -> None:
    def refuse(write: StateWrite) -> WriteResult:
        return Failed("no")

    world._write = refuse  # type: ignore[method-assign]
    put(world, ReplicaPhase.OFFLINE, 2)
    assert phases(world)[2] is ReplicaPhase.ONLINE
    assert world.told_to_lead(KEY) == {}


def test_a_state_that_has_changed_is_read_again(world: World) -> None:
    quicker = [replace(world.nodes[KEY], isr=(1, 2), partition_epoch=3)]
    world.before_write = lambda write: world.nodes.__setitem__(write.key, quicker.pop()) if quicker else None
    put(world, ReplicaPhase.OFFLINE, 2)
    assert world.state(KEY) == (1, 1, (1,))


def test_a_replica_comes_back(world: World) -> None:
    put(world, ReplicaPhase.OFFLINE, 2)
    world.forget()
    put(world, ReplicaPhase.ONLINE, 2)
    told = world.told_to_lead(KEY)
    assert set(told) == {2}
    assert not told[2].is_new
    assert not world.writes


def test_a_new_replica_of_a_led_partition(world: World) -> None:
    world.context.put_assignment(KEY, Assignment((1, 2, 3, 4), adding=(4,)))
    put(world, ReplicaPhase.NEW, 4)
    assert not world.told_to_lead(KEY), "broker 4 is not registered"
    world.context.put_broker(replace(world.context.brokers[1], id=4))
    world.context.put_replica_phase(Replica(KEY, 4), ReplicaPhase.NON_EXISTENT)
    put(world, ReplicaPhase.NEW, 4)
    told = world.told_to_lead(KEY)
    assert set(told) == {4}
    assert told[4].is_new
    assert told[4].adding_replicas == [4]
    world.forget()
    put(world, ReplicaPhase.ONLINE, 4)
    assert not world.sent
    assert phases(world)[4] is ReplicaPhase.ONLINE


def test_a_replica_is_deleted(world: World) -> None:
    world.context.deleting.add("t")
    for phase in (ReplicaPhase.OFFLINE, ReplicaPhase.DELETION_STARTED):
        put(world, phase, 1, 2, 3)
    told = {b: (s.leader_epoch, s.delete_partition) for b, s in world.told_to_stop(KEY).items()}
    assert told == dict.fromkeys((1, 2, 3), (-2, True))
    assert not world.writes
    assert not world.told_to_lead(KEY)
    assert world.context.replicas_in("t", ReplicaPhase.DELETION_STARTED) == [
        Replica(KEY, broker) for broker in (1, 2, 3)
    ]
    assert not world.context.may_delete("t")
    put(world, ReplicaPhase.DELETED, 1, 2)
    put(world, ReplicaPhase.INELIGIBLE, 3)
    assert world.context.may_delete("t")
    put(world, ReplicaPhase.NON_EXISTENT, 1, 2)
    assert world.context.assignment(KEY).replicas == (3,)
    assert phases(world) == {3: ReplicaPhase.INELIGIBLE}


def test_invalid_transitions_are_logged_and_skipped(world: World, caplog: pytest.LogCaptureFixture) -> None:
    put(world, ReplicaPhase.DELETION_STARTED, 1)
    assert phases(world)[1] is ReplicaPhase.ONLINE
    assert not world.sent
    assert "replica 1 of partition t-0 is online: not made deletion started" in caplog.text


def test_a_new_controller_takes_what_is_offline_for_not_deletable(world: World) -> None:
    world.context.remove_broker(2)
    begin(world.context)
    assert phases(world) == {
        1: ReplicaPhase.ONLINE,
        2: ReplicaPhase.INELIGIBLE,
        3: ReplicaPhase.ONLINE,
    }
