"""From the call to join again to the next generation, and everything that happens when time passes."""

from __future__ import annotations

from typing import Final

from fastlog.coordination.groups.classic.members import Member
from fastlog.coordination.groups.classic.state import Group, GroupState
from fastlog.coordination.groups.results import UNKNOWN_MEMBER, JoinAnswers, JoinResult, Now, SyncResult
from fastlog.errors import ErrorCode

NEW_MEMBER_JOIN_TIMEOUT_MS: Final = 5 * 60 * 1000
"""How long a new member may wait for its first generation: it has no id yet to send heartbeats with."""

_REBALANCES_FROM: Final = (GroupState.EMPTY, GroupState.STABLE, GroupState.COMPLETING_REBALANCE)


def maybe_prepare(group: Group, now: Now) -> None:
    """Starts a rebalance unless one is being prepared already."""
    if group.state in _REBALANCES_FROM:
        prepare(group, now)


def prepare(group: Group, now: Now) -> None:
    """Calls all members to join again.

    A group that was empty waits `group.initial.rebalance.delay.ms` for others that start at the same time,
    again and again while more come, at most the rebalance timeout in all.
    """
    if group.state is GroupState.COMPLETING_REBALANCE:
        group.fail_sync(ErrorCode.REBALANCE_IN_PROGRESS, now)
    group.pending_sync.clear()
    group.sync_deadline = None
    timeout_ms = group.members.rebalance_timeout_ms()
    if group.state is GroupState.EMPTY:
        delay_ms = group.limits.initial_rebalance_delay_ms
        group.initial_wait_ms = max(timeout_ms - delay_ms, 0)
        group.join_deadline = now.monotonic + delay_ms / 1000
    else:
        group.initial_wait_ms = None
        group.join_deadline = now.monotonic + timeout_ms / 1000
    group.become(GroupState.PREPARING_REBALANCE, now)


def maybe_complete(group: Group, now: Now) -> None:
    """Ends the preparation if everybody who is expected has joined."""
    if (
        group.state is GroupState.PREPARING_REBALANCE
        and group.initial_wait_ms is None
        and not group.pending
        and group.members.all_joined()
    ):
        complete(group, now)


def complete(group: Group, now: Now) -> None:
    """Starts the next generation with those who have joined. Static members stay although they have not."""
    if not group.members.all_joined():
        for member in group.members:
            if member.join_ticket is None and member.instance_id is None:
                remove(group, member)
    group.initial_wait_ms = None
    if len(group.members) and not group.members.elect_joined_leader():
        # Only static members, and none of them has joined: their sessions decide how long to wait.
        group.join_deadline = now.monotonic + max(group.members.rebalance_timeout_ms(), 1) / 1000
        return
    group.join_deadline = None
    group.member_added = False
    group.generation += 1
    group.pending_sync.clear()
    if not len(group.members):
        group.protocol_name = None
        group.become(GroupState.EMPTY, now)
        group.store_empty()
        return
    group.protocol_name = group.members.select_protocol()
    group.become(GroupState.COMPLETING_REBALANCE, now)
    leader = group.members.leader or ""
    # All of it is of this moment, though answers are given in turns: what comes between them meets a
    # generation that has begun.
    told = group.joined_members(leader)
    group.effects.append(JoinAnswers(group.members.begin_generation(now.monotonic), told))
    group.pending_sync.update(group.members.ids())
    group.sync_deadline = now.monotonic + group.members.rebalance_timeout_ms() / 1000


def remove(group: Group, member: Member) -> None:
    """Takes a member out, without a rebalance."""
    # A new member may be given up while its request still waits: it is told to start anew. So is one that an
    # administrator takes out while it waits for its assignment.
    group.answer_join(member, JoinResult(ErrorCode.UNKNOWN_MEMBER_ID, UNKNOWN_MEMBER))
    group.answer_sync(member, SyncResult(ErrorCode.UNKNOWN_MEMBER_ID))
    group.members.remove(member.member_id)
    group.pending_sync.discard(member.member_id)


def expel(group: Group, member: Member, now: Now) -> None:
    """A member left or failed."""
    remove(group, member)
    if group.state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
        prepare(group, now)
    # With nobody left there is nobody to wait for.
    maybe_complete(group, now)


def leave(group: Group, member_id: str, instance_id: str | None, now: Now) -> ErrorCode:
    """LeaveGroup for one member; an administrator may name the instance alone (KIP-345)."""
    if not member_id:
        found = group.members.static_id(instance_id) if instance_id is not None else None
        if found is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        member_id = found
    elif member_id in group.pending:
        del group.pending[member_id]
        maybe_complete(group, now)
        return ErrorCode.NONE
    else:
        error = group.identity_error(member_id, instance_id)
        if error is not ErrorCode.NONE:
            return error
    member = group.members.get(member_id)
    if member is None:
        return ErrorCode.UNKNOWN_MEMBER_ID
    expel(group, member, now)
    return ErrorCode.NONE


def on_time(group: Group, now: Now) -> None:
    """Does what deadlines that have passed ask for, and finds the next one. Harmless when none has."""
    moment = now.monotonic
    if group.state is GroupState.DEAD:
        return
    for member_id, deadline in list(group.pending.items()):
        if deadline <= moment:
            del group.pending[member_id]
            maybe_complete(group, now)
    for member in group.members:
        if member.deadline is None or member.deadline > moment or group.members.get(member.member_id) is None:
            continue
        if not member.is_new and (member.join_ticket is not None or member.sync_ticket is not None):
            # Its request stands for its heartbeats; the answer starts the next session.
            member.deadline = None
        else:
            expel(group, member, now)
    if group.sync_deadline is not None and group.sync_deadline <= moment:
        _expire_sync(group, now)
    if group.join_deadline is not None and group.join_deadline <= moment:
        _expire_join(group, now)
    group.members.find_soonest(group.pending.values())


def _expire_join(group: Group, now: Now) -> None:
    remaining_ms = group.initial_wait_ms
    if remaining_ms and group.member_added:
        group.member_added = False
        delay_ms = min(group.limits.initial_rebalance_delay_ms, remaining_ms)
        group.initial_wait_ms = max(remaining_ms - delay_ms, 0)
        group.join_deadline = now.monotonic + delay_ms / 1000
        return
    complete(group, now)


def _expire_sync(group: Group, now: Now) -> None:
    group.sync_deadline = None
    late = [member for member in group.members if member.member_id in group.pending_sync]
    if group.state not in (GroupState.COMPLETING_REBALANCE, GroupState.STABLE) or not late:
        return
    for member in late:
        remove(group, member)
    prepare(group, now)
    maybe_complete(group, now)
