"""Tagged fields (KIP-482): written only when they differ, read in any message, unknown ones passed over."""

from __future__ import annotations

import pytest

from fastlog.wire import MalformedMessage, decode_body, encode_body
from fastlog.wire.messages.api_versions import ApiVersion, ApiVersionsResponse, SupportedFeatureKey
from fastlog.wire.messages.common import LeaderIdAndEpoch
from fastlog.wire.messages.fetch import (
    EpochEndOffset,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
    ReplicaState,
    SnapshotId,
)
from fastlog.wire.messages.metadata import MetadataRequest


def test_defaults_are_not_written() -> None:
    assert encode_body(ApiVersionsResponse(), 3).hex() == "0000" + "01" + "00000000" + "00"


def test_values_go_in_the_order_of_their_tags() -> None:
    message = ApiVersionsResponse(
        api_keys=[ApiVersion(3, 0, 12)],
        supported_features=[SupportedFeatureKey("f", 1, 2)],
        finalized_features_epoch=7,
        zk_migration_ready=True,
    )
    assert encode_body(message, 3).hex() == (
        "0000" + "02" + "00030000000c" + "00" + "00000000"
        + "03"
        + "00" + "08" + "02" + "0266" + "0001" + "0002" + "00"
        + "01" + "08" + "0000000000000007"
        + "03" + "01" + "01"
    )  # fmt: skip
    assert decode_body(ApiVersionsResponse, 3, encode_body(message, 3)) == message


def test_tags_inside_of_tags_and_of_arrays() -> None:
    partition = PartitionData(
        1,
        diverging_epoch=EpochEndOffset(3, 40),
        current_leader=LeaderIdAndEpoch(2, 9),
        snapshot_id=SnapshotId(5, 6),
        records=b"r",
    )
    plain = PartitionData(2, records=b"")
    message = FetchResponse(
        responses=[FetchableTopicResponse(topic_id=bytes(range(16)), partitions=[partition, plain])]
    )
    assert decode_body(FetchResponse, 17, encode_body(message, 17)) == message


def test_nullable_and_uuid_tags() -> None:
    message = FetchRequest(
        cluster_id="c",
        replica_state=ReplicaState(1, 2),
        topics=[FetchTopic(partitions=[FetchPartition(replica_directory_id=bytes(range(16)))])],
    )
    assert decode_body(FetchRequest, 17, encode_body(message, 17)) == message
    assert b"\x02\x00\x02\x02c\x01" in encode_body(message, 17)


def test_unknown_tags_are_passed_over() -> None:
    known = encode_body(MetadataRequest(topics=None), 12)
    assert known[-1] == 0
    assert decode_body(MetadataRequest, 12, known[:-1] + bytes.fromhex("02 05 01 aa c801 03 bbbbbb")) == (
        MetadataRequest(topics=None)
    )
    mixed = bytes.fromhex(
        "0000" + "01" + "00000000" + "03" + "0108" + "0000000000000009" + "020000" + "0701ee"
    )
    with pytest.raises(MalformedMessage):  # tag 2 is known, and an empty value is no array
        decode_body(ApiVersionsResponse, 3, mixed)
    mixed = bytes.fromhex("0000" + "01" + "00000000" + "02" + "0108" + "0000000000000009" + "0701ee")
    assert decode_body(ApiVersionsResponse, 3, mixed) == ApiVersionsResponse(finalized_features_epoch=9)


@pytest.mark.parametrize(
    "tags",
    [
        "01" + "0107" + "00000000000000",  # a value that is too short for its type
        "01" + "0107" + "00000000000000ff",  # one that reaches into what follows
        "01" + "0109" + "000000000000000000",  # one that is too long
        "02" + "0301" + "01" + "0301" + "01",  # the same tag twice
        "02" + "0301" + "01" + "0108" + "0000000000000001",  # out of order
        "02" + "0301" + "01",  # one less than announced
        "01" + "0008" + "05" + "0266" + "00010002" + "00",  # more elements than the value can hold
        "ffffffff7f",
    ],
)
def test_bad_tags(tags: str) -> None:
    with pytest.raises(MalformedMessage):
        decode_body(ApiVersionsResponse, 3, bytes.fromhex("0000" + "01" + "00000000" + tags))
