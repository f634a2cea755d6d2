"""ConsumerGroupHeartbeat of members that join or stay: the one request that drives a group forward.

Every heartbeat does three things: it takes in what the member says (subscription, what it owns), brings the
group's target up to date if anything changed, and takes the member one step towards its target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fastlog.coordination.groups.consumer.members import ConsumerMember, Details, MemberState, Position
from fastlog.coordination.groups.consumer.patterns import BadPattern, check_pattern
from fastlog.coordination.groups.consumer.reconciliation import Owned, reconcile
from fastlog.coordination.groups.consumer.results import (
    JOIN_EPOCH,
    LEAVE_STATIC_EPOCH,
    NOT_GIVEN,
    ConsumerLimits,
    HeartbeatRequest,
    HeartbeatResult,
)
from fastlog.coordination.groups.consumer.state import ConsumerGroup, Deadline, Resolved
from fastlog.coordination.groups.consumer.targets import update_targets
from fastlog.coordination.groups.consumer.topics_seen import Topics, metadata_hash
from fastlog.coordination.groups.results import Now
from fastlog.coordination.groups.subscribed_names import MAX_TOPIC_NAMES
from fastlog.errors import ErrorCode, KafkaError


def check_request(request: HeartbeatRequest, limits: ConsumerLimits) -> None:
    """What can be said against a request without a look at the group.

    Raises KafkaError: INVALID_REQUEST, UNSUPPORTED_ASSIGNOR or INVALID_REGULAR_EXPRESSION.
    """
    wrong = _wrong(request)
    if wrong is not None:
        raise KafkaError(ErrorCode.INVALID_REQUEST, wrong)
    if request.assignor is not None and request.assignor not in limits.assignors:
        supported = ", ".join(limits.assignors)
        raise KafkaError(
            ErrorCode.UNSUPPORTED_ASSIGNOR,
            f"server assignor {request.assignor!r} is not supported; there are {supported}",
        )
    if request.regex:
        try:
            check_pattern(request.regex)
        except BadPattern as error:
            raise KafkaError(
                ErrorCode.INVALID_REGULAR_EXPRESSION,
                f"subscribed_topic_regex {request.regex[:200]!r} is not valid: {error}",
            ) from error


def _wrong(request: HeartbeatRequest) -> str | None:
    if request.instance_id == "":
        return "InstanceId can't be empty."
    if request.rack_id == "":
        return "RackId can't be empty."
    if not request.member_id and (request.brings_id or request.epoch != JOIN_EPOCH):
        return "MemberId can't be empty."
    if request.epoch == LEAVE_STATIC_EPOCH and request.instance_id is None:
        return "InstanceId can't be null."
    if request.topics is not None and len(request.topics) > MAX_TOPIC_NAMES:
        return f"SubscribedTopicNames has more than {MAX_TOPIC_NAMES} names: a regular expression may do."
    if request.epoch < LEAVE_STATIC_EPOCH:
        return f"MemberEpoch {request.epoch} is invalid."
    return _wrong_join(request) if request.epoch == JOIN_EPOCH else None


def _wrong_join(request: HeartbeatRequest) -> str | None:
    if request.rebalance_timeout_ms == NOT_GIVEN:
        return "RebalanceTimeoutMs must be provided in first request."
    if request.owned is None or request.owned:
        return "TopicPartitions must be empty when (re-)joining."
    if request.topics is None and request.regex is None:
        return "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."
    return None


def heartbeat(group: ConsumerGroup, request: HeartbeatRequest, now: Now, topics: Topics) -> HeartbeatResult:
    """Takes a heartbeat that `check_request` let through, of a member that does not leave.

    Raises KafkaError as `enter`. Nothing has changed then.
    """
    member = enter(group, request, now, topics)
    return answer(group, member.member_id, request, request.owned, now)


def enter(group: ConsumerGroup, request: HeartbeatRequest, now: Now, topics: Topics) -> ConsumerMember:
    """Takes in what a member says, and brings the target up to date or asks for it; returns the member.

    Raises KafkaError: GROUP_MAX_SIZE_REACHED, UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID
    or FENCED_INSTANCE_ID. Nothing has changed then.
    """
    joins = request.epoch == JOIN_EPOCH
    is_known = request.member_id in group.members or request.instance_id in group.static
    if len(group.members) >= group.limits.max_size and not is_known:
        raise KafkaError(
            ErrorCode.GROUP_MAX_SIZE_REACHED, f"the group has its {group.limits.max_size} members already"
        )
    found = _find(group, request)
    if found is None:
        found = ConsumerMember(request.member_id, Details(), Position())
    elif joins and (found.member_id != request.member_id or found.position.epoch == LEAVE_STATIC_EPOCH):
        found = take_over(group, found, request.member_id)
    member = replace(found, details=_details(found.details, request))
    _admit(group, member, topics)
    group.start_session(member, now)
    return member


def answer(
    group: ConsumerGroup, member_id: str, request: HeartbeatRequest, owned: Owned, now: Now
) -> HeartbeatResult:
    """Takes a member that has entered one step on, and says where it is then."""
    before = group.members[member_id]
    _move(group, before, owned, now)
    member = group.members[member_id]
    changed = member.position.assigned.keys() != before.position.assigned.keys()
    return HeartbeatResult(
        member_id=member_id,
        epoch=member.position.epoch,
        heartbeat_interval_ms=group.limits.heartbeat_interval_ms,
        assignment=tuple(member.position.assigned) if request.is_full or changed else None,
    )


def step(group: ConsumerGroup, member: ConsumerMember, owned: Owned, now: Now, topics: Topics) -> None:
    """Puts a member in as it is to be, brings the target up to date, and takes the member one step on."""
    _admit(group, member, topics)
    _move(group, member, owned, now)


def _admit(group: ConsumerGroup, member: ConsumerMember, topics: Topics) -> None:
    before = group.members.get(member.member_id)
    group.put(member)
    is_changed = before is None or (before.details.topics, before.details.regex) != (
        member.details.topics,
        member.details.regex,
    )
    refresh(group, topics, is_changed=is_changed)
    if group.epoch > group.assignment_epoch:
        update_targets(group, topics)


def _move(group: ConsumerGroup, member: ConsumerMember, owned: Owned, now: Now) -> None:
    position = reconcile(member, group.target(member.member_id), group.assignment_epoch, group.owners, owned)
    if position is member.position:
        return
    member = replace(member, position=position)
    group.put(member)
    if member.is_classic:
        return
    if position.state is MemberState.UNREVOKED:
        group.set_deadline(member, Deadline.REVOCATION, member.details.rebalance_timeout_ms, now)
    else:
        group.clear_deadlines(member.member_id, [Deadline.REVOCATION])


def refresh(group: ConsumerGroup, topics: Topics, *, is_changed: bool = False) -> None:
    """Raises the group epoch if subscriptions are others (`is_changed`), or their topics are."""
    if not (is_changed or group.is_stale) and group.topics_seen == topics.generation:
        return
    group.topics_seen, group.is_stale = topics.generation, False
    found = metadata_hash(group.subscribed_topics(), topics)
    if is_changed or found != group.metadata_hash:
        group.set_epoch(group.epoch + 1, found)


def on_regexes(
    group: ConsumerGroup, resolved: Mapping[str, frozenset[str]], generation: int, now: Now
) -> None:
    """The patterns of the group have been resolved against the topics of that generation."""
    wanted = group.patterns()
    group.set_regexes(
        {text: Resolved(names, generation, now.wall_ms) for text, names in resolved.items() if text in wanted}
    )
    # The next heartbeat finds out whether the topics of the group are others.
    group.is_stale = True


def take_over(group: ConsumerGroup, former: ConsumerMember, member_id: str) -> ConsumerMember:
    """A static member is back under another id: it has what it had, in epoch 0, without a rebalance."""
    target = group.target(former.member_id)
    position = replace(former.position, epoch=JOIN_EPOCH, previous_epoch=JOIN_EPOCH)
    member = ConsumerMember(member_id, former.details, position)
    group.put_instead(former, member)
    group.set_target(member_id, target)
    return member


def _find(group: ConsumerGroup, request: HeartbeatRequest) -> ConsumerMember | None:
    """The member that sends this, or whose place it takes; None for a new one."""
    joins = request.epoch == JOIN_EPOCH
    if request.instance_id is None:
        member = group.members.get(request.member_id)
        if member is None and joins:
            return None
        member = group.member(request.member_id)
        _check_epoch(member, request)
        return member
    member = group.static_member(request.instance_id)
    if member is None:
        if joins:
            return group.members.get(request.member_id)
        raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"instance id {request.instance_id!r} is not known")
    if member.member_id == request.member_id and member.position.epoch != LEAVE_STATIC_EPOCH:
        _check_epoch(member, request)
    elif joins:
        if not member.is_classic and member.position.epoch != LEAVE_STATIC_EPOCH:
            raise KafkaError(
                ErrorCode.UNRELEASED_INSTANCE_ID,
                f"instance id {request.instance_id!r} is held by {member.member_id!r}",
            )
    else:
        check_instance(member, request.member_id)
        _check_epoch(member, request)
    return member


def check_instance(member: ConsumerMember, member_id: str) -> None:
    """Raises KafkaError(FENCED_INSTANCE_ID) for a static member whose instance id another one has now."""
    if member.member_id != member_id:
        raise KafkaError(
            ErrorCode.FENCED_INSTANCE_ID,
            f"{member_id!r} with instance id {member.instance_id!r} was fenced by {member.member_id!r}",
        )


def _check_epoch(member: ConsumerMember, request: HeartbeatRequest) -> None:
    """The epoch must be the current one, or the one before if the answer may have been lost."""
    position = member.position
    if request.epoch == position.epoch:
        return
    lost = (
        request.epoch == position.previous_epoch
        and request.epoch < position.epoch
        and request.owned is not None
        and all(key in position.assigned for key in request.owned)
    )
    if not lost:
        raise KafkaError(
            ErrorCode.FENCED_MEMBER_EPOCH,
            f"the member is in epoch {position.epoch}, not {request.epoch}: it has to give up all its"
            " partitions and join again",
        )


def _details(before: Details, request: HeartbeatRequest) -> Details:
    topics = before.topics if request.topics is None else tuple(sorted(set(request.topics)))
    regex = before.regex if request.regex is None else request.regex or None
    timeout_ms = request.rebalance_timeout_ms
    return Details(
        instance_id=request.instance_id or before.instance_id,
        rack_id=request.rack_id or before.rack_id,
        client_id=request.client_id,
        client_host=request.client_host,
        topics=topics,
        regex=regex,
        rebalance_timeout_ms=before.rebalance_timeout_ms if timeout_ms == NOT_GIVEN else timeout_ms,
        assignor=request.assignor or before.assignor,
        classic=None,
    )
