"""Decides, partition by partition, what a fetch may read: leader, epoch, offset range, isolation.

The result is one row per partition for `IoEngine.fetch`, which reads the records. Errors here end a fetch
at once: OFFSET_OUT_OF_RANGE, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, NOT_LEADER_OR_FOLLOWER,
UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION, KAFKA_STORAGE_ERROR, UNSUPPORTED_COMPRESSION_TYPE (zstd topics
before version 10). So does a diverging epoch: the client's last record is not in this log (KIP-320,
KIP-595).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fastlog.errors import ErrorCode
from fastlog.server.fetch_partition import ZERO_TOPIC_ID, FetchPartition
from fastlog.server.partitions import current_leader, missing_error

if TYPE_CHECKING:
    from fastlog.native.shapes import FetchRow
    from fastlog.replication.replica import PartitionKey, Replica
    from fastlog.server.context import BrokerServices
    from fastlog.server.fetch_sessions import FetchContext

READ_COMMITTED: Final = 1
IDS_FROM: Final = 13
ZSTD_FROM: Final = 10
CURRENT_LEADER_FROM: Final = 16
# Clients of these versions take KAFKA_STORAGE_ERROR for a defect and do not retry.
_STORAGE_ERROR_FROM: Final = 6
_UNKNOWN: Final = -1


@dataclass(slots=True)
class FetchRows:
    """Rows of one attempt, in the order of the context's partitions.

    `readable` says whether any partition has records for the client, `wanted_bytes` bounds how many it
    wants of them. `waiting` are the partitions that an append may fill, with the offset (exclusive) up to
    which they are readable now.
    """

    rows: list[FetchRow] = field(default_factory=list)
    leaders: list[tuple[int, int]] = field(default_factory=list)
    waiting: dict[PartitionKey, tuple[FetchPartition, int]] = field(default_factory=dict)
    readable: bool = False
    wanted_bytes: int = 0
    must_answer: bool = False


def build_rows(broker: BrokerServices, context: FetchContext, version: int, isolation: int) -> FetchRows:
    """Looks at every partition of `context` as it is now."""
    result = FetchRows()
    replicas = broker.replicas
    incremental = context.is_incremental
    for entry in context.partitions.values():
        topic = entry.topic
        if topic is None:
            state = broker.cluster.topic_by_id(entry.topic_id or ZERO_TOPIC_ID)
            if state is None:
                _add_error(result, entry, "", ErrorCode.UNKNOWN_TOPIC_ID, None)
                continue
            topic = state.name
        replica = replicas.get(topic, entry.partition)
        if replica is None:
            error: int = missing_error(broker, topic, entry.partition)
        else:
            error = _problem(replica, entry, version)
        if error or replica is None:
            _add_refused(broker, result, entry, topic, error, version)
        else:
            _add_readable(result, entry, topic, replica, isolation, incremental)
    return result


def upper_offset(replica: Replica, isolation: int) -> int:
    """Up to where (exclusive) a consumer may read."""
    return replica.last_stable_offset() if isolation == READ_COMMITTED else replica.high_watermark


def _problem(replica: Replica, entry: FetchPartition, version: int) -> int:
    error = replica.leader_error(entry.known_epoch)
    if error:
        return error
    if entry.topic_id is not None and entry.topic_id != replica.topic_id:
        return ErrorCode.INCONSISTENT_TOPIC_ID
    log = replica.log
    if not log.log_start_offset <= entry.fetch_offset <= log.log_end_offset:
        return ErrorCode.OFFSET_OUT_OF_RANGE
    if version < ZSTD_FROM and replica.settings.zstd:
        return ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    return 0


def _add_readable(
    result: FetchRows,
    entry: FetchPartition,
    topic: str,
    replica: Replica,
    isolation: int,
    incremental: bool,
) -> None:
    log = replica.log
    offset = entry.fetch_offset
    high_watermark = replica.high_watermark
    log_start = log.log_start_offset
    stable = replica.last_stable_offset()
    upper = stable if isolation == READ_COMMITTED else high_watermark
    diverging = None
    if entry.last_fetched_epoch >= 0:
        epoch, end = log.end_offset_for_epoch(entry.last_fetched_epoch)
        if epoch < 0 or end < 0:
            _add_error(result, entry, topic, ErrorCode.OFFSET_OUT_OF_RANGE, None)
            return
        if epoch < entry.last_fetched_epoch or end < offset:
            diverging = (epoch, end)
            result.must_answer = True
    readable = offset < upper and diverging is None
    aborted: list[tuple[int, int]] | None = None
    if isolation == READ_COMMITTED:
        aborted = log.aborted_transactions(offset, upper) if readable else []
    max_bytes = max(entry.max_bytes, 0)
    if readable:
        result.readable = True
        result.wanted_bytes += max_bytes
    result.waiting[replica.key] = (entry, upper)
    result.rows.append(
        (
            topic,
            replica.topic_id,
            entry.partition,
            0,
            high_watermark,
            stable,
            log_start,
            diverging,
            None,
            aborted,
            -1,
            log if readable else None,
            offset,
            upper,
            max_bytes,
            not incremental or diverging is not None or entry.must_tell(high_watermark, log_start),
        )
    )


def _add_refused(
    broker: BrokerServices, result: FetchRows, entry: FetchPartition, topic: str, error: int, version: int
) -> None:
    leader = None
    if version >= CURRENT_LEADER_FROM and error in (
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.FENCED_LEADER_EPOCH,
    ):
        leader = current_leader(broker, topic, entry.partition)
        result.leaders.append(leader)
    if error == ErrorCode.KAFKA_STORAGE_ERROR and version < _STORAGE_ERROR_FROM:
        error = ErrorCode.NOT_LEADER_OR_FOLLOWER
    _add_error(result, entry, topic, error, leader)


def _add_error(
    result: FetchRows, entry: FetchPartition, topic: str, error: int, leader: tuple[int, int] | None
) -> None:
    result.must_answer = True
    result.rows.append(
        (
            topic,
            entry.topic_id or ZERO_TOPIC_ID,
            entry.partition,
            int(error),
            _UNKNOWN,
            _UNKNOWN,
            _UNKNOWN,
            None,
            leader,
            None,
            -1,
            None,
            entry.fetch_offset,
            entry.fetch_offset,
            0,
            True,
        )
    )
