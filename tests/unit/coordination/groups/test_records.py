"""The record format of `__consumer_offsets`, against bytes written down from Kafka's schemas."""

from __future__ import annotations

import pytest

from fastlog.coordination.groups.committed_offsets import CommittedOffset
from fastlog.coordination.groups.loading import LoadedPartition
from fastlog.coordination.groups.record_fields import BadGroupRecord
from fastlog.coordination.groups.records import (
    GroupKey,
    OffsetKey,
    decode_group_value,
    decode_key,
    decode_offset_value,
    encode_group_key,
    encode_group_value,
    encode_offset_key,
    encode_offset_value,
    encode_offsets,
    encode_offsets_in_steps,
    size_of,
)
from fastlog.coordination.groups.results import StoredGroup, StoredMember
from fastlog.server.requests.turns import at_once

OFFSET_KEY = bytes.fromhex("0001 0001 67 0001 74 00000007")
GROUP_KEY = bytes.fromhex("0002 0001 67")
OFFSET_3 = bytes.fromhex("0003 000000000000002a 00000005 0002 6869 0000000000000064")
OFFSET_1 = bytes.fromhex("0001 000000000000002a 0002 6869 0000000000000064 00000000000000c8")
OFFSET_4 = bytes.fromhex("0004 000000000000002a 00000005 03 6869 0000000000000064 00")
GROUP_3 = bytes.fromhex(
    "0003 0008 636f6e73756d6572 00000004 0005 72616e6765 0001 6d 0000000000000063 00000001"
    "0001 6d ffff 0001 63 0002 2f68 0000ea60 00002710 00000002 0102 00000001 03"
)
GROUP_4 = bytes.fromhex(
    "0004 09 636f6e73756d6572 00000004 06 72616e6765 02 6d 0000000000000063 02"
    "02 6d 00 02 63 03 2f68 0000ea60 00002710 03 0102 02 03 00 00"
)
GROUP = StoredGroup(
    "consumer", 4, "range", "m", 99, (StoredMember("m", None, "c", "/h", 60_000, 10_000, b"\1\2", b"\3"),)
)
COMMITTED = CommittedOffset(42, 5, "hi", 100)


def test_written_bytes() -> None:
    assert encode_offset_key("g", "t", 7) == OFFSET_KEY
    assert encode_group_key("g") == GROUP_KEY
    assert encode_offset_value(COMMITTED) == OFFSET_3
    assert encode_offset_value(CommittedOffset(42, 5, "hi", 100, 200)) == OFFSET_1
    assert encode_group_value(GROUP) == GROUP_3


def test_read_bytes() -> None:
    assert decode_key(OFFSET_KEY) == decode_key(b"\0\0" + OFFSET_KEY[2:]) == OffsetKey("g", "t", 7)
    assert decode_key(GROUP_KEY) == GroupKey("g")
    assert decode_key(bytes.fromhex("0003 0001 67")) is None
    assert decode_offset_value(OFFSET_3) == decode_offset_value(OFFSET_4) == COMMITTED
    assert decode_offset_value(OFFSET_1) == CommittedOffset(42, -1, "hi", 100, 200)
    assert decode_group_value(GROUP_3) == decode_group_value(GROUP_4) == GROUP


def test_old_versions_of_groups() -> None:
    version_0 = bytes.fromhex(
        "0000 0007 636f6e6e656374 00000001 ffff ffff 00000001"
        "0001 6d 0001 63 0001 68 00002710 00000000 00000000"
    )
    group = decode_group_value(version_0)
    assert (group.protocol_type, group.protocol_name, group.state_timestamp_ms) == ("connect", None, -1)
    assert (group.members[0].rebalance_timeout_ms, group.members[0].session_timeout_ms) == (10_000, 10_000)


def test_an_empty_group_and_texts_beyond_ascii() -> None:
    group = StoredGroup("consumer", 9, None, None, 1, ())
    assert decode_group_value(encode_group_value(group)) == group
    committed = CommittedOffset(2**62, -1, "grüße 𝄞", 1)
    assert decode_offset_value(encode_offset_value(committed)) == committed


@pytest.mark.parametrize("size", range(len(GROUP_3)))
def test_cut_records(size: int) -> None:
    with pytest.raises(BadGroupRecord):
        decode_group_value(GROUP_3[:size])


@pytest.mark.parametrize(
    "data", [b"", b"\0\5", GROUP_3[:38] + b"\x7f\xff\xff\xff", b"\0\3\0\1\xff" + GROUP_3[5:]]
)
def test_bad_records(data: bytes) -> None:
    with pytest.raises(BadGroupRecord):
        decode_group_value(data)


def test_a_string_that_is_too_long() -> None:
    with pytest.raises(BadGroupRecord):
        encode_offset_value(CommittedOffset(1, 1, "x" * 40_000, 1))


def test_the_last_record_of_a_key_counts() -> None:
    loaded = LoadedPartition()
    loaded.apply(
        [
            (OFFSET_KEY, OFFSET_1),
            (OFFSET_KEY, OFFSET_3),
            (GROUP_KEY, GROUP_3),
            (encode_offset_key("g", "u", 0), OFFSET_3),
            (encode_offset_key("g", "u", 0), None),
            (encode_offset_key("gone", "t", 0), OFFSET_3),
            (encode_offset_key("gone", "t", 0), None),
            (encode_group_key("left"), GROUP_3),
            (encode_group_key("left"), None),
            (b"\0\x09", b""),
            (OFFSET_KEY[:5], OFFSET_3),
        ]
    )
    assert loaded.group_ids() == {"g"}
    assert loaded.groups == {"g": GROUP}
    assert loaded.offsets == {"g": {("t", 7): COMMITTED}}
    assert (loaded.records, loaded.skipped) == (11, 2)


def test_many_records_know_how_large_they_are() -> None:
    offsets = {("t", number): CommittedOffset(number, -1, "x" * (number % 3), 5) for number in range(1000)}
    records = at_once(encode_offsets_in_steps("g", offsets))
    plain = encode_offsets("g", offsets)
    assert list(records) == plain
    assert size_of(records) == size_of(plain) == sum(len(key) + len(value or b"") for key, value in plain)
