"""Appends to the partitions of `__consumer_offsets`: in order, off the event loop, several at a time.

Each partition has one writer. What comes while it appends goes into its next batch: under load many commits
share one append, and nothing is delayed when there is little to do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastlog.coordination.groups.batches import KeyValue, make_batch
from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import ErrorCode, KafkaError
from fastlog.native import FastlogNativeError
from fastlog.replication.purgatory import Operation

if TYPE_CHECKING:
    from fastlog.clock import Clock
    from fastlog.config import BrokerConfig
    from fastlog.replication.committer import GroupCommitter
    from fastlog.replication.manager import ReplicaManager
    from fastlog.replication.purgatory import Purgatory
    from fastlog.replication.replica import PartitionKey, Replica

# A batch of several requests stays well below the smallest usual limit of a batch (1 MiB).
_MAX_SHARED_BYTES: Final = 256 * 1024
_ALL: Final = -1

# What a client of the coordinator is told when its records could not be written (Kafka's
# `maybeConvertOffsetCommitError`): whom it should look for next. Others are passed on.
_FOR_CLIENTS: Final = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.REQUEST_TIMED_OUT: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_LEADER_OR_FOLLOWER: ErrorCode.NOT_COORDINATOR,
    ErrorCode.KAFKA_STORAGE_ERROR: ErrorCode.NOT_COORDINATOR,
}


@dataclass(slots=True)
class _Entry:
    records: Sequence[KeyValue]
    size: int
    done: asyncio.Future[None]


class GroupLog:
    """The write side of the groups' topic. Used on the event loop."""

    def __init__(
        self,
        *,
        replicas: ReplicaManager,
        purgatory: Purgatory,
        committer: GroupCommitter,
        clock: Clock,
        config: Callable[[], BrokerConfig],
    ) -> None:
        self._replicas = replicas
        self._purgatory = purgatory
        self._committer = committer
        self._clock = clock
        self._config = config
        self._queues: dict[int, deque[_Entry]] = {}
        self._writers: set[asyncio.Task[None]] = set()

    async def append(self, partition: int, records: Sequence[KeyValue]) -> None:
        """Returns when the records are in the log, and replicated. Raises KafkaError with a code for clients.

        The records of one call are in one batch. They are written even when the caller is cancelled.
        """
        await asyncio.shield(self.submit(partition, records))

    def submit(self, partition: int, records: Sequence[KeyValue]) -> asyncio.Future[None]:
        """The same without waiting. What is asked for one partition is written in the order of the calls."""
        entry = _Entry(
            records,
            sum(len(key) + len(value or b"") for key, value in records),
            asyncio.get_running_loop().create_future(),
        )
        # Whoever asked may be gone when it fails.
        entry.done.add_done_callback(_look_at)
        queue = self._queues.get(partition)
        if queue is not None:
            queue.append(entry)
            return entry.done
        self._queues[partition] = deque([entry])
        writer = asyncio.create_task(self._write_all(partition), name=f"fastlog-groups-{partition}")
        self._writers.add(writer)
        writer.add_done_callback(self._writers.discard)
        return entry.done

    async def close(self) -> None:
        """Waits until everything that was asked for is written."""
        while self._writers:
            await asyncio.wait(self._writers)

    async def _write_all(self, partition: int) -> None:
        queue = self._queues[partition]
        while queue:
            entries = [queue.popleft()]
            size = entries[0].size
            while queue and size + queue[0].size <= _MAX_SHARED_BYTES:
                size += queue[0].size
                entries.append(queue.popleft())
            await self._write(partition, entries)
        del self._queues[partition]

    async def _write(self, partition: int, entries: list[_Entry]) -> None:
        try:
            await self._append(partition, [record for entry in entries for record in entry.records])
        except KafkaError as error:
            if error.code is ErrorCode.MESSAGE_TOO_LARGE and len(entries) > 1:
                # The topic may have a very small limit: nobody is to fail because of another's records.
                for entry in entries:
                    await self._write(partition, [entry])
                return
            code = _FOR_CLIENTS.get(error.code, error.code)
            for entry in entries:
                entry.done.set_exception(KafkaError(code, error.message))
        except Exception as error:  # noqa: BLE001 - each request gets it, and the writer goes on
            for entry in entries:
                entry.done.set_exception(error)
        else:
            for entry in entries:
                entry.done.set_result(None)

    async def _append(self, partition: int, records: Sequence[KeyValue]) -> None:
        replica = self._replicas.get(GROUP_METADATA_TOPIC, partition)
        if replica is None:
            raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER, "the partition of the group is not here")
        error = replica.write_error(_ALL)
        if error:
            raise KafkaError(ErrorCode.of(error), "the partition of the group takes no records")
        epoch = replica.leader_epoch
        batch = make_batch(records, self._clock.now_ms(), self._config().offsets_topic_compression_codec)
        try:
            info = await asyncio.to_thread(replica.log.append, batch, leader_epoch=epoch)
        except FastlogNativeError as failure:
            raise KafkaError(ErrorCode.of(failure.code), str(failure)) from failure
        replica.on_appended(info.end_offset)
        if replica.waits_for_disk:
            self._committer.request(replica)
        await self._acknowledged(replica, info.end_offset, epoch)

    async def _acknowledged(self, replica: Replica, end_offset: int, epoch: int) -> None:
        error = replica.ack_error(_ALL, end_offset, epoch)
        if error is None:
            wait = _Acknowledgement(replica, end_offset, epoch)
            self._purgatory.park(wait, [replica.key], self._config().offsets_commit_timeout_ms)
            error = await wait.outcome
        if error:
            raise KafkaError(ErrorCode.of(error), "the records of the group are not acknowledged")


class _Acknowledgement(Operation):
    """Waits until all in-sync replicas have what was appended."""

    __slots__ = ("_end_offset", "_epoch", "_replica", "outcome")

    def __init__(self, replica: Replica, end_offset: int, epoch: int) -> None:
        super().__init__()
        self._replica = replica
        self._end_offset = end_offset
        self._epoch = epoch
        self.outcome: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def is_ready(self, key: PartitionKey) -> bool:
        """Whether the outcome is known."""
        return self._replica.ack_error(_ALL, self._end_offset, self._epoch) is not None

    def complete(self) -> None:
        """It is."""
        error = self._replica.ack_error(_ALL, self._end_offset, self._epoch)
        self.outcome.set_result(ErrorCode.REQUEST_TIMED_OUT if error is None else error)

    def expire(self) -> None:
        """It is not, and time is up."""
        self.outcome.set_result(ErrorCode.REQUEST_TIMED_OUT)


def _look_at(done: asyncio.Future[None]) -> None:
    if not done.cancelled():
        done.exception()
