"""Headers, and the exceptions to their rules."""

from __future__ import annotations

import pytest

from fastlog.wire import (
    API_VERSIONS,
    ApiKey,
    MalformedMessage,
    RequestHeader,
    UnencodableMessage,
    UnsupportedVersion,
    decode_request,
    decode_request_header,
    decode_response,
    encode_request,
    encode_response,
)
from fastlog.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from fastlog.wire.messages.controlled_shutdown import ControlledShutdownRequest, ControlledShutdownResponse
from fastlog.wire.messages.group_offsets import OffsetDeleteRequest, OffsetDeleteResponse
from fastlog.wire.messages.metadata import MetadataRequest, MetadataResponse
from fastlog.wire.messages.sasl import SaslHandshakeRequest, SaslHandshakeResponse

KAFKA_3_9 = {
    "PRODUCE": 11, "FETCH": 17, "LIST_OFFSETS": 9, "METADATA": 12, "OFFSET_COMMIT": 9, "OFFSET_FETCH": 9,
    "FIND_COORDINATOR": 6, "JOIN_GROUP": 9, "HEARTBEAT": 4, "LEAVE_GROUP": 5, "SYNC_GROUP": 5,
    "DESCRIBE_GROUPS": 5, "LIST_GROUPS": 5, "SASL_HANDSHAKE": 1, "API_VERSIONS": 4, "CREATE_TOPICS": 7,
    "DELETE_TOPICS": 6, "DELETE_RECORDS": 2, "INIT_PRODUCER_ID": 5, "OFFSET_FOR_LEADER_EPOCH": 4,
    "DESCRIBE_CONFIGS": 4, "ALTER_CONFIGS": 2, "DESCRIBE_LOG_DIRS": 4, "SASL_AUTHENTICATE": 2,
    "ALTER_REPLICA_LOG_DIRS": 2,
    "CREATE_PARTITIONS": 3, "DELETE_GROUPS": 2, "INCREMENTAL_ALTER_CONFIGS": 1, "OFFSET_DELETE": 0,
    "DESCRIBE_CLUSTER": 1, "DESCRIBE_PRODUCERS": 0, "CONSUMER_GROUP_HEARTBEAT": 0,
    "CONSUMER_GROUP_DESCRIBE": 0, "DESCRIBE_TOPIC_PARTITIONS": 0,
    "ADD_PARTITIONS_TO_TXN": 5, "ADD_OFFSETS_TO_TXN": 4, "END_TXN": 4, "WRITE_TXN_MARKERS": 1,
    "TXN_OFFSET_COMMIT": 4, "DESCRIBE_TRANSACTIONS": 0, "LIST_TRANSACTIONS": 1, "DESCRIBE_ACLS": 3,
    "CREATE_ACLS": 3, "DELETE_ACLS": 3, "ELECT_LEADERS": 2, "ALTER_PARTITION_REASSIGNMENTS": 0,
    "LIST_PARTITION_REASSIGNMENTS": 0, "DESCRIBE_CLIENT_QUOTAS": 1, "ALTER_CLIENT_QUOTAS": 1,
    "DESCRIBE_USER_SCRAM_CREDENTIALS": 0, "ALTER_USER_SCRAM_CREDENTIALS": 0,
    "CREATE_DELEGATION_TOKEN": 3, "RENEW_DELEGATION_TOKEN": 2, "EXPIRE_DELEGATION_TOKEN": 2,
    "DESCRIBE_DELEGATION_TOKEN": 3,
    "LEADER_AND_ISR": 7, "STOP_REPLICA": 4, "UPDATE_METADATA": 8, "CONTROLLED_SHUTDOWN": 3,
    "ALTER_PARTITION": 3, "UPDATE_FEATURES": 1, "ALLOCATE_PRODUCER_IDS": 0,
}  # fmt: skip


# Clients of Kafka 4 choose their member ids, which came with version 1. They learn from version 6 of
# DescribeGroups that there is no such group. The second protocol of transactions came with Kafka 4.
NEWER = {
    "CONSUMER_GROUP_HEARTBEAT": 1,
    "CONSUMER_GROUP_DESCRIBE": 1,
    "DESCRIBE_GROUPS": 6,
    "PRODUCE": 12,
    "END_TXN": 5,
    "TXN_OFFSET_COMMIT": 5,
    "WRITE_TXN_MARKERS": 2,
    "LIST_TRANSACTIONS": 2,
}


def test_versions_are_those_of_kafka_3_9() -> None:
    assert {key.name: versions for key, versions in API_VERSIONS.items()} == {
        name: (0, highest) for name, highest in {**KAFKA_3_9, **NEWER}.items()
    }


def test_request_header_1() -> None:
    frame = encode_request(MetadataRequest(topics=[]), 0, 7, "abc")
    assert frame.hex() == "00000011" + "0003" + "0000" + "00000007" + "0003616263" + "00000000"
    header, message = decode_request(frame[4:])
    assert header == RequestHeader(ApiKey.METADATA, 0, 7, "abc")
    assert message == MetadataRequest(topics=[])


def test_request_header_2_keeps_the_client_id_classic() -> None:
    frame = encode_request(MetadataRequest(topics=None), 9, 7, "abc")
    assert frame.hex() == "00000013" + "0003" + "0009" + "00000007" + "0003616263" + "00" + "0001000000"


@pytest.mark.parametrize("version", [0, 9])
def test_client_id_may_be_null(version: int) -> None:
    frame = encode_request(MetadataRequest(topics=[]), version, 1, None)
    assert frame[12:14] == b"\xff\xff"
    assert decode_request(frame[4:])[0].client_id is None


def test_unknown_header_tags_are_skipped() -> None:
    body = bytes.fromhex("0003" + "0009" + "00000007" + "ffff" + "01" + "05" + "02" + "abcd" + "0001000000")
    assert decode_request(body)[1] == MetadataRequest(topics=None)


def test_header_tells_where_the_body_starts() -> None:
    frame = encode_request(MetadataRequest(topics=[]), 9, 1, "abc")[4:]
    header, start = decode_request_header(frame)
    assert header.client_id == "abc"
    assert start == 14


def test_response_headers() -> None:
    assert encode_response(MetadataResponse(), 8, 5)[4:8] == b"\x00\x00\x00\x05"
    classic, flexible = encode_response(MetadataResponse(), 8, 5), encode_response(MetadataResponse(), 9, 5)
    assert classic[8:12] == bytes(4)  # the throttle time follows at once
    assert flexible[8] == 0  # an empty tag section, then the throttle time
    assert flexible[9:13] == bytes(4)
    assert len(flexible) == int.from_bytes(flexible[:4], "big") + 4
    assert decode_response(ApiKey.METADATA, 9, flexible[4:]) == (5, MetadataResponse())


@pytest.mark.parametrize("version", range(5))
def test_api_versions_always_answers_under_header_0(version: int) -> None:
    frame = encode_response(ApiVersionsResponse(error_code=35), version, 5)
    assert frame[4:10] == b"\x00\x00\x00\x05" + b"\x00\x23"
    assert decode_response(ApiKey.API_VERSIONS, version, frame[4:])[1].error_code == 35


def test_api_versions_requests_follow_the_usual_rule() -> None:
    request = ApiVersionsRequest("a", "1")
    assert encode_request(request, 2, 1, "c")[4:].hex() == "0012" + "0002" + "00000001" + "000163"
    assert encode_request(request, 3, 1, "c")[4:].hex() == "001200030000000100016300" + "0261" + "0231" + "00"


def test_controlled_shutdown_0_has_a_header_without_a_client_id() -> None:
    request = ControlledShutdownRequest(broker_id=258)
    frame = encode_request(request, 0, 7, "abc")
    assert frame.hex() == "0000000c" + "0007" + "0000" + "00000007" + "00000102"
    header, decoded = decode_request(frame[4:])
    assert (header, decoded) == (RequestHeader(ApiKey.CONTROLLED_SHUTDOWN, 0, 7, None), request)
    assert encode_request(request, 1, 7, "abc")[4:].hex() == "0007000100000007" + "0003616263" + "00000102"
    assert encode_response(ControlledShutdownResponse(), 0, 7)[8:] == bytes(6)
    for size in range(12):
        with pytest.raises(MalformedMessage):
            decode_request(frame[4 : 4 + size])


def test_sasl_handshake_and_offset_delete_are_never_flexible() -> None:
    assert encode_request(SaslHandshakeRequest("PLAIN"), 1, 1, None)[14:] == b"\x00\x05PLAIN"
    assert (
        encode_response(SaslHandshakeResponse(0, ["PLAIN"]), 1, 1)[8:] == bytes(2) + b"\0\0\0\1\x00\x05PLAIN"
    )
    assert encode_request(OffsetDeleteRequest("g"), 0, 1, None)[14:] == b"\x00\x01g" + bytes(4)
    assert encode_response(OffsetDeleteResponse(), 0, 1)[8:] == bytes(10)


@pytest.mark.parametrize(
    ("payload", "key", "version"),
    [
        ("0003" + "000d" + "00000007" + "ffff", 3, 13),
        ("0003" + "ffff" + "00000007" + "ffff", 3, -1),
        ("003a" + "0000" + "00000007" + "ffff", 58, 0),
        ("03e7" + "0000" + "00000007" + "ffff", 999, 0),
        ("ffff" + "0000" + "00000007" + "ffff", -1, 0),
        ("0012" + "7fff" + "00000007" + "0003" + "616263" + "00", 18, 32767),
    ],
)
def test_unknown_apis_and_versions(payload: str, key: int, version: int) -> None:
    with pytest.raises(UnsupportedVersion) as caught:
        decode_request(bytes.fromhex(payload))
    assert (caught.value.api_key, caught.value.api_version, caught.value.correlation_id) == (key, version, 7)


def test_versions_are_checked_on_the_way_out_too() -> None:
    with pytest.raises(UnsupportedVersion):
        encode_request(MetadataRequest(), 13, 1, None)
    with pytest.raises(UnsupportedVersion):
        encode_response(MetadataResponse(), 13, 1)
    with pytest.raises(UnsupportedVersion):
        decode_response(ApiKey.METADATA, 13, bytes(20))
    with pytest.raises(UnsupportedVersion):
        decode_response(ApiKey.ENVELOPE, 0, bytes(20))


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "0003",
        "0003000000000007" + "00",
        "0003000000000007" + "0003" + "6162",
        "0003000000000007" + "fffe",
        "0003000900000007" + "ffff",
        "0003000900000007" + "ffff" + "01",
        "0003000900000007" + "ffff" + "01" + "00" + "05" + "aa",
    ],
)
def test_malformed_request_headers(payload: str) -> None:
    with pytest.raises(MalformedMessage):
        decode_request(bytes.fromhex(payload))


@pytest.mark.parametrize("payload", ["", "000000", "00000001", "00000001" + "02" + "0000", "00000001" + "ff"])
def test_malformed_response_headers(payload: str) -> None:
    with pytest.raises(MalformedMessage):
        decode_response(ApiKey.METADATA, 9, bytes.fromhex(payload))


def test_client_ids_have_a_limit() -> None:
    with pytest.raises(UnencodableMessage, match="client id"):
        encode_request(MetadataRequest(), 1, 1, "x" * 32768)
