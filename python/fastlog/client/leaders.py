"""Requests about partitions, each sent to the partition's leader; and the one most asked, ListOffsets."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from fastlog.client.cluster import Cluster
from fastlog.client.deadline import Deadline
from fastlog.client.errors import BrokerError, ClientError, Unreachable
from fastlog.client.metadata import ClusterMetadata, PartitionInfo, TopicPartition
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey, Request, Response
from fastlog.wire.messages.offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)

R = TypeVar("R", bound=Response)
T = TypeVar("T")

LATEST: Final = -1
"""Timestamp of ListOffsets: the log end (the last stable offset with read_committed)."""
EARLIEST: Final = -2
"""Timestamp of ListOffsets: the log start."""
MAX_TIMESTAMP: Final = -3
"""Timestamp of ListOffsets: the record with the greatest timestamp (Kafka 3.0 and later)."""

_TRIES_OF_AN_UNKNOWN_TOPIC: Final = 3

Row = tuple[TopicPartition, int, T]
"""What one partition got: its name, an error code, and the result that counts when the code is 0."""


async def leader_requests(
    cluster: Cluster,
    partitions: Iterable[TopicPartition],
    build: Callable[[list[PartitionInfo]], Request],
    answer: type[R],
    rows: Callable[[R], Iterable[Row[T]]],
    *,
    lowest: int = 0,
    repeat: bool = True,
    timeout_ms: int | None = None,
) -> dict[TopicPartition, T | ClientError]:
    """Asks the leader of every partition, one request per broker, all at the same time.

    `build` makes the request for the partitions of one leader, `rows` takes its answer apart. Partitions
    whose error may pass (a new leader, a broken connection) are asked again until the time is up; `repeat`
    False: not when the broken request may have taken effect. Every partition is in the result, with what it
    got or with its last error.
    """
    deadline = Deadline.after((cluster.timeout_ms if timeout_ms is None else timeout_ms) / 1000)
    left = set(partitions)
    done: dict[TopicPartition, T | ClientError] = {}
    while left:
        found = await _by_leader(cluster, left, deadline)
        errors = found.errors
        outcomes = await asyncio.gather(
            *(
                _ask_one(cluster, node, asked, build, answer, rows, lowest, repeat, deadline)
                for node, asked in found.by_leader.items()
            )
        )
        for outcome in outcomes:
            for name, got in outcome.items():
                if isinstance(got, ClientError) and _may_pass(got, repeat, deadline):
                    errors[name] = got
                else:
                    done[name] = got
        done |= {name: error for name, error in errors.items() if not _may_pass(error, repeat, deadline)}
        left -= done.keys()
        if left and not await deadline.pause():
            done |= {name: errors[name] for name in left}
            break
    return done


@dataclass(frozen=True, slots=True)
class OffsetAt:
    """An answer of ListOffsets; -1 in `offset`: no record is that late, in the others: unknown."""

    offset: int
    timestamp: int
    leader_epoch: int


async def list_offsets(
    cluster: Cluster,
    wanted: Mapping[TopicPartition, int],
    *,
    read_committed: bool = False,
    timeout_ms: int | None = None,
) -> dict[TopicPartition, OffsetAt | ClientError]:
    """Offsets by timestamp in milliseconds, or by LATEST, EARLIEST, MAX_TIMESTAMP, for each partition."""

    def build(asked: list[PartitionInfo]) -> Request:
        topics: defaultdict[str, list[ListOffsetsPartition]] = defaultdict(list)
        for partition in asked:
            # The epoch stays out: it can only make a broker that is ahead of our metadata refuse.
            topics[partition.topic].append(
                ListOffsetsPartition(partition_index=partition.index, timestamp=wanted[partition.name])
            )
        return ListOffsetsRequest(
            replica_id=-1,
            isolation_level=int(read_committed),
            topics=[ListOffsetsTopic(name=name, partitions=rows) for name, rows in topics.items()],
        )

    def rows(got: ListOffsetsResponse) -> Iterable[Row[OffsetAt]]:
        for topic in got.topics:
            for row in topic.partitions:
                name = TopicPartition(topic.name, row.partition_index)
                yield name, row.error_code, OffsetAt(row.offset, row.timestamp, row.leader_epoch)

    lowest = 7 if MAX_TIMESTAMP in wanted.values() else 2 if read_committed else 1
    return await leader_requests(
        cluster, wanted, build, ListOffsetsResponse, rows, lowest=lowest, timeout_ms=timeout_ms
    )


@dataclass(slots=True)
class _Grouped:
    by_leader: dict[int, list[PartitionInfo]]
    errors: dict[TopicPartition, ClientError]


async def _by_leader(cluster: Cluster, left: Collection[TopicPartition], deadline: Deadline) -> _Grouped:
    topics = sorted({name.topic for name in left})
    metadata = await cluster.metadata(topics, timeout_ms=int(deadline.remaining * 1000))
    grouped = _Grouped({}, {})
    for name in sorted(left):
        partition = find_partition(metadata, name)
        if isinstance(partition, ClientError):
            grouped.errors[name] = partition
        else:
            grouped.by_leader.setdefault(partition.leader, []).append(partition)
    return grouped


def find_partition(metadata: ClusterMetadata, name: TopicPartition) -> PartitionInfo | ClientError:
    """The partition with a leader, or why there is none."""
    topic = metadata.topics.get(name.topic)
    code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if topic is None else topic.error
    if topic is not None and code is ErrorCode.NONE:
        for partition in topic.partitions:
            if partition.index == name.partition:
                if partition.leader >= 0:
                    return partition
                text = f"partition {name} has no leader"
                return BrokerError(ErrorCode.LEADER_NOT_AVAILABLE, text, api=ApiKey.METADATA)
        text = f"topic {name.topic!r} has no partition {name.partition}, it has {len(topic.partitions)}"
        return ClientError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, text)
    return BrokerError(code, f"topic {name.topic!r}: {code.text}", api=ApiKey.METADATA)


def _may_pass(error: ClientError, repeat: bool, deadline: Deadline) -> bool:
    if isinstance(error, Unreachable):
        return False
    if error.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
        # A topic may be so new that not every broker has heard of it; most often the name is just wrong.
        return deadline.tries < _TRIES_OF_AN_UNKNOWN_TOPIC
    sent: bool = getattr(error, "sent", False)
    return error.retriable and (repeat or not sent)


async def _ask_one(
    cluster: Cluster,
    node: int,
    asked: list[PartitionInfo],
    build: Callable[[list[PartitionInfo]], Request],
    answer: type[R],
    rows: Callable[[R], Iterable[Row[T]]],
    lowest: int,
    repeat: bool,
    deadline: Deadline,
) -> dict[TopicPartition, T | ClientError]:
    request = build(asked)
    try:
        got = await cluster.request(
            request,
            answer,
            node=node,
            lowest=lowest,
            repeat=False,
            tries=1,
            timeout_ms=int(deadline.remaining * 1000),
        )
    except ClientError as error:
        return {partition.name: error for partition in asked}
    missing = BrokerError(
        ErrorCode.UNKNOWN_SERVER_ERROR, "the answer leaves the partition out", api=request.API
    )
    found: dict[TopicPartition, T | ClientError] = {partition.name: missing for partition in asked}
    for name, code, result in rows(got):
        if name in found:
            text = f"partition {name}: {ErrorCode.of(code).text}"
            found[name] = (
                result
                if code == ErrorCode.NONE
                else BrokerError(ErrorCode.of(code), text, api=request.API, answer=got)
            )
    return found
