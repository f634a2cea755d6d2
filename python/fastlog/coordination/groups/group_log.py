"""Appends to the partitions of `__consumer_offsets`: in order, several requests at a time.

One job of the native I/O is under way, with a batch for each partition that had something to write. What is
asked for meanwhile goes into the next job, where what is for one partition shares a batch: under load many
commits cost one hand-over and few appends, and nothing is delayed when there is little to do.

What belongs to a transaction, or ends it, has a batch of its own, which names its producer. Many of them in a
row go into one job all the same: none of them is ever tried again behind those that follow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from fastlog.base.tasks import Supervisor
from fastlog.coordination.groups.batches import CODECS, KeyValue
from fastlog.coordination.groups.group_batch import Entry, GroupBatch, NotAcknowledged, Then, finish
from fastlog.coordination.groups.records import size_of
from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from fastlog.base.clock import Clock
    from fastlog.config import BrokerConfig
    from fastlog.native.shapes import AppendTransaction
    from fastlog.replication.appender import Appender
    from fastlog.replication.partition import Partition
    from fastlog.replication.replica_manager import ReplicaManager

# A batch of several requests stays well below the smallest usual limit of a batch (1 MiB).
_MAX_SHARED_BYTES: Final = 256 * 1024
# Batches of transactions that a job has for one partition.
_MOST_IN_A_ROW: Final = 64


class GroupLog:
    """The write side of the groups' topic. Used on the event loop."""

    def __init__(
        self,
        *,
        replicas: ReplicaManager,
        appender: Appender,
        clock: Clock,
        config: Callable[[], BrokerConfig],
        tasks: Supervisor | None = None,
    ) -> None:
        self._replicas = replicas
        self.appender: Final = appender
        self._clock = clock
        self._config = config
        self._guard = (tasks or Supervisor()).guard("group-log")
        self._queues: dict[int, deque[Entry]] = {}
        """What is asked for, by partition; never empty ones."""
        self._under_way: dict[int, int] = {}
        """How many batches the job that is under way has for a partition; never 0."""
        self._untold: dict[int, deque[GroupBatch]] = {}
        """Batches that are in the log and were not told, by partition, in the order of the log."""
        self._has_turn = False
        self._waiting: list[asyncio.Future[None]] = []
        self._shut: set[int] = set()

    async def append(self, partition: int, records: Sequence[KeyValue]) -> None:
        """Returns when the records are in the log, and replicated. Raises KafkaError with a code for clients.

        The records of one call are in one batch. They are written even when the caller is cancelled.
        """
        await self.submit(partition, records)

    def submit(self, partition: int, records: Sequence[KeyValue]) -> asyncio.Future[None]:
        """The same without waiting. What is asked for one partition is written in the order of the calls."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def then(error: Exception | None) -> None:
            if done.done():
                return  # whoever asked is gone
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
                # Nobody may be left to look at it.
                done.exception()

        self.write(partition, records, then)
        return done

    def write(
        self,
        partition: int,
        records: Sequence[KeyValue],
        then: Then,
        *,
        divisible: bool = False,
        transaction: AppendTransaction | None = None,
    ) -> None:
        """The same with a callback, which comes in the order of the log for each partition.

        `divisible` records are cut into smaller batches when the topic refuses one; a failure may then have
        let some of them through, and is NotAcknowledged. They belong to a `transaction`, or end it.
        """
        size = size_of(records)
        replica, epoch = self._leadership(partition)
        entry = Entry(records, size, then, replica, epoch, divisible, transaction=transaction)
        queue = self._queues.get(partition)
        if queue is None:
            self._queues[partition] = deque((entry,))
        else:
            queue.append(entry)
        self._ask_for_turn()

    def _leadership(self, partition: int) -> tuple[Partition | None, int]:
        """The replica that takes what is asked for now, and its epoch."""
        replica = None if partition in self._shut else self._replicas.get(GROUP_METADATA_TOPIC, partition)
        return replica, -1 if replica is None else replica.leader_epoch

    def shut(self, partition: int) -> None:
        """Lets nothing more through for groups of a leadership that has ended, until `open`.

        What was asked for and is in no job yet is refused, too.
        """
        self._shut.add(partition)

    def open(self, partition: int) -> None:
        """They are forgotten, others come."""
        self._shut.discard(partition)

    async def appended(self, partition: int) -> None:
        """Waits for what is being appended to the partition at this moment."""
        while partition in self._under_way:
            await self._change()

    async def close(self) -> None:
        """Waits until everything that was asked for is written."""
        while self._queues or self._under_way:
            await self._change()

    # -- for batches --------------------

    def release(self, partition: int, again: Sequence[Entry]) -> None:
        """A batch of the partition that was under way is appended, or is not. `again` is tried first."""
        left = self._under_way.pop(partition, 0) - 1
        if left > 0:
            self._under_way[partition] = left
        if again:
            self._queues.setdefault(partition, deque()).extendleft(reversed(again))
        if self._queues and not self._under_way:
            self._ask_for_turn()
        if self._waiting:
            self._tell_change()

    def written(self, batch: GroupBatch) -> None:
        """A batch is in the log, behind all that were before."""
        self._untold.setdefault(batch.partition, deque()).append(batch)

    def settled(self, batch: GroupBatch) -> None:
        """A batch in the log has its outcome. It is told after those before it.

        The purgatory ends many waits in turns: one may be acknowledged before one that waits is looked at.
        """
        batches = self._untold[batch.partition]
        while batches and batches[0].has_outcome:
            self._guard(batches.popleft().tell)
        if not batches:
            del self._untold[batch.partition]

    def give_up(self, entries: Sequence[Entry], defect: BaseException, code: ErrorCode) -> None:
        """What became of these entries will not be known."""
        self._guard.failed(defect)
        text = "the records of the group met a defect"
        self._guard(finish, entries, NotAcknowledged(code, text))

    # -- turns --------------------

    def _ask_for_turn(self) -> None:
        if not (self._has_turn or self._under_way):
            self._has_turn = True
            asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Begins to write what was asked for."""
        self._has_turn = False
        config = self._config()
        batches: list[GroupBatch] = []
        for partition in list(self._queues):
            for _ in range(_MOST_IN_A_ROW):
                entries: list[Entry] = []
                try:
                    batch = self._next_batch(partition, entries, config.offsets_commit_timeout_ms)
                except BaseException as defect:  # noqa: BLE001 - the other partitions have their turn
                    self.give_up(entries, defect, ErrorCode.UNKNOWN_SERVER_ERROR)
                    break
                if batch is None:
                    break
                batches.append(batch)
                if batch.replicas[0] is not None:
                    self._under_way[partition] = self._under_way.get(partition, 0) + 1
                if batch.transaction is None or not self._goes_on(partition):
                    break
        codec = CODECS[config.offsets_topic_compression_codec]
        self.appender.write(batches, timestamp_ms=self._clock.now_ms(), codec=codec)
        if self._queues:
            self._ask_for_turn()
        self._tell_change()

    def _goes_on(self, partition: int) -> bool:
        """Whether what comes next in a partition may follow on a batch in the same job."""
        queue = self._queues.get(partition)
        return queue is not None and queue[0].transaction is not None

    def _next_batch(self, partition: int, entries: list[Entry], timeout_ms: int) -> GroupBatch | None:
        """What comes next in a partition; its entries are put into `entries`."""
        replica, epoch = self._leadership(partition)
        late: list[Entry] = []
        queue = self._queues[partition]
        room = _MAX_SHARED_BYTES
        while queue:
            entry = queue[0]
            if entry.replica is not replica or entry.epoch != epoch:
                # Another log may have taken the place of theirs, whose groups are none of theirs.
                late.append(queue.popleft())
                continue
            is_alone = entry.at_once is not None or entry.transaction is not None
            if entries and (is_alone or entry.size > room):
                break
            entries.append(queue.popleft())
            room -= entry.size
            if is_alone:
                break
        if not queue:
            del self._queues[partition]
        if late:
            text = "the partition was led anew"
            self._guard(finish, late, KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER, text))
        return GroupBatch(self, partition, replica, entries, timeout_ms) if entries else None

    # -- whoever waits --------------------

    async def _change(self) -> None:
        """Returns after the next change of what is asked for or under way."""
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        await change

    def _tell_change(self) -> None:
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            if not change.done():
                change.set_result(None)
