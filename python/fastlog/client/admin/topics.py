"""Topics: create, list, describe, grow, delete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from fastlog.client.admin.answer_errors import each_of, failure
from fastlog.client.admin.retries import until_settled
from fastlog.client.admin.setting_values import SettingValue, as_text
from fastlog.client.cluster import Cluster
from fastlog.client.deadline import Deadline
from fastlog.client.errors import BrokerError, ClientError
from fastlog.client.metadata import ClusterMetadata, TopicInfo
from fastlog.errors import ErrorCode
from fastlog.wire import ApiKey
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from fastlog.wire.messages.topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatableTopicResult,
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)
from fastlog.wire.schema import ZERO_UUID

__all__ = [
    "CreatedTopic",
    "NewTopic",
    "create_partitions",
    "create_topics",
    "delete_topics",
    "delete_topics_by_id",
    "describe_topics",
    "describe_topics_by_id",
    "list_topics",
]

T = TypeVar("T")

_DEFAULTS_SINCE: Final = 4
"""Version of CreateTopics from which on the broker has defaults for the counts (KIP-464, Kafka 2.4)."""
_NAMES_UNTIL: Final = 5
"""Last version of DeleteTopics with plain names."""
_DELETE_BY_ID: Final = 6
_DESCRIBE_BY_ID: Final = 12
"""Versions from which on topics may go by their ids (KIP-516, Kafka 2.8 and 3.1)."""
_ID_BYTES: Final = 16
_TRIES_OF_AN_UNKNOWN_TOPIC: Final = 3


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic to create. Counts of None are the broker's to choose; `assignments` replace both counts.

    `assignments` gives for each partition the node ids of its replicas, the preferred leader first. Values
    in `config` may be numbers, too.
    """

    name: str
    partitions: int | None = None
    replication_factor: int | None = None
    assignments: Sequence[Sequence[int]] = ()
    config: Mapping[str, SettingValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreatedTopic:
    """What a topic has become; counts are None where the broker does not tell (before Kafka 2.4)."""

    name: str
    topic_id: bytes
    partitions: int | None
    replication_factor: int | None


async def create_topics(
    cluster: Cluster, topics: Iterable[NewTopic | str], *, validate_only: bool = False
) -> dict[str, CreatedTopic | ClientError]:
    """Creates topics, or with `validate_only` just asks whether they could be created.

    A name alone is a topic with the broker's defaults. Not sent again once it may have been carried out.
    """
    wanted = {topic.name: topic for topic in map(_as_new, _several(topics, "topics"))}

    async def ask(cluster: Cluster, names: Sequence[str]) -> dict[str, CreatedTopic | ClientError]:
        asked = [wanted[name] for name in names]
        needs_defaults = any(
            not topic.assignments and (topic.partitions is None or topic.replication_factor is None)
            for topic in asked
        )
        body = CreateTopicsRequest(
            topics=[_creatable(topic) for topic in asked],
            timeout_ms=cluster.answer_timeout_ms,
            validate_only=validate_only,
        )
        lowest = _DEFAULTS_SINCE if needs_defaults else int(validate_only)
        answer = await cluster.controller_request(body, CreateTopicsResponse, lowest=lowest)
        found: dict[str, CreatedTopic | ClientError] = {
            row.name: failure(row.error_code, row.error_message, answer) or _created(row)
            for row in answer.topics
        }
        return each_of(names, found, answer)

    return await until_settled(cluster, wanted, ask)


async def create_partitions(
    cluster: Cluster,
    counts: Mapping[str, int],
    *,
    assignments: Mapping[str, Sequence[Sequence[int]]] | None = None,
    validate_only: bool = False,
) -> dict[str, ClientError | None]:
    """Grows topics to these total numbers of partitions. `assignments` are those of the added ones.

    Not sent again once it may have been carried out.
    """
    places = assignments or {}

    async def ask(cluster: Cluster, names: Sequence[str]) -> dict[str, ClientError | None]:
        rows = [
            CreatePartitionsTopic(
                name=name,
                count=counts[name],
                assignments=[CreatePartitionsAssignment(broker_ids=list(nodes)) for nodes in places[name]]
                if name in places
                else None,
            )
            for name in names
        ]
        body = CreatePartitionsRequest(
            topics=rows, timeout_ms=cluster.answer_timeout_ms, validate_only=validate_only
        )
        answer = await cluster.controller_request(body, CreatePartitionsResponse)
        found = {row.name: failure(row.error_code, row.error_message, answer) for row in answer.results}
        return each_of(names, found, answer)

    return await until_settled(cluster, counts, ask)


async def delete_topics(cluster: Cluster, names: Iterable[str]) -> dict[str, ClientError | None]:
    """Deletes topics with their records. Not sent again once it may have been carried out."""

    async def ask(cluster: Cluster, names: Sequence[str]) -> dict[str, ClientError | None]:
        body = DeleteTopicsRequest(topic_names=list(names), timeout_ms=cluster.answer_timeout_ms)
        answer = await cluster.controller_request(body, DeleteTopicsResponse, highest=_NAMES_UNTIL)
        found = {
            row.name or "": failure(row.error_code, row.error_message, answer) for row in answer.responses
        }
        return each_of(names, found, answer)

    return await until_settled(cluster, _several(names, "names"), ask)


async def delete_topics_by_id(cluster: Cluster, ids: Iterable[bytes]) -> dict[bytes, ClientError | None]:
    """The same for ids (16 bytes, `CreatedTopic.topic_id`): no topic that was made anew goes in their place.

    VersionMismatch with brokers before Kafka 2.8.
    """

    async def ask(cluster: Cluster, ids: Sequence[bytes]) -> dict[bytes, ClientError | None]:
        body = DeleteTopicsRequest(
            topics=[DeleteTopicState(topic_id=topic_id) for topic_id in ids],
            timeout_ms=cluster.answer_timeout_ms,
        )
        answer = await cluster.controller_request(body, DeleteTopicsResponse, lowest=_DELETE_BY_ID)
        found = {row.topic_id: failure(row.error_code, row.error_message, answer) for row in answer.responses}
        return each_of(ids, found, answer)

    return await until_settled(cluster, _ids(ids), ask)


async def list_topics(cluster: Cluster, *, internal: bool = False) -> tuple[str, ...]:
    """The names of all topics that may be seen, in order; internal ones too if wanted."""
    topics = (await cluster.metadata()).topics
    return tuple(sorted(name for name, topic in topics.items() if internal or not topic.is_internal))


async def describe_topics(
    cluster: Cluster, names: Iterable[str] | None = None, *, include_authorized_operations: bool = False
) -> dict[str, TopicInfo | ClientError]:
    """Partitions, leaders and replicas of these topics, or of all that are not internal.

    A name that no broker knows is asked for again once or twice: a topic may be that new.
    """
    left = None if names is None else list(dict.fromkeys(_several(names, "names")))
    wanted = left
    found: dict[str, TopicInfo | ClientError] = {}
    deadline = Deadline.after(cluster.timeout_ms / 1000)
    while True:
        metadata = await cluster.metadata(left, include_authorized_operations=include_authorized_operations)
        for name, topic in sorted(metadata.topics.items()):
            if topic.error is ErrorCode.NONE:
                if left is not None or not topic.is_internal:
                    found[name] = topic
            else:
                found[name] = BrokerError(
                    topic.error, f"topic {name!r}: {topic.error.text}", api=ApiKey.METADATA
                )
        left = [] if left is None else [name for name in left if is_missing(found.get(name))]
        if not left or deadline.tries + 1 >= _TRIES_OF_AN_UNKNOWN_TOPIC or not await deadline.pause():
            break
    if wanted is None:
        return found
    lost = ClientError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "the broker says nothing of the topic")
    return {name: found.get(name, lost) for name in wanted}


async def describe_topics_by_id(
    cluster: Cluster, ids: Iterable[bytes], *, include_authorized_operations: bool = False
) -> dict[bytes, TopicInfo | ClientError]:
    """The same for ids (16 bytes): what a topic is called that somebody knows by its id only.

    VersionMismatch with brokers before Kafka 3.1.
    """

    async def ask(cluster: Cluster, ids: Sequence[bytes]) -> dict[bytes, TopicInfo | ClientError]:
        body = MetadataRequest(
            topics=[MetadataRequestTopic(topic_id=topic_id, name=None) for topic_id in ids],
            allow_auto_topic_creation=False,
            include_topic_authorized_operations=include_authorized_operations,
        )
        answer = await cluster.request(body, MetadataResponse, lowest=_DESCRIBE_BY_ID)
        topics = ClusterMetadata.of(answer).topics.values()
        known = {topic.topic_id: topic for topic in topics if topic.error is ErrorCode.NONE}
        found: dict[bytes, TopicInfo | ClientError] = {}
        for row in answer.topics:
            error = failure(row.error_code, None, answer)
            if error is not None:
                found[row.topic_id] = error
            elif row.topic_id in known:
                found[row.topic_id] = known[row.topic_id]
        return each_of(ids, found, answer)

    return await until_settled(cluster, _ids(ids), ask)


def _ids(ids: Iterable[bytes]) -> list[bytes]:
    """The same as a list. Raises TypeError and ValueError for what are no ids."""
    found = _several(ids, "ids")
    for topic_id in found:
        _check_id(topic_id)
    return found


def _check_id(topic_id: object) -> None:
    if not isinstance(topic_id, bytes):  # also of an id alone, which is a collection of numbers
        raise TypeError(f"ids are a collection, and each of them bytes: {topic_id!r} is not")
    if len(topic_id) != _ID_BYTES or topic_id == ZERO_UUID:
        raise ValueError(f"{topic_id!r} is not the id of a topic, which has 16 bytes that are not all zero")


def _several(names: Iterable[T], what: str) -> list[T]:
    """The same as a list. Raises TypeError for a single text, whose letters would be taken for names."""
    if isinstance(names, str):
        raise TypeError(f"{what} are a collection: [{names!r}]")
    return list(names)


def _as_new(topic: NewTopic | str) -> NewTopic:
    return NewTopic(topic) if isinstance(topic, str) else topic


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
        configs=[CreatableTopicConfig(name=key, value=as_text(value)) for key, value in topic.config.items()],
    )


def _created(row: CreatableTopicResult) -> CreatedTopic:
    return CreatedTopic(row.name, row.topic_id, _known(row.num_partitions), _known(row.replication_factor))


def _known(count: int) -> int | None:
    return None if count < 0 else count


def is_missing(found: object) -> bool:
    """Whether this is an error that says that the topic does not exist."""
    return isinstance(found, ClientError) and found.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
