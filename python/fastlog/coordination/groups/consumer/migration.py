"""A live group moves between the protocols, as in Kafka 4 (`group.consumer.migration.policy`).

* Upgrade: the first member of the consumer protocol joins a classic group of protocol type "consumer". The
  others keep what they have, and follow the broker's assignment from then on.
* Downgrade: the last member of the consumer protocol is gone, and classic members remain. They are called to
  join a classic rebalance.

Committed offsets belong to the group and stay as they are. When the log refuses a move (its records may be
too large for the topic) the group stays what it was.
"""

from __future__ import annotations

from fastlog.coordination.groups.classic import rebalance
from fastlog.coordination.groups.classic.members import Member
from fastlog.coordination.groups.classic.state import CONSUMER, Group, GroupState
from fastlog.coordination.groups.consumer.assignors.spec import TopicPartition
from fastlog.coordination.groups.consumer.consumer_protocol import (
    BadProtocolMessage,
    Subscription,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    version_of,
    with_ids,
)
from fastlog.coordination.groups.consumer.members import (
    ClassicInfo,
    ConsumerMember,
    Details,
    MemberState,
    Position,
)
from fastlog.coordination.groups.consumer.results import ConsumerLimits
from fastlog.coordination.groups.consumer.state import Before, ConsumerGroup
from fastlog.coordination.groups.consumer.topics_seen import Topics, metadata_hash
from fastlog.coordination.groups.consumer.undoing import restore
from fastlog.coordination.groups.results import GroupLimits, JoinResult, Now, SyncResult
from fastlog.errors import ErrorCode, KafkaError


def upgrade(group: Group, limits: ConsumerLimits, now: Now, topics: Topics) -> ConsumerGroup:
    """The consumer group that a classic group with members becomes. The classic one is dead afterwards, and
    its requests that wait are answered with REBALANCE_IN_PROGRESS.

    Raises KafkaError(GROUP_ID_NOT_FOUND), as Kafka does, when the group has to stay as it is.
    """
    parts = _check_upgrade(group, limits)
    upgraded = ConsumerGroup(group.group_id, limits)
    upgraded.set_epoch(group.generation)
    upgraded.set_assignment_epoch(group.generation)
    for member, subscription, assigned in parts:
        mine: dict[TopicPartition, int] = {
            key: group.generation
            for key in with_ids(assigned, topics)
            # An assignor of the clients' may have given a partition to two of them.
            if key not in upgraded.owners
        }
        details = Details(
            instance_id=member.instance_id,
            rack_id=subscription.rack_id,
            client_id=member.client_id,
            client_host=member.client_host,
            topics=tuple(sorted(set(subscription.topics))),
            rebalance_timeout_ms=member.rebalance_timeout_ms,
            classic=ClassicInfo(member.session_timeout_ms, member.protocols),
        )
        position = Position(group.generation, group.generation, MemberState.STABLE, mine)
        upgraded.put(ConsumerMember(member.member_id, details, position))
        upgraded.set_target(member.member_id, frozenset(mine))
    for one in upgraded.members.values():
        upgraded.start_session(one, now)
    upgraded.metadata_hash = metadata_hash(upgraded.subscribed_topics(), topics)
    for member in group.members:
        group.answer_join(member, JoinResult(ErrorCode.REBALANCE_IN_PROGRESS, member.member_id))
        group.answer_sync(member, SyncResult(ErrorCode.REBALANCE_IN_PROGRESS))
    group.become(GroupState.DEAD, now)
    return upgraded


def stay_classic(group: Group, state: GroupState, since_ms: int, now: Now) -> None:
    """The group could not be upgraded: it is as it was in that state. Members that waited join again."""
    group.become(state, now)
    group.state_timestamp_ms = since_ms
    if state in (GroupState.PREPARING_REBALANCE, GroupState.COMPLETING_REBALANCE):
        # Who waited was told so, and has a session to come again.
        group.become(GroupState.STABLE, now)
        for member in group.members:
            group.extend(member, now)
        rebalance.prepare(group, now)


def can_downgrade(group: ConsumerGroup) -> bool:
    """Whether only members of the classic protocol are left, and the group may follow them."""
    return (
        bool(group.members)
        and all(member.is_classic for member in group.members.values())
        and group.limits.may_downgrade
        and len(group.members) <= group.limits.classic_max_size
    )


def downgrade(
    group: ConsumerGroup, limits: GroupLimits, now: Now, topics: Topics, *, call_members: bool
) -> Group:
    """The classic group that a consumer group becomes; the consumer group is dead afterwards.

    `call_members` starts a rebalance. It is not needed when a static member of the classic protocol took the
    place of the last one of the consumer protocol.
    """
    classic = Group(group.group_id, limits, now)
    classic.generation = group.epoch
    classic.protocol_type = CONSUMER
    for member in group.members.values():
        info = member.details.classic
        if info is None:
            raise RuntimeError(f"{member.member_id} does not use the classic protocol")
        version = version_of(info.protocols[0][1])
        classic.members.add(
            Member(
                member_id=member.member_id,
                instance_id=member.instance_id,
                client_id=member.details.client_id,
                client_host=member.details.client_host,
                session_timeout_ms=info.session_timeout_ms,
                rebalance_timeout_ms=member.details.rebalance_timeout_ms,
                protocols=info.protocols,
                assignment=encode_assignment(group.target(member.member_id), topics, version),
                deadline=now.monotonic + info.session_timeout_ms / 1000,
            )
        )
    classic.protocol_name = classic.members.select_protocol()
    classic.become(GroupState.STABLE, now)
    group.die()
    if call_members:
        rebalance.prepare(classic, now)
    return classic


def stay_consumer(group: ConsumerGroup, before: Before, now: Now) -> None:
    """The group could not be downgraded: it is as it was, with members that had left (see `restore`)."""
    group.revive()
    for member in group.members.values():
        group.start_session(member, now)
    restore(group, before, now)


def _check_upgrade(
    group: Group, limits: ConsumerLimits
) -> list[tuple[Member, Subscription, list[tuple[str, int]]]]:
    if not limits.may_upgrade:
        raise _stays(group, "group.consumer.migration.policy does not let it be upgraded")
    if group.protocol_type != CONSUMER:
        raise _stays(group, f"its protocol type is {group.protocol_type!r}")
    if len(group.members) >= limits.max_size:
        raise KafkaError(ErrorCode.GROUP_MAX_SIZE_REACHED)
    parts = []
    for member in group.members:
        first = member.protocols[0][1]
        try:
            assigned, user_data = decode_assignment(member.assignment)
            # The first protocol's version is looked at for as long as the member stays.
            version_of(first)
            metadata = member.metadata(group.protocol_name) or first
            parts.append((member, decode_subscription(metadata), assigned))
        except BadProtocolMessage as error:
            raise _stays(group, f"the metadata of {member.member_id!r} is malformed: {error}") from error
        if user_data:
            raise _stays(group, "an assignor of its own is in use, whose data would be lost")
    return parts


def _stays(group: Group, why: str) -> KafkaError:
    return KafkaError(
        ErrorCode.GROUP_ID_NOT_FOUND, f"group {group.group_id!r} is a classic group, and stays one: {why}"
    )
