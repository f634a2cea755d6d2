"""Consumer groups of KIP-848 as handlers see them: requests meet the state machine, changes are written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from fastlog.base.uuids import new_uuid_text
from fastlog.base.wording import counted
from fastlog.coordination.groups.classic.state import Group, GroupState
from fastlog.coordination.groups.consumer import classic_members, leaving, member_heartbeat, migration
from fastlog.coordination.groups.consumer.assigning import TargetRuns
from fastlog.coordination.groups.consumer.members import ConsumerMember
from fastlog.coordination.groups.consumer.patterns import BadPattern, matching
from fastlog.coordination.groups.consumer.resolving import ResolvedPatterns
from fastlog.coordination.groups.consumer.results import JOIN_EPOCH, HeartbeatRequest, HeartbeatResult
from fastlog.coordination.groups.consumer.state import Before, ConsumerGroup
from fastlog.coordination.groups.consumer.undoing import restore
from fastlog.coordination.groups.consumer.writer import GroupWriter
from fastlog.coordination.groups.group_batch import TOO_LARGE
from fastlog.coordination.groups.records import encode_group_key, encode_group_value
from fastlog.coordination.groups.results import JoinRequest, JoinResult, SyncRequest, SyncResult
from fastlog.coordination.groups.timers import TIMERS, arm
from fastlog.coordination.groups.weight import consumer_member_weight, member_weight, names_weight
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.base.tasks import Supervisor
    from fastlog.coordination.groups.batches import KeyValue
    from fastlog.coordination.groups.group_log import GroupLog
    from fastlog.coordination.groups.table import GroupEntry, GroupTable

Written: TypeAlias = "asyncio.Future[None] | None"
"""Done when what was asked for is in the log; None: it is there already."""

_LOG: Final = logging.getLogger(__name__)
_TARGET_SECONDS: Final = 1.0
"""How long a member that joins a large group waits for its partitions; later they come with a heartbeat."""


class ConsumerMembership:
    """What the handlers of ConsumerGroupHeartbeat call, and `Membership` for classic members of consumer
    groups. `settle_classic` is set by it: it carries out what a classic group asks for."""

    def __init__(self, table: GroupTable, log: GroupLog, tasks: Supervisor) -> None:
        self._table = table
        self._timers = tasks.guard(TIMERS)
        self.writer = GroupWriter(log, tasks.guard("group-writes"), self._take_back)
        self._runs = TargetRuns(table.topics, self._on_target, tasks.guard("group-targets"))
        self._resolving: dict[str, asyncio.Task[None]] = {}
        # Threads of their own: a pattern may take seconds, and those of the loop are for what takes none.
        self._checks = ThreadPoolExecutor(1, "fastlog-patterns")
        self._matching = ThreadPoolExecutor(1, "fastlog-matching")
        self.settle_classic: Callable[[GroupEntry], None] = lambda _: None

    async def heartbeat(self, group_id: str, request: HeartbeatRequest) -> HeartbeatResult:
        """Returns when what the answer rests on is in the log."""
        try:
            if not group_id:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "GroupId can't be empty.")
            self._check_served(group_id)
            return await self._heartbeat(group_id, request)
        except KafkaError as error_of_request:
            code = error_of_request.code
            # As in Kafka: to a member the sizes of the log mean nothing.
            code = ErrorCode.UNKNOWN_SERVER_ERROR if code in TOO_LARGE else code
            return HeartbeatResult(code, error_of_request.message)

    async def _heartbeat(self, group_id: str, request: HeartbeatRequest) -> HeartbeatResult:
        limits = self._table.consumer_limits(group_id)
        if request.regex:
            # To read a pattern may take some ten milliseconds: not on the event loop.
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._checks, member_heartbeat.check_request, request, limits)
            self._check_served(group_id)
        else:
            member_heartbeat.check_request(request, limits)
        self._check_room(group_id, request)
        entry, group = self._enter(group_id, request)
        try:
            return await self._take(entry, group, request)
        except KafkaError:
            self._remove_unused(entry)
            raise

    async def _take(
        self, entry: GroupEntry, group: ConsumerGroup, request: HeartbeatRequest
    ) -> HeartbeatResult:
        group_id = group.group_id
        now, topics = self._table.now(), self._table.topics()
        if request.epoch < JOIN_EPOCH:
            result = leaving.leave(group, request, topics)
            _LOG.info("group %s: %s left with epoch %d", group_id, result.member_id, request.epoch)
        else:
            if not request.member_id:
                request = replace(request, member_id=new_uuid_text())
            before = group.epoch
            member = member_heartbeat.enter(group, request, now, topics)
            if group.epoch != before:
                members = counted(len(group.members), "member")
                _LOG.info("group %s, epoch %d: %s", group_id, group.epoch, members)
            if group.wants_targets and request.epoch == JOIN_EPOCH:
                result = await self._join_large(entry, group, member, request)
            else:
                result = member_heartbeat.answer(group, member.member_id, request, request.owned, now)
        await self.stored(self.settle(entry, group))
        return result

    async def _join_large(
        self, entry: GroupEntry, group: ConsumerGroup, member: ConsumerMember, request: HeartbeatRequest
    ) -> HeartbeatResult:
        """The answer of a member that has entered, with its partitions if the target is there soon."""
        written = self.settle(entry, group)
        await self._runs.wait(group, _TARGET_SECONDS)
        if written is not None and written.done():
            # When the log refused it there is no such member.
            written.result()
        current = group.members.get(member.member_id)
        if entry.group is not group or group.is_dead or current is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, "the member was removed while it joined")
        # What it owned when it joined means nothing if it has sent another heartbeat since.
        owned = request.owned if current.position == member.position else None
        return member_heartbeat.answer(group, member.member_id, request, owned, self._table.now())

    def _on_target(self, entry: GroupEntry, group: ConsumerGroup) -> None:
        self._table.weigh(entry)
        self.writer.flush(entry, group)

    def _take_back(self, entry: GroupEntry, group: ConsumerGroup, before: Before) -> None:
        now = self._table.now()
        restore(group, before, now)
        self._table.weigh(entry)
        arm(entry, group.next_deadline(), now.monotonic, self.on_timer, self._timers)
        _LOG.warning("group %s is as it was stored last, in epoch %d", group.group_id, group.epoch)
        # Whoever asked may be gone.
        asyncio.get_running_loop().call_soon(self._remove_unused, entry)

    def _remove_unused(self, entry: GroupEntry) -> None:
        if not self.writer.has_work(entry.group.group_id):
            self._table.remove_unused(entry)

    def _check_room(self, group_id: str, request: HeartbeatRequest) -> None:
        if request.epoch < JOIN_EPOCH or not (request.topics or request.regex or request.epoch == JOIN_EPOCH):
            return
        entry = self._table.get(group_id)
        group = None if entry is None else entry.group
        member = None
        if isinstance(group, ConsumerGroup):
            # A static member comes back under another id.
            former = group.static_member(request.instance_id) if request.instance_id else None
            member = former or group.members.get(request.member_id)
        before = 0 if member is None else consumer_member_weight(member.member_id, member)
        names = (request.member_id, request.instance_id, request.rack_id, request.client_id, request.regex)
        weight = member_weight(names, ()) + names_weight(request.topics or ())
        if not self._table.memory.has_room_for_member(entry, weight, before):
            raise KafkaError(ErrorCode.GROUP_MAX_SIZE_REACHED, "there is no memory for what the member says")

    def _check_served(self, group_id: str) -> None:
        error = self._table.error(group_id)
        if error is not ErrorCode.NONE:
            raise KafkaError(error)

    def join(
        self, entry: GroupEntry, group: ConsumerGroup, request: JoinRequest
    ) -> tuple[JoinResult, Written]:
        """JoinGroup of a classic member: the answer, and when it may be given. Raises KafkaError."""
        group.limits = self._table.consumer_limits(group.group_id)
        now, topics = self._table.now(), self._table.topics()
        result = classic_members.join(group, request, now, topics)
        return result, self.settle(entry, group, call_members=False)

    def sync(
        self, entry: GroupEntry, group: ConsumerGroup, request: SyncRequest
    ) -> tuple[SyncResult, Written]:
        """SyncGroup of a classic member: the answer, and when it may be given. Raises KafkaError."""
        result = classic_members.sync(group, request, self._table.now(), self._table.topics())
        return result, self.settle(entry, group)

    def beat(
        self,
        entry: GroupEntry,
        group: ConsumerGroup,
        member_id: str,
        instance_id: str | None,
        generation: int,
    ) -> ErrorCode:
        """Heartbeat of a classic member."""
        try:
            error = classic_members.heartbeat(group, member_id, instance_id, generation, self._table.now())
        except KafkaError as refusal:
            return refusal.code
        self.settle(entry, group)
        return error

    def leave(
        self, entry: GroupEntry, group: ConsumerGroup, members: Sequence[tuple[str, str | None]]
    ) -> list[ErrorCode]:
        """LeaveGroup of classic members. One code for each."""
        codes = classic_members.leave(group, list(members), self._table.topics())
        self.settle(entry, group)
        return codes

    def make_classic(self, entry: GroupEntry, group: ConsumerGroup) -> Group:
        """A consumer group without members makes way for a classic group; offsets stay."""
        classic = Group(group.group_id, self._table.limits(), self._table.now())
        group.die()
        self._replace(entry, group, classic, [])
        return classic

    def settle(self, entry: GroupEntry, group: ConsumerGroup, *, call_members: bool = True) -> Written:
        """Writes what has changed, sets the timer, and lets the group go on as a classic one if it has to."""
        if migration.can_downgrade(group):
            _LOG.info("group %s goes on with the classic protocol", group.group_id)
            limits, now, topics = self._table.limits(), self._table.now(), self._table.topics()
            before, is_whole = group.take_before()
            classic = migration.downgrade(group, limits, now, topics, call_members=call_members)
            record = (encode_group_key(group.group_id), encode_group_value(classic.stored()))
            stay = partial(self._stay_consumer, entry, group, classic, before) if is_whole else None
            written = self._replace(entry, group, classic, [record], stay)
            self.settle_classic(entry)
            return written
        self._table.weigh(entry)
        written = self.writer.flush(entry, group)
        arm(entry, group.next_deadline(), self._table.now().monotonic, self.on_timer, self._timers)
        if group.wants_targets:
            self._runs.start(entry, group)
        if group.wants_regexes and group.group_id not in self._resolving:
            task = asyncio.create_task(self._resolve(entry, group), name="fastlog-groups-regex")
            self._resolving[group.group_id] = task
            task.add_done_callback(lambda _: self._resolving.pop(group.group_id, None))
        return written

    async def close(self) -> None:
        """Ends what runs beside requests."""
        self.writer.closed = True
        tasks = list(self._resolving.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._runs.close()
        for threads in (self._checks, self._matching):
            threads.shutdown(wait=False, cancel_futures=True)

    def _enter(self, group_id: str, request: HeartbeatRequest) -> tuple[GroupEntry, ConsumerGroup]:
        """The group that the request is for; made, or upgraded, when a member joins."""
        limits = self._table.consumer_limits(group_id)
        entry = self._table.get(group_id)
        if entry is not None and isinstance(entry.group, ConsumerGroup):
            entry.group.limits = limits
            return entry, entry.group
        if request.epoch != JOIN_EPOCH:
            what = "does not exist" if entry is None else "is not a consumer group"
            raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"group {group_id!r} {what}")
        entry = entry or self._table.get_or_add(group_id)
        classic = entry.group
        if isinstance(classic, ConsumerGroup) or classic.state is GroupState.DEAD:
            raise KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE)
        records: list[KeyValue] = [(encode_group_key(group_id), None)] if classic.generation > 0 else []
        state, since_ms = classic.state, classic.state_timestamp_ms
        if state is GroupState.EMPTY:
            group = ConsumerGroup(group_id, limits)
            classic.become(GroupState.DEAD, self._table.now())
        else:
            group = migration.upgrade(classic, limits, self._table.now(), self._table.topics())
            _LOG.info("group %s goes on with the consumer protocol", group_id)
        self.settle_classic(entry)
        stay = partial(self._stay_classic, entry, group, classic, state, since_ms)
        self._replace(entry, group, group, records, stay)
        return entry, group

    def _stay_classic(
        self, entry: GroupEntry, group: ConsumerGroup, classic: Group, state: GroupState, since_ms: int
    ) -> None:
        if entry.group is group:
            group.resign()
            migration.stay_classic(classic, state, since_ms, self._table.now())
            self._put_back(entry, classic)
            self.settle_classic(entry)

    def _stay_consumer(self, entry: GroupEntry, group: ConsumerGroup, classic: Group, before: Before) -> None:
        if entry.group is classic:
            now = self._table.now()
            classic.resign(now)
            self.settle_classic(entry)
            self._put_back(entry, group)
            migration.stay_consumer(group, before, now)
            self._table.weigh(entry)
            arm(entry, group.next_deadline(), now.monotonic, self.on_timer, self._timers)

    def _put_back(self, entry: GroupEntry, former: Group | ConsumerGroup) -> None:
        _LOG.warning("group %s stays what it was: its move cannot be stored", former.group_id)
        entry.group, entry.group_weight = former, -1
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None

    def _replace(
        self,
        entry: GroupEntry,
        group: ConsumerGroup,
        following: Group | ConsumerGroup,
        records: list[KeyValue],
        stay: Callable[[], None] | None = None,
    ) -> Written:
        entry.group, entry.group_weight = following, -1
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        return self.writer.replace(entry, group, records, stay)

    async def stored(self, written: Written) -> None:
        """Waits until it is in the log. Raises KafkaError with a code for clients."""
        if written is not None:
            await asyncio.shield(written)

    def on_timer(self, entry: GroupEntry) -> None:
        """What is due by now, of a group that has no timer any more; sets the next one."""
        entry.timer = None
        group = entry.group
        if not isinstance(group, ConsumerGroup):
            return
        for member_id, what in leaving.on_time(group, self._table.now(), self._table.topics()).items():
            _LOG.info("group %s lost %s: %s", group.group_id, member_id, what.value)
        written = self.settle(entry, group)
        if written is not None and leaving.is_more_due(group, self._table.now()):
            written.add_done_callback(lambda _: self._timers(self._on_timer_again, entry, group))

    def _on_timer_again(self, entry: GroupEntry, group: ConsumerGroup) -> None:
        """The tombstones of some members are written: it is the turn of the next."""
        if entry.group is group and not group.is_dead:
            if entry.timer is not None:
                entry.timer.cancel()
            self.on_timer(entry)

    async def _resolve(self, entry: GroupEntry, group: ConsumerGroup) -> None:
        topics, patterns = self._table.topics(), group.patterns()
        names = list(topics.names())
        resolved = ResolvedPatterns(group, lambda more: self._table.memory.has_room(entry, more))
        for text in patterns:
            # One at a time: groups take turns.
            try:
                resolved.add(
                    text,
                    await asyncio.get_running_loop().run_in_executor(self._matching, matching, text, names),
                )
            except BadPattern as error:
                what = "group %s: the pattern %.200r stands for no topic: %s"
                _LOG.warning(what, group.group_id, text, error)
                resolved.add(text, frozenset())
        if entry.group is group and not group.is_dead:
            member_heartbeat.on_regexes(group, resolved.found, topics.generation, self._table.now())
            self._table.weigh(entry)
            self.writer.flush(entry, group)
