"""Asking a leader where its logs begin and end (ListOffsets as a replica, without any isolation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from fastlog.errors import ErrorCode
from fastlog.replication.fetch_context import LeaderConnection
from fastlog.replication.fetch_positions import FetchPosition
from fastlog.replication.partition import PartitionKey
from fastlog.wire.messages.offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)

VERSION: Final = 9
EARLIEST: Final = -2
LATEST: Final = -1


async def ask_ranges(
    connection: LeaderConnection,
    replica_id: int,
    positions: Sequence[FetchPosition],
    timeout: float,  # noqa: ASYNC109 - of each question
) -> list[tuple[int, int] | int]:
    """(log start offset, log end offset) of the leader's log for each position, or an error code.

    Raises ClientError.
    """
    starts = await _ask(connection, replica_id, positions, EARLIEST, timeout)
    ends = await _ask(connection, replica_id, positions, LATEST, timeout)
    found: list[tuple[int, int] | int] = []
    for position in positions:
        error, start = starts.get(position.key, _MISSING)
        if not error:
            error, end = ends.get(position.key, _MISSING)
        found.append(error or (start, end))
    return found


_MISSING: Final = (ErrorCode.UNKNOWN_SERVER_ERROR.value, -1)


async def _ask(
    connection: LeaderConnection,
    replica_id: int,
    positions: Sequence[FetchPosition],
    timestamp: int,
    timeout: float,  # noqa: ASYNC109
) -> dict[PartitionKey, tuple[int, int]]:
    """(error code, offset) by partition."""
    topics: dict[str, ListOffsetsTopic] = {}
    for position in positions:
        name, partition = position.key
        topic = topics.setdefault(name, ListOffsetsTopic(name=name))
        topic.partitions.append(
            ListOffsetsPartition(
                partition_index=partition, current_leader_epoch=position.leader_epoch, timestamp=timestamp
            )
        )
    request = ListOffsetsRequest(replica_id=replica_id, topics=list(topics.values()))
    answer = cast("ListOffsetsResponse", await connection.call(request, VERSION, timeout=timeout))
    return {
        (topic.name, row.partition_index): (row.error_code, row.offset)
        for topic in answer.topics
        for row in topic.partitions
    }
