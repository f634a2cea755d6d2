"""Moves partitions to other brokers (KIP-455, `KafkaController.onPartitionReassignment`).

While a move is under way a partition has all replicas of before and after: `adding` are those that come,
`removing` those that go. A new target takes the place of the one before; a cancellation is the move back to
where it was. What is stored first is what a next controller goes on with.

| step | the target is not all in sync                     | it is                                      |
|------|---------------------------------------------------|--------------------------------------------|
| 1    | assignment written, replicas not needed deleted   | the same                                   |
| 2    | next leader epoch, LeaderAndIsr to all replicas   | adding ones are ONLINE                     |
| 3    | adding ones are NEW                               | the target is assigned, in memory          |
| 4    | until the in-sync set grows                       | a leader of the target, or the next epoch  |
| 5    |                                                   | removing ones are deleted; nobody waits    |
| 6    |                                                   | assignment written, UpdateMetadata to all  |

Kafka goes through the right column also when nobody of the target is online (it shuts down, say), and has no
leader then; here the move waits, until one of the target starts. And Kafka drops a former target, or what a
cancelled move has added, also when nobody else is in sync: here that is refused, as it is in KRaft.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from fastlog.coordination.controller import partition_machine, replica_machine
from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.control_batch import ControlBatch
from fastlog.coordination.controller.data import Assignment, Leadership, Replica
from fastlog.coordination.controller.elections import Election
from fastlog.coordination.controller.flow import Flow, WriteAssignments, send
from fastlog.coordination.controller.states import ReplicaPhase
from fastlog.coordination.controller.stored_states import ROUNDS, store
from fastlog.errors import ErrorCode, KafkaError
from fastlog.replication.partition import PartitionKey

_LOG: Final = logging.getLogger(__name__)
_REMOVAL: Final = (
    ReplicaPhase.OFFLINE,
    ReplicaPhase.DELETION_STARTED,
    ReplicaPhase.DELETED,
    ReplicaPhase.NON_EXISTENT,
)


def begin(context: ControllerContext) -> None:
    """Finds the moves that are under way among the assignments that a new controller has loaded."""
    context.reassigning = {key for key in context.partitions() if context.assignment(key).is_moving}


def check_reassignment(
    context: ControllerContext, key: PartitionKey, target: Sequence[int] | None
) -> Assignment:
    """The assignment while the partition goes to `target`; None cancels a move.

    Raises KafkaError: INVALID_REPLICA_ASSIGNMENT, NO_REASSIGNMENT_IN_PROGRESS, UNKNOWN_TOPIC_OR_PARTITION.
    """
    now = context.assignment(key)
    if target is None:
        if not now.is_moving:
            raise KafkaError(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS)
        target = now.origin
    else:
        problem = _problem(context, now, target)
        if problem is not None:
            raise KafkaError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, problem)
    if not now.replicas or key[0] in context.deleting:
        raise KafkaError(
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "there is no such partition, or its topic is being deleted"
        )
    wanted = now.reassigned_to(target)
    leadership = context.leadership(key)
    dropped = set(now.replicas) - set(wanted.replicas)
    if leadership is not None and dropped.issuperset(leadership.isr):
        raise KafkaError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"replicas {sorted(dropped)}, which would be deleted, are the only ones in sync",
        )
    return wanted


def _problem(context: ControllerContext, now: Assignment, target: Sequence[int]) -> str | None:
    if not target:
        return "a partition needs at least one replica"
    if len(set(target)) != len(target):
        return f"replicas {list(target)} name a broker twice"
    if any(replica < 0 for replica in target):
        return f"replicas {list(target)} hold a negative broker id"
    dead = [replica for replica in now.reassigned_to(target).adding if not context.is_live(replica)]
    return f"brokers {dead} of replicas {list(target)} are not there" if dead else None


def is_complete(context: ControllerContext, key: PartitionKey, assignment: Assignment) -> bool:
    """Whether all replicas of the target are in sync, and one of them can lead; or nothing moves."""
    if not assignment.is_moving:
        return True
    leadership = context.leadership(key)
    if leadership is None or not set(assignment.target) <= set(leadership.isr):
        return False
    return any(context.is_online(replica, key) for replica in assignment.target)


def reassign(context: ControllerContext, key: PartitionKey, assignment: Assignment) -> Flow[bool]:
    """Begins a move, or takes it up again. Returns whether it is complete; then it is forgotten, and so it
    should be in /admin/reassign_partitions, and deletions that wait for it may go on.
    """
    context.mark_ineligible((key[0],))
    yield from _put(context, key, assignment)
    context.reassigning.add(key)
    if not is_complete(context, key, assignment):
        yield from _into_next_epoch(context, key, assignment)
        fresh = [
            replica
            for replica in _replicas(key, assignment.adding)
            if context.replica_phase(replica) is ReplicaPhase.NON_EXISTENT
        ]
        yield from replica_machine.change(context, fresh, ReplicaPhase.NEW)
        return False
    yield from replica_machine.change(context, _replicas(key, assignment.adding), ReplicaPhase.ONLINE)
    done = Assignment(assignment.target)
    context.put_assignment(key, done)
    yield from _lead_in_target(context, key, done)
    yield from _remove(context, key, assignment.removing)
    yield from _write(context, key, done)
    context.reassigning.discard(key)
    batch = ControlBatch(context)
    batch.update_all((key,))
    yield from send(batch)
    return True


def resume(context: ControllerContext, brokers: Collection[int] | None = None) -> Flow[list[PartitionKey]]:
    """Takes up all moves, or those to brokers that have just started. Returns those that are complete now."""
    moves = {key: context.assignment(key) for key in sorted(context.reassigning)}
    done = []
    for key, assignment in moves.items():
        if brokers is None or not set(brokers).isdisjoint(assignment.target):
            complete = yield from reassign(context, key, assignment)
            if complete:
                done.append(key)
    return done


def complete(context: ControllerContext, changed: Iterable[PartitionKey]) -> Flow[list[PartitionKey]]:
    """Ends moves of partitions whose in-sync set has changed, if the target is in sync. Returns these."""
    done = []
    for key in changed:
        assignment = context.assignment(key)
        if key in context.reassigning and is_complete(context, key, assignment):
            yield from reassign(context, key, assignment)
            done.append(key)
    return done


def _put(context: ControllerContext, key: PartitionKey, assignment: Assignment) -> Flow[None]:
    before = context.assignment(key)
    if before == assignment:
        return
    yield from _write(context, key, assignment)
    context.put_assignment(key, assignment)
    # Those of a former target that nobody asks for any more.
    yield from _remove(context, key, [r for r in before.replicas if r not in assignment.replicas])


def _write(context: ControllerContext, key: PartitionKey, assignment: Assignment) -> Flow[None]:
    topic, number = key
    partitions = {**context.topics[topic], number: assignment}
    yield WriteAssignments(topic, context.topic_id(topic), partitions)


def _into_next_epoch(context: ControllerContext, key: PartitionKey, assignment: Assignment) -> Flow[None]:
    """Replicas learn the assignment with the leader epoch, of which they take only higher ones."""
    if not (yield from _raise_epoch(context, key)):
        return
    batch = ControlBatch(context)
    batch.lead(assignment.origin, key, is_new=False)
    batch.lead(assignment.adding, key, is_new=True)
    yield from send(batch)


def _raise_epoch(context: ControllerContext, key: PartitionKey) -> Flow[bool]:
    now: Leadership | None = context.leadership(key)
    for _ in range(ROUNDS):
        if now is None:
            break
        stored = yield from store(context, {key: now.in_next_epoch()})
        if stored.written:
            return True
        now = stored.stale.get(key)
    _LOG.error("the leader epoch of partition %s-%d cannot be raised", *key)
    return False


def _lead_in_target(context: ControllerContext, key: PartitionKey, done: Assignment) -> Flow[None]:
    leadership = context.leadership(key)
    if leadership is None:
        return
    if leadership.leader in done.replicas and context.is_online(leadership.leader, key):
        yield from _into_next_epoch(context, key, done)
    else:
        yield from partition_machine.to_online(context, (key,), Election.REASSIGN)


def _remove(context: ControllerContext, key: PartitionKey, brokers: Collection[int]) -> Flow[None]:
    """Deletes replicas; nobody waits until their brokers have done so."""
    for phase in _REMOVAL if brokers else ():
        yield from replica_machine.change(context, _replicas(key, brokers), phase)


def _replicas(key: PartitionKey, brokers: Iterable[int]) -> list[Replica]:
    return [Replica(key, broker) for broker in brokers]
