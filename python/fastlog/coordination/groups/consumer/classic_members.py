"""Members of the classic protocol in a consumer group: JoinGroup, SyncGroup, Heartbeat and LeaveGroup.

The group treats them as it treats the others, with requests as steps: JoinGroup says what the member wants
and still owns, its answer never names the member as leader, SyncGroup fetches what the broker has assigned,
and Heartbeat says REBALANCE_IN_PROGRESS when there is a next step to make.
"""

from __future__ import annotations

from dataclasses import replace

from fastlog.coordination.groups.classic.state import CONSUMER
from fastlog.coordination.groups.consumer.consumer_protocol import (
    BadProtocolMessage,
    Subscription,
    decode_subscription,
    encode_assignment,
    version_of,
    with_ids,
)
from fastlog.coordination.groups.consumer.leaving import expel
from fastlog.coordination.groups.consumer.member_heartbeat import check_instance, step, take_over
from fastlog.coordination.groups.consumer.members import (
    ClassicInfo,
    ConsumerMember,
    Details,
    MemberState,
    Position,
)
from fastlog.coordination.groups.consumer.reconciliation import is_waiting
from fastlog.coordination.groups.consumer.state import ConsumerGroup, Deadline
from fastlog.coordination.groups.consumer.topics_seen import Topics
from fastlog.coordination.groups.results import JoinRequest, JoinResult, Now, SyncRequest, SyncResult
from fastlog.errors import ErrorCode, KafkaError


def join(group: ConsumerGroup, request: JoinRequest, now: Now, topics: Topics) -> JoinResult:
    """Takes JoinGroup; `request.member_id` or `new_member_id` is the member's. Answers at once.

    Raises KafkaError: GROUP_MAX_SIZE_REACHED, INCONSISTENT_GROUP_PROTOCOL, MEMBER_ID_REQUIRED,
    UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID.
    """
    member_id = request.member_id or request.new_member_id
    is_known = member_id in group.members or request.instance_id in group.static
    if len(group.members) >= group.limits.max_size and not is_known:
        raise KafkaError(ErrorCode.GROUP_MAX_SIZE_REACHED)
    subscription = _subscription(group, request)
    if not request.member_id and request.requires_known_id:
        return JoinResult(ErrorCode.MEMBER_ID_REQUIRED, member_id)
    found = group.members.get(member_id)
    if request.instance_id is not None:
        found = group.static_member(request.instance_id)
        if found is not None and request.member_id:
            check_instance(found, member_id)
        elif found is not None:
            found = take_over(group, found, member_id)
        elif request.member_id:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
    member = found or ConsumerMember(member_id, Details(), Position())
    member = replace(member, details=_details(member.details, request, subscription))
    step(group, member, with_ids(subscription.owned, topics), now, topics)
    member = group.members[member_id]
    group.clear_deadlines(member_id, [Deadline.JOIN])
    group.start_session(member, now)
    group.set_deadline(member, Deadline.SYNC, member.details.rebalance_timeout_ms, now)
    return JoinResult(
        error=ErrorCode.NONE,
        member_id=member_id,
        generation=member.position.epoch,
        protocol_type=CONSUMER,
        protocol_name=request.protocols[0][0],
    )


def sync(group: ConsumerGroup, request: SyncRequest, now: Now, topics: Topics) -> SyncResult:
    """Takes SyncGroup: the answer is what the member owns now.

    Raises KafkaError: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL
    or REBALANCE_IN_PROGRESS.
    """
    member, classic = _classic_member(group, request.member_id, request.instance_id)
    _check_generation(member, request.generation)
    name, metadata = classic.protocols[0]
    if request.protocol_type not in (None, CONSUMER) or request.protocol_name not in (None, name):
        raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    if group.epoch_in_reach > member.position.epoch and member.position.state is not MemberState.UNREVOKED:
        _call_to_join(group, member, now)
        raise KafkaError(ErrorCode.REBALANCE_IN_PROGRESS)
    group.clear_deadlines(member.member_id, [Deadline.SYNC])
    group.start_session(member, now)
    assignment = encode_assignment(member.position.assigned, topics, version_of(metadata))
    return SyncResult(ErrorCode.NONE, CONSUMER, name, assignment)


def heartbeat(
    group: ConsumerGroup, member_id: str, instance_id: str | None, generation: int, now: Now
) -> ErrorCode:
    """Takes Heartbeat. Raises KafkaError: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID or ILLEGAL_GENERATION."""
    member, _ = _classic_member(group, member_id, instance_id)
    _check_generation(member, generation)
    group.start_session(member, now)
    state = member.position.state
    if (
        member.position.epoch < group.epoch_in_reach
        or state is MemberState.UNREVOKED
        or (state is MemberState.UNRELEASED and not is_waiting(member, group.target(member_id), group.owners))
    ):
        _call_to_join(group, member, now)
        return ErrorCode.REBALANCE_IN_PROGRESS
    return ErrorCode.NONE


def leave(group: ConsumerGroup, identities: list[tuple[str, str | None]], topics: Topics) -> list[ErrorCode]:
    """Takes LeaveGroup: (member id or "", instance id or None) of each that goes. One code for each.

    Administrators remove members of the consumer protocol with it, too.
    """
    codes: list[ErrorCode] = []
    gone: dict[str, None] = {}
    for member_id, instance_id in identities:
        try:
            member = _leaver(group, member_id, instance_id)
        except KafkaError as error:
            codes.append(error.code)
            continue
        codes.append(ErrorCode.NONE)
        gone[member.member_id] = None
    if gone:
        expel(group, list(gone), topics)
    return codes


def _leaver(group: ConsumerGroup, member_id: str, instance_id: str | None) -> ConsumerMember:
    if not member_id and instance_id is not None:
        member_id = group.static.get(instance_id, "")
    return _member(group, member_id, instance_id)


def _member(group: ConsumerGroup, member_id: str, instance_id: str | None) -> ConsumerMember:
    if instance_id is not None:
        static = group.static_member(instance_id)
        if static is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
        check_instance(static, member_id)
    return group.member(member_id)


def _classic_member(
    group: ConsumerGroup, member_id: str, instance_id: str | None
) -> tuple[ConsumerMember, ClassicInfo]:
    member = _member(group, member_id, instance_id)
    if member.details.classic is None:
        raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"{member_id!r} does not use the classic protocol")
    return member, member.details.classic


def _check_generation(member: ConsumerMember, generation: int) -> None:
    if generation != member.position.epoch:
        raise KafkaError(ErrorCode.ILLEGAL_GENERATION)


def _call_to_join(group: ConsumerGroup, member: ConsumerMember, now: Now) -> None:
    if (member.member_id, Deadline.JOIN) not in group.deadlines:
        group.set_deadline(member, Deadline.JOIN, member.details.rebalance_timeout_ms, now)


def _subscription(group: ConsumerGroup, request: JoinRequest) -> Subscription:
    """What the member wants, if its protocols go with those of the other classic members."""
    names = {name for name, _ in request.protocols}
    common = names
    for member in group.members.values():
        if member.details.classic is not None and member.member_id != request.member_id:
            common = common & {name for name, _ in member.details.classic.protocols}
    if request.protocol_type != CONSUMER or not common:
        raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    try:
        return decode_subscription(request.protocols[0][1])
    except BadProtocolMessage as error:
        raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, str(error)) from error


def _details(before: Details, request: JoinRequest, subscription: Subscription) -> Details:
    return Details(
        instance_id=request.instance_id or before.instance_id,
        rack_id=subscription.rack_id or before.rack_id,
        client_id=request.client_id,
        client_host=request.client_host,
        topics=tuple(sorted(set(subscription.topics))),
        rebalance_timeout_ms=request.rebalance_timeout_ms,
        classic=ClassicInfo(request.session_timeout_ms, request.protocols),
    )
