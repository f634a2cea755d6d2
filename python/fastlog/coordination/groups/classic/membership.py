"""Join, sync, heartbeat, leave: requests meet the state machine; its effects and timers are carried out."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fastlog.base.frequent_log import FrequentLog
from fastlog.base.uuids import new_uuid_text
from fastlog.base.wording import counted
from fastlog.coordination.groups.answers import Answers
from fastlog.coordination.groups.classic import joining, rebalance, syncing
from fastlog.coordination.groups.classic.state import Group, GroupState
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.coordination.groups.group_batch import TOO_LARGE
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.coordination.groups.records import encode_group_key, encode_group_value
from fastlog.coordination.groups.results import (
    JoinAnswer,
    JoinAnswers,
    JoinRequest,
    JoinResult,
    Now,
    Store,
    SyncAnswer,
    SyncAnswers,
    SyncRequest,
    SyncResult,
)
from fastlog.coordination.groups.timers import TIMERS, arm
from fastlog.coordination.groups.weight import join_weight, member_weight
from fastlog.errors import ErrorCode, KafkaError
from fastlog.wire.primitives import MAX_STRING

if TYPE_CHECKING:
    from fastlog.base.tasks import Supervisor
    from fastlog.coordination.groups.consumer.service import ConsumerMembership, Written
    from fastlog.coordination.groups.table import GroupEntry, GroupTable

ThenJoin: TypeAlias = Callable[[JoinResult], None]
ThenSync: TypeAlias = Callable[[SyncResult], None]
"""What is called, once, with the outcome of a request. It raises nothing."""

_LOG: Final = logging.getLogger(__name__)
# Answers that are made when they are known, and not each when it is given.
_FEW: Final = 16
_MOST_BYTES_OF_CHARACTER: Final = 4


class Membership:
    """What the handlers of JoinGroup, SyncGroup, Heartbeat and LeaveGroup call.

    Members of a group that uses the consumer protocol are passed on to `consumer`.
    """

    def __init__(self, table: GroupTable, consumer: ConsumerMembership, tasks: Supervisor) -> None:
        self._table = table
        self._consumer = consumer
        self._timers = tasks.guard(TIMERS)
        self._answers = Answers(tasks.guard("group-answers"))
        consumer.settle_classic = self.settle
        self._generation_log = FrequentLog(_LOG, "group %s, generation %d: %s, led by %s")
        self._empty_log = FrequentLog(_LOG, "group %s is empty in generation %d")
        self._tickets = itertools.count(1)
        self._joins: dict[int, ThenJoin] = {}
        self._syncs: dict[int, ThenSync] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def new_ticket(self) -> int:
        """The ticket of another request."""
        return next(self._tickets)

    def new_member_id(self, name: str) -> str:
        """An id for a member of which `name` (its instance or client id) is known; a long one is cut."""
        suffix = f"-{new_uuid_text()}"
        if len(name) * _MOST_BYTES_OF_CHARACTER + len(suffix) > MAX_STRING:
            name = name.encode()[: MAX_STRING - len(suffix)].decode(errors="ignore")
        return name + suffix

    def join(self, group_id: str, request: JoinRequest, then: ThenJoin) -> None:
        """Calls `then` when the generation has begun, or the request is refused."""
        error = self._table.error(group_id)
        limits = self._table.limits()
        if error is ErrorCode.NONE and not (
            limits.min_session_timeout_ms <= request.session_timeout_ms <= limits.max_session_timeout_ms
        ):
            error = ErrorCode.INVALID_SESSION_TIMEOUT
        entry = self._table.get(group_id)
        if error is ErrorCode.NONE and request.member_id and entry is None:
            error = ErrorCode.UNKNOWN_MEMBER_ID
        if error is not ErrorCode.NONE:
            then(JoinResult(error, request.member_id))
            return
        if not self._has_room(entry, request):
            then(JoinResult(ErrorCode.GROUP_MAX_SIZE_REACHED, request.member_id))
            return
        now = self._table.now()
        if entry is None:
            entry = self._table.add(group_id, limits, now)
        group = entry.group
        if isinstance(group, ConsumerGroup):
            if group.members:
                self._join_consumer_group(entry, group, request, then)
                return
            if request.member_id:
                then(JoinResult(ErrorCode.UNKNOWN_MEMBER_ID, request.member_id))
                return
            group = self._consumer.make_classic(entry, group)
        group.limits = limits
        self._joins[request.ticket] = then
        joining.join(group, request, now)
        self.settle(entry, now)
        if group.state is GroupState.EMPTY:
            self._table.remove_unused(entry)

    def sync(self, group_id: str, request: SyncRequest, then: ThenSync) -> None:
        """Calls `then` when the assignment is stored, or the request is refused."""
        error = self._table.error(group_id)
        if error is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
            # Older clients do not expect that code here; joining again is what they have to do anyway.
            then(SyncResult(ErrorCode.REBALANCE_IN_PROGRESS))
            return
        entry = self._table.get(group_id)
        if error is ErrorCode.NONE and entry is None:
            error = ErrorCode.UNKNOWN_MEMBER_ID
        if error is not ErrorCode.NONE or entry is None:
            then(SyncResult(error))
            return
        more = 0
        if isinstance(entry.group, Group) and request.assignments:
            # They take the place of those that members have.
            more = entry.group.members.growth(request.assignments)
        if more > 0 and not self._table.memory.has_room(entry, more):
            then(SyncResult(ErrorCode.UNKNOWN_SERVER_ERROR))
            return
        if isinstance(entry.group, ConsumerGroup):
            self._sync_consumer_group(entry, entry.group, request, then)
            return
        self._syncs[request.ticket] = then
        now = self._table.now()
        syncing.sync(entry.group, request, now)
        self.settle(entry, now)

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
        self.settle(entry, now)
        self._table.remove_unused(entry)
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

    async def close(self) -> None:
        """Ends requests of consumer groups that are still under way when nothing more is written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _has_room(self, entry: GroupEntry | None, request: JoinRequest) -> bool:
        """Whether there is memory for the member that the request makes, or changes."""
        group = None if entry is None else entry.group
        member = None
        if isinstance(group, Group):
            # A static member comes back without its id.
            former = group.members.static_id(request.instance_id) if request.instance_id else None
            known = former or request.member_id
            member = group.members.get(known) if known else None
        memory = self._table.memory
        if member is None:
            return memory.has_room_for_member(entry, join_weight(request))
        names = (member.member_id, request.instance_id, request.client_id)
        weight = member_weight(names, request.protocols, member.assignment)
        return memory.has_room_for_member(entry, weight, member.weight)

    def _join_consumer_group(
        self, entry: GroupEntry, group: ConsumerGroup, request: JoinRequest, then: ThenJoin
    ) -> None:
        # The group is changed now: by the next turn it may be another one.
        try:
            result, written = self._consumer.join(entry, group, request)
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            then(JoinResult(_code_of_failure(error, group), request.member_id))
            return
        failed = partial(JoinResult, member_id=request.member_id)
        self._when_stored(group, written, lambda code: then(failed(code) if code else result))

    def _sync_consumer_group(
        self, entry: GroupEntry, group: ConsumerGroup, request: SyncRequest, then: ThenSync
    ) -> None:
        try:
            result, written = self._consumer.sync(entry, group, request)
        except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
            then(SyncResult(_code_of_failure(error, group)))
            return
        self._when_stored(group, written, lambda code: then(SyncResult(code) if code else result))

    def _when_stored(self, group: ConsumerGroup, written: Written, then: Callable[[ErrorCode], None]) -> None:
        """Calls `then` with the outcome, in a turn of its own."""

        async def wait() -> None:
            code = ErrorCode.NONE
            try:
                await self._consumer.stored(written)
            except Exception as error:  # noqa: BLE001 - mapped to an error code and logged
                code = _code_of_failure(error, group)
            then(code)

        task = asyncio.create_task(wait(), name="fastlog-groups-request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def settle(self, entry: GroupEntry, now: Now | None = None) -> None:
        """Carries out what a classic group asks for, and sets its timer.

        Answers are given in the next turn of the event loop: what they set off must not meet a group that is
        half settled.
        """
        group = entry.group
        if isinstance(group, ConsumerGroup):
            return
        for effect in group.take_effects():
            if isinstance(effect, JoinAnswer):
                self._answers.give(self._joins.pop(effect.ticket), effect.result)
            elif isinstance(effect, SyncAnswer):
                self._answers.give(self._syncs.pop(effect.ticket), effect.result)
            elif isinstance(effect, Store):
                self._store(entry, group, effect)
            else:
                self._answer_each(effect)
        weight = group.weight
        if weight != entry.group_weight:
            entry.group_weight = weight
            self._table.weigh(entry, weight)
        deadline = None if group.state is GroupState.DEAD else group.next_deadline()
        arm(entry, deadline, (now or self._table.now()).monotonic, self.on_timer, self._timers)

    def _answer_each(self, answers: JoinAnswers | SyncAnswers) -> None:
        waiting: dict[int, Any] = self._joins if isinstance(answers, JoinAnswers) else self._syncs
        if len(answers.waiting) > _FEW:
            self._answers.give_each((waiting.pop(ticket), result) for ticket, result in answers.each())
            return
        for ticket, result in answers.each():
            self._answers.give(waiting.pop(ticket), result)

    def _store(self, entry: GroupEntry, group: Group, store: Store) -> None:
        if group.state is GroupState.EMPTY:
            self._empty_log.info(group.group_id, store.generation)
        else:
            members = counted(len(store.record.members), "member")
            self._generation_log.info(group.group_id, store.generation, members, store.record.leader)
        try:
            record = (encode_group_key(group.group_id), encode_group_value(store.record))
        except BadGroupRecord:
            self._on_stored(entry, group, store, ErrorCode.INVALID_REQUEST)
            return
        self._consumer.writer.write(
            entry, [record], lambda error: self._on_stored(entry, group, store, _code_of(error))
        )

    def _on_stored(self, entry: GroupEntry, group: Group, store: Store, error: ErrorCode) -> None:
        if error is not ErrorCode.NONE:
            _LOG.warning("group %s could not be stored: %s", group.group_id, error.name)
        if entry.group is group:
            now = self._table.now()
            syncing.on_stored(group, store, error, now)
            self.settle(entry, now)

    def on_timer(self, entry: GroupEntry) -> None:
        """What is due by now, of a group that has no timer any more; sets the next one."""
        entry.timer = None
        group = entry.group
        if isinstance(group, ConsumerGroup):
            return
        before = list(group.members.ids())
        now = self._table.now()
        rebalance.on_time(group, now)
        if len(before) > len(group.members):
            lost = [member_id for member_id in before if member_id not in group.members]
            _LOG.info("group %s lost %s: no sign of life in time", group.group_id, ", ".join(lost))
        self.settle(entry, now)
        if group.state is GroupState.EMPTY:
            # The last id that was given out may have lapsed.
            self._table.remove_unused(entry)


def _code_of_failure(error: Exception, group: ConsumerGroup) -> ErrorCode:
    if isinstance(error, KafkaError):
        return error.code
    _LOG.error("a request of a classic member of group %s failed", group.group_id, exc_info=error)
    return ErrorCode.UNKNOWN_SERVER_ERROR


def _code_of(error: BaseException | None) -> ErrorCode:
    if error is None:
        return ErrorCode.NONE
    if isinstance(error, asyncio.CancelledError):
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
    if isinstance(error, KafkaError) and error.code not in TOO_LARGE:
        return error.code
    return ErrorCode.UNKNOWN_SERVER_ERROR
