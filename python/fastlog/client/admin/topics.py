"""Topics: create, grow, delete. Descriptions come from `Cluster.metadata`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fastlog.client.admin.answer_errors import failure
from fastlog.client.cluster import Cluster
from fastlog.client.errors import ClientError
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey
from fastlog.wire.messages.topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)

__all__ = ["CreatedTopic", "NewTopic", "create_partitions", "create_topics", "delete_topics"]

_DEFAULTS_SINCE: Final = 4
"""Version of CreateTopics from which on the broker has defaults for the counts (KIP-464, Kafka 2.4)."""
_NAMES_UNTIL: Final = 5
"""Last version of DeleteTopics with plain names."""


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic to create. Counts of None are the broker's to choose; `assignments` replace both counts.

    `assignments` gives for each partition the node ids of its replicas, the preferred leader first.
    """

    name: str
    partitions: int | None = None
    replication_factor: int | None = None
    assignments: Sequence[Sequence[int]] = ()
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreatedTopic:
    """What a topic has become; counts are None where the broker does not tell (before Kafka 2.4)."""

    name: str
    topic_id: bytes
    partitions: int | None
    replication_factor: int | None


async def create_topics(
    cluster: Cluster, topics: Iterable[NewTopic], *, validate_only: bool = False
) -> dict[str, CreatedTopic | ClientError]:
    """Creates topics, or with `validate_only` just asks whether they could be created."""
    wanted = list(topics)
    needs_defaults = any(
        not topic.assignments and (topic.partitions is None or topic.replication_factor is None)
        for topic in wanted
    )
    body = CreateTopicsRequest(
        topics=[_creatable(topic) for topic in wanted],
        timeout_ms=cluster.timeout_ms,
        validate_only=validate_only,
    )
    lowest = _DEFAULTS_SINCE if needs_defaults else int(validate_only)
    answer = await cluster.controller_request(body, CreateTopicsResponse, lowest=lowest)
    result: dict[str, CreatedTopic | ClientError] = {}
    for row in answer.topics:
        error = failure(row.error_code, row.error_message, ApiKey.CREATE_TOPICS)
        result[row.name] = error or CreatedTopic(
            row.name, row.topic_id, _known(row.num_partitions), _known(row.replication_factor)
        )
    return result


async def create_partitions(
    cluster: Cluster,
    counts: Mapping[str, int],
    *,
    assignments: Mapping[str, Sequence[Sequence[int]]] | None = None,
    validate_only: bool = False,
) -> dict[str, ClientError | None]:
    """Grows topics to these total numbers of partitions. `assignments` are those of the added ones."""
    places = assignments or {}
    rows = [
        CreatePartitionsTopic(
            name=name,
            count=count,
            assignments=[CreatePartitionsAssignment(broker_ids=list(nodes)) for nodes in places[name]]
            if name in places
            else None,
        )
        for name, count in counts.items()
    ]
    body = CreatePartitionsRequest(topics=rows, timeout_ms=cluster.timeout_ms, validate_only=validate_only)
    answer = await cluster.controller_request(body, CreatePartitionsResponse)
    return {
        row.name: failure(row.error_code, row.error_message, ApiKey.CREATE_PARTITIONS)
        for row in answer.results
    }


async def delete_topics(cluster: Cluster, names: Sequence[str]) -> dict[str, ClientError | None]:
    """Deletes topics with their records."""
    body = DeleteTopicsRequest(topic_names=list(names), timeout_ms=cluster.timeout_ms)
    answer = await cluster.controller_request(body, DeleteTopicsResponse, highest=_NAMES_UNTIL)
    return {
        row.name or "": failure(row.error_code, row.error_message, ApiKey.DELETE_TOPICS)
        for row in answer.responses
    }


def _creatable(topic: NewTopic) -> CreatableTopic:
    by_hand = bool(topic.assignments)
    return CreatableTopic(
        name=topic.name,
        num_partitions=-1 if by_hand or topic.partitions is None else topic.partitions,
        replication_factor=-1 if by_hand or topic.replication_factor is None else topic.replication_factor,
        assignments=[
            CreatableReplicaAssignment(partition_index=index, broker_ids=list(nodes))
            for index, nodes in enumerate(topic.assignments)
        ],
        configs=[CreatableTopicConfig(name=key, value=value) for key, value in topic.configs.items()],
    )


def _known(count: int) -> int | None:
    return None if count < 0 else count


def is_missing(error: ClientError | None) -> bool:
    """Whether it says that the topic does not exist."""
    return error is not None and error.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
