"""Decides, partition by partition, what a fetch may read: leader, epoch, offset range, isolation.

| who asks                    | whom           | reads up to                               |
|-----------------------------|----------------|-------------------------------------------|
| a follower                  | the leader     | the log's end; what it has already counts |
| a consumer, from version 11 | any replica    | high watermark or last stable offset      |
| a consumer before that      | the leader     | the same                                  |

A follower that is not in sync reads nothing while the leader's throttle is exhausted (KIP-73).

The result is one row per partition for `IoEngine.fetch`, which reads the records. Errors here end a fetch
at once: OFFSET_OUT_OF_RANGE, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, NOT_LEADER_OR_FOLLOWER,
INCONSISTENT_TOPIC_ID, KAFKA_STORAGE_ERROR, UNSUPPORTED_COMPRESSION_TYPE (zstd topics before version 10). So
does a diverging epoch: the client's last record is not in this log (KIP-320, KIP-595). UNKNOWN_TOPIC_ID,
UNKNOWN_TOPIC_OR_PARTITION and TOPIC_AUTHORIZATION_FAILED go out with the answer to the others and end
nothing, as in Kafka (`KafkaApis.handleFetchRequest`): they may last, and a client that goes on asking would
never wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Final, NamedTuple

from fastlog.base.quick_dataclass import dataclass
from fastlog.errors import ErrorCode
from fastlog.native import FastlogNativeError
from fastlog.server.fetch.fetched_partition import ZERO_TOPIC_ID, FetchPartition
from fastlog.server.fetch.nearest import NO_REPLICA, nearer_replica
from fastlog.server.requests.replica_lookup import current_leader, missing_error

if TYPE_CHECKING:
    from fastlog.native import FetchRowBuilder, Log
    from fastlog.native.shapes import FetchRow
    from fastlog.replication.partition import Partition
    from fastlog.server.fetch.fetch_context import FetchContext
    from fastlog.server.fetch.interest import FetchInterest
    from fastlog.server.fetch.may_read import MayRead
    from fastlog.server.requests.context import BrokerServices
    from fastlog.wire import Steps

READ_COMMITTED: Final = 1
IDS_FROM: Final = 13
ZSTD_FROM: Final = 10
CURRENT_LEADER_FROM: Final = 16
ANY_REPLICA_FROM: Final = 11
"""Consumers may read from followers (KIP-392)."""
# Clients of these versions take KAFKA_STORAGE_ERROR for a defect and do not retry.
_STORAGE_ERROR_FROM: Final = 6
_UNKNOWN: Final = -1
NO_EPOCH_TELLS: Final = (-1, -1)
"""The log has no epoch to compare with: see `divergence`."""
# What a partition is told that is not there, or not for this client, for as long as it is asked for.
_UNENDING: Final = frozenset(
    {
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.TOPIC_AUTHORIZATION_FAILED,
    }
)
PARTITIONS_PER_STEP: Final = 128
"""Partitions that are looked at before the clock is: about a quarter of a millisecond."""


class FetchTerms(NamedTuple):
    """How a request reads: what it is told of a partition depends on that, too."""

    version: int
    isolation: int
    replica: int = -1
    """Node id of a follower, -1 for a consumer."""
    rack: str = ""
    """The consumer's, where it is to be sent to a replica of its own."""
    may: MayRead | None = None
    """What it may read, where not everybody may read everything."""

    @property
    def is_follower(self) -> bool:
        """Whether what it has counts."""
        return self.replica >= 0


@dataclass(slots=True)
class FetchRows:
    """Rows of one attempt, in the order of the context's partitions, of which `entries` has those.

    `readable` says whether any partition has records for the client, `wanted_bytes` bounds how many it wants
    of them. `waits` says whether an append may fill any partition. `must_answer` says that a row is news that
    no wait makes better, `gone` that a partition that the look before had found has an error now.
    """

    rows: list[FetchRow] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    """Those that are read."""
    builder: FetchRowBuilder | None = None
    """Has the same rows when there are many."""
    entries: list[FetchPartition] = field(default_factory=list)
    leaders: list[tuple[int, int]] = field(default_factory=list)
    waits: bool = False
    readable: bool = False
    wanted_bytes: int = 0
    must_answer: bool = False
    gone: bool = False


def build_rows(
    broker: BrokerServices,
    context: FetchContext,
    entries: Sequence[FetchPartition],
    terms: FetchTerms,
    *,
    watch_readable: bool = True,
) -> FetchRows:
    """Looks at `entries`, which are `context.due()`, as they are now.

    Without `watch_readable` what is readable is not watched: it stays due anyway, and nobody waits for it.
    """
    result = _begin(context, entries)
    _add_rows(result, broker, context, entries, terms, watch_readable)
    return result


def build_rows_in_steps(
    broker: BrokerServices, context: FetchContext, terms: FetchTerms, *, watch_readable: bool = True
) -> Steps[FetchRows]:
    """The same for many partitions. Those of the first steps may have moved on by the last."""
    entries = context.due()
    result = _begin(context, entries)
    builder = result.builder = broker.io.row_builder()
    for start in range(0, len(entries), PARTITIONS_PER_STEP):
        some = entries[start : start + PARTITIONS_PER_STEP]
        added = len(result.rows)
        _add_rows(result, broker, context, some, terms, watch_readable)
        builder.add(result.rows, added)
        yield
    context.partitions.trim()
    return result


def _begin(context: FetchContext, entries: Sequence[FetchPartition]) -> FetchRows:
    partitions = context.partitions
    if partitions.moved and context.still_valid():
        partitions.moved.clear()
    # Those that are not due have been found, and are watched.
    return FetchRows(waits=len(entries) < len(partitions.by_key))


def _add_rows(
    result: FetchRows,
    broker: BrokerServices,
    context: FetchContext,
    entries: Iterable[FetchPartition],
    terms: FetchTerms,
    watch_readable: bool,
) -> None:
    """Looks at some of the partitions of `context`, which are its next ones."""
    # What another request asks for by now is not to be settled by what this one finds.
    interest = context.partitions if context.still_valid() else None
    incremental = context.is_incremental
    for entry in entries:
        topic, replica, error = _find(broker, entry, terms)
        if replica is not None and not error:
            try:
                error = _add_found(
                    result, broker, entry, topic, replica, interest, terms, incremental, watch_readable
                )
            except FastlogNativeError as failure:
                # Files beside the records that cannot be read cost their own partition only.
                error = failure.code
        if error:
            _add_refused(broker, result, entry, topic, error, terms.version)
            if interest is not None and interest.lost(entry):
                result.gone = True


def _find(
    broker: BrokerServices, entry: FetchPartition, terms: FetchTerms
) -> tuple[str, Partition | None, int]:
    """(topic, replica, error code) of a partition. Without a replica there is an error."""
    topic, may = entry.topic, terms.may
    if may is not None and may.nothing:
        return topic or "", None, may.code
    if topic is None:
        state = broker.cluster.topic_by_id(entry.topic_id or ZERO_TOPIC_ID)
        if state is None:
            return "", None, ErrorCode.UNKNOWN_TOPIC_ID
        topic = state.name
    if may is not None and not may.reads(topic):
        # Whether it is there is not told, nor, by its id, the name.
        return entry.topic or "", None, may.code
    replica = broker.replicas.get(topic, entry.partition)
    if replica is None:
        return topic, None, missing_error(broker, topic, entry.partition)
    return topic, replica, problem(replica, entry, terms)


def upper_offset(replica: Partition, isolation: int) -> int:
    """Up to where (exclusive) a consumer may read."""
    return replica.last_stable_offset() if isolation == READ_COMMITTED else replica.high_watermark


def readable_end(replica: Partition, terms: FetchTerms) -> int:
    """Up to where (exclusive) the request may read."""
    return replica.end_offset if terms.replica >= 0 else upper_offset(replica, terms.isolation)


def problem(replica: Partition, entry: FetchPartition, terms: FetchTerms) -> int:
    """The error code that keeps a client from reading a partition, or 0."""
    version, follower = terms.version, terms.replica
    if follower >= 0:
        error = replica.follower_error(follower, entry.known_epoch)
    elif version >= ANY_REPLICA_FROM:
        error = replica.replica_error(entry.known_epoch)
    else:
        error = replica.leader_error(entry.known_epoch)
    if error:
        return error
    if entry.topic_id is not None and entry.topic_id != replica.topic_id:
        return ErrorCode.INCONSISTENT_TOPIC_ID
    log, offset = replica.log, entry.fetch_offset
    # Above its end a log that knows epochs says where the asker's left it (`divergence`).
    if offset < log.log_start_offset or (offset > log.log_end_offset and entry.last_fetched_epoch < 0):
        return ErrorCode.OFFSET_OUT_OF_RANGE
    if version < ZSTD_FROM and replica.settings.zstd:
        return ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    return 0


def divergence(replica: Partition, entry: FetchPartition) -> tuple[int, int] | None:
    """Epoch and end offset at which the client's log leaves this one; (-1, -1) when no epoch tells, None when
    it does not leave it. Raises FastlogNativeError."""
    if entry.last_fetched_epoch < 0:
        return None
    epoch, end = replica.log.end_offset_for_epoch(entry.last_fetched_epoch)
    if epoch < 0 or end < 0:
        return (-1, -1)
    return (epoch, end) if epoch < entry.last_fetched_epoch or end < entry.fetch_offset else None


def _add_found(
    result: FetchRows,
    broker: BrokerServices,
    entry: FetchPartition,
    topic: str,
    replica: Partition,
    interest: FetchInterest | None,
    terms: FetchTerms,
    incremental: bool,
    watch_readable: bool,
) -> int:
    """Adds a partition that can be read, unless it has nothing to say. Returns an error code, or 0."""
    log = replica.log
    offset = entry.fetch_offset
    isolation, follower, rack = terms.isolation, terms.replica, terms.rack
    committed = isolation == READ_COMMITTED
    nearer = nearer_replica(broker, replica, offset, rack) if rack else NO_REPLICA
    redirected = nearer != NO_REPLICA
    diverging = None
    if entry.last_fetched_epoch >= 0 and not redirected:
        diverging = divergence(replica, entry)
        if diverging == NO_EPOCH_TELLS:
            return ErrorCode.OFFSET_OUT_OF_RANGE
        redirected = diverging is not None
    is_done, held = True, False
    if follower >= 0:
        if diverging is None and interest is not None:
            _note_progress(broker, replica, entry, interest, follower)
        committed = False
        is_done = follower in replica.in_sync
        held = is_held(broker, replica, follower)
    high_watermark = replica.high_watermark
    log_start = log.log_start_offset
    stable = replica.last_stable_offset()
    upper = replica.end_offset if follower >= 0 else stable if committed else high_watermark
    readable = offset < upper and not redirected and not held
    must_tell = entry.must_tell(high_watermark, log_start)
    settled = not (readable or must_tell or redirected)
    if redirected:
        result.must_answer = True
    if interest is not None:
        interest.found(entry, replica.key, watch=watch_readable or not readable, settled=settled and is_done)
    result.waits = True
    if settled and incremental:
        return 0
    max_bytes = max(entry.max_bytes, 0)
    if readable:
        result.readable = True
        result.wanted_bytes += max_bytes
        result.logs.append(log)
    result.entries.append(entry)
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
            committed,
            nearer,
            log if readable else None,
            offset,
            upper,
            max_bytes,
            not incremental or redirected or must_tell,
        )
    )
    return 0


def is_held(broker: BrokerServices, replica: Partition, follower: int) -> bool:
    """Whether a follower (-1: a consumer) is to get no records of a partition now (KIP-73)."""
    throttle = broker.replicas.leader_throttle
    return (
        throttle is not None
        and follower >= 0
        and follower not in replica.in_sync
        and throttle.holds(replica.key)
    )


def _note_progress(
    broker: BrokerServices, replica: Partition, entry: FetchPartition, interest: FetchInterest, follower: int
) -> None:
    """A follower has what is before the offset that it asks for, which may move the high watermark."""
    interest.overlook(entry)
    wanted = replica.on_fetched(follower, entry.fetch_offset, entry.log_start_offset, entry)
    if wanted is not None:
        broker.in_sync_sets.propose(replica, wanted)


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
    result.must_answer |= error not in _UNENDING
    result.entries.append(entry)
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
            False,
            -1,
            None,
            entry.fetch_offset,
            entry.fetch_offset,
            0,
            True,
        )
    )
