"""The leader's side of markers (WriteTxnMarkers, KIP-98): each ends a transaction in one partition's log.

They are appended like records of the broker's own, acknowledged by all replicas that are in sync. Those for
`__consumer_offsets` go through the queue of the groups' coordinator, behind the offsets that they commit or
drop: when they are told, the offsets can be seen (KAFKA-17507).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from fastlog.coordination.topic_names import GROUP_METADATA_TOPIC
from fastlog.errors import ErrorCode
from fastlog.native import FastlogNativeError
from fastlog.replication.appender import ACKS_ALL, Append
from fastlog.server.requests.replica_lookup import missing_error

if TYPE_CHECKING:
    from fastlog.coordination.transactions.completions import Marker, Outcomes
    from fastlog.coordination.transactions.state import TopicPartition
    from fastlog.native.shapes import AppendRow, AppendTransaction
    from fastlog.replication.appender import Appender
    from fastlog.replication.partition import Partition
    from fastlog.server.requests.context import BrokerServices

TIMEOUT_MS: Final = 30_000
"""`request.timeout.ms`: for so long a marker waits for its replicas. It is in the log all the same then."""
_AT_ONCE: Final = 128
"""Partitions of one job, and those that are looked at before the clock is."""

Codes: TypeAlias = "dict[TopicPartition, ErrorCode]"


class LeaderMarkers:
    """`MarkerWriter` of a broker."""

    def __init__(self, broker: BrokerServices) -> None:
        self._broker = broker

    async def write(self, markers: Sequence[Marker]) -> list[Outcomes]:
        """See `MarkerWriter`. UNKNOWN_TOPIC_OR_PARTITION or NOT_LEADER_OR_FOLLOWER where this is not the
        leader, INVALID_PRODUCER_EPOCH and TRANSACTION_COORDINATOR_FENCED as the log has it.

        One native job appends all of them, or a few if they are very many.
        """
        broker, turns = self._broker, self._broker.turns
        outcomes: list[dict[TopicPartition, ErrorCode]] = [{} for _ in markers]
        of_groups: list[
            tuple[dict[TopicPartition, ErrorCode], TopicPartition, asyncio.Future[ErrorCode]]
        ] = []
        rows = _MarkerRows(broker.appender)
        parts = [rows]
        looked_at = 0
        for marker, found in zip(markers, outcomes, strict=True):
            content = content_of(marker)
            is_of_nobody = marker.producer_id < 0 or marker.epoch < 0
            for key in marker.partitions:
                replica = broker.replicas.get(*key)
                if replica is None:
                    found[key] = ErrorCode.of(missing_error(broker, *key))
                elif is_of_nobody:
                    # It would end nothing. That is what Kafka tells.
                    found[key] = ErrorCode.UNKNOWN_SERVER_ERROR
                elif key[0] == GROUP_METADATA_TOPIC:
                    of_groups.append((found, key, broker.groups.transactional.end(key[1], content)))
                else:
                    rows.put(replica, content, found, key)
                looked_at += 1
                if not looked_at % _AT_ONCE:
                    self._append(rows)
                    rows = _MarkerRows(broker.appender)
                    parts.append(rows)
                    if turns.over():
                        await turns.wait()
        self._append(rows)
        for part in parts:
            await part.done
        for found, key, outcome in of_groups:
            found[key] = await outcome
        return list(outcomes)

    def _append(self, rows: _MarkerRows) -> None:
        if not rows.rows:
            rows.done.set_result(None)
            return
        now_ms = self._broker.clock.now_ms()
        self._broker.appender.append(rows, rows.rows, timestamp_ms=now_ms, codec="none")


def content_of(marker: Marker) -> AppendTransaction:
    """The marker as the log takes it."""
    return marker.producer_id, marker.epoch, (marker.commits, marker.coordinator_epoch, marker.version)


class _MarkerRows(Append):
    """Markers of several partitions, appended by one job."""

    __slots__ = ("_places", "done", "rows")

    def __init__(self, appender: Appender) -> None:
        super().__init__(appender, ACKS_ALL)
        self.rows: list[AppendRow] = []
        self._places: list[tuple[Codes, TopicPartition]] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when all codes are known."""

    def put(
        self,
        replica: Partition,
        content: AppendTransaction,
        outcomes: Codes,
        key: TopicPartition,
    ) -> None:
        """Adds a partition, or says why it takes no marker."""
        error = replica.write_error(ACKS_ALL)
        if error:
            outcomes[key] = ErrorCode.of(error)
            return
        self.add(replica)
        self.rows.append((replica.log, replica.leader_epoch, (), content))
        self._places.append((outcomes, key))

    def goes_on(self) -> int | None:
        """It is waited for in any case."""
        return TIMEOUT_MS

    def settled(self) -> None:
        """They are replicated, or have failed."""
        self._tell([ErrorCode.of(row[0]) for row in self.results])

    def failed(self, error: BaseException) -> None:
        """What became of them is not known: they are sent again."""
        code = ErrorCode.UNKNOWN_SERVER_ERROR
        if isinstance(error, FastlogNativeError):
            code = ErrorCode.of(error.code)
        self._tell([code] * len(self._places))

    def _tell(self, codes: Sequence[ErrorCode]) -> None:
        if self.done.done():
            return
        for (outcomes, key), code in zip(self._places, codes, strict=True):
            outcomes[key] = code
        self.done.set_result(None)
