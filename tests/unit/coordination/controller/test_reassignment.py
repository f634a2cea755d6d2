"""Partitions move: what is planned and refused, and each step until the move is complete."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastlog.coordination.controller import brokers
from fastlog.coordination.controller.data import Assignment, Replica
from fastlog.coordination.controller.reassignment import begin, check_reassignment, complete, reassign, resume
from fastlog.coordination.controller.states import PartitionPhase, ReplicaPhase
from fastlog.errors import ErrorCode, KafkaError
from fastlog.wire.messages.update_metadata import UpdateMetadataRequest
from tests.unit.coordination.controller.world import World, live

KEY = ("t", 0)


@pytest.fixture
def world() -> World:
    made = World([1, 2, 3, 4, 5])
    made.create("t", [1, 2], [1, 2])
    return made


def start(world: World, *target: int) -> bool:
    wanted = check_reassignment(world.context, KEY, target)
    return world.run(reassign(world.context, KEY, wanted))


def test_an_assignment_on_its_way() -> None:
    moving = Assignment((1, 2, 3)).reassigned_to([4, 2])
    assert moving == Assignment((4, 2, 1, 3), adding=(4,), removing=(1, 3))
    assert (moving.origin, moving.target) == ((2, 1, 3), (4, 2))
    # The latest target wins, and counts from where the partition was.
    again = moving.reassigned_to([5, 1])
    assert again == Assignment((5, 1, 2, 3), adding=(5,), removing=(2, 3))
    assert moving.reassigned_to(moving.origin) == Assignment((2, 1, 3))
    assert not Assignment((1, 2)).reassigned_to([2, 1]).is_moving


def test_what_is_refused(world: World) -> None:
    def refusal(key: tuple[str, int], target: list[int] | None) -> ErrorCode:
        with pytest.raises(KafkaError) as error:
            check_reassignment(world.context, key, target)
        return error.value.code

    for target in ([], [1, 1], [1, -1], [1, 9]):
        assert refusal(KEY, target) == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    world.context.begin_shutdown(5)
    assert refusal(KEY, [5]) == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert refusal(KEY, None) == ErrorCode.NO_REASSIGNMENT_IN_PROGRESS
    assert refusal(("u", 0), [1]) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    world.context.remove_broker(2)
    check_reassignment(world.context, KEY, [2])  # who is a replica already need not be there
    world.context.deleting.add("t")
    assert refusal(KEY, [3]) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_move_begins(world: World) -> None:
    assert not start(world, 3, 2)
    moving = Assignment((3, 2, 1), adding=(3,), removing=(1,))
    assert world.assignments["t"] == {0: moving, 1: Assignment((1, 2))}
    assert world.context.reassigning == {KEY}
    assert world.state(KEY) == (1, 1, (1, 2))
    told = world.told_to_lead(KEY)
    assert {broker: state.is_new for broker, state in told.items()} == {1: False, 2: False, 3: True}
    assert (told[1].replicas, told[1].adding_replicas, told[1].removing_replicas) == ([3, 2, 1], [3], [1])
    assert {state.leader_epoch for state in told.values()} == {1}
    assert world.context.replica_phase(Replica(KEY, 3)) is ReplicaPhase.NEW
    assert not world.told_to_stop(KEY)


def test_a_move_ends_when_the_target_is_in_sync(world: World) -> None:
    start(world, 3, 2)
    world.put_state(KEY, 1, (1, 2))
    assert world.run(complete(world.context, [KEY, ("t", 1)])) == []
    world.put_state(KEY, 1, (1, 2, 3))
    world.forget()
    assert world.run(complete(world.context, [KEY, ("t", 1)])) == [KEY]
    # A leader of the target is elected, then the one that goes leaves the set.
    assert world.state(KEY) == (3, 3, (2, 3))
    assert world.assignments["t"][0] == Assignment((3, 2)) == world.context.assignment(KEY)
    assert not world.context.reassigning
    stop = world.told_to_stop(KEY)
    assert {broker: state.delete_partition for broker, state in stop.items()} == {1: True}
    assert stop[1].leader_epoch == 3
    assert set(world.told_to_lead(KEY)) == {2, 3}
    assert world.context.replica_phase(Replica(KEY, 3)) is ReplicaPhase.ONLINE
    assert world.context.replica_phase(Replica(KEY, 1)) is ReplicaPhase.NON_EXISTENT
    assert KEY not in world.context.hosted_by(1)
    assert isinstance(world.sent[-1][1], UpdateMetadataRequest)
    assert world.told_metadata(KEY)[5].replicas == [3, 2]


def test_a_leader_of_the_target_stays(world: World) -> None:
    start(world, 1, 3)
    world.put_state(KEY, 1, (1, 2, 3))
    world.run(complete(world.context, [KEY]))
    assert world.state(KEY) == (1, 3, (1, 3))
    assert world.told_to_lead(KEY)[3].leader_epoch == 3


def test_another_order_of_the_same_replicas_is_complete_at_once(world: World) -> None:
    assert start(world, 2, 1)
    assert world.assignments["t"][0] == Assignment((2, 1))
    assert world.state(KEY) == (1, 1, (1, 2))
    assert not world.context.reassigning


def test_a_cancelled_move_goes_back(world: World) -> None:
    start(world, 3, 4)
    world.put_state(KEY, 1, (1, 2, 3))
    world.forget()
    wanted = check_reassignment(world.context, KEY, None)
    assert wanted == Assignment((1, 2))
    assert world.run(reassign(world.context, KEY, wanted))
    assert world.assignments["t"][0] == Assignment((1, 2))
    assert world.state(KEY)[0] == 1
    assert world.state(KEY)[2] == (1, 2)
    assert {b: s.delete_partition for b, s in world.told_to_stop(KEY).items()} == {3: True, 4: True}


def test_the_only_copy_is_not_given_up(world: World) -> None:
    start(world, 3, 4)
    world.put_state(KEY, 3, (3,))
    for target in (None, [4, 5]):
        with pytest.raises(KafkaError, match="only ones in sync") as error:
            check_reassignment(world.context, KEY, target)
        assert error.value.code is ErrorCode.INVALID_REPLICA_ASSIGNMENT
    check_reassignment(world.context, KEY, [3, 5])


def test_a_replica_that_is_not_wanted_any_more_is_deleted_at_its_own_epoch(world: World) -> None:
    start(world, 3, 2)
    known = world.told_to_lead(KEY)[3].leader_epoch
    world.forget()
    start(world, 4, 2)
    assert world.context.assignment(KEY) == Assignment((4, 2, 1), adding=(4,), removing=(1,))
    assert {b: s.delete_partition for b, s in world.told_to_stop(KEY).items()} == {3: True}
    assert world.told_to_stop(KEY)[3].leader_epoch == known
    assert world.told_to_lead(KEY)[4].is_new


def test_the_move_waits_for_a_deletion_and_the_deletion_for_it(world: World) -> None:
    start(world, 3)
    world.context.deleting.add("t")
    world.context.mark_ineligible(["t"])
    assert not world.context.may_delete("t")


def test_a_move_waits_while_nobody_of_the_target_can_lead(world: World) -> None:
    start(world, 3)
    world.put_state(KEY, 1, (1, 2, 3))
    world.context.begin_shutdown(3)
    assert world.run(complete(world.context, [KEY])) == []
    assert world.state(KEY)[0] == 1
    world.run(brokers.brokers_failed(world.context, [3]))
    assert world.state(KEY) == (1, 2, (1, 2))
    world.run(brokers.brokers_started(world.context, [live(3, world.next_zxid())]))
    world.forget()
    assert world.run(resume(world.context, [5])) == []
    assert not world.sent
    assert world.run(resume(world.context, [3])) == []
    assert world.told_to_lead(KEY)[3].is_new
    world.put_state(KEY, 1, (1, 2, 3))
    assert world.run(resume(world.context)) == [KEY]
    assert world.state(KEY)[0] == 3


def test_a_new_controller_finds_moves(world: World) -> None:
    start(world, 3, 2)
    world.context.reassigning.clear()
    begin(world.context)
    assert world.context.reassigning == {KEY}


def test_a_partition_that_has_no_leader_can_move() -> None:
    world = World([3])
    world.create("t", [1])
    assert world.context.phase(KEY) is PartitionPhase.NEW
    assert not start(world, 3)
    world.run(brokers.brokers_started(world.context, [live(1, world.next_zxid())]))
    # Its replicas are those of before and after: the first one online begins.
    assert world.state(KEY) == (3, 0, (3, 1))
    assert world.run(resume(world.context)) == [KEY]
    assert world.state(KEY)[2] == (3,)


def test_the_epoch_rises_from_what_is_stored(world: World) -> None:
    theirs = [replace(world.nodes[KEY], leader_epoch=6, partition_epoch=4)]
    world.before_write = lambda write: world.nodes.__setitem__(write.key, theirs.pop()) if theirs else None
    start(world, 3, 2)
    assert world.state(KEY) == (1, 7, (1, 2))
