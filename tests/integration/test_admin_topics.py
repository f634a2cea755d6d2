"""CreateTopics, DeleteTopics, CreatePartitions and DeleteRecords over the wire, in every version."""

from __future__ import annotations

from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire import API_VERSIONS, ZERO_UUID, ApiKey
from fastlog.wire.messages.topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from tests.harness.batches import batch
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import make_topic, metadata, produce
from tests.integration.running import RawClient

TOPIC_SOURCE, STATIC_SOURCE, DEFAULT_SOURCE = 1, 4, 5


def versions(key: ApiKey) -> range:
    """All versions of an API."""
    return range(API_VERSIONS[key][1] + 1)


def new(name: str, partitions: int = 1, replicas: int = 1, **configs: str | None) -> CreatableTopic:
    """A topic to create; config names with underscores for dots."""
    return CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=replicas,
        configs=[CreatableTopicConfig(key.replace("_", "."), value) for key, value in configs.items()],
    )


def create(client: RawClient, *topics: CreatableTopic, version: int = 7, check: bool = False) -> list[Any]:
    """The results of CreateTopics."""
    request = CreateTopicsRequest(topics=list(topics), validate_only=check)
    results: list[Any] = client.ask(request, version).topics
    return results


def delete(client: RawClient, *names: str, version: int = 5) -> list[Any]:
    """The results of DeleteTopics by name."""
    if version < 6:
        request = DeleteTopicsRequest(topic_names=list(names), timeout_ms=5000)
    else:
        request = DeleteTopicsRequest(topics=[DeleteTopicState(name) for name in names], timeout_ms=5000)
    results: list[Any] = client.ask(request, version).responses
    return results


def grow(
    client: RawClient, *topics: CreatePartitionsTopic, version: int = 3, check: bool = False
) -> list[Any]:
    """The results of CreatePartitions."""
    request = CreatePartitionsRequest(topics=list(topics), timeout_ms=5000, validate_only=check)
    results: list[Any] = client.ask(request, version).results
    return results


def put(client: RawClient, topic: str, *, partition: int = 0) -> ErrorCode:
    """Produces one record."""
    answer = client.ask(produce(topic, batch(b"x"), partition=partition), 9)
    return ErrorCode(answer.responses[0].partition_responses[0].error_code)


def partitions_of(client: RawClient, name: str) -> int:
    """How many partitions Metadata shows."""
    (topic,) = client.ask(metadata(name, create=False), 12).topics
    return len(topic.partitions)


@pytest.mark.parametrize("version", versions(ApiKey.CREATE_TOPICS))
def test_create(client: RawClient, version: int) -> None:
    (result,) = create(client, new("t", 3, retention_ms="5000"), version=version)
    assert (result.name, result.error_code) == ("t", 0)
    (known,) = client.ask(metadata("t", create=False), 12).topics
    assert len(known.partitions) == 3
    if version >= 7:
        assert result.topic_id == known.topic_id != ZERO_UUID
    if version >= 5:
        assert (result.num_partitions, result.replication_factor) == (3, 1)
        configs = {entry.name: entry for entry in result.configs}
        retention = configs["retention.ms"]
        assert (retention.value, retention.config_source) == ("5000", TOPIC_SOURCE)
        assert configs["segment.bytes"].config_source == DEFAULT_SOURCE
        assert not retention.read_only
        assert not retention.is_sensitive


def test_validate_only_makes_nothing(client: RawClient) -> None:
    (result,) = create(client, new("t", 2), check=True)
    assert (result.error_code, result.num_partitions, result.topic_id) == (0, 2, ZERO_UUID)
    assert partitions_of(client, "t") == 0
    (result,) = create(client, new("t", 2, retention_ms="x"), check=True)
    assert result.error_code == ErrorCode.INVALID_CONFIG


def test_minus_one_means_the_brokers_defaults(start_broker: BrokerFactory) -> None:
    with start_broker(**{"num.partitions": "4"}).connect() as client:
        (result,) = create(client, new("t", -1, -1))
        assert (result.error_code, result.num_partitions, result.replication_factor) == (0, 4, 1)


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (new("old"), ErrorCode.TOPIC_ALREADY_EXISTS),
        (new("o.ld_"), ErrorCode.NONE),
        (new(""), ErrorCode.INVALID_TOPIC_EXCEPTION),
        (new(".."), ErrorCode.INVALID_TOPIC_EXCEPTION),
        (new("a/b"), ErrorCode.INVALID_TOPIC_EXCEPTION),
        (new("x" * 250), ErrorCode.INVALID_TOPIC_EXCEPTION),
        (new("t", 0), ErrorCode.INVALID_PARTITIONS),
        (new("t", -2), ErrorCode.INVALID_PARTITIONS),
        (new("t", 1, 0), ErrorCode.INVALID_REPLICATION_FACTOR),
        (new("t", 1, 2), ErrorCode.INVALID_REPLICATION_FACTOR),
        (new("t", retention_ms="-2"), ErrorCode.INVALID_CONFIG),
        (new("t", no_such_config="1"), ErrorCode.INVALID_CONFIG),
        (new("t", retention_ms=None), ErrorCode.INVALID_CONFIG),
        (
            CreatableTopic("t", 1, 1, [CreatableReplicaAssignment(0, [1])]),
            ErrorCode.INVALID_REQUEST,
        ),
        (
            CreatableTopic("t", -1, -1, [CreatableReplicaAssignment(1, [1])]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        ),
        (
            CreatableTopic("t", -1, -1, [CreatableReplicaAssignment(0, [1, 1])]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        ),
        (CreatableTopic("t", -1, -1, [CreatableReplicaAssignment(0, [1])]), ErrorCode.NONE),
    ],
)
def test_each_topic_fails_on_its_own(client: RawClient, topic: CreatableTopic, code: ErrorCode) -> None:
    make_topic(client, "old")
    result, fine = create(client, topic, new("fine"))
    assert ErrorCode(result.error_code) is code
    assert (result.error_message is None) == (code is ErrorCode.NONE)
    assert code.name not in (result.error_message or "")
    assert fine.error_code == 0


def test_a_name_that_stands_twice_is_made_not_at_all(client: RawClient) -> None:
    results = create(client, new("a"), new("b"), new("a"))
    assert {result.name: result.error_code for result in results} == {"a": ErrorCode.INVALID_REQUEST, "b": 0}
    assert len(results) == 2
    assert partitions_of(client, "a") == 0


@pytest.mark.parametrize("version", versions(ApiKey.DELETE_TOPICS))
def test_delete(client: RawClient, version: int) -> None:
    make_topic(client, "t")
    results = delete(client, "t", "never", version=version)
    codes = [ErrorCode(result.error_code) for result in results]
    assert codes == [ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
    assert partitions_of(client, "t") == 0
    (again,) = create(client, new("t"))
    assert again.error_code == 0


def test_delete_by_id(client: RawClient) -> None:
    (made,) = create(client, new("t"))
    states = [
        DeleteTopicState(None, made.topic_id),
        DeleteTopicState(None, b"\x07" * 16),
        DeleteTopicState("t", made.topic_id),
    ]
    first, second, third = client.ask(DeleteTopicsRequest(topics=states, timeout_ms=1), 6).responses
    # Named by id, and by name and id: which is once too often.
    assert first.error_code == ErrorCode.INVALID_REQUEST
    assert second.error_code == ErrorCode.UNKNOWN_TOPIC_ID
    assert third.error_code == ErrorCode.INVALID_REQUEST
    (gone,) = client.ask(DeleteTopicsRequest(topics=states[:1], timeout_ms=1), 6).responses
    assert (gone.error_code, gone.name, gone.topic_id) == (0, "t", made.topic_id)


def test_deletion_can_be_switched_off(start_broker: BrokerFactory) -> None:
    with start_broker(**{"delete.topic.enable": "false"}).connect() as client:
        make_topic(client, "t")
        for version in versions(ApiKey.DELETE_TOPICS):
            (result,) = delete(client, "t", version=version)
            expected = ErrorCode.TOPIC_DELETION_DISABLED if version >= 3 else ErrorCode.INVALID_REQUEST
            assert ErrorCode(result.error_code) is expected
        assert partitions_of(client, "t") == 1


@pytest.mark.parametrize("version", versions(ApiKey.CREATE_PARTITIONS))
def test_create_partitions(client: RawClient, version: int) -> None:
    make_topic(client, "t")
    (checked,) = grow(client, CreatePartitionsTopic("t", 3, None), version=version, check=True)
    assert (checked.error_code, partitions_of(client, "t")) == (0, 1)
    (grown,) = grow(client, CreatePartitionsTopic("t", 3, None), version=version)
    assert (grown.error_code, partitions_of(client, "t")) == (0, 3)
    assert put(client, "t", partition=2) is ErrorCode.NONE


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (CreatePartitionsTopic("t", 1, None), ErrorCode.INVALID_PARTITIONS),
        (CreatePartitionsTopic("t", 0, None), ErrorCode.INVALID_PARTITIONS),
        (CreatePartitionsTopic("never", 5, None), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (
            CreatePartitionsTopic("t", 3, [CreatePartitionsAssignment([1])]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        ),
        (
            CreatePartitionsTopic("t", 2, [CreatePartitionsAssignment([99])]),
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        ),
        (CreatePartitionsTopic("t", 2, [CreatePartitionsAssignment([1])]), ErrorCode.NONE),
    ],
)
def test_partitions_that_cannot_be_made(
    client: RawClient, topic: CreatePartitionsTopic, code: ErrorCode
) -> None:
    make_topic(client, "t")
    (result,) = grow(client, topic)
    assert ErrorCode(result.error_code) is code


@pytest.mark.parametrize("version", versions(ApiKey.DELETE_RECORDS))
def test_delete_records(client: RawClient, version: int) -> None:
    make_topic(client, "t")
    for _ in range(5):
        assert put(client, "t") is ErrorCode.NONE

    def remove(offset: int, topic: str = "t", partition: int = 0) -> tuple[int, ErrorCode]:
        request = DeleteRecordsRequest(
            topics=[DeleteRecordsTopic(topic, [DeleteRecordsPartition(partition, offset)])], timeout_ms=5000
        )
        ((result,),) = [item.partitions for item in client.ask(request, version).topics]
        return result.low_watermark, ErrorCode(result.error_code)

    assert remove(2) == (2, ErrorCode.NONE)
    assert remove(1) == (2, ErrorCode.NONE)
    assert remove(6) == (-1, ErrorCode.OFFSET_OUT_OF_RANGE)
    assert remove(-2) == (-1, ErrorCode.OFFSET_OUT_OF_RANGE)
    assert remove(-1) == (5, ErrorCode.NONE)
    assert remove(1, partition=7) == (-1, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    assert remove(1, topic="never") == (-1, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    create(client, new("compacted", cleanup_policy="compact"))
    assert remove(0, topic="compacted") == (-1, ErrorCode.POLICY_VIOLATION)
