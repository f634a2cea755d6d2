"""One step of a member towards its target: give up first, then take what is free.

A partition goes to its new owner only when the former one has given it up. Until then the new owner is
UNRELEASED and gets it with a later heartbeat. The behaviour is that of Kafka 4's `CurrentAssignmentBuilder`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fastlog.coordination.groups.consumer.assignors.spec import Assignment, TopicPartition
from fastlog.coordination.groups.consumer.members import ConsumerMember, MemberState, Position
from fastlog.errors import ErrorCode, KafkaError

Owned = Collection[TopicPartition] | None
"""The partitions that a member says it owns; None when it did not say, which means "as before"."""


def reconcile(
    member: ConsumerMember,
    target: Assignment,
    target_epoch: int,
    owners: Mapping[TopicPartition, str],
    owned: Owned,
) -> Position:
    """The position of the member after this heartbeat; the same one when it cannot go on yet.

    `owners` has the member that owns each partition. Raises KafkaError(FENCED_MEMBER_EPOCH) for a member in a
    state of a later release that has not given up everything.
    """
    position = member.position
    if member.is_reconciled(target_epoch):
        return position
    if position.state is MemberState.UNREVOKED and _still_owns(owned, position.revoking):
        return position
    if position.state is MemberState.UNKNOWN and (owned is None or owned):
        raise KafkaError(
            ErrorCode.FENCED_MEMBER_EPOCH, "the state of the member is not known: it has to join anew"
        )
    kept = {key: epoch for key, epoch in position.assigned.items() if key in target}
    lost = {key: epoch for key, epoch in position.assigned.items() if key not in target}
    if lost and _still_owns(owned, lost):
        return position.at(position.epoch, MemberState.UNREVOKED, kept, lost)
    wanted = target.difference(kept)
    # What it just gave up itself is its own still, and may come back to it.
    free = [key for key in wanted if owners.get(key, member.member_id) == member.member_id]
    state = MemberState.STABLE if len(free) == len(wanted) else MemberState.UNRELEASED
    return position.at(target_epoch, state, {**kept, **dict.fromkeys(free, target_epoch)}, {})


def is_waiting(member: ConsumerMember, target: Assignment, owners: Mapping[TopicPartition, str]) -> bool:
    """Whether some partition of the member's target still belongs to another member."""
    return any(owners.get(key, member.member_id) != member.member_id for key in target)


def _still_owns(owned: Owned, partitions: Mapping[TopicPartition, int]) -> bool:
    return owned is None or any(key in partitions for key in owned)
