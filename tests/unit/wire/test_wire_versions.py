"""What happens to fields that a version does not have, to nulls, and to values that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from fastlog.wire import ApiKey, Message, UnencodableMessage, decode_body, encode_body, encode_response
from fastlog.wire.messages.common import LeaderIdAndEpoch, NodeEndpoint
from fastlog.wire.messages.describe_configs import DescribeConfigsResourceResult, DescribeConfigsResponse
from fastlog.wire.messages.describe_configs import DescribeConfigsResult as ConfigsResult
from fastlog.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from fastlog.wire.messages.group_offsets import OffsetFetchRequest
from fastlog.wire.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from fastlog.wire.messages.offsets import (
    ListOffsetsPartitionResponse,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from fastlog.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from fastlog.wire.messages.topics import CreateTopicsRequest, DeleteTopicsRequest, DeleteTopicState


def in_topic(partition: MetadataResponsePartition) -> MetadataResponse:
    return MetadataResponse(topics=[MetadataResponseTopic(name="t", partitions=[partition])])


LOST = [
    (MetadataRequest([], allow_auto_topic_creation=False), 3, 4, "allow_auto_topic_creation"),
    (MetadataRequest([], include_cluster_authorized_operations=True), 11, 10, "include_cluster"),
    (MetadataResponse(cluster_authorized_operations=1), 11, 10, "cluster_authorized_operations"),
    (CreateTopicsRequest(validate_only=True), 0, 1, "validate_only"),
    (DeleteTopicsRequest(topics=[DeleteTopicState("t")]), 5, 6, "topics"),
    (ProduceRequest(transactional_id="x"), 2, 3, "transactional_id"),
    (OffsetFetchRequest(topics=None), 8, 7, "topics"),
    (FetchRequest(replica_id=3), 15, 14, "replica_id"),
    (
        FetchRequest(topics=[FetchTopic(partitions=[FetchPartition(last_fetched_epoch=4)])]),
        11,
        12,
        r"topics\[0\]\.partitions\[0\]\.last_fetched_epoch",
    ),
    (
        ListOffsetsResponse(0, [ListOffsetsTopicResponse("t", [ListOffsetsPartitionResponse(offset=9)])]),
        0,
        1,
        r"topics\[0\]\.partitions\[0\]\.offset",
    ),
    (
        ProduceResponse(
            [TopicProduceResponse("t", [PartitionProduceResponse(current_leader=LeaderIdAndEpoch(1, 2))])]
        ),
        9,
        10,
        r"responses\[0\]\.partition_responses\[0\]\.current_leader",
    ),
    (ProduceResponse(node_endpoints=[NodeEndpoint(1, "h", 2)]), 9, 10, "node_endpoints"),
]


@pytest.mark.parametrize(("message", "lacking", "having", "field"), LOST)
def test_a_value_that_would_be_lost_is_refused(
    message: Message, lacking: int, having: int, field: str
) -> None:
    with pytest.raises(UnencodableMessage, match=f"version {lacking}: {field}.* is not part of this version"):
        encode_body(message, lacking)
    assert decode_body(type(message), having, encode_body(message, having)) == message


def test_ignorable_values_are_dropped() -> None:
    broker = MetadataResponseBroker(1, "h", 9092, rack="r")
    message = MetadataResponse(throttle_time_ms=5, brokers=[broker], cluster_id="c", controller_id=1)
    assert decode_body(MetadataResponse, 0, encode_body(message, 0)) == MetadataResponse(
        brokers=[MetadataResponseBroker(1, "h", 9092)]
    )
    partition = MetadataResponsePartition(leader_epoch=7, offline_replicas=[1])
    assert decode_body(MetadataResponse, 4, encode_body(in_topic(partition), 4)) == in_topic(
        MetadataResponsePartition()
    )


def test_defaults_of_absent_fields_are_those_of_the_declaration() -> None:
    request = decode_body(FetchRequest, 0, encode_body(FetchRequest(max_wait_ms=1), 0))
    assert request == FetchRequest(max_wait_ms=1)
    assert (request.max_bytes, request.session_epoch, request.replica_id) == (0x7FFFFFFF, -1, -1)
    old = DescribeConfigsResponse(
        0, [ConfigsResult(configs=[DescribeConfigsResourceResult("k", is_default=True)])]
    )
    result = decode_body(DescribeConfigsResponse, 0, encode_body(old, 0)).results[0].configs[0]
    assert (result.is_default, result.config_source, result.synonyms, result.documentation) == (
        True,
        -1,
        [],
        None,
    )


NULLS = [
    (MetadataRequest(topics=None), 0, 1, "topics"),
    (MetadataRequest([MetadataRequestTopic(name=None)]), 9, 10, r"topics\[0\]\.name"),
    (MetadataResponse(topics=[MetadataResponseTopic(name=None)]), 11, 12, r"topics\[0\]\.name"),
]


@pytest.mark.parametrize(("message", "refusing", "taking", "field"), NULLS)
def test_null_only_where_the_version_allows_it(
    message: Message, refusing: int, taking: int, field: str
) -> None:
    with pytest.raises(UnencodableMessage, match=f"version {refusing}: {field} cannot be null"):
        encode_body(message, refusing)
    assert decode_body(type(message), taking, encode_body(message, taking)) == message


def test_null_and_empty_differ() -> None:
    assert encode_body(MetadataRequest(topics=None), 12) == bytes.fromhex("00 01 00 00")
    assert encode_body(MetadataRequest(topics=[]), 12) == bytes.fromhex("01 01 00 00")
    for version in range(1, 9):
        assert encode_body(MetadataRequest(topics=None), version).startswith(b"\xff\xff\xff\xff")


WRONG: list[tuple[Message, str]] = [
    (MetadataResponse(throttle_time_ms=2**31), "throttle_time_ms is not an int32"),
    (MetadataResponse(controller_id="1"), "controller_id is not an int32"),  # type: ignore[arg-type]
    (MetadataResponse(brokers=None), "brokers cannot be null"),  # type: ignore[arg-type]
    (MetadataResponse(brokers=3), "brokers is not a list"),  # type: ignore[arg-type]
    (MetadataResponse(brokers=[3]), r"brokers\[0\] is not a MetadataResponseBroker"),  # type: ignore[list-item]
    (MetadataResponse(brokers=[MetadataResponseBroker(host=None)]), r"brokers\[0\]\.host cannot be null"),  # type: ignore[arg-type]
    (MetadataResponse(brokers=[MetadataResponseBroker(host=b"h")]), r"brokers\[0\]\.host is not a string"),  # type: ignore[arg-type]
    (MetadataResponse(brokers=[MetadataResponseBroker(host="x" * 32768)]), "32768 bytes of UTF-8"),
    (MetadataResponse(brokers=[MetadataResponseBroker(host="\ud800")]), "not encodable as UTF-8"),
    (
        MetadataResponse(topics=[MetadataResponseTopic(topic_id=b"short")]),
        r"topics\[0\]\.topic_id is not a UUID",
    ),
    (in_topic(MetadataResponsePartition(error_code=2**15)), r"partitions\[0\]\.error_code is not an int16"),
    (in_topic(MetadataResponsePartition(replica_nodes=[1, 2**40])), r"replica_nodes\[1\] is not an int32"),
    (in_topic(MetadataResponsePartition(isr_nodes=["a"] * 100)), r"isr_nodes\[0\] is not an int32"),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("message", "complaint"), WRONG)
def test_values_without_a_form_name_their_field(message: Message, complaint: str) -> None:
    with pytest.raises(UnencodableMessage, match=f"MetadataResponse version 12: .*{complaint}"):
        encode_body(message, 12)


@pytest.mark.parametrize("text", ["x" * 126, "x" * 127, "é" * 63, "é" * 64, "x" * 32767])
@pytest.mark.parametrize("version", [8, 12])
def test_strings_up_to_the_limit(text: str, version: int) -> None:
    message = MetadataResponse(brokers=[MetadataResponseBroker(host=text, rack=text)], cluster_id=text)
    assert decode_body(MetadataResponse, version, encode_body(message, version)) == message


@pytest.mark.parametrize("count", [1, 126, 127, 128, 5000])
@pytest.mark.parametrize("version", [8, 12])
def test_arrays_of_any_length(count: int, version: int) -> None:
    message = in_topic(MetadataResponsePartition(replica_nodes=list(range(count)), isr_nodes=[1]))
    message.brokers = [MetadataResponseBroker(node_id=node) for node in range(count)]
    assert decode_body(MetadataResponse, version, encode_body(message, version)) == message


def test_records_are_a_view_of_the_input() -> None:
    data: Any = memoryview(b"batch")
    request = ProduceRequest(topic_data=[TopicProduceData("t", [PartitionProduceData(0, data)])])
    for version in (3, 9):
        body = bytearray(encode_body(request, version))
        decoded = decode_body(ProduceRequest, version, memoryview(body))
        records = decoded.topic_data[0].partition_data[0].records
        assert isinstance(records, memoryview)
        body[body.index(b"batch")] = ord("c")
        assert records == b"catch"


def test_tuples_do_for_lists() -> None:
    partition: Any = MetadataResponsePartition(replica_nodes=(1, 2))  # type: ignore[arg-type]
    assert encode_body(in_topic(partition), 12) == encode_body(
        in_topic(MetadataResponsePartition(replica_nodes=[1, 2])), 12
    )


def test_a_golden_metadata_response() -> None:
    """Version 12 by hand, field by field."""
    message = in_topic(MetadataResponsePartition(3, 0, 1, 5, [1, 2], [1], []))
    message.brokers = [MetadataResponseBroker(1, "h", 9092, None)]
    message.topics[0].topic_id = bytes(range(16))
    expected = (
        "00000000"  # throttle time
        + "02" + "00000001" + "0268" + "00002384" + "00" + "00"  # one broker
        + "00" + "ffffffff"  # no cluster id, no controller
        + "02" + "0000" + "0274" + bytes(range(16)).hex() + "00"  # one topic
        + "02" + "0003" + "00000000" + "00000001" + "00000005"  # one partition
        + "03" + "00000001" + "00000002" + "02" + "00000001" + "01" + "00"  # replicas, in sync, offline
        + "80000000" + "00" + "00"
    )  # fmt: skip
    frame = encode_response(message, 12, 8)
    assert frame[:9].hex() == f"{len(expected) // 2 + 5:08x}" + "00000008" + "00"
    assert frame[9:].hex() == expected
    assert ApiKey.METADATA is message.API
