"""Commit, fetch, delete and expiry of offsets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.modern import commits as modern_commits
from fastlog.coordination.groups.modern.records import encode_key
from fastlog.coordination.groups.modern.state import ConsumerGroup
from fastlog.coordination.groups.offsets import CommittedOffset, TopicPartition
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.coordination.groups.records import encode_group_key, encode_offset_key, encode_offsets
from fastlog.coordination.groups.state import CONSUMER, Group, GroupState
from fastlog.coordination.groups.subscriptions import subscribed_topics
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.coordination.groups.batches import KeyValue
    from fastlog.coordination.groups.group_log import GroupLog
    from fastlog.coordination.groups.table import GroupEntry, GroupTable

_LOG: Final = logging.getLogger(__name__)
# Tombstones of many offsets go out in batches that no topic's limit refuses.
_TOMBSTONES_PER_BATCH: Final = 1000
# So many are looked through before other work of the event loop gets a turn.
_GROUPS_PER_TURN: Final = 16


@dataclass(frozen=True, slots=True)
class Committer:
    """Who commits: generation -1 and no ids when it is not a member.

    `knows_epochs`: the request can carry the epoch of a member of a consumer group (OffsetCommit 9).
    """

    member_id: str
    instance_id: str | None
    generation: int
    knows_epochs: bool = True


class Commits:
    """What the handlers of OffsetCommit, OffsetFetch and OffsetDelete call."""

    def __init__(self, table: GroupTable, log: GroupLog) -> None:
        self._table = table
        self._log = log

    async def commit(
        self, group_id: str, who: Committer, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> ErrorCode:
        """Returns when the offsets are in the log. One code holds for all of them."""
        error = self._table.error(group_id, may_be_empty=True)
        entry = self._table.get(group_id)
        if error is ErrorCode.NONE and entry is None:
            if who.generation >= 0:
                error = ErrorCode.ILLEGAL_GENERATION
            elif offsets:
                entry = self._table.get_or_add(group_id)
        if error is not ErrorCode.NONE or entry is None:
            return error
        error = self._commit_error(entry.group, who, offsets)
        if error is not ErrorCode.NONE or not offsets:
            return error
        return await self._write(entry, offsets)

    def _commit_error(
        self, group: Group | ConsumerGroup, who: Committer, offsets: Iterable[TopicPartition]
    ) -> ErrorCode:
        if isinstance(group, Group):
            return group.commit_error(who.member_id, who.instance_id, who.generation, self._table.now())
        topics = self._table.topics()
        partitions = [
            (found[0], number) for name, number in offsets if (found := topics.find(name)) is not None
        ]
        return modern_commits.commit_error(
            group, who.member_id, who.generation, partitions, knows_epochs=who.knows_epochs
        )

    def error(self, group_id: str, member_id: str | None = None, epoch: int = -1) -> ErrorCode:
        """Why offsets of the group cannot be fetched, or NONE. Members of consumer groups name themselves."""
        error = self._table.error(group_id, may_be_empty=True)
        entry = self._table.get(group_id)
        if error is ErrorCode.NONE and entry is not None and isinstance(entry.group, ConsumerGroup):
            return modern_commits.fetch_error(entry.group, member_id, epoch)
        return error

    def fetch(self, group_id: str) -> Mapping[TopicPartition, CommittedOffset]:
        """All offsets of the group; none when it does not exist. Only after `error` said NONE."""
        entry = self._table.get(group_id)
        return {} if entry is None or entry.group.state is GroupState.DEAD else entry.offsets.committed

    async def delete(
        self, group_id: str, partitions: Sequence[TopicPartition]
    ) -> tuple[ErrorCode, dict[TopicPartition, ErrorCode]]:
        """(error for the group or NONE, one code for each partition). Topics in use keep their offsets."""
        error = self._table.error(group_id)
        entry = self._table.get(group_id)
        if error is ErrorCode.NONE and (entry is None or entry.group.state is GroupState.DEAD):
            error = ErrorCode.GROUP_ID_NOT_FOUND
        if error is not ErrorCode.NONE or entry is None:
            return error, {}
        group, in_use = entry.group, frozenset[str]()
        if group.state is not GroupState.EMPTY:
            if group.protocol_type != CONSUMER:
                return ErrorCode.NON_EMPTY_GROUP, {}
            topics = (
                group.subscribed_topics() if isinstance(group, ConsumerGroup) else subscribed_topics(group)
            )
            # When it cannot be known, every topic counts as in use.
            in_use = frozenset(topic for topic, _ in partitions) if topics is None else topics
        codes = {
            partition: ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC if partition[0] in in_use else ErrorCode.NONE
            for partition in partitions
        }
        known = set(entry.offsets.touched())
        doomed = [key for key, code in codes.items() if code is ErrorCode.NONE and key in known]
        await self.forget(entry, doomed)
        return ErrorCode.NONE, codes

    async def forget_topic(self, topic: str) -> None:
        """A topic is gone: its offsets would be wrong for another one of the same name."""
        async for entry in self._entries():
            await self._try_to_forget(entry, entry.offsets.touched(topic))

    async def forget_missing_topics(self, topics: Container[str]) -> int:
        """Removes offsets of topics that are not among `topics`: the broker ended between the deletion of a
        topic and that of its offsets. Returns how many offsets."""
        count = 0
        async for entry in self._entries():
            lost = [position for position in entry.offsets.touched() if position[0] not in topics]
            if lost:
                count += len(lost)
                await self._try_to_forget(entry, lost)
        return count

    async def expire(self, retention_ms: int) -> int:
        """Removes offsets whose time is over, and groups that have nothing left. Returns how many offsets."""
        count = 0
        async for entry in self._entries():
            expired = entry.offsets.expired(entry.group, self._table.now().wall_ms, retention_ms)
            if expired or (entry.group.state is GroupState.EMPTY and not entry.offsets):
                count += len(expired)
                await self._try_to_forget(entry, expired)
        return count

    async def forget(self, entry: GroupEntry, partitions: Iterable[TopicPartition]) -> None:
        """Removes offsets; an empty group without any left goes with them. Raises KafkaError."""
        group, doomed = entry.group, list(partitions)
        entry.offsets.remove(doomed)
        tombstones: list[KeyValue] = [
            (encode_offset_key(group.group_id, topic, partition), None) for topic, partition in doomed
        ]
        if isinstance(group, ConsumerGroup):
            if group.state is GroupState.EMPTY and not entry.offsets:
                group.die()
        elif group.state is GroupState.EMPTY and not entry.offsets and not group.pending:
            group.become(GroupState.DEAD, self._table.now())
        if group.state is GroupState.DEAD:
            self._table.remove(entry)
            if isinstance(group, ConsumerGroup):
                tombstones += [(encode_key(group.group_id, name), None) for name in group.take_touched()]
            elif group.generation > 0:
                # A group that only stored offsets has no record of its own.
                tombstones.append((encode_group_key(group.group_id), None))
        for start in range(0, len(tombstones), _TOMBSTONES_PER_BATCH):
            await self._log.append(entry.partition, tombstones[start : start + _TOMBSTONES_PER_BATCH])

    async def _entries(self) -> AsyncIterator[GroupEntry]:
        """All groups, as far as they are still there when it is their turn; the event loop is not held up."""
        for index, entry in enumerate(self._table, start=1):
            # A group of the same name may have come in the place of one that is gone.
            if self._table.get(entry.group.group_id) is entry:
                yield entry
            if not index % _GROUPS_PER_TURN:
                await asyncio.sleep(0)

    async def _try_to_forget(self, entry: GroupEntry, partitions: Sequence[TopicPartition]) -> None:
        try:
            await self.forget(entry, partitions)
        except KafkaError as error:
            # The records come back with the next start, and are expired again.
            _LOG.warning("offsets of group %s could not be removed: %s", entry.group.group_id, error)

    async def _write(self, entry: GroupEntry, offsets: Mapping[TopicPartition, CommittedOffset]) -> ErrorCode:
        try:
            records = encode_offsets(entry.group.group_id, offsets)
        except BadGroupRecord:
            return ErrorCode.INVALID_COMMIT_OFFSET_SIZE
        answer: asyncio.Future[ErrorCode] = asyncio.get_running_loop().create_future()

        # A callback, so that offsets count in the order of the log and even when the request is gone.
        def then(error: Exception | None) -> None:
            entry.offsets.end(offsets, written=error is None)
            if answer.done():
                return
            if error is None:
                answer.set_result(ErrorCode.NONE)
            elif isinstance(error, KafkaError):
                too_large = error.code is ErrorCode.MESSAGE_TOO_LARGE
                answer.set_result(ErrorCode.INVALID_COMMIT_OFFSET_SIZE if too_large else error.code)
            else:
                answer.set_exception(error)

        entry.offsets.begin(offsets)
        self._log.write(entry.partition, records, then)
        return await answer
