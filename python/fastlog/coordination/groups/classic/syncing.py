"""SyncGroup: the leader brings the assignment, all get theirs when it is stored."""

from __future__ import annotations

from fastlog.coordination.groups.classic.joining import on_replacement_stored
from fastlog.coordination.groups.classic.rebalance import maybe_complete, maybe_prepare
from fastlog.coordination.groups.classic.state import Group, GroupState
from fastlog.coordination.groups.results import (
    Now,
    Store,
    StoreReason,
    SyncAnswer,
    SyncAnswers,
    SyncRequest,
    SyncResult,
)
from fastlog.errors import ErrorCode


def sync(group: Group, request: SyncRequest, now: Now) -> None:
    """Takes a SyncGroup request. The answer comes as an effect, now or later."""
    error = _error(group, request)
    member = group.members.get(request.member_id)
    if error is not ErrorCode.NONE or member is None:
        group.effects.append(SyncAnswer(request.ticket, SyncResult(error)))
        return
    group.pending_sync.discard(member.member_id)
    if not group.pending_sync:
        group.sync_deadline = None
    if group.state is GroupState.STABLE:
        group.effects.append(SyncAnswer(request.ticket, _assigned(group, member.assignment)))
        group.extend(member, now)
        return
    if member.sync_ticket is not None:
        group.answer_sync(member, SyncResult(ErrorCode.REBALANCE_IN_PROGRESS))
    member.sync_ticket = request.ticket
    if group.members.leader == member.member_id:
        record = group.stored(request.assignments)
        group.effects.append(Store(StoreReason.ASSIGNMENT, group.generation, record))


def on_stored(group: Group, store: Store, error: ErrorCode, now: Now) -> None:
    """A `Store` effect has been carried out; `error` is the code for clients if it failed."""
    if store.reason is StoreReason.REPLACEMENT:
        on_replacement_stored(group, store, error, now)
    elif (
        store.reason is StoreReason.ASSIGNMENT
        and group.state is GroupState.COMPLETING_REBALANCE
        and group.generation == store.generation
    ):
        if error is not ErrorCode.NONE:
            group.fail_sync(error, now)
            maybe_prepare(group, now)
            maybe_complete(group, now)
            return
        assignments = {member.member_id: member.assignment for member in store.record.members}
        group.become(GroupState.STABLE, now)
        waiting = group.members.give_out(assignments, now.monotonic)
        group.effects.append(SyncAnswers(waiting, group.protocol_type, group.protocol_name))


def _assigned(group: Group, assignment: bytes) -> SyncResult:
    return SyncResult(ErrorCode.NONE, group.protocol_type, group.protocol_name, assignment)


def _error(group: Group, request: SyncRequest) -> ErrorCode:
    error = group.request_error(request.member_id, request.instance_id, request.generation)
    if error is not ErrorCode.NONE:
        return error
    if request.protocol_type is not None and request.protocol_type != group.protocol_type:
        return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    if request.protocol_name is not None and request.protocol_name != group.protocol_name:
        return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    if group.state is GroupState.EMPTY:
        return ErrorCode.UNKNOWN_MEMBER_ID
    if group.state is GroupState.PREPARING_REBALANCE:
        return ErrorCode.REBALANCE_IN_PROGRESS
    return ErrorCode.NONE
