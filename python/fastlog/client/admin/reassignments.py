"""Moves of replicas from broker to broker (KIP-455): begin, cancel, and list those that are under way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fastlog.client.admin.answer_errors import check, each_of, failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.client.metadata import TopicPartition
from fastlog.wire.messages.partition_admin import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
    ListPartitionReassignmentsTopics,
    ReassignablePartition,
    ReassignableTopic,
)

__all__ = ["Reassignment", "alter_partition_reassignments", "list_partition_reassignments"]


@dataclass(frozen=True, slots=True)
class Reassignment:
    """A move that is under way. `replicas` are all that hold the partition now: those to stay first, those
    that are `adding` among them, then those that are `removing`. All are node ids.
    """

    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]

    @property
    def target(self) -> tuple[int, ...]:
        """The replicas when it is done."""
        return tuple(node for node in self.replicas if node not in self.removing)

    @property
    def origin(self) -> tuple[int, ...]:
        """The replicas when it is cancelled: those from before, perhaps in another order."""
        return tuple(node for node in self.replicas if node not in self.adding)


async def alter_partition_reassignments(
    cluster: Cluster, targets: Mapping[TopicPartition, Sequence[int] | None]
) -> dict[TopicPartition, ClientError | None]:
    """Begins to move partitions to these replicas, the preferred leader first; None cancels a move.

    A move that is under way is replaced by the new one. The answer comes when the controller has noted it,
    not when it is done. Raises ClientError for the whole call.
    """
    if not targets:
        return {}
    wanted = {TopicPartition(*name): replicas for name, replicas in targets.items()}
    topics: defaultdict[str, list[ReassignablePartition]] = defaultdict(list)
    for name, replicas in wanted.items():
        topics[name.topic].append(
            ReassignablePartition(
                partition_index=name.partition, replicas=None if replicas is None else list(replicas)
            )
        )
    body = AlterPartitionReassignmentsRequest(
        timeout_ms=cluster.answer_timeout_ms,
        topics=[ReassignableTopic(name=topic, partitions=rows) for topic, rows in topics.items()],
    )
    answer = await cluster.controller_request(body, AlterPartitionReassignmentsResponse, repeat=True)
    check(answer.error_code, answer.error_message, answer)
    found = {
        TopicPartition(topic.name, row.partition_index): failure(row.error_code, row.error_message, answer)
        for topic in answer.responses
        for row in topic.partitions
    }
    return each_of(wanted, found, answer)


async def list_partition_reassignments(
    cluster: Cluster,
    partitions: Iterable[TopicPartition] | None = None,
    *,
    timeout_ms: int | None = None,
) -> dict[TopicPartition, Reassignment]:
    """The moves that are under way, of these partitions or of all, in order of their names.

    Partitions that are not being moved, or do not exist, are not in it. Raises ClientError.
    """
    asked: list[ListPartitionReassignmentsTopics] | None = None
    if partitions is not None:
        topics: defaultdict[str, list[int]] = defaultdict(list)
        for topic, number in dict.fromkeys(partitions):
            topics[topic].append(number)
        if not topics:
            return {}
        asked = [
            ListPartitionReassignmentsTopics(name=topic, partition_indexes=rows)
            for topic, rows in topics.items()
        ]
    body = ListPartitionReassignmentsRequest(timeout_ms=timeout_ms or cluster.answer_timeout_ms, topics=asked)
    answer = await cluster.controller_request(
        body, ListPartitionReassignmentsResponse, repeat=True, timeout_ms=timeout_ms
    )
    check(answer.error_code, answer.error_message, answer)
    found = {
        TopicPartition(topic.name, row.partition_index): Reassignment(
            tuple(row.replicas), tuple(row.adding_replicas), tuple(row.removing_replicas)
        )
        for topic in answer.topics
        for row in topic.partitions
    }
    return dict(sorted(found.items()))
