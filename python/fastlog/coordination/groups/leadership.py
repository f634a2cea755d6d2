"""Coordinators live as long as the leadership of their partition of `__consumer_offsets`.

| call       | when                                     | what happens                                       |
|------------|------------------------------------------|----------------------------------------------------|
| `elected`  | this broker leads the partition now      | its groups are read, then served                   |
| `resigned` | it does not, or the partition is offline | they are forgotten; who waits gets NOT_COORDINATOR |
| `deleted`  | the partition is about to be removed     | the same, and nothing is appended to it any more   |

The calls count at once. What takes time (reading, and forgetting many groups) is done by one task, in the
order of the calls: groups of a former leadership are gone before those of the next are read.

A partition that is damaged is not served. One that could not be read for another reason, which may pass (no
memory, threads or descriptors), is read again after a pause that grows.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Container, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.classic import rebalance
from fastlog.coordination.groups.classic.state import Group
from fastlog.coordination.groups.committed_offsets import GroupOffsets, TopicPartition
from fastlog.coordination.groups.consumer.state import ConsumerGroup
from fastlog.coordination.groups.loading import LoadedPartition, load_partition
from fastlog.coordination.groups.table import Election, GroupEntry, GroupTable
from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import FastlogError, KafkaError
from fastlog.native import FastlogNativeError, StorageError

if TYPE_CHECKING:
    from fastlog.base.tasks import Loop, Supervisor
    from fastlog.config import BrokerConfig
    from fastlog.coordination.cluster_view import ClusterView, TopicState
    from fastlog.coordination.groups.classic.membership import Membership
    from fastlog.coordination.groups.consumer.service import ConsumerMembership
    from fastlog.coordination.groups.group_log import GroupLog
    from fastlog.coordination.groups.removal import Removals
    from fastlog.coordination.groups.transactional_commits import TransactionalCommits
    from fastlog.replication.replica_manager import ReplicaManager

MissingTopics = Callable[[Sequence[str]], Coroutine[None, None, set[str]]]

_LOG: Final = logging.getLogger(__name__)
_GROUPS_PER_TURN: Final = 64
# A group that loses more offsets than that takes turns of its own.
_OFFSETS_AT_ONCE: Final = 500


class GroupLeadership:
    """Brings groups in and takes them out. Used on the event loop.

    `missing_topics` tells which topics there are not, where the view shows what a controller tells, which
    may not be all yet.
    """

    def __init__(
        self,
        *,
        view: ClusterView,
        replicas: ReplicaManager,
        table: GroupTable,
        log: GroupLog,
        membership: Membership,
        consumer: ConsumerMembership,
        removals: Removals,
        transactional: TransactionalCommits,
        config: Callable[[], BrokerConfig],
        tasks: Supervisor,
        missing_topics: MissingTopics | None = None,
    ) -> None:
        self._missing_topics = missing_topics
        self._view = view
        self._replicas = replicas
        self._table = table
        self._log = log
        self._membership = membership
        self._consumer = consumer
        self._removals = removals
        self._transactional = transactional
        self._config = config
        self._work: deque[tuple[int, Election | None]] = deque()
        """Partitions to be read, or (None) to be forgotten."""
        self._has_work = asyncio.Event()
        self._has_none = asyncio.Event()
        self._tasks = tasks
        self._again: dict[int, tuple[Election, Exception]] = {}
        """Partitions that are to be read again, and what kept them from it."""
        self._reading_again: Loop | None = None
        self._topics_then: dict[int, Mapping[str, TopicState]] = {}
        """Of partitions that are not led now: the topics when they were led last."""

    def elected(self, partition: int) -> None:
        """This broker leads the partition, with a replica that is there. Harmless when it did already."""
        replica = self._replicas.get(GROUP_METADATA_TOPIC, partition)
        if replica is None:
            return
        before = self._table.elections.get(partition)
        if before is not None and before.replica is replica and before.epoch == replica.leader_epoch:
            return
        self.resigned(partition)
        topics = self._topics_then.pop(partition, self._view.topics)
        election = self._table.elections[partition] = Election(replica, replica.leader_epoch, topics)
        is_new = replica.log.log_end_offset == replica.log.log_start_offset
        if is_new and all(number != partition for number, _ in self._work):
            # Nothing is left of a former leadership: what it shut is open to this one.
            self._log.open(partition)
            return
        self._table.loading.add(partition)
        self._add(partition, election)

    def resigned(self, partition: int) -> None:
        """This broker does not lead the partition any more. Harmless when it did not."""
        if self._table.elections.pop(partition, None) is None:
            return
        self._table.loading.discard(partition)
        self._table.failed.discard(partition)
        self._again.pop(partition, None)
        self._topics_then[partition] = self._view.topics
        self._log.shut(partition)
        self._add(partition, None)

    async def deleted(self, partition: int) -> None:
        """The partition goes, with all groups in it. When this returns nothing is being appended to it."""
        self.resigned(partition)
        self._topics_then.pop(partition, None)
        await self._log.appended(partition)

    async def run(self) -> None:
        """Does the work, for ever."""
        while True:
            await self._has_work.wait()
            while self._work:
                partition, election = self._work[0]
                if election is None:
                    await self._forget(partition)
                elif self._is_current(partition, election):
                    await self._read(partition, election)
                self._work.popleft()
            self._has_work.clear()
            self._has_none.set()

    async def close(self) -> None:
        """Nothing is read again."""
        if self._reading_again is not None:
            await self._reading_again.stop()

    async def _read_again(self) -> None:
        """Fails as often as a partition does: then it is counted, shown, and called again after a pause."""
        while self._again:
            again, self._again = self._again, {}
            for partition, (election, _) in again.items():
                if self._is_current(partition, election):
                    self._table.loading.add(partition)
                    self._table.failed.discard(partition)
                    self._add(partition, election)
            await self._has_none.wait()
            self._raise_failure()
        # What fails from now on begins anew.
        self._reading_again = None

    def _raise_failure(self) -> None:
        for _, error in self._again.values():
            raise error

    def _begin_reading_again(self) -> None:
        loop = self._reading_again
        if loop is not None and not loop.is_over:
            return
        failed = iter((self._raise_failure,))

        async def passes() -> None:
            for first in failed:
                first()
            await self._read_again()

        self._reading_again = self._tasks.run("group-loading-again", passes)

    def _add(self, partition: int, election: Election | None) -> None:
        self._work.append((partition, election))
        self._has_none.clear()
        self._has_work.set()

    def _is_current(self, partition: int, election: Election) -> bool:
        return self._table.elections.get(partition) is election

    async def _forget(self, partition: int) -> None:
        """Answers who waits in groups of a leadership that has ended, and drops them."""
        self._transactional.forget(partition)
        for index, entry in enumerate(self._table, start=1):
            if entry.partition == partition:
                self._consumer.writer.drop(entry.group.group_id)
                if isinstance(entry.group, ConsumerGroup):
                    entry.group.resign()
                else:
                    entry.group.resign(self._table.now())
                    self._membership.settle(entry)
                self._table.remove(entry)
            if not index % _GROUPS_PER_TURN:
                await asyncio.sleep(0)

    async def _read(self, partition: int, election: Election) -> None:
        log = election.replica.log
        self._log.open(partition)
        try:
            loaded = await asyncio.to_thread(
                load_partition, log, log.log_end_offset, self._config().offsets_load_buffer_size
            )
            await self._adopt(partition, election, loaded)
        except (FastlogError, FastlogNativeError, OSError, MemoryError) as error:
            _LOG.error("groups of %s-%d cannot be loaded: %s", GROUP_METADATA_TOPIC, partition, error)
            await self._fail(partition, election, error)
        except Exception as error:  # noqa: BLE001 - a defect: the other groups are served all the same
            _LOG.exception("groups of %s-%d cannot be loaded", GROUP_METADATA_TOPIC, partition)
            await self._fail(partition, election, error)
        if self._is_current(partition, election):
            self._table.loading.discard(partition)

    async def _fail(self, partition: int, election: Election, error: Exception) -> None:
        if self._is_current(partition, election):
            self._table.failed.add(partition)
        await self._forget(partition)
        if self._is_current(partition, election) and not _is_damage(error):
            self._again[partition] = election, error
            self._begin_reading_again()

    async def _adopt(self, partition: int, election: Election, loaded: LoadedPartition) -> None:
        lost = 0
        untold = await self._untold(loaded)
        for index, group_id in enumerate(loaded.group_ids()):
            if not index % _GROUPS_PER_TURN:
                # Other work of the event loop gets a turn; requests about these groups are not served yet.
                await asyncio.sleep(0)
            if not self._is_current(partition, election):
                return
            entry = GroupEntry(
                self._restored(group_id, loaded), partition, GroupOffsets(loaded.offsets.get(group_id))
            )
            for producer_id, offsets in loaded.pending.get(group_id, {}).items():
                entry.offsets.transactional.restore(producer_id, offsets)
                self._transactional.note(partition, producer_id, group_id)
            self._table.put(entry)
            offsets_of = entry.offsets
            known = offsets_of.touched() if offsets_of.transactional else offsets_of.committed
            gone = [key for key in known if not self._is_same_topic(election, key[0], untold)]
            if gone:
                lost += len(gone)
                await self._forget_offsets(entry, gone)
            if isinstance(entry.group, ConsumerGroup):
                self._consumer.settle(entry, entry.group)
            else:
                self._membership.settle(entry)
        if loaded.records:
            _LOG.info(
                "loaded %d groups from %d records of %s-%d",
                *(len(loaded.group_ids()), loaded.records, GROUP_METADATA_TOPIC, partition),
            )
        if loaded.skipped:
            _LOG.warning(
                "%d records of %s-%d are of no known kind", loaded.skipped, GROUP_METADATA_TOPIC, partition
            )
        if lost:
            _LOG.info("removed %d offsets of topics that do not exist any more", lost)

    async def _forget_offsets(self, entry: GroupEntry, gone: list[TopicPartition]) -> None:
        if len(gone) <= _OFFSETS_AT_ONCE:
            # Nobody waits for it.
            self._removals.forget(entry, gone)
            return
        with suppress(KafkaError):
            await self._removals.forget_in_turns(entry, gone)

    def _restored(self, group_id: str, loaded: LoadedPartition) -> Group | ConsumerGroup:
        now = self._table.now()
        consumer = loaded.consumers.get(group_id)
        if consumer is not None:
            return ConsumerGroup.load(group_id, self._table.consumer_limits(group_id), consumer, now)
        limits, stored = self._table.limits(), loaded.groups.get(group_id)
        if stored is None:
            return Group(group_id, limits, now)
        group = Group.load(group_id, limits, stored, now)
        if len(group.members) > limits.max_size:
            # The limit was lowered: a rebalance lets members commit before some are turned away.
            rebalance.prepare(group, now)
        return group

    async def _untold(self, loaded: LoadedPartition) -> set[str]:
        """Topics of committed offsets that there are, although the view does not show them yet."""
        if self._missing_topics is None:
            return set()
        names = {topic for offsets in loaded.offsets.values() for topic, _ in offsets}
        for producers in loaded.pending.values():
            names.update(topic for offsets in producers.values() for topic, _ in offsets)
        unseen = [name for name in names if name not in self._view.topics]
        return set(unseen) - await self._missing_topics(unseen)

    def _is_same_topic(self, election: Election, name: str, untold: Container[str]) -> bool:
        """Whether a topic that offsets were committed for is still there, and no other one of its name.

        What a broker in a cluster has not been told of may be there all the same.
        """
        then, now = election.topics.get(name), self._view.topics.get(name)
        if now is None:
            return name in untold
        if then is None:
            return self._missing_topics is not None
        return then.topic_id == now.topic_id


def _is_damage(error: Exception) -> bool:
    """Whether a log will read no better when it is read again."""
    if isinstance(error, FastlogNativeError):
        return not isinstance(error, StorageError)
    return isinstance(error, FastlogError)
