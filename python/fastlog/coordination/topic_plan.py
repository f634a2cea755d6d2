"""Turns a request for a topic or for more partitions into records, or into Kafka's error: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from fastlog.base.quick_dataclass import dataclass
from fastlog.base.uuids import random_uuid
from fastlog.base.wording import counted
from fastlog.coordination.assignment import (
    Racks,
    assign_replicas,
    assignment_problem,
    continue_assignment,
    not_all_in_racks,
)
from fastlog.coordination.cluster_view import PartitionState, TopicState
from fastlog.coordination.lifecycle import ConfigRules, TopicPolicy
from fastlog.coordination.store import PartitionRecord, TopicRecord
from fastlog.coordination.topic_names import check_topic_name, is_internal
from fastlog.coordination.topic_records import TopicRecords
from fastlog.errors import ErrorCode, KafkaError

# Each partition costs file descriptors and start-up time: one request may not ask for more than Kafka's
# controller accepts in one (`ReplicationControlManager`, MAX_PARTITIONS_PER_BATCH).
MAX_PARTITIONS_PER_REQUEST: Final = 10_000
DEFAULT: Final = -1

Assignments = Mapping[int, Sequence[int]]


class TopicDefaults(Protocol):
    """What a topic gets when the request leaves it open (`num.partitions`, `default.replication.factor`)."""

    @property
    def num_partitions(self) -> int:
        """Partitions of a new topic."""
        ...

    @property
    def default_replication_factor(self) -> int:
        """Replicas of each of its partitions."""
        ...


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic that is asked for. What is left open comes from the broker's defaults."""

    name: str
    partitions: int = DEFAULT
    replication: int = DEFAULT
    assignments: Assignments | None = None
    configs: Mapping[str, str | None] | None = None


def check_new_name(name: str, records: TopicRecords) -> None:
    """Raises KafkaError(INVALID_TOPIC_EXCEPTION or TOPIC_ALREADY_EXISTS) when the name cannot be taken."""
    check_topic_name(name)
    existing = records.get(name)
    if existing is not None:
        tail = "is being deleted" if existing.deleting else "already exists"
        raise KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS, f"topic '{name}' {tail}")
    other = records.colliding(name)
    if other is not None:
        raise KafkaError(
            ErrorCode.INVALID_TOPIC_EXCEPTION, f"topic '{name}' collides with existing topic '{other}'"
        )


def plan_topic(
    topic: NewTopic,
    topic_id: bytes,
    brokers: Sequence[int],
    defaults: TopicDefaults,
    *,
    start: int = 0,
    racks: Racks | None = None,
) -> TopicRecord:
    """The record of a new topic; its config values are checked elsewhere.

    Raises KafkaError: INVALID_REQUEST, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR,
    INVALID_REPLICA_ASSIGNMENT, INVALID_CONFIG (a null value), POLICY_VIOLATION (too many partitions),
    UNKNOWN_SERVER_ERROR (some brokers name a rack, and others none).
    """
    configs, assignments = checked_values(topic.configs or {}), topic.assignments
    if assignments:
        if topic.partitions != DEFAULT or topic.replication != DEFAULT:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST,
                "a manual assignment excludes a partition count and a replication factor: both must be -1",
            )
        replica_lists: Sequence[Sequence[int]] = _manual(assignments, brokers)
    else:
        replica_lists = _automatic(brokers, defaults, topic.partitions, topic.replication, start, racks)
    return TopicRecord(
        name=topic.name,
        topic_id=topic_id,
        partitions=new_partitions(replica_lists),
        configs=MappingProxyType(configs),
    )


def checked_values(configs: Mapping[str, str | None]) -> dict[str, str]:
    """The same; raises KafkaError(INVALID_CONFIG) for a null value."""
    missing = sorted(key for key, value in configs.items() if value is None)
    if missing:
        raise KafkaError(
            ErrorCode.INVALID_CONFIG, f"null is no value for topic configs: {', '.join(missing)}"
        )
    return {key: value for key, value in configs.items() if value is not None}


def plan_topics(
    topics: Sequence[NewTopic],
    records: TopicRecords,
    brokers: Sequence[int],
    defaults: TopicDefaults,
    rules: ConfigRules,
    policy: TopicPolicy | None,
    racks: Racks | None = None,
) -> list[TopicRecord | KafkaError]:
    """The records of new topics beside those of `records`, or why they cannot be made.

    Of several faults the one that Kafka looks for first is told: name, settings, replicas, partitions.
    """
    known = records.draft()
    planned: list[TopicRecord | KafkaError] = []
    count = len(records)
    for topic in topics:
        try:
            check_new_name(topic.name, known)
            rules.check_topic(checked_values(topic.configs or {}), {})
            record = plan_topic(topic, random_uuid(), brokers, defaults, start=count, racks=racks)
            if policy is not None:
                policy.check_create(topic_state(record))
        except KafkaError as error:
            planned.append(error)
            continue
        planned.append(record)
        known[record.name] = record
        count += 1
    return planned


@dataclass(frozen=True, slots=True)
class MorePartitions:
    """What is asked for a topic that grows: partitions in all, and the replicas of those that are new."""

    name: str
    total: int
    assignments: Sequence[Sequence[int]] | None = None


def plan_more_partitions(
    existing: Sequence[PartitionRecord],
    total: int,
    brokers: Sequence[int],
    assignments: Sequence[Sequence[int]] | None,
    racks: Racks | None = None,
) -> tuple[PartitionRecord, ...]:
    """The partitions that bring `existing` to `total`.

    Raises KafkaError: INVALID_PARTITIONS, INVALID_REPLICA_ASSIGNMENT, INVALID_REPLICATION_FACTOR,
    POLICY_VIOLATION, UNKNOWN_SERVER_ERROR (some brokers name a rack, and others none).
    """
    current = len(existing)
    if total == current:
        raise KafkaError(ErrorCode.INVALID_PARTITIONS, f"the topic already has {current} partitions")
    if total < current:
        raise KafkaError(
            ErrorCode.INVALID_PARTITIONS, f"the topic has {current} partitions: it cannot shrink to {total}"
        )
    additional = total - current
    _check_amount(additional)
    replication = len(existing[0].replicas)
    if assignments is not None:
        if len(assignments) != additional:
            raise KafkaError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"{additional} partitions are to be added, but {len(assignments)} are assigned",
            )
        for replicas in assignments:
            _check_assignment(replicas, brokers, replication)
        return new_partitions(assignments)
    _check_replication(replication, brokers)
    _check_racks(brokers, racks)
    replica_lists = [part.replicas for part in existing]
    return new_partitions(continue_assignment(brokers, replica_lists, additional, racks=racks))


def new_partitions(replica_lists: Sequence[Sequence[int]]) -> tuple[PartitionRecord, ...]:
    """Fresh partitions: led by their first replica, all in sync, at epoch 0."""
    return tuple(
        PartitionRecord(tuple(replicas), tuple(replicas), leader=replicas[0]) for replicas in replica_lists
    )


def topic_state(record: TopicRecord, partitions: int | None = None) -> TopicState:
    """What readers see of a record, or of its first `partitions` partitions."""
    return TopicState(
        name=record.name,
        topic_id=record.topic_id,
        partitions=tuple(
            PartitionState(part.leader, part.leader_epoch, part.replicas, part.isr)
            for part in record.partitions[:partitions]
        ),
        configs=record.configs,
        internal=is_internal(record.name),
    )


def _automatic(
    brokers: Sequence[int],
    defaults: TopicDefaults,
    partitions: int,
    replication: int,
    start: int,
    racks: Racks | None,
) -> list[tuple[int, ...]]:
    if partitions == DEFAULT:
        partitions = defaults.num_partitions
    if replication == DEFAULT:
        replication = defaults.default_replication_factor
    if replication <= 0:
        raise KafkaError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"{replication} is no replication factor: it must be above 0, or -1 (default)",
        )
    if partitions <= 0:
        raise KafkaError(
            ErrorCode.INVALID_PARTITIONS,
            f"{partitions} is no partition count: it must be above 0, or -1 (default)",
        )
    _check_amount(partitions)
    _check_replication(replication, brokers)
    _check_racks(brokers, racks)
    first = start % len(brokers)
    return assign_replicas(brokers, partitions, replication, start=first, shift=start, racks=racks)


def _manual(assignments: Assignments, brokers: Sequence[int]) -> list[Sequence[int]]:
    if sorted(assignments) != list(range(len(assignments))):
        raise KafkaError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"assigned partitions must be numbered 0 to {len(assignments) - 1} without a gap",
        )
    _check_amount(len(assignments))
    replication = len(assignments[0])
    for partition in range(len(assignments)):
        _check_assignment(assignments[partition], brokers, replication)
    return [assignments[partition] for partition in range(len(assignments))]


def _check_assignment(replicas: Sequence[int], brokers: Sequence[int], replication: int) -> None:
    problem = assignment_problem(replicas, brokers, replication)
    if problem is not None:
        raise KafkaError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, problem)


def _check_amount(partitions: int) -> None:
    if partitions > MAX_PARTITIONS_PER_REQUEST:
        raise KafkaError(
            ErrorCode.POLICY_VIOLATION,
            f"{partitions} partitions at once are more than {MAX_PARTITIONS_PER_REQUEST}",
        )


def _check_replication(replication: int, brokers: Sequence[int]) -> None:
    if not 1 <= replication <= len(brokers):
        raise KafkaError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"replication factor {replication} cannot be met: {counted(len(brokers), 'broker')} alive",
        )


def _check_racks(brokers: Sequence[int], racks: Racks | None) -> None:
    if (problem := not_all_in_racks(brokers, racks)) is not None:
        # Kafka's AdminOperationException, for which its protocol has no code.
        raise KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR, problem)
