"""Deleting records before an offset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.client.leaders import Row, leader_requests
from fastlog.client.metadata import PartitionInfo, TopicPartition
from fastlog.wire import Request
from fastlog.wire.messages.topics import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
)

__all__ = ["TO_THE_END", "delete_records"]

TO_THE_END: Final = -1
"""Deletes everything up to the high watermark."""


async def delete_records(
    cluster: Cluster, before: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int | ClientError]:
    """Drops all records below these offsets (-1: all); gives the offset at which each log begins now."""
    before = {TopicPartition(*name): offset for name, offset in before.items()}

    def build(asked: list[PartitionInfo]) -> Request:
        topics: defaultdict[str, list[DeleteRecordsPartition]] = defaultdict(list)
        for partition in asked:
            topics[partition.topic].append(
                DeleteRecordsPartition(partition_index=partition.index, offset=before[partition.name])
            )
        return DeleteRecordsRequest(
            topics=[DeleteRecordsTopic(name=name, partitions=rows) for name, rows in topics.items()],
            timeout_ms=cluster.answer_timeout_ms,
        )

    def rows(answer: DeleteRecordsResponse) -> Iterable[Row[int]]:
        for topic in answer.topics:
            for row in topic.partitions:
                name = TopicPartition(topic.name, row.partition_index)
                yield name, row.error_code, row.low_watermark

    return await leader_requests(cluster, before, build, DeleteRecordsResponse, rows)
