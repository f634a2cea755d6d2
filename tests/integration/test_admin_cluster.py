"""DescribeCluster, DescribeLogDirs, DescribeTopicPartitions and FindCoordinator over the wire."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire import API_VERSIONS, ApiKey
from fastlog.wire.messages.cluster import (
    DescribableLogDirTopic,
    DescribeClusterRequest,
    DescribeLogDirsRequest,
)
from fastlog.wire.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    TopicRequest,
)
from fastlog.wire.messages.find_coordinator import FindCoordinatorRequest
from fastlog.wire.messages.topics import CreatableTopic, CreateTopicsRequest
from tests.harness.batches import batch
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import metadata, produce
from tests.integration.running import RawClient, RunningBroker


def versions(key: ApiKey) -> range:
    """All versions of an API."""
    return range(API_VERSIONS[key][1] + 1)


def make(client: RawClient, name: str, partitions: int) -> None:
    """Creates a topic."""
    request = CreateTopicsRequest(topics=[CreatableTopic(name, partitions, 1)])
    assert client.ask(request, 7).topics[0].error_code == 0


@pytest.mark.parametrize("version", versions(ApiKey.DESCRIBE_CLUSTER))
def test_describe_cluster(broker: RunningBroker, client: RawClient, version: int) -> None:
    answer = client.ask(DescribeClusterRequest(), version)
    known = client.ask(metadata(), 12)
    assert answer.error_code == 0
    assert (answer.cluster_id, answer.controller_id) == (known.cluster_id, known.controller_id)
    (node,) = answer.brokers
    assert (node.broker_id, node.host, node.port) == (1, "127.0.0.1", broker.port)
    with_rights = DescribeClusterRequest(include_cluster_authorized_operations=True)
    assert client.ask(with_rights, version).cluster_authorized_operations > 0
    assert answer.cluster_authorized_operations == -(2**31)


def test_describe_cluster_of_controllers(client: RawClient) -> None:
    answer = client.ask(DescribeClusterRequest(endpoint_type=2), 1)
    assert ErrorCode(answer.error_code) is ErrorCode.MISMATCHED_ENDPOINT_TYPE
    answer = client.ask(DescribeClusterRequest(endpoint_type=9), 1)
    assert ErrorCode(answer.error_code) is ErrorCode.UNSUPPORTED_ENDPOINT_TYPE


@pytest.mark.parametrize("version", versions(ApiKey.DESCRIBE_LOG_DIRS))
def test_describe_log_dirs(start_broker: BrokerFactory, tmp_path: Path, version: int) -> None:
    directories = [tmp_path / "a", tmp_path / "b"]
    broker = start_broker(**{"log.dirs": ",".join(map(str, directories))})
    with broker.connect() as client:
        make(client, "t", 2)
        make(client, "u", 1)
        client.ask(produce("t", batch(b"x" * 1000)), 9)
        everything = client.ask(DescribeLogDirsRequest(topics=None), version).results
        assert [Path(result.log_dir) for result in everything] == directories
        sizes = {
            (topic.name, partition.partition_index): partition.partition_size
            for result in everything
            for topic in result.topics
            for partition in topic.partitions
        }
        assert set(sizes) == {("t", 0), ("t", 1), ("u", 0)}
        assert sizes["t", 0] > 1000
        assert sizes["u", 0] == 0
        if version >= 4:
            assert all(result.total_bytes >= result.usable_bytes > 0 for result in everything)
        some = DescribeLogDirsRequest(
            topics=[DescribableLogDirTopic("t", [1, 7]), DescribableLogDirTopic("x", [])]
        )
        found = [
            (topic.name, [partition.partition_index for partition in topic.partitions])
            for result in client.ask(some, version).results
            for topic in result.topics
        ]
        assert found == [("t", [1])]


def test_describe_topic_partitions_page_by_page(client: RawClient) -> None:
    make(client, "a", 3)
    make(client, "b", 2)
    pages = []
    cursor: Cursor | None = None
    for _ in range(10):
        request = DescribeTopicPartitionsRequest(topics=[], response_partition_limit=2, cursor=cursor)
        answer = client.ask(request, 0)
        pages.append(
            [
                (topic.name, partition.partition_index)
                for topic in answer.topics
                for partition in topic.partitions
            ]
        )
        cursor = answer.next_cursor
        if cursor is None:
            break
    assert pages == [[("a", 0), ("a", 1)], [("a", 2), ("b", 0)], [("b", 1)]]


@pytest.mark.parametrize("limit", [0, -1, -(2**31)])
def test_describe_topic_partitions_shows_one_at_least(client: RawClient, limit: int) -> None:
    make(client, "a", 3)
    answer = client.ask(DescribeTopicPartitionsRequest(topics=[], response_partition_limit=limit), 0)
    assert [partition.partition_index for partition in answer.topics[0].partitions] == [0]
    assert (answer.next_cursor.topic_name, answer.next_cursor.partition_index) == ("a", 1)


def test_describe_topic_partitions_by_name(client: RawClient) -> None:
    make(client, "a", 1)
    names = [TopicRequest("never"), TopicRequest("a"), TopicRequest("a/b")]
    answer = client.ask(DescribeTopicPartitionsRequest(topics=names), 0)
    assert {topic.name: ErrorCode(topic.error_code) for topic in answer.topics} == {
        "a": ErrorCode.NONE,
        "a/b": ErrorCode.INVALID_TOPIC_EXCEPTION,
        "never": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
    ((partition,),) = [topic.partitions for topic in answer.topics if topic.name == "a"]
    assert (partition.leader_id, partition.replica_nodes, partition.isr_nodes) == (1, [1], [1])


def test_describe_topic_partitions_obeys_the_brokers_limit(start_broker: BrokerFactory) -> None:
    with start_broker(**{"max.request.partition.size.limit": "2"}).connect() as client:
        make(client, "a", 3)
        answer = client.ask(DescribeTopicPartitionsRequest(topics=[], response_partition_limit=2000), 0)
        assert len(answer.topics[0].partitions) == 2
        assert (answer.next_cursor.topic_name, answer.next_cursor.partition_index) == ("a", 2)


@pytest.mark.parametrize("version", versions(ApiKey.FIND_COORDINATOR))
def test_this_broker_coordinates_groups(broker: RunningBroker, client: RawClient, version: int) -> None:
    if version < 4:
        answer = client.ask(FindCoordinatorRequest(key="g"), version)
        assert (answer.error_code, answer.node_id, answer.port) == (0, 1, broker.port)
        return
    answer = client.ask(FindCoordinatorRequest(coordinator_keys=["g", "h"]), version)
    assert [(item.key, item.error_code, item.node_id, item.port) for item in answer.coordinators] == [
        ("g", 0, 1, broker.port),
        ("h", 0, 1, broker.port),
    ]
    assert "__consumer_offsets" in broker.broker.services.cluster.topics


@pytest.mark.parametrize(
    ("key_type", "error"),
    [(2, ErrorCode.UNSUPPORTED_VERSION), (9, ErrorCode.INVALID_REQUEST)],
    ids=["share groups", "unknown"],
)
def test_other_coordinators_are_not_here(client: RawClient, key_type: int, error: ErrorCode) -> None:
    answer = client.ask(FindCoordinatorRequest(key="t", key_type=key_type), 2)
    assert (ErrorCode(answer.error_code), answer.node_id) == (error, -1)
