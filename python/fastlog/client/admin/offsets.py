"""Committed offsets of groups: read, set, delete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from fastlog.client.admin.answer_errors import check, each_of, failure
from fastlog.client.cluster import Cluster
from fastlog.client.deadline import Deadline
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.client.offset_values import OffsetAndMetadata, Offsets, as_offsets
from fastlog.errors import ErrorCode
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
    OffsetFetchRequestTopic,
    OffsetFetchResponse,
)

__all__ = ["alter_group_offsets", "delete_group_offsets", "list_group_offsets"]

_ONE_GROUP_UNTIL: Final = 7
"""Last version of OffsetFetch for a single group."""
_ALL_TOPICS_SINCE: Final = 2
"""First version of OffsetFetch in which null stands for all topics."""
_FROM_OUTSIDE_UNTIL: Final = 8
"""Version 9 of OffsetCommit differs only for members of the newer protocol."""


_STABLE_SINCE: Final = 7
"""Version of OffsetFetch that waits for transactions (KIP-447)."""


async def list_group_offsets(
    cluster: Cluster,
    group_id: str,
    partitions: Iterable[TopicPartition] | None = None,
    *,
    require_stable: bool = False,
) -> dict[TopicPartition, OffsetAndMetadata | ClientError]:
    """What the group has committed for these partitions, or for all, in order of topic and partition.

    Partitions without a committed offset are left out. `require_stable`: offsets in open transactions are
    waited for. Raises ClientError for the whole call.
    """
    asked: list[OffsetFetchRequestTopic] | None = None
    if partitions is not None:
        topics: defaultdict[str, list[int]] = defaultdict(list)
        for name, number in dict.fromkeys(partitions):
            topics[name].append(number)
        asked = [OffsetFetchRequestTopic(name, numbers) for name, numbers in topics.items()]
    body = OffsetFetchRequest(group_id=group_id, topics=asked, require_stable=require_stable)
    lowest = _STABLE_SINCE if require_stable else _ALL_TOPICS_SINCE if asked is None else 0
    found: dict[TopicPartition, OffsetAndMetadata | ClientError] = {}
    deadline = Deadline.after(cluster.timeout_ms / 1000)
    while True:
        answer = await cluster.coordinator_request(
            group_id,
            body,
            OffsetFetchResponse,
            lowest=lowest,
            highest=_ONE_GROUP_UNTIL,
            timeout_ms=int(deadline.remaining * 1000),
        )
        check(answer.error_code, None, answer)
        for topic in answer.topics:
            for row in topic.partitions:
                error = failure(row.error_code, None, answer)
                if error is None and row.committed_offset < 0:
                    continue
                found[TopicPartition(topic.name, row.partition_index)] = error or OffsetAndMetadata(
                    row.committed_offset, row.metadata or "", row.committed_leader_epoch
                )
        errors = [item.code for item in found.values() if isinstance(item, ClientError)]
        if ErrorCode.UNSTABLE_OFFSET_COMMIT not in errors or not await deadline.pause():
            return dict(sorted(found.items()))


async def alter_group_offsets(
    cluster: Cluster, group_id: str, offsets: Offsets
) -> dict[TopicPartition, ClientError | None]:
    """Commits in the name of a group that has no members; one that does not exist begins to.

    Raises ClientError for the whole call, ValueError and TypeError for what is no offset.
    """
    wanted = as_offsets(offsets)
    topics: defaultdict[str, list[OffsetCommitRequestPartition]] = defaultdict(list)
    for name, row in wanted.items():
        topics[name.topic].append(
            OffsetCommitRequestPartition(
                partition_index=name.partition,
                committed_offset=row.offset,
                committed_leader_epoch=row.leader_epoch,
                committed_metadata=row.metadata,
            )
        )
    body = OffsetCommitRequest(
        group_id=group_id,
        topics=[OffsetCommitRequestTopic(name=name, partitions=rows) for name, rows in topics.items()],
    )
    answer = await cluster.coordinator_request(
        group_id, body, OffsetCommitResponse, lowest=1, highest=_FROM_OUTSIDE_UNTIL
    )
    found = {
        TopicPartition(topic.name, part.partition_index): failure(part.error_code, None, answer)
        for topic in answer.topics
        for part in topic.partitions
    }
    return each_of(wanted, found, answer)


async def delete_group_offsets(
    cluster: Cluster, group_id: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, ClientError | None]:
    """Forgets offsets of topics that no member is subscribed to (KIP-496). Raises ClientError."""
    wanted = [TopicPartition(*name) for name in dict.fromkeys(partitions)]
    topics: defaultdict[str, list[OffsetDeleteRequestPartition]] = defaultdict(list)
    for name in wanted:
        topics[name.topic].append(OffsetDeleteRequestPartition(partition_index=name.partition))
    body = OffsetDeleteRequest(
        group_id=group_id,
        topics=[OffsetDeleteRequestTopic(name=name, partitions=rows) for name, rows in topics.items()],
    )
    answer = await cluster.coordinator_request(group_id, body, OffsetDeleteResponse)
    check(answer.error_code, None, answer)
    found = {
        TopicPartition(topic.name, row.partition_index): failure(row.error_code, None, answer)
        for topic in answer.topics
        for row in topic.partitions
    }
    return each_of(wanted, found, answer)
