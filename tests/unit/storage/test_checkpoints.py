"""Offset checkpoints in Kafka's format, with the checksum line that Kafka ignores."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlog.storage.checkpoints import (
    RECOVERY_POINTS,
    CheckpointDamaged,
    decode_offsets,
    encode_offsets,
    read_offsets,
    write_offsets,
)

TOPICS = st.from_regex(r"[a-zA-Z0-9._-]{1,20}", fullmatch=True)
KEYS = st.tuples(TOPICS, st.integers(0, 2**31 - 1))
OFFSETS = st.dictionaries(KEYS, st.integers(0, 2**63 - 1), max_size=20)


@given(OFFSETS)
def test_offsets_survive(offsets: dict[tuple[str, int], int]) -> None:
    assert decode_offsets(encode_offsets(offsets)) == offsets


def test_the_lines_are_those_of_kafka() -> None:
    lines = encode_offsets({("b", 1): 20, ("a", 0): 10}).decode().splitlines()
    assert lines[:4] == ["0", "3", "a 0 10", "b 1 20"]
    assert lines[4].startswith("__fastlog_crc32 0 ")
    # What Kafka's reader asks of the last line: topic, partition as int, offset as long.
    topic, partition, offset = lines[4].split()
    assert (topic, int(partition), 0 <= int(offset) < 2**63) == ("__fastlog_crc32", 0, True)


def test_files_of_kafka_without_a_checksum_are_accepted() -> None:
    assert decode_offsets(b"0\n2\nt 0 5\nt 1 6\n") == {("t", 0): 5, ("t", 1): 6}
    assert decode_offsets(b"0\n0\n") == {}
    assert decode_offsets(b"") == {}


@pytest.mark.parametrize(
    "data",
    [
        b"1\n0\n",
        b"0\n1\n",
        b"0\n1\nt 0 5",
        b"0\n2\nt 0 5\nt 0 6\n",
        b"0\n1\nt 0\n",
        b"0\n1\nt 0 -5\n",
        b"0\n1\nt x 5\n",
        b"0\n1\n\xff 0 5\n",
        b"0",
    ],
)
def test_other_content_is_damage(data: bytes) -> None:
    with pytest.raises(CheckpointDamaged):
        decode_offsets(data)


def test_any_flipped_bit_is_noticed_or_harmless() -> None:
    offsets = {("orders", 0): 1500, ("orders", 1): 9, ("x.y", 12): 2**40}
    data = encode_offsets(offsets)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            try:
                found = decode_offsets(bytes(damaged))
            except CheckpointDamaged:
                continue
            # Only the name of the checksum line can change unseen: it then looks like one more partition.
            assert {key: found.get(key) for key in offsets} == offsets


def test_a_missing_file_is_empty_and_damage_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / RECOVERY_POINTS
    assert read_offsets(path) == {}
    write_offsets(path, {("t", 0): 1})
    assert read_offsets(path) == {("t", 0): 1}
    path.write_bytes(b"garbage\n")
    with pytest.raises(CheckpointDamaged, match=RECOVERY_POINTS):
        read_offsets(path)
