"""Commits of offsets in transactions, and the markers that end these (KIP-98, KIP-447).

Both go through the groups' queue of their partition. A marker is written behind whatever was asked for before
it; when it is told, the offsets that it commits can be seen, so that the producer's next transaction cannot
mix with this one (KAFKA-17507).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.classic.state import Group
from fastlog.coordination.groups.commits import code_of
from fastlog.coordination.groups.consumer import commit_checks as modern_commits
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.coordination.groups.records import encode_offsets
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.coordination.groups.batches import KeyValue
    from fastlog.coordination.groups.commits import Committer, ThenCode
    from fastlog.coordination.groups.committed_offsets import CommittedOffset, TopicPartition
    from fastlog.coordination.groups.consumer.state import ConsumerGroup
    from fastlog.coordination.groups.group_log import GroupLog
    from fastlog.coordination.groups.table import GroupEntry, GroupTable
    from fastlog.native.shapes import AppendTransaction

_NAME: Final = itemgetter(0)

# What a coordinator of transactions is told, in the place of what clients of groups are.
_FOR_COORDINATORS: Final = {
    ErrorCode.NOT_COORDINATOR: ErrorCode.NOT_LEADER_OR_FOLLOWER,
    ErrorCode.COORDINATOR_NOT_AVAILABLE: ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
}


class TransactionalCommits:
    """What the handler of TxnOffsetCommit calls, and whoever writes markers."""

    def __init__(self, table: GroupTable, log: GroupLog) -> None:
        self._table = table
        self._log = log
        self._open: dict[int, dict[int, set[str]]] = {}
        """By partition and producer id, groups with offsets of its transaction."""

    def place(self, group_id: str) -> tuple[ErrorCode, int]:
        """(why the group cannot be served here or NONE, its partition)."""
        error = self._table.error(group_id)
        partition = self._table.partition(group_id)
        return error, -1 if partition is None else partition

    def has_room(self, group_id: str, weight: int) -> bool:
        """Whether offsets that weigh so much may be committed: nobody needs to encode them if not."""
        return self._table.memory.has_room(self._table.get(group_id), weight)

    async def commit(
        self,
        group_id: str,
        who: Committer,
        producer: tuple[int, int, int | None],
        offsets: Mapping[TopicPartition, CommittedOffset],
        weight: int,
        records: Sequence[KeyValue] | None = None,
    ) -> ErrorCode:
        """Returns when the offsets are in the log. One code holds for all of them.

        `producer`: id, epoch and guard, as for `AppendTransaction`. `weight`: what the offsets weigh, or
        more. `records` are the same offsets encoded, by callers that did so in steps.
        """
        answer: asyncio.Future[ErrorCode] = asyncio.get_running_loop().create_future()

        def then(code: ErrorCode) -> None:
            if not answer.done():
                answer.set_result(code)

        self.begin(group_id, who, producer, offsets, then, weight, records)
        return await answer

    def begin(
        self,
        group_id: str,
        who: Committer,
        producer: tuple[int, int, int | None],
        offsets: Mapping[TopicPartition, CommittedOffset],
        then: ThenCode,
        weight: int,
        records: Sequence[KeyValue] | None = None,
    ) -> None:
        """The same with a callback, at once or later."""
        error = self._table.error(group_id)
        entry = self._table.get(group_id)
        if error is ErrorCode.NONE and entry is None and who.generation >= 0:
            error = ErrorCode.ILLEGAL_GENERATION
        if error is not ErrorCode.NONE:
            then(error)
            return
        if entry is None:
            entry = self._table.get_or_add(group_id)
        error = self._membership_error(entry.group, who, offsets)
        if error is ErrorCode.NONE and not self._table.memory.has_room(entry, weight):
            # Whatever is done with so many offsets takes long.
            error = ErrorCode.INVALID_COMMIT_OFFSET_SIZE
        if error is ErrorCode.NONE:
            # A topic may have gone since the request was looked at.
            gone = {name for name in set(map(_NAME, offsets)) if not self._table.has_topic(name)}
            if gone:
                offsets = {key: offset for key, offset in offsets.items() if key[0] not in gone}
                records = None
            try:
                if records is None:
                    records = encode_offsets(group_id, offsets)
            except BadGroupRecord:
                error = ErrorCode.INVALID_COMMIT_OFFSET_SIZE
        if error is not ErrorCode.NONE or not offsets or records is None:
            self._table.remove_unused(entry)
            then(error)
        else:
            self._write(entry, producer, offsets, records, then, weight)

    def _membership_error(
        self, group: Group | ConsumerGroup, who: Committer, offsets: Iterable[TopicPartition]
    ) -> ErrorCode:
        if isinstance(group, Group):
            return group.transactional_commit_error(who.member_id, who.instance_id, who.generation)
        if not who.member_id and who.generation < 0:
            # A producer that says nothing of a member, as old ones do, is let through.
            return ErrorCode.NONE
        topics = self._table.topics()
        # Few are looked at: the first that the member does not have is the last.
        partitions = (
            (found[0], number) for name, number in offsets if (found := topics.find(name)) is not None
        )
        error = modern_commits.commit_error(
            group, who.member_id, who.generation, partitions, knows_epochs=True
        )
        # Clients know no other code of an epoch here.
        return ErrorCode.ILLEGAL_GENERATION if error is ErrorCode.STALE_MEMBER_EPOCH else error

    def _write(
        self,
        entry: GroupEntry,
        producer: tuple[int, int, int | None],
        offsets: Mapping[TopicPartition, CommittedOffset],
        records: Sequence[KeyValue],
        then: ThenCode,
        weight: int,
    ) -> None:
        pending = entry.offsets.transactional
        pending.begin(offsets)

        def written(error: Exception | None) -> None:
            pending.end(offsets, producer[0], offsets if error is None else None, weight)
            if error is None:
                self.note(entry.partition, producer[0], entry.group.group_id)
                self._table.weigh(entry)
            else:
                self._table.remove_unused(entry)
            then(code_of(error))

        self._log.write(entry.partition, records, written, transaction=producer)

    # -- markers --------------------

    def end(self, partition: int, marker: AppendTransaction) -> asyncio.Future[ErrorCode]:
        """Ends the transaction of a producer in a partition of the groups' topic.

        NOT_LEADER_OR_FOLLOWER while the groups of the partition are not known here.
        """
        outcome: asyncio.Future[ErrorCode] = asyncio.get_running_loop().create_future()
        table = self._table
        if partition not in table.elections or partition in table.loading or partition in table.failed:
            outcome.set_result(ErrorCode.NOT_LEADER_OR_FOLLOWER)
            return outcome
        producer_id, _, how = marker
        commits = isinstance(how, tuple) and how[0]

        def then(error: Exception | None) -> None:
            code = ErrorCode.NONE
            if error is None:
                self._settle(partition, producer_id, commits=commits)
            else:
                code = error.code if isinstance(error, KafkaError) else ErrorCode.UNKNOWN_SERVER_ERROR
            if not outcome.done():
                outcome.set_result(_FOR_COORDINATORS.get(code, code))

        self._log.write(partition, (), then, transaction=marker)
        return outcome

    def _settle(self, partition: int, producer_id: int, *, commits: bool) -> None:
        for group_id in self._open.get(partition, {}).pop(producer_id, ()):
            entry = self._table.get(group_id)
            if entry is not None and entry.partition == partition:
                entry.offsets.settle(producer_id, commits=commits)
                self._table.weigh(entry)
                self._table.remove_unused(entry)

    def note(self, partition: int, producer_id: int, group_id: str) -> None:
        """The group has offsets of a transaction that is open."""
        self._open.setdefault(partition, {}).setdefault(producer_id, set()).add(group_id)

    def forget(self, partition: int) -> None:
        """The partition is not led any more."""
        self._open.pop(partition, None)
