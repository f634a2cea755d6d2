"""Brings replicas from one state to another (`ZkReplicaStateMachine`), and tells brokers.

| to               | told                                           | and                          |
|------------------|------------------------------------------------|------------------------------|
| NEW              | LeaderAndIsr (new) to it, if there is a leader |                              |
| ONLINE           | LeaderAndIsr to it, if it was not NEW          | is assigned                  |
| OFFLINE          | StopReplica to it, LeaderAndIsr to the others  | leaves the in-sync set       |
| DELETION_STARTED | StopReplica with deletion to it                |                              |
| NON_EXISTENT     |                                                | is not assigned any more     |

A replica that goes OFFLINE leaves the in-sync set, unless it is the last member, and leads no more. Several
of a partition that go together leave in one write (Kafka makes one for each broker); if nobody else is in
sync, the leader stays a member, else the last of the set. States of topics that are being deleted are not
written any more: nobody will read them.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from fastlog.coordination.controller.context import ControllerContext
from fastlog.coordination.controller.control_batch import ControlBatch
from fastlog.coordination.controller.data import NO_LEADER, Assignment, Leadership, Replica
from fastlog.coordination.controller.flow import Flow, Pause, in_turns, send
from fastlog.coordination.controller.states import PartitionPhase, ReplicaPhase, replica_may
from fastlog.coordination.controller.stored_states import ALWAYS_STALE, ROUNDS, store
from fastlog.replication.partition import PartitionKey

_LOG: Final = logging.getLogger(__name__)


def begin(context: ControllerContext, keys: Iterable[PartitionKey] | None = None) -> None:
    """Gives the replicas of partitions (all) their states as a new controller finds them.

    Those that are not online count as not to be deleted for now, in case their topic is being deleted.
    """
    for replica in context.replicas_of(context.partitions() if keys is None else keys):
        online = context.is_online(replica.broker, replica.key)
        context.put_replica_phase(replica, ReplicaPhase.ONLINE if online else ReplicaPhase.INELIGIBLE)


def change(context: ControllerContext, replicas: Iterable[Replica], target: ReplicaPhase) -> Flow[None]:
    """Brings replicas into a state and sends one batch; those that may not go there are logged and left."""
    valid = []
    for replica, due in in_turns(replicas):
        if due:
            yield Pause()
        phase = context.replica_phase(replica)
        if replica_may(phase, target):
            valid.append(replica)
        else:
            _LOG.error(
                "replica %d of partition %s-%d is %s: not made %s",
                replica.broker,
                *replica.key,
                phase.value,
                target.value,
            )
    batch = ControlBatch(context)
    if target is ReplicaPhase.OFFLINE:
        yield from _to_offline(context, valid, batch)
    else:
        for replica, due in in_turns(valid):
            if due:
                yield Pause()
            _move(context, replica, target, batch)
    yield from send(batch)


def _move(context: ControllerContext, replica: Replica, target: ReplicaPhase, batch: ControlBatch) -> None:
    if target is ReplicaPhase.NEW:
        leadership = context.leadership(replica.key)
        if leadership is not None and leadership.leader == replica.broker:
            _LOG.error("the leader of partition %s-%d cannot be a new replica", *replica.key)
            return
        batch.lead((replica.broker,), replica.key, is_new=True)
    elif target is ReplicaPhase.ONLINE:
        if context.replica_phase(replica) is ReplicaPhase.NEW:
            _assign(context, replica)
        else:
            batch.lead((replica.broker,), replica.key, is_new=False)
    elif target is ReplicaPhase.DELETION_STARTED:
        batch.stop((replica.broker,), replica.key, delete=True)
    elif target is ReplicaPhase.NON_EXISTENT:
        context.put_assignment(replica.key, context.assignment(replica.key).without(replica.broker))
    context.put_replica_phase(replica, target)


def _assign(context: ControllerContext, replica: Replica) -> None:
    now = context.assignment(replica.key)
    if replica.broker not in now.replicas:
        _LOG.error("replica %d is not assigned to partition %s-%d: now it is", replica.broker, *replica.key)
        context.put_assignment(
            replica.key, Assignment((*now.replicas, replica.broker), now.adding, now.removing)
        )


def _to_offline(context: ControllerContext, replicas: Collection[Replica], batch: ControlBatch) -> Flow[None]:
    leaving: dict[PartitionKey, list[int]] = {}
    for replica, due in in_turns(replicas):
        if due:
            yield Pause()
        # With the leader epoch of now, before it rises: what the replica has is of this epoch at most.
        batch.stop((replica.broker,), replica.key, delete=False)
        leaving.setdefault(replica.key, []).append(replica.broker)
    stuck = yield from _leave(context, leaving)
    for key, reason in stuck.items():
        _LOG.error("replicas %s of partition %s-%d stay in sync: %s", leaving[key], *key, reason)
    for (key, brokers), due in in_turns(leaving.items()):
        if due:
            yield Pause()
        if key not in stuck:
            _gone_offline(context, key, brokers, batch)


def _gone_offline(
    context: ControllerContext, key: PartitionKey, brokers: Collection[int], batch: ControlBatch
) -> None:
    for broker in brokers:
        context.put_replica_phase(Replica(key, broker), ReplicaPhase.OFFLINE)
    leadership = context.leadership(key)
    if leadership is None:
        batch.update_all((key,))
    elif key[0] not in context.deleting:
        others = [replica for replica in context.assignment(key).replicas if replica not in brokers]
        batch.lead(others, key, is_new=False)
        if leadership.leader == NO_LEADER and context.phase(key) is PartitionPhase.ONLINE:
            # From now on it waits for somebody who can lead.
            context.put_phase(key, PartitionPhase.OFFLINE)


def _leave(
    context: ControllerContext, leaving: Mapping[PartitionKey, Collection[int]]
) -> Flow[dict[PartitionKey, str]]:
    """Takes brokers out of in-sync sets. Returns those where that failed, and why."""
    stuck: dict[PartitionKey, str] = {}
    remaining: dict[PartitionKey, Leadership] = {}
    for key in leaving:
        leadership = context.leadership(key)
        if leadership is not None and key[0] not in context.deleting:
            remaining[key] = leadership
    for _ in range(ROUNDS):
        wanted: dict[PartitionKey, Leadership] = {}
        for (key, now), due in in_turns(remaining.items()):
            if due:
                yield Pause()
            if any(broker in now.isr or broker == now.leader for broker in leaving[key]):
                wanted[key] = _without(now, leaving[key])
        stored = yield from store(context, wanted)
        stuck.update(stored.failed)
        remaining = stored.stale
        if not remaining:
            return stuck
    stuck.update(dict.fromkeys(remaining, ALWAYS_STALE))
    return stuck


def _without(now: Leadership, leaving: Collection[int]) -> Leadership:
    members = [member for member in now.isr if member not in leaving]
    if not members:
        members = [now.leader if now.leader in now.isr else now.isr[-1]]
    return now.led_by(NO_LEADER if now.leader in leaving else now.leader, members)
