"""Where a leader epoch ends on a leader (OffsetForLeaderEpoch, KIP-320)."""

from __future__ import annotations

from collections.abc import Iterable

from fastlog.client.cluster import Cluster
from fastlog.client.consumer.config import ReaderConfig
from fastlog.client.errors import ClientError, VersionMismatch
from fastlog.client.leaders import Row, leader_requests
from fastlog.client.metadata import PartitionInfo, TopicPartition
from fastlog.wire import Request
from fastlog.wire.messages.offsets import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)

__all__ = ["end_of_epoch"]


async def end_of_epoch(
    cluster: Cluster, name: TopicPartition, epoch: int, leader_epoch: int, config: ReaderConfig
) -> int | None:
    """The offset behind the last record of `epoch` or an earlier one; None where nothing is known of it.

    Raises ClientError.
    """

    def build(asked: list[PartitionInfo]) -> Request:
        rows = [
            OffsetForLeaderPartition(
                partition=partition.index, current_leader_epoch=leader_epoch, leader_epoch=epoch
            )
            for partition in asked
        ]
        return OffsetForLeaderEpochRequest(replica_id=-1, topics=[OffsetForLeaderTopic(name.topic, rows)])

    def rows_of(answer: OffsetForLeaderEpochResponse) -> Iterable[Row[int]]:
        for topic in answer.topics:
            for row in topic.partitions:
                yield TopicPartition(topic.topic, row.partition), row.error_code, row.end_offset

    found = await leader_requests(
        cluster,
        [name],
        build,
        OffsetForLeaderEpochResponse,
        rows_of,
        lowest=2,
        timeout_ms=config.request_timeout_ms,
    )
    end = found[name]
    if isinstance(end, VersionMismatch):
        return None
    if isinstance(end, ClientError):
        raise end
    return None if end < 0 else end
