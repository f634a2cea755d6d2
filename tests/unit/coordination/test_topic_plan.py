"""Requests for topics and partitions, turned into records or into Kafka's errors."""

from __future__ import annotations

from typing import Any

import pytest

from fastlog.coordination.store import PartitionRecord, TopicRecord
from fastlog.coordination.topic_plan import (
    NewTopic,
    check_new_name,
    plan_more_partitions,
    plan_topic,
    topic_state,
)
from fastlog.coordination.topic_records import TopicRecords
from fastlog.errors import ErrorCode, KafkaError
from tests.unit.coordination.world import Defaults

ID = bytes(range(16))


def plan(**options: Any) -> TopicRecord:
    start = options.pop("start", 0)
    return plan_topic(NewTopic("t", **options), ID, [1, 2, 3], Defaults(), start=start)


def code_of(**options: Any) -> ErrorCode:
    with pytest.raises(KafkaError) as caught:
        plan(**options)
    return caught.value.code


def test_defaults_fill_what_is_left_open() -> None:
    record = plan()
    assert len(record.partitions) == 2
    assert all(len(part.replicas) == 1 for part in record.partitions)
    record = plan(partitions=4, replication=3, configs={"a": "b"})
    assert len(record.partitions) == 4
    assert all(sorted(part.replicas) == [1, 2, 3] for part in record.partitions)
    assert all(part.leader == part.replicas[0] and part.isr == part.replicas for part in record.partitions)
    assert record.configs == {"a": "b"}
    assert (record.materialised, record.deleting) == (0, False)


def test_topics_start_at_different_brokers() -> None:
    assert [plan(partitions=1, start=start).partitions[0].leader for start in range(4)] == [1, 2, 3, 1]


def test_a_manual_assignment_is_taken_as_it_is() -> None:
    record = plan(assignments={1: [3, 1], 0: [2, 3]})
    assert [part.replicas for part in record.partitions] == [(2, 3), (3, 1)]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"partitions": 0}, ErrorCode.INVALID_PARTITIONS),
        ({"partitions": -2}, ErrorCode.INVALID_PARTITIONS),
        ({"partitions": 2**31 - 1}, ErrorCode.POLICY_VIOLATION),
        ({"replication": 0}, ErrorCode.INVALID_REPLICATION_FACTOR),
        ({"replication": 4}, ErrorCode.INVALID_REPLICATION_FACTOR),
        ({"partitions": 1, "assignments": {0: [1]}}, ErrorCode.INVALID_REQUEST),
        ({"replication": 1, "assignments": {0: [1]}}, ErrorCode.INVALID_REQUEST),
        ({"assignments": {1: [1]}}, ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ({"assignments": {0: [1], 2: [1]}}, ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ({"assignments": {0: []}}, ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ({"assignments": {0: [1, 1]}}, ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ({"assignments": {0: [9]}}, ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ({"assignments": {0: [1, 2], 1: [1]}}, ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ({"configs": {"retention.ms": None}}, ErrorCode.INVALID_CONFIG),
    ],
)
def test_errors_of_creation(options: dict[str, Any], code: ErrorCode) -> None:
    assert code_of(**options) is code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("a b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        ("__cluster_metadata", ErrorCode.INVALID_TOPIC_EXCEPTION),
        ("x.y", ErrorCode.TOPIC_ALREADY_EXISTS),
        ("x_y", ErrorCode.INVALID_TOPIC_EXCEPTION),
        ("gone", ErrorCode.TOPIC_ALREADY_EXISTS),
    ],
)
def test_errors_of_names(name: str, code: ErrorCode) -> None:
    records = TopicRecords(
        {"x.y": TopicRecord("x.y", ID, ()), "gone": TopicRecord("gone", ID, (), deleting=True)}
    )
    with pytest.raises(KafkaError) as caught:
        check_new_name(name, records)
    assert caught.value.code is code
    check_new_name("free", records)


def more(total: int, assignments: Any = None, brokers: tuple[int, ...] = (1, 2, 3)) -> Any:
    existing = [PartitionRecord((1, 2), (1, 2), 1), PartitionRecord((2, 3), (2, 3), 2)]
    return plan_more_partitions(existing, total, list(brokers), assignments)


def test_partitions_are_added_after_the_existing_ones() -> None:
    assert [part.replicas[0] for part in more(5)] == [3, 1, 2]
    assert [part.replicas for part in more(3, [[3, 1]])] == [(3, 1)]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ((2,), ErrorCode.INVALID_PARTITIONS),
        ((1,), ErrorCode.INVALID_PARTITIONS),
        ((-5,), ErrorCode.INVALID_PARTITIONS),
        ((2**31 - 1,), ErrorCode.POLICY_VIOLATION),
        ((3, []), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ((3, [[1]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ((3, [[1, 9]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ((3, None, (1,)), ErrorCode.INVALID_REPLICATION_FACTOR),
    ],
)
def test_errors_of_more_partitions(args: tuple[Any, ...], code: ErrorCode) -> None:
    with pytest.raises(KafkaError) as caught:
        more(*args)
    assert caught.value.code is code


def test_what_readers_see() -> None:
    record = TopicRecord("__consumer_offsets", ID, (PartitionRecord((1,), (1,), 1, 4),) * 3, {"a": "b"})
    state = topic_state(record, 2)
    assert state.internal
    assert [part.leader_epoch for part in state.partitions] == [4, 4]
    assert state.configs == {"a": "b"}


def test_replicas_go_to_other_racks_and_either_all_brokers_have_one_or_none() -> None:
    racks = {1: "a", 2: "a", 3: "b", 4: "b"}
    new, ids = NewTopic("t", 8, 2), list(racks)
    made = plan_topic(new, ID, ids, Defaults(), racks=racks).partitions
    added = plan_more_partitions(made, 12, ids, None, racks)
    assert all({racks[replica] for replica in part.replicas} == {"a", "b"} for part in [*made, *added])
    some = {**racks, 3: None}
    for asked in (
        lambda: plan_topic(new, ID, ids, Defaults(), racks=some),
        lambda: plan_more_partitions(made, 12, ids, None, some),
    ):
        with pytest.raises(KafkaError, match=r"brokers \[3\] name no rack") as caught:
            asked()
        assert caught.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
