"""The leader's side of markers (WriteTxnMarkers, KIP-98): each ends a transaction in one partition's log.

They are appended like records of the broker's own, acknowledged by all replicas that are in sync. Those for
`__consumer_offsets` go through the queue of the groups' coordinator, behind the offsets that they commit or
drop: when they are told, the offsets can be seen (KAFKA-17507).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import ErrorCode
from fastlog.native import FastlogNativeError
from fastlog.replication.appender import Batch
from fastlog.server.requests.replica_lookup import missing_error

if TYPE_CHECKING:
    from fastlog.coordination.transactions.completions import Marker, Outcomes
    from fastlog.coordination.transactions.state import TopicPartition
    from fastlog.native.shapes import AppendTransaction
    from fastlog.replication.appender import Appender
    from fastlog.replication.partition import Partition
    from fastlog.server.requests.context import BrokerServices

TIMEOUT_MS: Final = 30_000
"""`request.timeout.ms`: for so long a marker waits for its replicas. It is in the log all the same then."""
_AT_ONCE: Final = 128


class LeaderMarkers:
    """`MarkerWriter` of a broker."""

    def __init__(self, broker: BrokerServices) -> None:
        self._broker = broker

    async def write(self, marker: Marker) -> Outcomes:
        """See `MarkerWriter`. UNKNOWN_TOPIC_OR_PARTITION or NOT_LEADER_OR_FOLLOWER where this is not the
        leader, INVALID_PRODUCER_EPOCH and TRANSACTION_COORDINATOR_FENCED as the log has it."""
        waiting: dict[TopicPartition, asyncio.Future[ErrorCode]] = {}
        outcomes: dict[TopicPartition, ErrorCode] = {}
        batches: list[Batch] = []
        broker, turns = self._broker, self._broker.turns
        appender, content = broker.appender, content_of(marker)
        for number, (topic, partition) in enumerate(marker.partitions, start=1):
            key = topic, partition
            replica = broker.replicas.get(topic, partition)
            if replica is None:
                outcomes[key] = ErrorCode.of(missing_error(broker, topic, partition))
            elif topic == GROUP_METADATA_TOPIC:
                waiting[key] = broker.groups.transactional.end(partition, content)
            else:
                batch = _MarkerBatch(appender, replica, content)
                batches.append(batch)
                waiting[key] = batch.outcome
            if not number % _AT_ONCE and turns.over():
                self._append(batches)
                batches = []
                await turns.wait()
        self._append(batches)
        for key, outcome in waiting.items():
            outcomes[key] = await outcome
        return outcomes

    def _append(self, batches: list[Batch]) -> None:
        if batches:
            now_ms = self._broker.clock.now_ms()
            self._broker.appender.write(batches, timestamp_ms=now_ms, codec="none")


def content_of(marker: Marker) -> AppendTransaction:
    """The marker as the log takes it."""
    return marker.producer_id, marker.epoch, (marker.commits, marker.coordinator_epoch, marker.version)


class _MarkerBatch(Batch):
    """The marker of one partition."""

    __slots__ = ("outcome",)

    def __init__(self, appender: Appender, replica: Partition, content: AppendTransaction) -> None:
        super().__init__(appender, replica, (), TIMEOUT_MS, content)
        self.outcome: asyncio.Future[ErrorCode] = asyncio.get_running_loop().create_future()

    def settled(self) -> None:
        """It is replicated, or has failed."""
        self._tell(ErrorCode.of(self.results[0][0]))

    def failed(self, error: BaseException) -> None:
        """What became of it is not known: it is sent again."""
        code = ErrorCode.UNKNOWN_SERVER_ERROR
        if isinstance(error, FastlogNativeError):
            code = ErrorCode.of(error.code)
        self._tell(code)

    def _tell(self, code: ErrorCode) -> None:
        if not self.outcome.done():
            self.outcome.set_result(code)
