"""What the controller has assigned to this broker, and what of a LeaderAndIsr or StopReplica counts: pure.

Follows `ReplicaManager.becomeLeaderOrFollower` and `stopReplicas` of Kafka 3.9.

| LeaderAndIsr, in this order                      | code                                              |
|--------------------------------------------------|---------------------------------------------------|
| no topic can have that name                      | INVALID_TOPIC_EXCEPTION                           |
| no partition can have that number                | INVALID_PARTITIONS                                |
| the partition's log directory is offline         | KAFKA_STORAGE_ERROR                               |
| its directory is of another topic id             | INCONSISTENT_TOPIC_ID                             |
| the request names that topic with another id,    | INCONSISTENT_TOPIC_ID                             |
| which is the known one or came first             |                                                   |
| its leader epoch is not above the known one      | STALE_CONTROLLER_EPOCH                            |
| this broker is none of the replicas              | UNKNOWN_TOPIC_OR_PARTITION                        |
| it is not new and not here, but may be in a      | KAFKA_STORAGE_ERROR                               |
| directory that is offline                        |                                                   |
| it is not new, was here, and is gone, and no     | KAFKA_STORAGE_ERROR: an empty log in its place    |
| other broker that lives leads it                 | would pass lost data off as never written         |
| the same, where that it was here is not known,   | KAFKA_STORAGE_ERROR: the disk was replaced, and   |
| but a log directory is new and the partition's   | followers would cut off all that they have        |
| state is older than the broker's registration    |                                                   |

The last two are not Kafka's: a follower that has lost its data gets it from its leader. Nor are the first
two (`possible`), and that on an id that changes in the request: no controller sends such things, and what a
defective one, or somebody else, sends must not reach another topic, or a place outside the log directories.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastlog.base.persistent_map import PersistentMap
from fastlog.coordination.cluster_view import UNKNOWN_PARTITION, PartitionState, TopicState
from fastlog.coordination.topic_names import is_internal
from fastlog.errors import ErrorCode
from fastlog.wire.messages.leader_and_isr import (
    LeaderAndIsrPartitionState,
)

ANY_EPOCH: Final = (-2, -1)
"""Leader epochs of a StopReplica that are not compared: the topic is deleted, or the sender knows none."""
_NO_EPOCH: Final = -1

Assigned = PersistentMap[str, TopicState]


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What is here of a partition: the topic id of its directory (None: there is none).

    `offline`: it cannot be used. `is_lost`: it was here once. `may_be_offline`: not all log directories can
    be looked at. `may_be_lost`: one of them is new, and may be there in place of the one that it was in.
    """

    topic_id: bytes | None = None
    offline: bool = False
    is_lost: bool = False
    may_be_offline: bool = False
    may_be_lost: bool = False


def known_epoch(topic: TopicState | None, number: int) -> int:
    """The leader epoch in which a partition is assigned to this broker, -1 if it is not."""
    if topic is None or not 0 <= number < len(topic.partitions):
        return _NO_EPOCH
    return topic.partitions[number].leader_epoch


def assignment_error(
    wanted: LeaderAndIsrPartitionState,
    topic_id: bytes,
    node_id: int,
    assigned: TopicState | None,
    disk: OnDisk,
    *,
    has_source: bool,
) -> ErrorCode:
    """Why a partition of a LeaderAndIsr is not taken, or NONE.

    `has_source`: another broker leads it, and lives, so that what is not here comes from there. Who follows
    nobody yet may be the next to lead.
    """
    if disk.offline:
        return ErrorCode.KAFKA_STORAGE_ERROR
    other_id = assigned is not None and assigned.topic_id != topic_id
    if other_id or disk.topic_id not in (None, topic_id):
        return ErrorCode.INCONSISTENT_TOPIC_ID
    if wanted.leader_epoch <= known_epoch(assigned, wanted.partition_index):
        return ErrorCode.STALE_CONTROLLER_EPOCH
    if node_id not in wanted.replicas:
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    is_missed = disk.may_be_offline or (disk.is_lost and not has_source)
    if disk.topic_id is None and is_missed and not wanted.is_new:
        return ErrorCode.KAFKA_STORAGE_ERROR
    return ErrorCode.NONE


def may_be_lost(wanted: LeaderAndIsrPartitionState, disk: OnDisk, *, has_source: bool) -> bool:
    """Whether a partition that comes from nobody else may have been here: if it is older than this life."""
    return disk.topic_id is None and disk.may_be_lost and not wanted.is_new and not has_source


def state_of(wanted: LeaderAndIsrPartitionState) -> PartitionState:
    """The partition as it is to be."""
    return PartitionState(
        leader=wanted.leader,
        leader_epoch=wanted.leader_epoch,
        replicas=tuple(wanted.replicas),
        isr=tuple(wanted.isr),
        partition_epoch=wanted.partition_epoch,
    )


def with_partitions(
    topic: TopicState | None,
    name: str,
    topic_id: bytes,
    changed: Mapping[int, PartitionState],
    configs: Mapping[str, str],
) -> TopicState:
    """The topic with these partitions in the place of what was known of them."""
    partitions = list(() if topic is None else topic.partitions)
    partitions += [UNKNOWN_PARTITION] * (max(changed, default=-1) + 1 - len(partitions))
    for number, state in changed.items():
        partitions[number] = state
    return TopicState(name, topic_id, tuple(partitions), configs, is_internal(name))


def without_partitions(topic: TopicState, numbers: frozenset[int]) -> TopicState | None:
    """The topic without some partitions; None when nothing is left of it."""
    partitions = [
        UNKNOWN_PARTITION if number in numbers else state for number, state in enumerate(topic.partitions)
    ]
    while partitions and partitions[-1] == UNKNOWN_PARTITION:
        partitions.pop()
    if not partitions:
        return None
    return TopicState(topic.name, topic.topic_id, tuple(partitions), topic.configs, topic.internal)


def stop_error(leader_epoch: int, topic: TopicState | None, number: int, *, offline: bool) -> ErrorCode:
    """Why a partition of a StopReplica is not stopped, or NONE; one that is not known has nothing to lose."""
    if offline:
        return ErrorCode.KAFKA_STORAGE_ERROR
    if leader_epoch in ANY_EPOCH or leader_epoch >= known_epoch(topic, number):
        return ErrorCode.NONE
    return ErrorCode.FENCED_LEADER_EPOCH
