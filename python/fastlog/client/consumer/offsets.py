"""Committed offsets of a consumer's own group: read and written, by whoever the group metadata says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Final

from fastlog.client.cluster import Cluster
from fastlog.client.deadline import Deadline
from fastlog.client.errors import BrokerError, ClientError, RequestTimedOut
from fastlog.client.metadata import TopicPartition
from fastlog.client.offset_values import GroupMetadata, OffsetAndMetadata
from fastlog.errors import ErrorCode
from fastlog.wire import Response
from fastlog.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
)

__all__ = ["commit_offsets", "committed_offsets"]

_FOR_MEMBERS_OF_848: Final = 9
"""First version of both requests in which the epoch of a member of the newer protocol counts."""
_ONE_GROUP_UNTIL: Final = 7


async def commit_offsets(
    cluster: Cluster,
    who: GroupMetadata,
    offsets: dict[TopicPartition, OffsetAndMetadata],
    *,
    newer: bool,
    timeout_ms: int,
) -> None:
    """Commits. Raises the error of the first partition that has one, and ClientError.

    `newer`: for a member of KIP-848's protocol.
    """
    if not offsets:
        return
    topics: defaultdict[str, list[OffsetCommitRequestPartition]] = defaultdict(list)
    for name, row in sorted(offsets.items()):
        topics[name.topic].append(
            OffsetCommitRequestPartition(
                partition_index=name.partition,
                committed_offset=row.offset,
                committed_leader_epoch=row.leader_epoch,
                committed_metadata=row.metadata,
            )
        )
    body = OffsetCommitRequest(
        group_id=who.group_id,
        generation_id_or_member_epoch=who.generation,
        member_id=who.member_id,
        group_instance_id=who.group_instance_id,
        topics=[OffsetCommitRequestTopic(*row) for row in topics.items()],
    )
    deadline = Deadline.after(timeout_ms / 1000)
    while True:
        answer = await cluster.coordinator_request(
            who.group_id,
            body,
            OffsetCommitResponse,
            lowest=_FOR_MEMBERS_OF_848 if newer else 7 if who.group_instance_id else 1,
            highest=None if newer else _FOR_MEMBERS_OF_848 - 1,
            timeout_ms=int(deadline.remaining * 1000),
        )
        error: ClientError | None = None
        for topic in answer.topics:
            for found in topic.partitions:
                if found.error_code != ErrorCode.NONE and error is None:
                    name = TopicPartition(topic.name, found.partition_index)
                    error = _error(found.error_code, answer, f"partition {name}")
        if error is None:
            return
        if not error.retriable or error.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            raise error
        if not await deadline.pause():
            raise RequestTimedOut(f"not committed within {timeout_ms} ms: {error}", api=body.API)


async def committed_offsets(
    cluster: Cluster,
    who: GroupMetadata,
    names: Collection[TopicPartition],
    *,
    newer: bool,
    stable: bool,
    timeout_ms: int,
) -> dict[TopicPartition, OffsetAndMetadata | None]:
    """What is committed for each partition, or None. `stable` waits for transactions that commit offsets.

    Raises the error of the first partition that has one, and ClientError.
    """
    topics: defaultdict[str, list[int]] = defaultdict(list)
    for name in sorted(names):
        topics[name.topic].append(name.partition)
    body = OffsetFetchRequest(require_stable=stable)
    if newer:
        rows = [OffsetFetchRequestTopics(*row) for row in topics.items()]
        body.groups = [OffsetFetchRequestGroup(who.group_id, who.member_id, who.generation, rows)]
    else:
        body.group_id = who.group_id
        body.topics = [OffsetFetchRequestTopic(*row) for row in topics.items()]
    deadline = Deadline.after(timeout_ms / 1000)
    found: dict[TopicPartition, OffsetAndMetadata | None] = dict.fromkeys(names)
    if not found:
        return found
    while True:
        answer = await cluster.coordinator_request(
            who.group_id,
            body,
            OffsetFetchResponse,
            lowest=_FOR_MEMBERS_OF_848 if newer else 7 if stable else 1,
            highest=None if newer else _ONE_GROUP_UNTIL,
            timeout_ms=int(deadline.remaining * 1000),
        )
        error = _take(answer, found)
        if error is None:
            return found
        if not error.retriable:
            raise error
        if not await deadline.pause():
            raise RequestTimedOut(f"no committed offsets within {timeout_ms} ms: {error}", api=body.API)


def _take(
    answer: OffsetFetchResponse, found: dict[TopicPartition, OffsetAndMetadata | None]
) -> ClientError | None:
    if answer.groups:
        code, topics = answer.groups[0].error_code, answer.groups[0].topics
    else:
        code, topics = answer.error_code, answer.topics  # type: ignore[assignment] # the same fields
    if code != ErrorCode.NONE:
        return _error(code, answer, "the group")
    for topic in topics:
        for row in topic.partitions:
            name = TopicPartition(topic.name, row.partition_index)
            if row.error_code != ErrorCode.NONE:
                return _error(row.error_code, answer, f"partition {name}")
            if row.committed_offset >= 0:
                found[name] = OffsetAndMetadata(
                    row.committed_offset, row.metadata or "", row.committed_leader_epoch
                )
    return None


def _error(code: int, answer: Response, what: str) -> ClientError:
    known = ErrorCode.of(code)
    return BrokerError(known, f"{what}: {known.text}", api=answer.API, answer=answer)
