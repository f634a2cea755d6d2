"""Commit, fetch, delete and expiry of offsets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeAlias, TypeVar

from fastlog.coordination.groups.answers import Answers
from fastlog.coordination.groups.classic.state import CONSUMER, Group, GroupState
from fastlog.coordination.groups.committed_offsets import CommittedOffset, TopicPartition, expiry_rule
from fastlog.coordination.groups.consumer import commit_checks as modern_commits
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.coordination.groups.records import encode_offsets
from fastlog.coordination.groups.subscriptions import subscribed_topics
from fastlog.coordination.groups.weight import commit_weight, most_commit_weight
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.base.tasks import Supervisor
    from fastlog.coordination.groups.batches import KeyValue
    from fastlog.coordination.groups.group_log import GroupLog
    from fastlog.coordination.groups.removal import Removals
    from fastlog.coordination.groups.table import GroupEntry, GroupTable

_LOG: Final = logging.getLogger(__name__)
# Groups that lose offsets at the same time.
_REMOVALS_AT_ONCE: Final = 1000
# So many are looked through before other work of the event loop gets a turn.
_GROUPS_PER_TURN: Final = 16
_OFFSETS_PER_GROUP: Final = 64
"""So many offsets count as another group."""
_MANY_OFFSETS: Final = 500
"""A group with more of them is dealt with in turns of its own."""


Rule = TypeVar("Rule")
ThenCode: TypeAlias = Callable[[ErrorCode], None]
"""What is called, once, with the code that holds for all offsets of a commit. It raises nothing."""


class _Changing(Generic[Rule]):
    """What follows from the members of a group: found out anew when they may be others."""

    def __init__(self, find: Callable[[Group | ConsumerGroup], Rule]) -> None:
        self._find = find
        self._found: tuple[tuple[object, ...], Rule] | None = None

    def __call__(self, group: Group | ConsumerGroup) -> Rule:
        state = group, group.state, group.generation
        if self._found is None or self._found[0] != state:
            self._found = state, self._find(group)
        return self._found[1]


def _topics_in_use(group: Group | ConsumerGroup) -> Container[str] | None:
    """Topics whose offsets members need; None: it cannot be known."""
    if group.state is GroupState.EMPTY:
        return frozenset()
    if group.protocol_type != CONSUMER:
        return None
    return group.subscribed_topics() if isinstance(group, ConsumerGroup) else subscribed_topics(group)


class Committer(NamedTuple):
    """Who commits: generation -1 and no ids when it is not a member.

    `knows_epochs`: the request can carry the epoch of a member of a consumer group (OffsetCommit 9).
    """

    member_id: str
    instance_id: str | None
    generation: int
    knows_epochs: bool = True


class Commits:
    """What the handlers of OffsetCommit, OffsetFetch and OffsetDelete call."""

    def __init__(self, table: GroupTable, log: GroupLog, removals: Removals, tasks: Supervisor) -> None:
        self._table = table
        self._log = log
        self.removals = removals
        self._answers = Answers(tasks.guard("group-answers"))

    async def commit(
        self,
        group_id: str,
        who: Committer,
        offsets: Mapping[TopicPartition, CommittedOffset],
        records: Sequence[KeyValue] | None = None,
    ) -> ErrorCode:
        """Returns when the offsets are in the log. One code holds for all of them.

        `records` are the same offsets encoded, by callers that did so in steps.
        """
        # A topic may have gone since the request was looked at: its offsets would stay for ever.
        gone = {name for name in {topic for topic, _ in offsets} if not self._table.has_topic(name)}
        if gone:
            offsets = {key: committed for key, committed in offsets.items() if key[0] not in gone}
            records = None
        answer: asyncio.Future[ErrorCode] = asyncio.get_running_loop().create_future()

        def then(code: ErrorCode) -> None:
            if not answer.done():
                answer.set_result(code)

        self.begin(group_id, who, offsets, then, most_commit_weight(offsets), records)
        return await answer

    def begin(
        self,
        group_id: str,
        who: Committer,
        offsets: Mapping[TopicPartition, CommittedOffset],
        then: ThenCode,
        weight: int,
        records: Sequence[KeyValue] | None = None,
    ) -> None:
        """Commits offsets of topics that exist, and calls `then` as soon as `commit` would return.

        `weight`: by how many bytes they may make a group grow that has none of them, or more.
        """
        error = self._table.error(group_id, may_be_empty=True)
        entry = self._table.get(group_id)
        if error is ErrorCode.NONE and entry is None:
            if who.generation >= 0:
                error = ErrorCode.ILLEGAL_GENERATION
            elif offsets:
                entry = self._table.get_or_add(group_id)
        if error is not ErrorCode.NONE or entry is None:
            then(error)
            return
        error = self._commit_error(entry.group, who, offsets)
        if error is ErrorCode.NONE and offsets:
            memory = self._table.memory
            if not memory.has_room(entry, weight) and not memory.has_room(
                entry, commit_weight(entry.offsets.committed, offsets)
            ):
                error = ErrorCode.INVALID_COMMIT_OFFSET_SIZE
            else:
                try:
                    if records is None:
                        records = encode_offsets(group_id, offsets)
                    self._write(entry, offsets, records, then)
                    return
                except BadGroupRecord:
                    error = ErrorCode.INVALID_COMMIT_OFFSET_SIZE
        self._table.remove_unused(entry)
        then(error)

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

    def served(
        self, group_id: str, member_id: str | None = None, epoch: int = -1
    ) -> Mapping[TopicPartition, CommittedOffset] | None:
        """The same where `error` says NONE, else None."""
        if self._table.error(group_id, may_be_empty=True) is not ErrorCode.NONE:
            return None
        entry = self._table.get(group_id)
        if entry is None:
            return {}
        group = entry.group
        if isinstance(group, ConsumerGroup) and (
            modern_commits.fetch_error(group, member_id, epoch) is not ErrorCode.NONE
        ):
            return None
        return {} if group.state is GroupState.DEAD else entry.offsets.committed

    def has_unstable(self, group_id: str) -> bool:
        """Whether a transaction that is open may change any offset of the group (KIP-447)."""
        entry = self._table.get(group_id)
        return entry is not None and bool(entry.offsets.transactional)

    def unstable(self, group_id: str, few: Iterable[TopicPartition] | None = None) -> set[TopicPartition]:
        """Partitions whose offset a transaction that is open may change, now: all of them, or those among
        some."""
        entry = self._table.get(group_id)
        if entry is None or not entry.offsets.transactional:
            return set()
        pending = entry.offsets.transactional
        return pending.partitions() if few is None else pending.among(few)

    async def delete(
        self, group_id: str, partitions: Mapping[TopicPartition, object]
    ) -> tuple[ErrorCode, dict[TopicPartition, ErrorCode]]:
        """(error for the group or NONE, codes of partitions). Topics in use keep their offsets.

        A partition without a code has no offset left: the group was deleted meanwhile.
        """
        error = self._table.error(group_id)
        entry = self._table.get(group_id)
        if error is ErrorCode.NONE and (entry is None or entry.group.state is GroupState.DEAD):
            error = ErrorCode.GROUP_ID_NOT_FOUND
        if error is not ErrorCode.NONE or entry is None:
            return error, {}
        if entry.group.state is not GroupState.EMPTY and entry.group.protocol_type != CONSUMER:
            return ErrorCode.NON_EMPTY_GROUP, {}
        codes: dict[TopicPartition, ErrorCode] = {}
        look = _Changing(_topics_in_use)

        def wanted(some: Sequence[TopicPartition]) -> list[TopicPartition]:
            # When it cannot be known, every topic counts as in use.
            in_use = look(entry.group)
            free = [key for key in some if in_use is not None and key[0] not in in_use]
            codes.update(dict.fromkeys(some, ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC))
            codes.update(dict.fromkeys(free, ErrorCode.NONE))
            return entry.offsets.touched_of(free)

        try:
            await self.removals.forget_in_turns(entry, list(partitions), wanted)
        except KafkaError as failure:
            return failure.code, {}
        return ErrorCode.NONE, codes

    async def forget_topic(self, topic: str) -> None:
        """A topic is gone: its offsets would be wrong for another one of the same name.

        To be awaited before there can be another one. The tombstones of all groups share batches. Raises
        KafkaError when some could not be written: there must not be another topic of that name then.
        """
        if self._table.closed:
            raise KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE, "groups are not served any more")
        failure: KafkaError | None = None
        waiting: list[tuple[GroupEntry, asyncio.Future[None]]] = []
        async for entry in self._entries():
            doomed = entry.offsets.touched(topic)
            if len(doomed) > _MANY_OFFSETS:
                try:
                    await self.removals.forget_in_turns(entry, doomed)
                except KafkaError as error:
                    failure = error
            elif doomed:
                waiting.append((entry, self.removals.forget(entry, doomed)))
            if len(waiting) >= _REMOVALS_AT_ONCE:
                failure = await self._removed(waiting) or failure
                waiting.clear()
        failure = await self._removed(waiting) or failure
        if failure is not None:
            raise failure

    async def expire(self, retention_ms: int) -> int:
        """Removes offsets whose time is over, and groups that have nothing left. Returns how many offsets."""
        count = 0
        async for entry in self._entries():
            if entry.partition in self._table.loading:
                continue
            if len(entry.offsets.committed) > _MANY_OFFSETS:
                count += await self._expire_in_turns(entry, retention_ms)
                continue
            expired = entry.offsets.expired(entry.group, self._table.now().wall_ms, retention_ms)
            if expired or (entry.group.state is GroupState.EMPTY and not entry.offsets):
                count += len(expired)
                await self._removed([(entry, self.removals.forget(entry, expired))])
        return count

    async def _expire_in_turns(self, entry: GroupEntry, retention_ms: int) -> int:
        look = _Changing(expiry_rule)

        def wanted(some: Sequence[TopicPartition]) -> list[TopicPartition]:
            return entry.offsets.over(look(entry.group), self._table.now().wall_ms, retention_ms, some)

        try:
            return await self.removals.forget_in_turns(entry, list(entry.offsets.committed), wanted)
        except KafkaError as error:
            _LOG.warning("offsets of group %s could not be removed: %s", entry.group.group_id, error)
            return 0

    async def _entries(self) -> AsyncIterator[GroupEntry]:
        """All groups, as far as they are still there when it is their turn; the event loop is not held up."""
        looked_at = 0
        for entry in self._table:
            # A group of the same name may have come in the place of one that is gone.
            if self._table.get(entry.group.group_id) is entry:
                yield entry
            looked_at += 1 + len(entry.offsets.committed) // _OFFSETS_PER_GROUP
            if looked_at >= _GROUPS_PER_TURN:
                looked_at = 0
                await asyncio.sleep(0)

    async def _removed(self, waiting: Iterable[tuple[GroupEntry, asyncio.Future[None]]]) -> KafkaError | None:
        """Returns why some could not be removed."""
        failure: KafkaError | None = None
        for entry, done in waiting:
            try:
                await done
            except KafkaError as error:
                # They are in force again, and expire again.
                _LOG.warning("offsets of group %s could not be removed: %s", entry.group.group_id, error)
                failure = error
        return failure

    def _write(
        self,
        entry: GroupEntry,
        offsets: Mapping[TopicPartition, CommittedOffset],
        records: Sequence[KeyValue],
        then: ThenCode,
    ) -> None:
        change = entry.offsets.begin(offsets)

        # A callback, so that offsets count in the order of the log and even when the request is gone.
        def written(error: Exception | None) -> None:
            before = entry.offsets.weight
            entry.offsets.end(change, written=error is None)
            if entry.offsets.weight != before:
                self._table.weigh(entry)
            if error is not None:
                self._table.remove_unused(entry)
            self._answers.give(then, code_of(error))

        self._log.write(entry.partition, records, written)


def code_of(error: Exception | None) -> ErrorCode:
    """What a client is told of a commit that was written (None), or could not be."""
    if error is None:
        return ErrorCode.NONE
    if not isinstance(error, KafkaError):
        _LOG.error("a commit failed", exc_info=error)
        return ErrorCode.UNKNOWN_SERVER_ERROR
    too_large = error.code is ErrorCode.MESSAGE_TOO_LARGE
    return ErrorCode.INVALID_COMMIT_OFFSET_SIZE if too_large else error.code
