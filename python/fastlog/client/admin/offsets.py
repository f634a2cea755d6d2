"""Committed offsets of groups: read, set, delete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fastlog.client.admin.answer_errors import check, failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
)

__all__ = ["CommittedOffset", "alter_group_offsets", "delete_group_offsets", "list_group_offsets"]

_ONE_GROUP_UNTIL: Final = 7
"""Last version of OffsetFetch for a single group."""
_ALL_TOPICS_SINCE: Final = 2
"""First version of OffsetFetch in which null stands for all topics."""
_FROM_OUTSIDE_UNTIL: Final = 8
"""Version 9 of OffsetCommit differs only for members of the newer protocol."""


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A position of a group. The leader epoch is None when unknown."""

    offset: int
    leader_epoch: int | None
    metadata: str


async def list_group_offsets(
    cluster: Cluster, group_id: str
) -> dict[TopicPartition, CommittedOffset | ClientError]:
    """Everything that the group has committed, in order of topic and partition. Raises BrokerError."""
    body = OffsetFetchRequest(group_id=group_id, topics=None)
    answer = await cluster.coordinator_request(
        group_id, body, OffsetFetchResponse, lowest=_ALL_TOPICS_SINCE, highest=_ONE_GROUP_UNTIL
    )
    check(answer.error_code, None, body.API)
    found: dict[TopicPartition, CommittedOffset | ClientError] = {}
    for topic in answer.topics:
        for row in topic.partitions:
            error = failure(row.error_code, None, body.API)
            if error is None and row.committed_offset < 0:
                continue
            found[TopicPartition(topic.name, row.partition_index)] = error or CommittedOffset(
                row.committed_offset,
                None if row.committed_leader_epoch < 0 else row.committed_leader_epoch,
                row.metadata or "",
            )
    return dict(sorted(found.items()))


async def alter_group_offsets(
    cluster: Cluster, group_id: str, offsets: Mapping[TopicPartition, int]
) -> dict[TopicPartition, ClientError | None]:
    """Commits in the name of a group that has no members; one that does not exist begins to."""
    topics: defaultdict[str, list[OffsetCommitRequestPartition]] = defaultdict(list)
    for name, offset in offsets.items():
        topics[name.topic].append(
            OffsetCommitRequestPartition(
                partition_index=name.partition, committed_offset=offset, committed_metadata=""
            )
        )
    body = OffsetCommitRequest(
        group_id=group_id,
        topics=[OffsetCommitRequestTopic(name=name, partitions=rows) for name, rows in topics.items()],
    )
    answer = await cluster.coordinator_request(
        group_id, body, OffsetCommitResponse, lowest=1, highest=_FROM_OUTSIDE_UNTIL
    )
    return {
        TopicPartition(topic.name, row.partition_index): failure(row.error_code, None, body.API)
        for topic in answer.topics
        for row in topic.partitions
    }


async def delete_group_offsets(
    cluster: Cluster, group_id: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, ClientError | None]:
    """Forgets offsets of topics that no member is subscribed to (KIP-496). Raises BrokerError."""
    topics: defaultdict[str, list[OffsetDeleteRequestPartition]] = defaultdict(list)
    for name in partitions:
        topics[name.topic].append(OffsetDeleteRequestPartition(partition_index=name.partition))
    body = OffsetDeleteRequest(
        group_id=group_id,
        topics=[OffsetDeleteRequestTopic(name=name, partitions=rows) for name, rows in topics.items()],
    )
    answer = await cluster.coordinator_request(group_id, body, OffsetDeleteResponse)
    check(answer.error_code, None, body.API)
    return {
        TopicPartition(topic.name, row.partition_index): failure(row.error_code, None, body.API)
        for topic in answer.topics
        for row in topic.partitions
    }
