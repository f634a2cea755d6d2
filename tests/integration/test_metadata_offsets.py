"""Metadata, ListOffsets, OffsetForLeaderEpoch, InitProducerId and DescribeProducers in every version."""

from __future__ import annotations

import time
from typing import Any

import pytest

from fastlog.errors import ErrorCode
from fastlog.wire import API_VERSIONS, ApiKey
from fastlog.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from fastlog.wire.messages.init_producer_id import InitProducerIdRequest
from fastlog.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from fastlog.wire.messages.offsets import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from tests.harness.batches import TIME, batch
from tests.integration.conftest import BrokerFactory
from tests.integration.requests import list_offset, make_topic, metadata, produce
from tests.integration.running import RawClient, RunningBroker


def versions(key: ApiKey) -> range:
    """All versions of an API."""
    return range(API_VERSIONS[key][1] + 1)


@pytest.mark.parametrize("version", versions(ApiKey.METADATA))
def test_metadata_names_brokers_topics_and_leaders(
    broker: RunningBroker, client: RawClient, version: int
) -> None:
    make_topic(client, "t")
    everything = MetadataRequest(topics=[] if version == 0 else None)
    for request in (everything, metadata("t")):
        answer = client.ask(request, version)
        (node,) = answer.brokers
        assert (node.host, node.port) == ("127.0.0.1", broker.port)
        (topic,) = answer.topics
        (partition,) = topic.partitions
        assert (topic.name, topic.error_code) == ("t", 0)
        assert (partition.leader_id, partition.replica_nodes) == (node.node_id, [node.node_id])
        assert partition.isr_nodes == [node.node_id]
    if version >= 1:
        assert answer.controller_id == node.node_id
        assert client.ask(MetadataRequest(topics=[]), version).topics == []


def test_topics_come_into_being_only_where_that_is_allowed(
    start_broker: BrokerFactory, client: RawClient
) -> None:
    assert client.ask(metadata("old"), 1).topics[0].error_code == 0
    (no,) = client.ask(metadata("no", create=False), 12).topics
    assert no.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    for name in ("__consumer_offsets", "__transaction_state"):
        (internal,) = client.ask(metadata(name), 12).topics
        assert (internal.error_code, internal.is_internal) == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, True)
    strict = start_broker(**{"auto.create.topics.enable": "false"})
    with strict.connect() as other:
        (refused,) = other.ask(metadata("t"), 12).topics
        assert refused.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "x" * 250, "höhe"])
def test_a_name_that_no_topic_can_have(client: RawClient, name: str) -> None:
    (topic,) = client.ask(metadata(name), 12).topics
    assert topic.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION


def test_auto_creation_says_why_it_failed(start_broker: BrokerFactory) -> None:
    with start_broker(**{"default.replication.factor": "3"}).connect() as client:
        (topic,) = client.ask(metadata("t"), 12).topics
        assert topic.error_code == ErrorCode.INVALID_REPLICATION_FACTOR


def test_metadata_by_topic_id(client: RawClient) -> None:
    topic_id = make_topic(client, "t")
    request = MetadataRequest(
        topics=[MetadataRequestTopic(topic_id=topic_id, name=None), MetadataRequestTopic(b"?" * 16, None)]
    )
    known, unknown = client.ask(request, 12).topics
    assert sorted([known.error_code, unknown.error_code]) == [0, ErrorCode.UNKNOWN_TOPIC_ID]
    refused = client.ask(request, 10).topics
    assert [topic.error_code for topic in refused] == [ErrorCode.INVALID_REQUEST] * 2


def test_authorized_operations_are_told_on_request(client: RawClient) -> None:
    make_topic(client, "t")
    plain = client.ask(metadata("t"), 8)
    assert plain.topics[0].topic_authorized_operations == -(2**31)
    request = metadata("t")
    request.include_topic_authorized_operations = request.include_cluster_authorized_operations = True
    told = client.ask(request, 8)
    assert told.topics[0].topic_authorized_operations == sum(1 << n for n in (3, 4, 5, 6, 7, 8, 10, 11))
    assert told.cluster_authorized_operations == sum(1 << n for n in (5, 7, 8, 9, 10, 11, 12))


def test_cached_answers_follow_the_cluster(client: RawClient) -> None:
    everything = MetadataRequest(topics=None)
    assert client.ask(everything, 9).topics == []
    assert client.ask(everything, 9).topics == []
    make_topic(client, "t")
    assert [topic.name for topic in client.ask(everything, 9).topics] == ["t"]


def offset_of(client: RawClient, timestamp: int, version: int = 9, **how: Any) -> tuple[int, int, int]:
    """(error code, timestamp, offset)."""
    row = client.ask(list_offset("t", timestamp, **how), version).topics[0].partitions[0]
    return row.error_code, row.timestamp, row.offset


@pytest.mark.parametrize(
    ("version", "isolation_level"),
    [
        (version, isolation_level)
        for version in range(1, API_VERSIONS[ApiKey.LIST_OFFSETS][1] + 1)
        for isolation_level in (0, 1)
        # Version 1 has no isolation level.
        if version >= 2 or isolation_level == 0
    ],
)
def test_offsets_by_marker_and_time(client: RawClient, version: int, isolation_level: int) -> None:
    make_topic(client, "t")
    for start in (0, 10, 20):
        client.ask(produce("t", batch(b"a", b"b", timestamp=TIME + start)), 9)

    def ask(timestamp: int) -> tuple[int, int, int]:
        return offset_of(client, timestamp, version, isolation_level=isolation_level)

    assert ask(-1) == (0, -1, 6)
    assert ask(-2) == (0, -1, 0)
    assert ask(TIME + 2) == (0, TIME + 10, 2)
    assert ask(TIME + 21) == (0, TIME + 21, 5)
    assert ask(TIME + 22) == (0, -1, -1)
    unsupported = (ErrorCode.UNSUPPORTED_VERSION, -1, -1)
    assert ask(-3) == ((0, TIME + 21, 5) if version >= 7 else unsupported)
    assert ask(-4) == ((0, -1, 0) if version >= 8 else unsupported)
    assert ask(-5) == ((0, -1, -1) if version >= 9 else unsupported)
    assert ask(-6) == unsupported


def test_version_0_lists_segment_offsets(client: RawClient) -> None:
    make_topic(client, "t")
    client.ask(produce("t", batch(b"a", b"b", timestamp=TIME)), 9)
    now = time.time_ns() // 1_000_000
    minute = 60_000
    for timestamp, wanted, expected in (
        (-1, 10, [2, 0]),
        (-1, 1, [2]),
        (-2, 10, [0]),
        (now + minute, 10, [2, 0]),
        (now + minute, 1, [2]),
        (now - minute, 10, [0]),
        (TIME - 1, 10, []),
    ):
        answer = client.ask(list_offset("t", timestamp, max_num_offsets=wanted), 0)
        assert answer.topics[0].partitions[0].old_style_offsets == expected


def test_offsets_of_what_is_not_here(client: RawClient) -> None:
    assert offset_of(client, -1)[0] == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    make_topic(client, "t")
    assert offset_of(client, -1, current_leader_epoch=9)[0] == ErrorCode.UNKNOWN_LEADER_EPOCH
    twice = list_offset("t", -1)
    twice.topics[0].partitions *= 2
    codes = [row.error_code for row in client.ask(twice, 9).topics[0].partitions]
    assert codes == [ErrorCode.INVALID_REQUEST] * 2


@pytest.mark.parametrize("version", versions(ApiKey.OFFSET_FOR_LEADER_EPOCH))
def test_ends_of_leader_epochs(client: RawClient, version: int) -> None:
    make_topic(client, "t")
    client.ask(produce("t", batch(b"a", b"b")), 9)

    def ask(epoch: int, partition: int = 0, current: int = -1) -> tuple[int, int]:
        row = OffsetForLeaderPartition(partition, current, epoch)
        request = OffsetForLeaderEpochRequest(topics=[OffsetForLeaderTopic("t", [row])])
        answer = client.ask(request, version).topics[0].partitions[0]
        return answer.error_code, answer.end_offset

    assert ask(0) == (0, 2)
    assert ask(7) == (0, -1)
    assert ask(0, partition=5)[0] == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if version >= 2:
        assert ask(0, current=3)[0] == ErrorCode.UNKNOWN_LEADER_EPOCH


@pytest.mark.parametrize("version", versions(ApiKey.INIT_PRODUCER_ID))
def test_producer_ids_are_never_given_twice(client: RawClient, version: int) -> None:
    answers = [client.ask(InitProducerIdRequest(), version) for _ in range(3)]
    assert {answer.error_code for answer in answers} == {0}
    assert len({answer.producer_id for answer in answers}) == 3
    transactional = client.ask(InitProducerIdRequest("tx", 60_000), version)
    assert transactional.error_code == ErrorCode.NOT_COORDINATOR
    if version >= 3:
        half = client.ask(InitProducerIdRequest(producer_id=5), version)
        assert half.error_code == ErrorCode.INVALID_REQUEST


def test_producer_ids_are_new_after_a_restart(broker: RunningBroker) -> None:
    with broker.connect() as client:
        first = client.ask(InitProducerIdRequest(), 4).producer_id
    broker.stop()
    broker.start()
    with broker.connect() as client:
        assert client.ask(InitProducerIdRequest(), 4).producer_id > first


def test_producers_of_a_partition_are_described(client: RawClient) -> None:
    make_topic(client, "t")
    client.ask(produce("t", batch(b"a", b"b", producer=(42, 3, 0))), 9)
    request = DescribeProducersRequest(
        topics=[TopicRequest("t", [0, 1]), TopicRequest("none", [0]), TopicRequest("a b", [0])]
    )
    known, none, illegal = client.ask(request, 0).topics
    (producer,) = known.partitions[0].active_producers
    assert (producer.producer_id, producer.producer_epoch, producer.last_sequence) == (42, 3, 1)
    codes = [known.partitions[1].error_code, none.partitions[0].error_code, illegal.partitions[0].error_code]
    assert codes == [
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.INVALID_TOPIC_EXCEPTION,
    ]


def test_version_0_takes_an_empty_segment_for_new(client: RawClient) -> None:
    """Kafka goes by when the file was last changed; an empty one was just made."""
    make_topic(client, "t")
    for timestamp, expected in ((-1, [0]), (-2, [0]), (TIME, [])):
        answer = client.ask(list_offset("t", timestamp, max_num_offsets=10), 0)
        assert answer.topics[0].partitions[0].old_style_offsets == expected
