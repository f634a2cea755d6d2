"""Consumer groups of KIP-848 as handlers see them: requests meet the state machine, changes are written."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.modern import classic_members, heartbeat, leaving, migration
from fastlog.coordination.groups.modern.patterns import matching
from fastlog.coordination.groups.modern.results import JOIN_EPOCH, HeartbeatRequest, HeartbeatResult
from fastlog.coordination.groups.modern.state import ConsumerGroup
from fastlog.coordination.groups.modern.writer import GroupWriter
from fastlog.coordination.groups.records import encode_group_key, encode_group_value
from fastlog.coordination.groups.results import JoinRequest, JoinResult, SyncRequest, SyncResult
from fastlog.coordination.groups.state import Group, GroupState
from fastlog.coordination.groups.timers import arm
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.coordination.groups.batches import KeyValue
    from fastlog.coordination.groups.group_log import GroupLog
    from fastlog.coordination.groups.table import GroupEntry, GroupTable

_LOG: Final = logging.getLogger(__name__)


class ConsumerMembership:
    """What the handlers of ConsumerGroupHeartbeat call, and `Membership` for classic members of consumer
    groups. `settle_classic` is set by it: it carries out what a classic group asks for."""

    def __init__(self, table: GroupTable, log: GroupLog) -> None:
        self._table = table
        self._writer = GroupWriter(log)
        self._resolving: dict[str, asyncio.Task[None]] = {}
        self.settle_classic: Callable[[GroupEntry], None] = lambda _: None

    async def heartbeat(self, group_id: str, request: HeartbeatRequest) -> HeartbeatResult:
        """Returns when what the answer rests on is in the log."""
        try:
            if not group_id:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "GroupId can't be empty.")
            self._check_served(group_id)
            return await self._heartbeat(group_id, request)
        except KafkaError as error_of_request:
            return HeartbeatResult(error_of_request.code, error_of_request.message)

    async def _heartbeat(self, group_id: str, request: HeartbeatRequest) -> HeartbeatResult:
        limits = self._table.consumer_limits(group_id)
        if request.regex:
            # To read a pattern may take some ten milliseconds: not on the event loop.
            await asyncio.to_thread(heartbeat.check_request, request, limits)
            self._check_served(group_id)
        else:
            heartbeat.check_request(request, limits)
        entry, group = self._enter(group_id, request)
        now, topics = self._table.now(), self._table.topics()
        if request.epoch < JOIN_EPOCH:
            result = leaving.leave(group, request, topics)
            _LOG.info("group %s: %s left with epoch %d", group_id, result.member_id, request.epoch)
        else:
            if not request.member_id:
                request = replace(request, member_id=str(uuid.uuid4()))
            before = group.epoch
            result = heartbeat.heartbeat(group, request, now, topics)
            if group.epoch != before:
                _LOG.info("group %s, epoch %d: %d members", group_id, group.epoch, len(group.members))
        await self._stored(self.settle(entry, group))
        return result

    def _check_served(self, group_id: str) -> None:
        error = self._table.error(group_id)
        if error is not ErrorCode.NONE:
            raise KafkaError(error)

    async def join(self, entry: GroupEntry, group: ConsumerGroup, request: JoinRequest) -> JoinResult:
        """JoinGroup of a classic member. Raises KafkaError."""
        group.limits = self._table.consumer_limits(group.group_id)
        now, topics = self._table.now(), self._table.topics()
        result = classic_members.join(group, request, now, topics)
        await self._stored(self.settle(entry, group, call_members=False))
        return result

    async def sync(self, entry: GroupEntry, group: ConsumerGroup, request: SyncRequest) -> SyncResult:
        """SyncGroup of a classic member. Raises KafkaError."""
        result = classic_members.sync(group, request, self._table.now(), self._table.topics())
        await self._stored(self.settle(entry, group))
        return result

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

    def settle(
        self, entry: GroupEntry, group: ConsumerGroup, *, call_members: bool = True
    ) -> asyncio.Future[None] | None:
        """Writes what has changed, sets the timer, and lets the group go on as a classic one if it has to."""
        if migration.can_downgrade(group):
            _LOG.info("group %s goes on with the classic protocol", group.group_id)
            limits, now, topics = self._table.limits(), self._table.now(), self._table.topics()
            classic = migration.downgrade(group, limits, now, topics, call_members=call_members)
            record = (encode_group_key(group.group_id), encode_group_value(classic.stored()))
            written = self._replace(entry, group, classic, [record])
            self.settle_classic(entry)
            return written
        written = self._writer.flush(entry, group)
        arm(entry, group.next_deadline(), self._table.now().monotonic, self._on_timer)
        if group.wants_regexes and group.group_id not in self._resolving:
            task = asyncio.create_task(self._resolve(entry, group), name="fastlog-groups-regex")
            self._resolving[group.group_id] = task
            task.add_done_callback(lambda _: self._resolving.pop(group.group_id, None))
        return written

    async def close(self) -> None:
        """Ends what runs beside requests."""
        self._writer.closed = True
        tasks = list(self._resolving.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
        if classic.state is GroupState.EMPTY:
            group = ConsumerGroup(group_id, limits)
            classic.become(GroupState.DEAD, self._table.now())
        else:
            group = migration.upgrade(classic, limits, self._table.now(), self._table.topics())
            _LOG.info("group %s goes on with the consumer protocol", group_id)
        self.settle_classic(entry)
        self._replace(entry, group, group, records)
        return entry, group

    def _replace(
        self,
        entry: GroupEntry,
        group: ConsumerGroup,
        following: Group | ConsumerGroup,
        records: list[KeyValue],
    ) -> asyncio.Future[None] | None:
        entry.group = following
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        return self._writer.replace(entry, group, records)

    async def _stored(self, written: asyncio.Future[None] | None) -> None:
        if written is not None:
            await asyncio.shield(written)

    def _on_timer(self, entry: GroupEntry) -> None:
        entry.timer = None
        group = entry.group
        if not isinstance(group, ConsumerGroup):
            return
        for member_id, what in leaving.on_time(group, self._table.now(), self._table.topics()).items():
            _LOG.info("group %s lost %s: %s", group.group_id, member_id, what.value)
        self.settle(entry, group)

    async def _resolve(self, entry: GroupEntry, group: ConsumerGroup) -> None:
        topics, patterns = self._table.topics(), group.patterns()
        names = list(topics.names())

        def resolve() -> dict[str, frozenset[str]]:
            return {text: matching(text, names) for text in patterns}

        found = await asyncio.to_thread(resolve)
        if entry.group is group and not group.is_dead:
            heartbeat.on_regexes(group, found, topics.generation, self._table.now())
            self._writer.flush(entry, group)
