"""Partitions come to life, lose their leader and get another one; each election by its rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastlog.coordination.controller.data import NO_LEADER, Assignment, Leadership
from fastlog.coordination.controller.elections import Election
from fastlog.coordination.controller.flow import StateWrite
from fastlog.coordination.controller.partition_machine import (
    pending_to_online,
    to_new,
    to_non_existent,
    to_offline,
    to_online,
)
from fastlog.coordination.controller.states import PartitionPhase
from tests.unit.coordination.controller.world import World

KEY = ("t", 0)


def test_a_new_partition_is_led_by_the_first_that_is_online() -> None:
    world = World([2, 3])
    world.context.put_topic("t", bytes(16))
    world.context.put_assignment(KEY, Assignment((1, 3, 2)))
    to_new(world.context, [KEY])
    world.run(to_online(world.context, [KEY]))
    assert world.state(KEY) == (3, 0, (3, 2))
    assert world.context.phase(KEY) is PartitionPhase.ONLINE
    told = world.told_to_lead(KEY)
    assert set(told) == {2, 3}
    state = told[2]
    assert (state.leader, state.leader_epoch, state.partition_epoch, state.controller_epoch) == (3, 0, 0, 5)
    assert state.is_new
    assert (state.replicas, state.isr) == ([1, 3, 2], [3, 2])
    assert {b: s.offline_replicas for b, s in world.told_metadata(KEY).items()} == {2: [1], 3: [1]}


def test_a_new_partition_without_online_replicas_waits() -> None:
    world = World([9])
    world.create("t", [1, 2])
    assert world.context.phase(KEY) is PartitionPhase.NEW
    assert world.context.pending() == [KEY]
    assert not world.nodes
    assert not world.sent


def test_a_state_that_is_there_already_is_taken_and_elected_from() -> None:
    # A lost answer to the creation, or a tool that made the node.
    world = World([1, 2])
    world.nodes[KEY] = Leadership(1, 4, (2,), partition_epoch=7, controller_epoch=3)
    world.create("t", [1, 2])
    assert world.state(KEY) == (2, 5, (2,))
    assert world.nodes[KEY].partition_epoch == 8


def test_an_offline_election_takes_the_first_in_sync() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3])
    world.put_state(KEY, 1, (1, 3))
    world.context.remove_broker(1)
    to_offline(world.context, [KEY])
    assert world.context.pending() == [KEY]
    outcomes = world.run(pending_to_online(world.context))
    assert world.state(KEY) == (3, 1, (3,))
    assert outcomes == {KEY: world.nodes[KEY]}
    assert set(world.told_to_lead(KEY)) == {2, 3}
    assert not world.told_to_lead(KEY)[2].is_new
    assert not world.asked_unclean
    assert world.context.pending() == []


@pytest.mark.parametrize("allowed", [False, True])
def test_an_unclean_election_needs_permission(allowed: bool) -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3])
    world.put_state(KEY, 1, (1,))
    world.context.remove_broker(1)
    to_offline(world.context, [KEY])
    if allowed:
        world.unclean.add("t")
    outcomes = world.run(pending_to_online(world.context))
    assert world.asked_unclean == [frozenset({"t"})]
    if allowed:
        assert world.state(KEY) == (2, 1, (2,))
        assert world.told_to_lead(KEY)[3].leader_recovery_state == 1
    else:
        assert world.state(KEY) == (1, 0, (1,))
        assert isinstance(outcomes[KEY], str)
        assert world.context.phase(KEY) is PartitionPhase.OFFLINE
        assert not world.sent


def test_an_unclean_election_can_be_forced_but_prefers_who_is_in_sync() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3], [1, 2, 3])
    world.put_state(KEY, 1, (1,))
    world.put_state(("t", 1), 1, (1, 3))
    world.context.remove_broker(1)
    to_offline(world.context, [KEY, ("t", 1)])
    world.run(to_online(world.context, [KEY, ("t", 1)], Election.UNCLEAN))
    assert world.state(KEY) == (2, 1, (2,))
    assert world.nodes[KEY].recovering
    assert world.state(("t", 1)) == (3, 1, (3,))
    assert not world.nodes["t", 1].recovering


def test_a_preferred_election_keeps_the_set_and_tells_all() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3])
    world.put_state(KEY, 2, (2, 1))
    world.run(to_online(world.context, [KEY], Election.PREFERRED))
    assert world.state(KEY) == (1, 1, (2, 1))
    assert set(world.told_to_lead(KEY)) == {1, 2, 3}


@pytest.mark.parametrize("isr", [(2, 3), (2, 1)])
def test_a_preferred_leader_must_be_in_sync_and_online(isr: tuple[int, ...]) -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3])
    world.put_state(KEY, 2, isr)
    if 1 in isr:
        world.context.begin_shutdown(1)
    world.run(to_online(world.context, [KEY], Election.PREFERRED))
    assert world.state(KEY) == (2, 0, isr)


def test_a_reassignment_elects_from_the_target() -> None:
    world = World([1, 2, 3, 4])
    world.create("t", [1, 2])
    world.context.put_assignment(KEY, Assignment((3, 4, 1, 2), adding=(3, 4), removing=(1, 2)))
    world.put_state(KEY, 1, (1, 2, 4))
    world.run(to_online(world.context, [KEY], Election.REASSIGN))
    assert world.state(KEY) == (4, 1, (1, 2, 4))
    assert set(world.told_to_lead(KEY)) == {3, 4}
    assert world.told_to_lead(KEY)[3].removing_replicas == [1, 2]


def test_a_shutdown_moves_the_lead_and_tells_who_shuts_down() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3])
    world.context.begin_shutdown(1)
    world.run(to_online(world.context, [KEY], Election.SHUTDOWN))
    assert world.state(KEY) == (2, 1, (2, 3))
    assert set(world.told_to_lead(KEY)) == {1, 2, 3}
    assert world.told_metadata(KEY)[1].offline_replicas == [1]


def test_a_stale_state_is_decided_anew() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3])
    world.context.remove_broker(1)
    to_offline(world.context, [KEY])
    quicker = [replace(world.nodes[KEY], isr=(3, 1), partition_epoch=4)]

    def intervene(write: StateWrite) -> None:
        if quicker:
            world.nodes[write.key] = quicker.pop()

    world.before_write = intervene
    world.run(to_online(world.context, [KEY]))
    assert world.state(KEY) == (3, 1, (3,))
    assert world.nodes[KEY].partition_epoch == 5


def test_a_stale_state_may_have_nobody_in_sync_and_then_permission_is_asked_for() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3])
    world.unclean.add("t")
    world.context.remove_broker(1)
    to_offline(world.context, [KEY])
    quicker = [replace(world.nodes[KEY], isr=(1,), partition_epoch=4)]
    world.before_write = lambda write: world.nodes.__setitem__(write.key, quicker.pop()) if quicker else None
    world.run(to_online(world.context, [KEY]))
    assert world.state(KEY) == (2, 1, (2,))


def test_the_state_of_a_newer_controller_is_left_alone() -> None:
    world = World([1, 2])
    world.create("t", [1, 2])
    world.context.remove_broker(1)
    to_offline(world.context, [KEY])
    theirs = replace(world.nodes[KEY], controller_epoch=6, partition_epoch=9)
    world.nodes[KEY] = theirs
    outcomes = world.run(to_online(world.context, [KEY]))
    assert world.nodes[KEY] == theirs
    assert "newer controller" in str(outcomes[KEY])


def test_a_state_that_changes_all_the_time_does_not_hold_the_controller() -> None:
    world = World([1, 2])
    world.create("t", [1, 2])
    world.context.remove_broker(1)
    to_offline(world.context, [KEY])

    def intervene(write: StateWrite) -> None:
        now = world.nodes[write.key]
        world.nodes[write.key] = replace(now, partition_epoch=now.partition_epoch + 1)

    world.before_write = intervene
    outcomes = world.run(to_online(world.context, [KEY]))
    assert isinstance(outcomes[KEY], str)
    assert world.context.phase(KEY) is PartitionPhase.OFFLINE


def test_invalid_transitions_are_logged_and_skipped(caplog: pytest.LogCaptureFixture) -> None:
    world = World([1])
    world.create("t", [1])
    to_non_existent(world.context, [KEY])
    assert world.context.phase(KEY) is PartitionPhase.ONLINE
    assert "t-0 is online: not made non-existent" in caplog.text


def test_who_came_back_unseen_is_elected_only_when_nobody_else_can_be() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3])
    former = world.context.brokers[2]
    # Broker 2 has registered again since the state was written, and nobody took it out of the set.
    world.context.put_broker(replace(former, epoch=world.next_zxid()))
    world.context.remove_broker(1)
    to_offline(world.context, [KEY])
    world.run(to_online(world.context, [KEY]))
    assert world.state(KEY) == (3, 1, (3,))


def test_who_came_back_unseen_is_better_than_nobody() -> None:
    world = World([1, 2, 3])
    world.create("t", [1, 2, 3])
    world.context.put_broker(replace(world.context.brokers[2], epoch=world.next_zxid()))
    world.context.remove_broker(1)
    world.context.remove_broker(3)
    to_offline(world.context, [KEY])
    world.run(to_online(world.context, [KEY]))
    assert world.state(KEY) == (2, 1, (2,))
    assert not world.nodes[KEY].recovering


def test_a_deleted_topic_is_not_brought_online_by_the_way() -> None:
    world = World([1, 2])
    world.create("t", [1, 2])
    world.context.remove_broker(1)
    to_offline(world.context, [KEY])
    world.context.deleting.add("t")
    assert world.run(pending_to_online(world.context)) == {}
    assert world.state(KEY)[0] != NO_LEADER
