"""Join, sync, heartbeat, leave: requests meet the state machine; its effects and timers are carried out."""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from fastlog.coordination.groups import joining, rebalance, syncing
from fastlog.coordination.groups.modern.state import ConsumerGroup
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.coordination.groups.records import encode_group_key, encode_group_value
from fastlog.coordination.groups.results import (
    JoinAnswer,
    JoinRequest,
    JoinResult,
    Store,
    SyncAnswer,
    SyncRequest,
    SyncResult,
)
from fastlog.coordination.groups.state import Group, GroupState
from fastlog.coordination.groups.timers import arm
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.coordination.groups.group_log import GroupLog
    from fastlog.coordination.groups.modern.service import ConsumerMembership
    from fastlog.coordination.groups.table import GroupEntry, GroupTable

_LOG: Final = logging.getLogger(__name__)
T = TypeVar("T")


class Membership:
    """What the handlers of JoinGroup, SyncGroup, Heartbeat and LeaveGroup call.

    Members of a group that uses the consumer protocol are passed on to `consumer`.
    """

    def __init__(self, table: GroupTable, log: GroupLog, consumer: ConsumerMembership) -> None:
        self._table = table
        self._log = log
        self._consumer = consumer
        consumer.settle_classic = self.settle
        self._tickets = itertools.count(1)
        self._joins: dict[int, asyncio.Future[JoinResult]] = {}
        self._syncs: dict[int, asyncio.Future[SyncResult]] = {}

    async def join(self, group_id: str, request: JoinRequest) -> JoinResult:
        """Returns when the generation has begun, or the request is refused. `ticket` and the new member's id
        in the request are filled in here."""
        error = self._table.error(group_id)
        limits = self._table.limits()
        if error is ErrorCode.NONE and not (
            limits.min_session_timeout_ms <= request.session_timeout_ms <= limits.max_session_timeout_ms
        ):
            error = ErrorCode.INVALID_SESSION_TIMEOUT
        if error is ErrorCode.NONE and request.member_id and self._table.get(group_id) is None:
            error = ErrorCode.UNKNOWN_MEMBER_ID
        if error is not ErrorCode.NONE:
            return JoinResult(error, request.member_id)
        entry = self._table.get_or_add(group_id)
        ticket = next(self._tickets)
        new_member_id = f"{request.instance_id or request.client_id}-{uuid.uuid4()}"
        request = replace(request, ticket=ticket, new_member_id=new_member_id)
        group = entry.group
        if isinstance(group, ConsumerGroup):
            if group.members:
                return await self._join_consumer_group(entry, group, request)
            if request.member_id:
                return JoinResult(ErrorCode.UNKNOWN_MEMBER_ID, request.member_id)
            group = self._consumer.make_classic(entry, group)
        group.limits = limits
        future: asyncio.Future[JoinResult] = asyncio.get_running_loop().create_future()
        self._joins[ticket] = future
        joining.join(group, request, self._table.now())
        self.settle(entry)
        return await future

    async def sync(self, group_id: str, request: SyncRequest) -> SyncResult:
        """Returns when the assignment is stored, or the request is refused."""
        error = self._table.error(group_id)
        if error is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
            # Older clients do not expect that code here; joining again is what they have to do anyway.
            return SyncResult(ErrorCode.REBALANCE_IN_PROGRESS)
        entry = self._table.get(group_id)
        if error is ErrorCode.NONE and entry is None:
            error = ErrorCode.UNKNOWN_MEMBER_ID
        if error is not ErrorCode.NONE or entry is None:
            return SyncResult(error)
        if isinstance(entry.group, ConsumerGroup):
            try:
                return await self._consumer.sync(entry, entry.group, request)
            except KafkaError as refusal:
                return SyncResult(refusal.code)
        ticket = next(self._tickets)
        future: asyncio.Future[SyncResult] = asyncio.get_running_loop().create_future()
        self._syncs[ticket] = future
        syncing.sync(entry.group, replace(request, ticket=ticket), self._table.now())
        self.settle(entry)
        return await future

    def heartbeat(self, group_id: str, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        """A sign of life. Its deadline only moves on, so the group's timer may stay as it is."""
        error = self._table.error(group_id)
        if error is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
            return ErrorCode.NONE
        if error is not ErrorCode.NONE:
            return error
        entry = self._table.get(group_id)
        if entry is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        if isinstance(entry.group, ConsumerGroup):
            return self._consumer.beat(entry, entry.group, member_id, instance_id, generation)
        return entry.group.heartbeat(member_id, instance_id, generation, self._table.now())

    def leave(
        self, group_id: str, members: Sequence[tuple[str, str | None]]
    ) -> tuple[ErrorCode, list[ErrorCode]]:
        """(error for all, or NONE; one code for each (member id, instance id))."""
        error = self._table.error(group_id)
        if error is not ErrorCode.NONE:
            return error, []
        entry = self._table.get(group_id)
        if entry is None:
            return ErrorCode.NONE, [ErrorCode.UNKNOWN_MEMBER_ID] * len(members)
        if entry.group.state is GroupState.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE, []
        if isinstance(entry.group, ConsumerGroup):
            return ErrorCode.NONE, self._consumer.leave(entry, entry.group, members)
        now = self._table.now()
        codes = [rebalance.leave(entry.group, *identity, now) for identity in members]
        self.settle(entry)
        return ErrorCode.NONE, codes

    def resign(self) -> None:
        """Answers whoever waits: this broker stops."""
        for entry in self._table:
            if isinstance(entry.group, Group):
                entry.group.resign(self._table.now())
                self.settle(entry)
            elif entry.timer is not None:
                entry.timer.cancel()
                entry.timer = None

    async def _join_consumer_group(
        self, entry: GroupEntry, group: ConsumerGroup, request: JoinRequest
    ) -> JoinResult:
        try:
            return await self._consumer.join(entry, group, request)
        except KafkaError as refusal:
            return JoinResult(refusal.code, request.member_id)

    def settle(self, entry: GroupEntry) -> None:
        """Carries out what a classic group asks for, and sets its timer."""
        group = entry.group
        if isinstance(group, ConsumerGroup):
            return
        for effect in group.take_effects():
            if isinstance(effect, JoinAnswer):
                _finish(self._joins.pop(effect.ticket), effect.result)
            elif isinstance(effect, SyncAnswer):
                _finish(self._syncs.pop(effect.ticket), effect.result)
            else:
                self._store(entry, group, effect)
        deadline = None if group.state is GroupState.DEAD else group.next_deadline()
        arm(entry, deadline, self._table.now().monotonic, self._on_timer)

    def _store(self, entry: GroupEntry, group: Group, store: Store) -> None:
        if group.state is GroupState.EMPTY:
            _LOG.info("group %s is empty in generation %d", group.group_id, store.generation)
        else:
            _LOG.info(
                "group %s, generation %d: %d members, led by %s",
                *(group.group_id, store.generation, len(store.record.members), store.record.leader),
            )
        try:
            record = (encode_group_key(group.group_id), encode_group_value(store.record))
        except BadGroupRecord:
            self._on_stored(entry, group, store, ErrorCode.INVALID_REQUEST)
            return
        done = self._log.submit(entry.partition, [record])
        done.add_done_callback(lambda done: self._on_stored(entry, group, store, _code_of(done)))

    def _on_stored(self, entry: GroupEntry, group: Group, store: Store, error: ErrorCode) -> None:
        if error is not ErrorCode.NONE:
            _LOG.warning("group %s could not be stored: %s", group.group_id, error.name)
        if entry.group is group:
            syncing.on_stored(group, store, error, self._table.now())
            self.settle(entry)

    def _on_timer(self, entry: GroupEntry) -> None:
        entry.timer = None
        group = entry.group
        if isinstance(group, ConsumerGroup):
            return
        before = {member.member_id for member in group.members}
        rebalance.on_time(group, self._table.now())
        lost = before.difference(member.member_id for member in group.members)
        if lost:
            _LOG.info("group %s lost %s: no sign of life in time", group.group_id, ", ".join(lost))
        self.settle(entry)


def _finish(future: asyncio.Future[T], result: T) -> None:
    # It may have been cancelled with the request that waits for it.
    if not future.done():
        future.set_result(result)


def _code_of(done: asyncio.Future[None]) -> ErrorCode:
    if done.cancelled():
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
    error = done.exception()
    if error is None:
        return ErrorCode.NONE
    if isinstance(error, KafkaError) and error.code is not ErrorCode.MESSAGE_TOO_LARGE:
        return error.code
    return ErrorCode.UNKNOWN_SERVER_ERROR
