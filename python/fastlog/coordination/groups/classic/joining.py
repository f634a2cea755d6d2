"""JoinGroup: new members, members that come again, static members that come back."""

from __future__ import annotations

from fastlog.coordination.groups.classic.members import Member
from fastlog.coordination.groups.classic.rebalance import (
    NEW_MEMBER_JOIN_TIMEOUT_MS,
    maybe_complete,
    maybe_prepare,
    prepare,
)
from fastlog.coordination.groups.classic.state import Group, GroupState
from fastlog.coordination.groups.results import (
    UNKNOWN_MEMBER,
    JoinAnswer,
    JoinRequest,
    JoinResult,
    Now,
    Replacement,
    Store,
    StoreReason,
    SyncResult,
)
from fastlog.errors import ErrorCode


def join(group: Group, request: JoinRequest, now: Now) -> None:
    """Takes a member in, or answers why not. The answer comes as an effect, now or later."""
    if group.state is GroupState.DEAD:
        _refuse(group, request, ErrorCode.COORDINATOR_NOT_AVAILABLE)
    elif not _has_room(group, request.member_id):
        _refuse(group, request, ErrorCode.GROUP_MAX_SIZE_REACHED, UNKNOWN_MEMBER)
    elif not group.supports(request.protocol_type, [name for name, _ in request.protocols]):
        _refuse(group, request, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    elif not request.member_id:
        _join_new(group, request, now)
    elif request.member_id in group.pending and request.instance_id is None:
        _add(group, request, request.member_id, now)
    else:
        error = group.identity_error(request.member_id, request.instance_id)
        member = group.members.get(request.member_id)
        if error is not ErrorCode.NONE or member is None:
            _refuse(group, request, error)
        else:
            _join_again(group, request, member, now)
    maybe_complete(group, now)


def _refuse(group: Group, request: JoinRequest, error: ErrorCode, member_id: str | None = None) -> None:
    known = request.member_id if member_id is None else member_id
    group.effects.append(JoinAnswer(request.ticket, JoinResult(error, known)))


def _has_room(group: Group, member_id: str) -> bool:
    """Whether `group.max.size` lets the member in; those who are in stay in while the group is not full."""
    limit = group.limits.max_size
    members = group.members
    if group.state is GroupState.PREPARING_REBALANCE:
        # Those who joined first keep their places.
        member = members.get(member_id)
        waits = member is not None and member.join_ticket is not None
        return waits or members.waiting_to_join() < limit
    return member_id in members or len(members) < limit


def _join_new(group: Group, request: JoinRequest, now: Now) -> None:
    if request.instance_id is not None:
        old_member_id = group.members.static_id(request.instance_id)
        member = group.members.get(old_member_id) if old_member_id is not None else None
        if member is not None:
            _replace_static(group, request, member, now)
        else:
            _add(group, request, request.new_member_id, now)
    elif request.requires_known_id:
        # The member must come again with its id: a lost answer then leaves no unknown member behind.
        group.give_out(request.new_member_id, now.monotonic + request.session_timeout_ms / 1000)
        _refuse(group, request, ErrorCode.MEMBER_ID_REQUIRED, request.new_member_id)
    else:
        _add(group, request, request.new_member_id, now)


def _add(group: Group, request: JoinRequest, member_id: str, now: Now) -> None:
    if group.state is GroupState.PREPARING_REBALANCE and group.initial_wait_ms is not None:
        group.member_added = True
    if not len(group.members):
        group.protocol_type = request.protocol_type
    member = Member.of(request, member_id)
    member.join_ticket = request.ticket
    member.deadline = now.monotonic + NEW_MEMBER_JOIN_TIMEOUT_MS / 1000
    group.members.add(member)
    if member_id in group.pending:
        del group.pending[member_id]
    maybe_prepare(group, now)


def _join_again(group: Group, request: JoinRequest, member: Member, now: Now) -> None:
    same = member.protocols == request.protocols
    leads = group.members.leader == member.member_id
    if group.state is GroupState.EMPTY:
        _refuse(group, request, ErrorCode.UNKNOWN_MEMBER_ID)
    elif same and (
        group.state is GroupState.COMPLETING_REBALANCE or (group.state is GroupState.STABLE and not leads)
    ):
        # Its answer was lost, or it is unsure: nothing changes for the others. A leader that joins a stable
        # group wants a new assignment, perhaps for topics that changed.
        group.effects.append(JoinAnswer(request.ticket, group.joined_members(member.member_id)))
    else:
        _update(group, request, member)
        maybe_prepare(group, now)


def _update(group: Group, request: JoinRequest, member: Member) -> None:
    # A request of the same member that still waits is answered: its connection may be the one that is gone.
    if member.join_ticket is not None:
        group.answer_join(member, JoinResult(ErrorCode.REBALANCE_IN_PROGRESS, member.member_id))
    group.members.set_protocols(member, request.protocols)
    member.session_timeout_ms = request.session_timeout_ms
    member.rebalance_timeout_ms = request.rebalance_timeout_ms
    group.members.wait_for_generation(member, request.ticket)


def _replace_static(group: Group, request: JoinRequest, member: Member, now: Now) -> None:
    """A static member restarted: it takes over what it had, under a new id, and the old id is fenced."""
    old_member_id, members = member.member_id, group.members
    replacement = Replacement(
        instance_id=request.instance_id or "",
        old_member_id=old_member_id,
        new_member_id=request.new_member_id,
        old_protocols=member.protocols,
        old_rebalance_timeout_ms=member.rebalance_timeout_ms,
        old_session_timeout_ms=member.session_timeout_ms,
        former_leader=members.leader or "",
        can_skip=request.can_skip,
    )
    group.answer_join(member, JoinResult(ErrorCode.FENCED_INSTANCE_ID, old_member_id))
    group.answer_sync(member, SyncResult(ErrorCode.FENCED_INSTANCE_ID))
    members.rename(member, request.new_member_id)
    if old_member_id in group.pending_sync:
        group.pending_sync.discard(old_member_id)
        group.pending_sync.add(request.new_member_id)
    _update(group, request, member)
    group.extend(member, now)
    if group.state is GroupState.STABLE:
        if members.select_protocol() == group.protocol_name:
            # No rebalance: that is what static members are for.
            group.effects.append(
                Store(StoreReason.REPLACEMENT, group.generation, group.stored(), replacement)
            )
        else:
            maybe_prepare(group, now)
    elif group.state is GroupState.COMPLETING_REBALANCE:
        # The leader may already work on an assignment for the old id.
        prepare(group, now)


def on_replacement_stored(group: Group, store: Store, error: ErrorCode, now: Now) -> None:
    """The new id of a static member is persisted, or could not be: then the old one is in force again."""
    replacement = store.replacement
    member = group.members.get(replacement.new_member_id) if replacement is not None else None
    if replacement is None or member is None or group.state is not GroupState.STABLE:
        # A rebalance began meanwhile and answers the member, or it is gone and was answered.
        return
    if error is not ErrorCode.NONE:
        result = JoinResult(
            error,
            UNKNOWN_MEMBER,
            group.generation,
            group.protocol_type,
            group.protocol_name,
            replacement.former_leader,
        )
        group.answer_join(member, result)
        group.members.set_protocols(member, replacement.old_protocols)
        member.rebalance_timeout_ms = replacement.old_rebalance_timeout_ms
        member.session_timeout_ms = replacement.old_session_timeout_ms
        group.members.rename(member, replacement.old_member_id)
        group.extend(member, now)
        return
    result = group.joined_members(member.member_id)
    leads = group.members.leader == member.member_id
    if replacement.can_skip:
        result = result._replace(skip_assignment=leads)
    else:
        # Before version 9 a leader must not know that it leads: it would assign anew, to no effect.
        result = result._replace(leader=replacement.former_leader, members=())
    group.answer_join(member, result)
    member.is_new = False
