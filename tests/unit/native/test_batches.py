"""Batches built and read as tuples, checked against batches made by hand."""

import pytest

from fastlog.native import MalformedRequest, build_batch, read_batches
from fastlog.native.shapes import BuildRecord
from tests.unit.native.data import batch, rebased

RECORDS: list[BuildRecord] = [
    (b"key", b"value", [("a", b"1"), ("a", None), ("é", b"")], 1000),
    (None, None, [], 900),
    (b"", b"x" * 5000, [], 1100),
]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_round_trip(codec: str) -> None:
    built = build_batch(RECORDS, codec=codec, base_offset=40)
    read = read_batches(built)
    assert read == [
        (40 + index, timestamp, key, value, headers)
        for index, (key, value, headers, timestamp) in enumerate(RECORDS)
    ]


def test_the_bytes_are_those_of_a_batch_made_by_hand() -> None:
    stamp = 1_700_000_000_000
    assert build_batch([(None, b"one", [], stamp), (None, b"two", [], stamp)]) == batch(b"one", b"two")
    mine = batch(b"one", producer_id=7, producer_epoch=2, base_sequence=9, attributes=16)
    theirs = build_batch(
        [(None, b"one", [], stamp)],
        producer_id=7,
        producer_epoch=2,
        base_sequence=9,
        transactional=True,
        base_offset=5,
        leader_epoch=3,
    )
    assert theirs == rebased(mine, 5, 3)


def test_a_cut_last_batch_is_left_out_and_control_batches_are_skipped() -> None:
    one, control = batch(b"one"), batch(b"marker", attributes=0x30)
    two = rebased(batch(b"two"), 2)
    for cut in (1, 5, 50, len(one) - 1):
        values = [value for _, _, _, value, _ in read_batches(one + rebased(control, 1) + two + one[:cut])]
        assert values == [b"one", b"two"]
    assert read_batches(b"") == []


def test_damage_is_an_error() -> None:
    damaged = bytearray(batch(b"one"))
    damaged[-1] ^= 1
    with pytest.raises(MalformedRequest, match="checksum"):
        read_batches(damaged)
    damaged = bytearray(batch(b"one"))
    damaged[16] = 1
    with pytest.raises(MalformedRequest):
        read_batches(damaged)
