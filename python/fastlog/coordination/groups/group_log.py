"""Appends to the partitions of `__consumer_offsets`: in order, off the event loop, several at a time.

One thread writes for all partitions. What comes while it appends goes into its next turn, where what is for
one partition shares a batch: under load many commits cost one hand-over to the thread and few appends, and
nothing is delayed when there is little to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

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
_TOO_LARGE: Final = (ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.RECORD_LIST_TOO_LARGE)

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


Then: TypeAlias = Callable[[Exception | None], None]
"""What is called with the outcome of a write: None, or a KafkaError with a code for clients, or a defect."""


@dataclass(slots=True)
class _Entry:
    records: Sequence[KeyValue]
    size: int
    then: Then


@dataclass(slots=True)
class _Appended:
    """What became of entries that were to be one batch: an end offset, or why not."""

    entries: Sequence[_Entry]
    end_offset: int = -1
    error: Exception | None = None


@dataclass(slots=True)
class _Job:
    """The entries of one partition, as lists that may each share a batch."""

    replica: Replica
    epoch: int
    timestamp_ms: int
    codec: int
    batches: Sequence[Sequence[_Entry]]
    outcomes: list[_Appended] = field(default_factory=list)

    def run(self) -> None:
        """Appends all of them. On the writing thread; raises nothing."""
        for entries in self.batches:
            outcome = self._append(entries)
            too_large = isinstance(outcome.error, KafkaError) and outcome.error.code in _TOO_LARGE
            if too_large and len(entries) > 1:
                # The topic may have a very small limit: nobody is to fail because of another's records.
                self.outcomes.extend(self._append([entry]) for entry in entries)
            else:
                self.outcomes.append(outcome)

    def _append(self, entries: Sequence[_Entry]) -> _Appended:
        try:
            records = [record for entry in entries for record in entry.records]
            batch = make_batch(records, self.timestamp_ms, self.codec)
            info = self.replica.log.append(batch, leader_epoch=self.epoch)
        except FastlogNativeError as failure:
            return _Appended(entries, error=KafkaError(ErrorCode.of(failure.code), str(failure)))
        except Exception as failure:  # noqa: BLE001 - each request gets it, and the writer goes on
            return _Appended(entries, error=failure)
        return _Appended(entries, info.end_offset)


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
        self._queues: dict[int, list[_Entry]] = {}
        self._writer: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "fastlog-groups")

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

    def write(self, partition: int, records: Sequence[KeyValue], then: Then) -> None:
        """The same with a callback, which comes in the order of the log for each partition."""
        size = sum([len(key) + len(value or b"") for key, value in records])
        self._queues.setdefault(partition, []).append(_Entry(records, size, then))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name="fastlog-groups-log")

    async def close(self) -> None:
        """Waits until everything that was asked for is written."""
        while self._writer is not None:
            await asyncio.wait([self._writer])
        self._thread.shutdown(wait=False)

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._queues:
                queues, self._queues = self._queues, {}
                jobs = [job for partition, queue in queues.items() if (job := self._job(partition, queue))]
                if jobs:
                    await loop.run_in_executor(self._thread, _run, jobs)
                for job in jobs:
                    for outcome in job.outcomes:
                        self._settle(job, outcome)
        finally:
            self._writer = None

    def _job(self, partition: int, queue: list[_Entry]) -> _Job | None:
        replica = self._replicas.get(GROUP_METADATA_TOPIC, partition)
        error = (
            ErrorCode.NOT_LEADER_OR_FOLLOWER if replica is None else ErrorCode.of(replica.write_error(_ALL))
        )
        if replica is None or error is not ErrorCode.NONE:
            _finish(queue, KafkaError(error, "the partition of the group takes no records"))
            return None
        codec = self._config().offsets_topic_compression_codec
        return _Job(replica, replica.leader_epoch, self._clock.now_ms(), codec, _batches(queue))

    def _settle(self, job: _Job, outcome: _Appended) -> None:
        if outcome.error is not None:
            _finish(outcome.entries, outcome.error)
            return
        replica = job.replica
        replica.on_appended(outcome.end_offset)
        if replica.waits_for_disk:
            self._committer.request(replica)
        wait = _Acknowledgement(replica, outcome.end_offset, job.epoch, outcome.entries)
        if wait.is_ready(replica.key):
            wait.complete()
        else:
            self._purgatory.park(wait, [replica.key], self._config().offsets_commit_timeout_ms)


def _run(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.run()


def _batches(queue: Sequence[_Entry]) -> list[list[_Entry]]:
    batches: list[list[_Entry]] = []
    room = 0
    for entry in queue:
        if not batches or entry.size > room:
            batches.append([])
            room = _MAX_SHARED_BYTES
        batches[-1].append(entry)
        room -= entry.size
    return batches


def _finish(entries: Sequence[_Entry], error: Exception | None) -> None:
    if isinstance(error, KafkaError):
        error = KafkaError(_FOR_CLIENTS.get(error.code, error.code), error.message)
    for entry in entries:
        entry.then(error)


class _Acknowledgement(Operation):
    """Waits until all in-sync replicas have what was appended."""

    __slots__ = ("_end_offset", "_entries", "_epoch", "_replica")

    def __init__(self, replica: Replica, end_offset: int, epoch: int, entries: Sequence[_Entry]) -> None:
        super().__init__()
        self._replica = replica
        self._end_offset = end_offset
        self._epoch = epoch
        self._entries = entries

    def is_ready(self, key: PartitionKey) -> bool:
        """Whether the outcome is known."""
        return self._replica.ack_error(_ALL, self._end_offset, self._epoch) is not None

    def complete(self) -> None:
        """It is."""
        error = self._replica.ack_error(_ALL, self._end_offset, self._epoch)
        self._end(ErrorCode.REQUEST_TIMED_OUT if error is None else ErrorCode.of(error))

    def expire(self) -> None:
        """It is not, and time is up."""
        self._end(ErrorCode.REQUEST_TIMED_OUT)

    def _end(self, code: ErrorCode) -> None:
        text = "the records of the group are not acknowledged"
        _finish(self._entries, None if code is ErrorCode.NONE else KafkaError(code, text))
